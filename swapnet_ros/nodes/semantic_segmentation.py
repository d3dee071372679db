"""The `semantic_segmentation` node: images in, a class for each pixel out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sensor_msgs.msg import Image

from swapnet_ros.msg import SegmentationInfo
from swapnet_ros.nodes.frame_run import ResultOrigin
from swapnet_ros.nodes.images import RgbImage, encode_class_map
from swapnet_ros.nodes.task_node import TaskNode
from swapnet_ros.nodes.task_parameters import SEMANTIC_SEGMENTATION
from swapnet_ros.perception.drawing import draw_segmentation
from swapnet_ros.perception.tasks.semantic_segmentation import SegmentationResult

CLASS_MAP, INFO = "~/class_map", "~/segmentation_info"


class SemanticSegmentationNode(TaskNode):
    """Tells the class of every pixel; publishes `~/class_map` and `~/segmentation_info`."""

    TASK, SPECS = "semantic_segmentation", SEMANTIC_SEGMENTATION
    RESULTS: ClassVar[Mapping[str, type]] = {CLASS_MAP: Image, INFO: SegmentationInfo}

    def make_messages(self, result: SegmentationResult, origin: ResultOrigin) -> Mapping[str, Any]:
        """Fill the class map and what belongs to it."""
        info = SegmentationInfo(
            header=origin.header,
            network=origin.network,
            width=result.width,
            height=result.height,
            labels=list(result.labels),
            shares=[float(share) for share in result.shares],
            timing=origin.timing,
        )
        return {CLASS_MAP: encode_class_map(result.class_map, origin.header), INFO: info}

    def draw(self, image: RgbImage, result: SegmentationResult) -> RgbImage:
        """Tint every pixel with its class's colour."""
        return draw_segmentation(image, result)
