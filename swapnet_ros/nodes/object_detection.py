"""The `object_detection` node: images in, boxes out."""

from __future__ import annotations

from typing import Any

from std_msgs.msg import Header

from swapnet_ros.msg import Detection as DetectionMessage
from swapnet_ros.msg import DetectionArray
from swapnet_ros.nodes.images import RgbImage
from swapnet_ros.nodes.live_parameters import Values
from swapnet_ros.nodes.parameter_tables import OBJECT_DETECTION
from swapnet_ros.nodes.task_networks import open_detection_network
from swapnet_ros.nodes.task_node import TaskNode, Timing
from swapnet_ros.perception.drawing import draw_detections
from swapnet_ros.perception.models.catalogue import DetectionNetwork
from swapnet_ros.perception.tasks.object_detection import (
    Detection,
    DetectionResult,
    ObjectDetection,
)


class ObjectDetectionNode(TaskNode):
    """Detects objects with a Darknet or torchvision network; publishes `~/detections`."""

    SPECS = OBJECT_DETECTION
    RESULT_TYPE = DetectionArray
    RESULT_TOPIC = "~/detections"

    def open_network(self, values: Values) -> DetectionNetwork:
        """Find the network that the parameters name."""
        return open_detection_network(values)

    def make_task(self, network: DetectionNetwork) -> ObjectDetection:
        """Make the detection task for a network."""
        return ObjectDetection(network)

    def decode(
        self, task: ObjectDetection, outputs: Any, prepared: Any, values: Values
    ) -> DetectionResult:
        """Turn the network's outputs into boxes in pixels of the source image."""
        return task.decode(
            outputs,
            prepared,
            score_threshold=values["score_threshold"],
            iou_threshold=values["iou_threshold"],
            max_detections=values["max_detections"],
        )

    def make_message(
        self, result: DetectionResult, header: Header, network: str, timing: Timing
    ) -> DetectionArray:
        """Fill a `DetectionArray`."""
        return DetectionArray(
            header=header,
            network=network,
            width=result.width,
            height=result.height,
            detections=[_to_message(detection) for detection in result.detections],
            queue_s=timing.queue_s,
            decode_s=timing.decode_s,
            inference_s=timing.inference_s,
            total_s=timing.total_s,
            stall_s=timing.stall_s,
            compute_s=timing.compute_s,
        )

    def draw(self, image: RgbImage, result: DetectionResult) -> RgbImage:
        """Draw boxes, labels and scores."""
        return draw_detections(image, result)


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
