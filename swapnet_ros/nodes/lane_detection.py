"""The `lane_detection` node: images in, lane lines out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sensor_msgs.msg import Image

from swapnet_ros.msg import Lane as LaneMessage
from swapnet_ros.msg import LaneArray, LanePoint
from swapnet_ros.nodes.frame_run import ResultOrigin
from swapnet_ros.nodes.images import RgbImage, encode_mask
from swapnet_ros.nodes.task_node import TaskNode
from swapnet_ros.nodes.task_parameters import LANE_DETECTION
from swapnet_ros.perception.drawing import draw_lanes
from swapnet_ros.perception.tasks.lane_detection import Lane, LaneResult

LANES, EGO_LANE = "~/lanes", "~/ego_lane"


class LaneDetectionNode(TaskNode):
    """Finds lane lines; publishes `~/lanes`, and `~/ego_lane` where the network tells the area."""

    TASK, SPECS = "lane_detection", LANE_DETECTION
    RESULTS: ClassVar[Mapping[str, type]] = {LANES: LaneArray, EGO_LANE: Image}

    def make_messages(self, result: LaneResult, origin: ResultOrigin) -> Mapping[str, Any]:
        """Fill a `LaneArray`, and a mask of the camera's lane where the network tells it."""
        lanes = LaneArray(
            header=origin.header,
            network=origin.network,
            width=result.width,
            height=result.height,
            lanes=[_to_message(lane) for lane in result.lanes],
            timing=origin.timing,
        )
        if result.area is None:
            return {LANES: lanes}
        return {EGO_LANE: encode_mask(result.area, origin.header), LANES: lanes}

    def draw(self, image: RgbImage, result: LaneResult) -> RgbImage:
        """Draw the lane lines, the camera's own ones apart."""
        return draw_lanes(image, result)


def _to_message(lane: Lane) -> LaneMessage:
    # rosidl ends the process over a NumPy number where a message has a Python one
    points = [LanePoint(x=x, y=y) for x, y in lane.points.tolist()]
    return LaneMessage(points=points, score=float(lane.score), is_ego=bool(lane.is_ego))
