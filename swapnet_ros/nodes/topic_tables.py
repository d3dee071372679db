"""The topics of every node, as tables. `docs/nodes.md` is generated from them. Needs no ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_RELIABLE = "reliable, depth 10"
_CAMERA = "best effort, depth 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """One topic of a node.

    Attributes:
        is_input: the node subscribes to it.
        name: as the node has it, before remapping.
        type: package and message.
        qos: in words.
        description: what it carries.
    """

    is_input: bool = False
    name: str
    type: str
    qos: str = _RELIABLE
    description: str


_INPUTS = (
    TopicSpec(
        is_input=True,
        name="image",
        type="sensor_msgs/Image",
        qos=_CAMERA,
        description="images, with `image_transport: raw`; one topic for each name in `cameras`",
    ),
    TopicSpec(
        is_input=True,
        name="image/compressed",
        type="sensor_msgs/CompressedImage",
        qos=_CAMERA,
        description="images, with `image_transport: compressed`; likewise",
    ),
)
_DEBUG = TopicSpec(
    name="~/debug_image",
    type="sensor_msgs/Image",
    qos="reliable, depth 1",
    description="the image with the result drawn in (`rgb8`); made only while someone listens",
)
_DIAGNOSTICS = TopicSpec(
    name="/diagnostics",
    type="diagnostic_msgs/DiagnosticArray",
    description="state, frame counts and the core's figures, once per second",
)
_ACCOUNT = TopicSpec(
    name="~/account",
    type="std_msgs/String",
    qos="reliable, depth 1",
    description="JSON: the newest inference (when which block was read and used), the network's "
    "profile and the storage's, at the speeds of late; once per second, made only while someone "
    "listens",
)
_LABELS = TopicSpec(
    name="~/vision/label_info",
    type="vision_msgs/LabelInfo",
    qos="reliable, transient local, depth 1",
    description="class names by number; where `vision_msgs` is installed",
)


def _vision(name: str, kind: str, description: str) -> TopicSpec:
    return TopicSpec(
        name=f"~/vision/{name}",
        type=f"vision_msgs/{kind}",
        description=f"{description}; where `vision_msgs` is installed",
    )


_DETECTION = (
    *_INPUTS,
    TopicSpec(
        name="~/detections",
        type="swapnet_ros/DetectionArray",
        description="boxes in pixels of the source image, for every image that was processed",
    ),
    _vision("detections", "Detection2DArray", "the same boxes"),
    _LABELS,
    _DEBUG,
    _ACCOUNT,
    _DIAGNOSTICS,
)
_CLASSIFICATION = (
    *_INPUTS,
    TopicSpec(
        is_input=True,
        name="detections",
        type="swapnet_ros/DetectionArray",
        qos="best effort, depth 10",
        description="with `regions: detections`: a detector's boxes",
    ),
    TopicSpec(
        name="~/classifications",
        type="swapnet_ros/ClassificationArray",
        description="the classes of each region, for every image that was processed",
    ),
    _vision("classification", "Classification", "the classes of the first region"),
    _vision("detections", "Detection2DArray", "all regions, their classes as hypotheses"),
    _LABELS,
    _DEBUG,
    _ACCOUNT,
    _DIAGNOSTICS,
)
_LANES = (
    *_INPUTS,
    TopicSpec(
        name="~/lanes",
        type="swapnet_ros/LaneArray",
        description="lane lines in pixels of the source image, for every image that was processed",
    ),
    TopicSpec(
        name="~/ego_lane",
        type="sensor_msgs/Image",
        description="the lane that the camera is in: 255 for each pixel of the source image that "
        "belongs to it, else 0 (`mono8`); with networks that tell it, whose outputs are an "
        "`area_mask`",
    ),
    _DEBUG,
    _ACCOUNT,
    _DIAGNOSTICS,
)
_SEGMENTATION = (
    *_INPUTS,
    TopicSpec(
        name="~/class_map",
        type="sensor_msgs/Image",
        description="the class of every pixel of the source image (`mono8`)",
    ),
    TopicSpec(
        name="~/segmentation_info",
        type="swapnet_ros/SegmentationInfo",
        description="what belongs to the class map: names of the classes, their shares, timing",
    ),
    _LABELS,
    _DEBUG,
    _ACCOUNT,
    _DIAGNOSTICS,
)

TOPICS: dict[str, tuple[TopicSpec, ...]] = {
    "swapnet": (
        TopicSpec(
            name="~/status",
            type="swapnet_ros/SwapStatus",
            description="budget, memory held, reads, admission and all networks' figures, once "
            "per second",
        ),
        _DIAGNOSTICS,
    ),
    "object_detection": _DETECTION,
    "lane_detection": _LANES,
    "semantic_segmentation": _SEGMENTATION,
    "traffic_sign_classification": _CLASSIFICATION,
    "traffic_light_classification": _CLASSIFICATION,
    "natural_scene_classification": _CLASSIFICATION,
    "fire_detection": _DETECTION,
    "wild_animal_recognition": _DETECTION,
}


def topic_table(topics: Sequence[TopicSpec]) -> str:
    """Describe topics as a Markdown table, in the order given."""
    rows = ["| direction | topic | type | QoS | what it carries |", "|---|---|---|---|---|"]
    for topic in topics:
        direction = "in" if topic.is_input else "out"
        rows.append(
            f"| {direction} | `{topic.name}` | `{topic.type}` | {topic.qos} | {topic.description} |"
        )
    return "\n".join(rows) + "\n"
