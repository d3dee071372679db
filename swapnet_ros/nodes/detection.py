"""The nodes that find things: images in, boxes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from swapnet_ros.msg import Detection as DetectionMessage
from swapnet_ros.msg import DetectionArray
from swapnet_ros.nodes import vision_messages
from swapnet_ros.nodes.frame_run import ResultOrigin
from swapnet_ros.nodes.images import RgbImage
from swapnet_ros.nodes.task_node import TaskNode
from swapnet_ros.nodes.task_parameters import (
    FIRE_DETECTION,
    OBJECT_DETECTION,
    WILD_ANIMAL_RECOGNITION,
)
from swapnet_ros.perception.drawing import draw_detections
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult

DETECTIONS, VISION_DETECTIONS = "~/detections", "~/vision/detections"


class DetectionNode(TaskNode):
    """Finds things in images; publishes `~/detections`."""

    RESULTS: ClassVar[Mapping[str, type]] = {DETECTIONS: DetectionArray}
    VISION: ClassVar[Mapping[str, str]] = {VISION_DETECTIONS: "Detection2DArray"}

    def make_messages(self, result: DetectionResult, origin: ResultOrigin) -> Mapping[str, Any]:
        """Fill a `DetectionArray`."""
        message = DetectionArray(
            header=origin.header,
            network=origin.network,
            width=result.width,
            height=result.height,
            detections=[_to_message(detection) for detection in result.detections],
            timing=origin.timing,
        )
        return {DETECTIONS: message}

    def make_vision_messages(
        self, result: DetectionResult, origin: ResultOrigin
    ) -> Mapping[str, Any]:
        """Fill a `vision_msgs/Detection2DArray`."""
        return {VISION_DETECTIONS: vision_messages.detections(result, origin.header)}

    def draw(self, image: RgbImage, result: DetectionResult) -> RgbImage:
        """Draw boxes, labels and scores."""
        return draw_detections(image, result)


class ObjectDetectionNode(DetectionNode):
    """Detects objects with a Darknet or torchvision network."""

    TASK, SPECS = "object_detection", OBJECT_DETECTION


class FireDetectionNode(DetectionNode):
    """Finds fire and smoke, with a detector, or with a classifier that tells where."""

    TASK, SPECS = "fire_detection", FIRE_DETECTION


class WildAnimalRecognitionNode(DetectionNode):
    """Recognises animals, with a detector, or with a classifier that tells where."""

    TASK, SPECS = "wild_animal_recognition", WILD_ANIMAL_RECOGNITION


def _to_message(detection: Detection) -> DetectionMessage:
    return DetectionMessage(
        class_id=detection.class_id,
        label=detection.label,
        score=detection.score,
        x_min=detection.x_min,
        y_min=detection.y_min,
        x_max=detection.x_max,
        y_max=detection.y_max,
    )
