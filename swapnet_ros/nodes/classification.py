"""The nodes that classify: images in, classes of the image or of regions in it out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from rclpy.qos import QoSProfile, ReliabilityPolicy

from swapnet_ros.msg import ClassificationArray, DetectionArray, ScoredClass
from swapnet_ros.msg import ClassifiedRegion as RegionMessage
from swapnet_ros.nodes import vision_messages
from swapnet_ros.nodes.box_matching import BoxMatcher
from swapnet_ros.nodes.cameras import CameraFrame
from swapnet_ros.nodes.frame_run import ResultOrigin
from swapnet_ros.nodes.frames import FrameCounts, FrameWorker
from swapnet_ros.nodes.images import RgbImage
from swapnet_ros.nodes.task_node import TaskNode
from swapnet_ros.nodes.task_parameters import (
    NATURAL_SCENE_CLASSIFICATION,
    TRAFFIC_LIGHT_CLASSIFICATION,
    TRAFFIC_SIGN_CLASSIFICATION,
)
from swapnet_ros.perception.drawing import draw_classification
from swapnet_ros.perception.tasks.image_classification import (
    ClassificationResult,
    ClassifiedRegion,
)

CLASSIFICATIONS = "~/classifications"
# best effort: it takes what reliable and best-effort detectors send
BOXES_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
VISION_CLASSIFICATION, VISION_DETECTIONS = "~/vision/classification", "~/vision/detections"


class ClassificationNode(TaskNode):
    """Classifies images or regions in them; publishes `~/classifications`."""

    RESULTS: ClassVar[Mapping[str, type]] = {CLASSIFICATIONS: ClassificationArray}
    VISION: ClassVar[Mapping[str, str]] = {
        VISION_CLASSIFICATION: "Classification",
        VISION_DETECTIONS: "Detection2DArray",
    }

    _matcher: BoxMatcher | None = None
    _boxes: Any = None  # subscription to the detector's boxes
    _boxes_s = 0.0  # when the last of them came
    _unmatched = 0  # images without boxes in earlier activations

    # Boxes of a detector.

    @property
    def counts(self) -> FrameCounts:
        """Frames since the node was created; those without boxes are dropped ones."""
        counts, matcher = super().counts, self._matcher
        unmatched = self._unmatched + (matcher.dropped if matcher else 0)
        return replace(counts, dropped=counts.dropped + unmatched, without_boxes=unmatched)

    def route(self, worker: FrameWorker) -> Callable[[CameraFrame], None]:
        """Let images wait for their boxes, where boxes are wanted."""
        if self.values["regions"] != "detections":
            return super().route(worker)
        self._matcher = BoxMatcher(
            worker.offer,
            limit=self.values["waiting_images"],
            wait_s=lambda: self.values["detections_wait_s"],
        )
        self._boxes_s = time.monotonic()
        self._boxes = self.create_subscription(
            DetectionArray, "detections", self._take_boxes, BOXES_QOS
        )
        return self._matcher.put_frame

    def drain(self) -> None:
        """Take no more images and boxes, and publish the result of the image in hand."""
        matcher = self._matcher
        if matcher is not None:
            matcher.close()  # what still comes is counted there until the cameras are closed
        super().drain()
        if self._boxes is not None:
            self.destroy_subscription(self._boxes)
            self._boxes = None
        if matcher is not None:
            self._unmatched += matcher.dropped
            self._matcher = None

    def input_ages_s(self) -> Mapping[str, float]:
        """Seconds since the last image of each camera, and since the last boxes."""
        ages_s, boxes = dict(super().input_ages_s()), self._boxes
        if boxes is not None:
            ages_s[boxes.topic_name] = time.monotonic() - self._boxes_s
        return ages_s

    def _take_boxes(self, detections: DetectionArray) -> None:
        matcher = self._matcher
        if matcher is not None:
            self._boxes_s = time.monotonic()
            matcher.put_detections(detections)

    # Classes.

    def make_messages(
        self, result: ClassificationResult, origin: ResultOrigin
    ) -> Mapping[str, Any]:
        """Fill a `ClassificationArray`."""
        message = ClassificationArray(
            header=origin.header,
            network=origin.network,
            width=result.width,
            height=result.height,
            regions=[_to_message(region) for region in result.regions],
            timing=origin.timing,
        )
        return {CLASSIFICATIONS: message}

    def make_vision_messages(
        self, result: ClassificationResult, origin: ResultOrigin
    ) -> Mapping[str, Any]:
        """Fill a `vision_msgs/Classification`, and a `Detection2DArray` with the regions."""
        return {
            VISION_CLASSIFICATION: vision_messages.classification(result, origin.header),
            VISION_DETECTIONS: vision_messages.classified_regions(result, origin.header),
        }

    def draw(self, image: RgbImage, result: ClassificationResult) -> RgbImage:
        """Draw the regions and their best classes."""
        return draw_classification(image, result)


def _to_message(region: ClassifiedRegion) -> RegionMessage:
    return RegionMessage(
        x_min=float(region.x_min),
        y_min=float(region.y_min),
        x_max=float(region.x_max),
        y_max=float(region.y_max),
        classes=[
            ScoredClass(class_id=each.class_id, label=each.label, score=each.score)
            for each in region.classes
        ],
    )


class NaturalSceneClassificationNode(ClassificationNode):
    """Tells what kind of scene the camera sees."""

    TASK, SPECS = "natural_scene_classification", NATURAL_SCENE_CLASSIFICATION


class TrafficLightClassificationNode(ClassificationNode):
    """Tells the state of traffic lights."""

    TASK, SPECS = "traffic_light_classification", TRAFFIC_LIGHT_CLASSIFICATION


class TrafficSignClassificationNode(ClassificationNode):
    """Tells which traffic sign is seen."""

    TASK, SPECS = "traffic_sign_classification", TRAFFIC_SIGN_CLASSIFICATION
