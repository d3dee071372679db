"""Results of any task as messages of a bag: our own ones, and those of `vision_msgs` beside them.

They are the nodes' messages (docs/nodes.md), but for the timing: that of a recording is all 0, so
that the same results make the same bag.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys.store import Typestore

from swapnet_ros.evaluation.bags.message_types import IMAGE
from swapnet_ros.evaluation.task_results import TaskOutput
from swapnet_ros.perception.tasks.image_classification import ClassificationResult, ClassifiedRegion
from swapnet_ros.perception.tasks.lane_detection import Lane, LaneResult
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult
from swapnet_ros.perception.tasks.semantic_segmentation import SegmentationResult

_OWN, _VISION = "swapnet_ros/msg", "vision_msgs/msg"
_TIMES = (
    *("queue_s", "decode_s", "inference_s", "publish_s", "total_s"),
    *("stall_s", "compute_s"),
)


class ResultMessages:
    """Makes messages out of results; holds nothing but the types."""

    def __init__(self, store: Typestore) -> None:
        self._types = store.types

    def header(self, *, stamp_ns: int, frame_id: str) -> Any:
        """Make a header."""
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        stamp = self._make("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
        return self._make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)

    def image(self, pixels: NDArray[np.uint8], encoding: str, header: Any) -> Any:
        """Make a raw image.

        Args:
            pixels: uint8 [height, width] or [height, width, channels].
            encoding: what `sensor_msgs/Image` calls them.
            header: the image's header.
        """
        height, width = pixels.shape[:2]
        return self._make(
            IMAGE,
            header=header,
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=0,
            step=pixels.size // height,
            data=np.ascontiguousarray(pixels).reshape(-1),
        )

    def of(self, result: TaskOutput, network: str, header: Any) -> dict[str, Any]:
        """Make the messages of a result, by topic below the task's name.

        Args:
            result: of any task.
            network: the network's name.
            header: the source image's header.
        """
        facts = {
            "header": header,
            "network": network,
            "width": result.width,
            "height": result.height,
            "timing": self._make(f"{_OWN}/FrameTiming", **dict.fromkeys(_TIMES, 0.0)),
        }
        if isinstance(result, DetectionResult):
            return self._detections(result, facts)
        if isinstance(result, LaneResult):
            return self._lanes(result, facts)
        if isinstance(result, SegmentationResult):
            return self._segmentation(result, facts)
        return self._classification(result, facts)

    def _detections(self, result: DetectionResult, facts: dict[str, Any]) -> dict[str, Any]:
        found = [
            self._make(
                f"{_OWN}/Detection",
                class_id=each.class_id,
                label=each.label,
                score=float(each.score),
                **_box(each),
            )
            for each in result.detections
        ]
        boxes = [(each, [(each.label, each.score)]) for each in result.detections]
        return {
            "detections": self._make(f"{_OWN}/DetectionArray", detections=found, **facts),
            "vision/detections": self._vision_boxes(boxes, facts["header"]),
        }

    def _lanes(self, result: LaneResult, facts: dict[str, Any]) -> dict[str, Any]:
        lanes = [self._lane(lane) for lane in result.lanes]
        messages = {"lanes": self._make(f"{_OWN}/LaneArray", lanes=lanes, **facts)}
        if result.area is not None:
            area = result.area.astype(np.uint8) * 255
            messages["ego_lane"] = self.image(area, "mono8", facts["header"])
        return messages

    def _lane(self, lane: Lane) -> Any:
        points = [self._make(f"{_OWN}/LanePoint", x=x, y=y) for x, y in lane.points.tolist()]
        return self._make(
            f"{_OWN}/Lane", points=points, score=float(lane.score), is_ego=bool(lane.is_ego)
        )

    def _segmentation(self, result: SegmentationResult, facts: dict[str, Any]) -> dict[str, Any]:
        shares = np.array(result.shares, np.float32)
        labels = list(result.labels)
        return {
            "class_map": self.image(result.class_map, "mono8", facts["header"]),
            "segmentation_info": self._make(
                f"{_OWN}/SegmentationInfo", labels=labels, shares=shares, **facts
            ),
        }

    def _classification(
        self, result: ClassificationResult, facts: dict[str, Any]
    ) -> dict[str, Any]:
        header = facts["header"]
        regions = [self._region(region) for region in result.regions]
        scores = [(each, _scores(each)) for each in result.regions]
        first = self._hypotheses(scores[0][1] if scores else ())
        return {
            "classifications": self._make(f"{_OWN}/ClassificationArray", regions=regions, **facts),
            "vision/classification": self._make(
                f"{_VISION}/Classification", header=header, results=first
            ),
            "vision/detections": self._vision_boxes(scores, header),
        }

    def _region(self, region: ClassifiedRegion) -> Any:
        classes = [
            self._make(
                f"{_OWN}/ScoredClass",
                class_id=each.class_id,
                label=each.label,
                score=float(each.score),
            )
            for each in region.classes
        ]
        return self._make(f"{_OWN}/ClassifiedRegion", classes=classes, **_box(region))

    def _vision_boxes(
        self,
        boxes: Sequence[tuple[Detection | ClassifiedRegion, Sequence[tuple[str, float]]]],
        header: Any,
    ) -> Any:
        detections = []
        for box, scores in boxes:
            results = [
                self._make(
                    f"{_VISION}/ObjectHypothesisWithPose", hypothesis=each, pose=self._no_pose()
                )
                for each in self._hypotheses(scores)
            ]
            detections.append(
                self._make(
                    f"{_VISION}/Detection2D",
                    header=header,
                    results=results,
                    bbox=self._vision_box(box),
                    id="",
                )
            )
        return self._make(f"{_VISION}/Detection2DArray", header=header, detections=detections)

    def _vision_box(self, box: Detection | ClassifiedRegion) -> Any:
        position = self._make(
            f"{_VISION}/Point2D", x=(box.x_min + box.x_max) / 2, y=(box.y_min + box.y_max) / 2
        )
        return self._make(
            f"{_VISION}/BoundingBox2D",
            center=self._make(f"{_VISION}/Pose2D", position=position, theta=0.0),
            size_x=float(box.x_max - box.x_min),
            size_y=float(box.y_max - box.y_min),
        )

    def _hypotheses(self, scores: Sequence[tuple[str, float]]) -> list[Any]:
        return [
            self._make(f"{_VISION}/ObjectHypothesis", class_id=label, score=float(score))
            for label, score in scores
        ]

    def _no_pose(self) -> Any:
        geometry = "geometry_msgs/msg"
        pose = self._make(
            f"{geometry}/Pose",
            position=self._make(f"{geometry}/Point", x=0.0, y=0.0, z=0.0),
            orientation=self._make(f"{geometry}/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
        )
        return self._make(
            f"{geometry}/PoseWithCovariance", pose=pose, covariance=np.zeros(36, np.float64)
        )

    def _make(self, type_name: str, **fields: Any) -> Any:
        return self._types[type_name](**fields)


def _box(found: Detection | ClassifiedRegion) -> dict[str, float]:
    return {name: float(getattr(found, name)) for name in ("x_min", "y_min", "x_max", "y_max")}


def _scores(region: ClassifiedRegion) -> list[tuple[str, float]]:
    return [(each.label, each.score) for each in region.classes]
