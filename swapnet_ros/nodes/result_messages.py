"""Result messages of all tasks, read back into results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

from swapnet_ros.evaluation.task_results import TaskOutput
from swapnet_ros.msg import ClassificationArray, DetectionArray, LaneArray, SegmentationInfo
from swapnet_ros.perception.tasks.image_classification import (
    ClassificationResult,
    ClassifiedRegion,
    ScoredClass,
)
from swapnet_ros.perception.tasks.lane_detection import Lane, LaneResult
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult
from swapnet_ros.perception.tasks.semantic_segmentation import SegmentationResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultTopics:
    """Where a task's results come from.

    Attributes:
        topics: messages by topic, below the node's name. The first has the timing; all of one
            result have the same header.
        read: makes the result out of the messages, given in the order of `topics`.
    """

    topics: Mapping[str, type]
    read: Callable[..., TaskOutput]


def read_detections(message: DetectionArray) -> DetectionResult:
    """Read the boxes of one image."""
    found = tuple(
        Detection(
            class_id=each.class_id,
            label=each.label,
            score=each.score,
            **_box(each),
        )
        for each in message.detections
    )
    return DetectionResult(detections=found, width=message.width, height=message.height)


def read_lanes(message: LaneArray) -> LaneResult:
    """Read the lane lines of one image; the message has no area."""
    lanes = tuple(
        Lane(
            points=np.array([(p.x, p.y) for p in each.points], np.float32).reshape(-1, 2),
            score=each.score,
            is_ego=each.is_ego,
        )
        for each in message.lanes
    )
    return LaneResult(lanes=lanes, width=message.width, height=message.height)


def read_classifications(message: ClassificationArray) -> ClassificationResult:
    """Read what the regions of one image show."""
    regions = tuple(
        ClassifiedRegion(
            classes=tuple(
                ScoredClass(class_id=c.class_id, label=c.label, score=c.score) for c in each.classes
            ),
            **_box(each),
        )
        for each in message.regions
    )
    return ClassificationResult(regions=regions, width=message.width, height=message.height)


def read_segmentation(info: SegmentationInfo, class_map: Image) -> SegmentationResult:
    """Read the class of every pixel of one image."""
    rows = np.frombuffer(class_map.data, np.uint8).reshape(class_map.height, class_map.step)
    return SegmentationResult(
        class_map=rows[:, : class_map.width],
        labels=tuple(info.labels),
        shares=tuple(info.shares),
        width=info.width,
        height=info.height,
    )


def _box(message: Any) -> dict[str, float]:
    return {name: getattr(message, name) for name in ("x_min", "y_min", "x_max", "y_max")}


_DETECTIONS = ResultTopics(topics={"detections": DetectionArray}, read=read_detections)
_CLASSES = ResultTopics(topics={"classifications": ClassificationArray}, read=read_classifications)

RESULT_TOPICS: Mapping[str, ResultTopics] = {
    "object_detection": _DETECTIONS,
    "fire_detection": _DETECTIONS,
    "wild_animal_recognition": _DETECTIONS,
    "lane_detection": ResultTopics(topics={"lanes": LaneArray}, read=read_lanes),
    "semantic_segmentation": ResultTopics(
        topics={"segmentation_info": SegmentationInfo, "class_map": Image}, read=read_segmentation
    ),
    "traffic_sign_classification": _CLASSES,
    "traffic_light_classification": _CLASSES,
    "natural_scene_classification": _CLASSES,
}
"""By task."""
