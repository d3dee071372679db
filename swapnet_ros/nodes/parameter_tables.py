"""The parameters of every node, as tables. `docs/nodes.md` is generated from them."""

from __future__ import annotations

from swapnet_core.sizes import parse_size
from swapnet_ros.nodes.parameter_specs import ParameterSpec, Value

DEFAULT_NODES = ["object_detection"]
DEFAULT_BUDGET = "256MiB"


def _check_size(value: Value) -> None:
    parse_size(str(value))


SWAPNET = (
    ParameterSpec(
        name="budget",
        default=DEFAULT_BUDGET,
        description="Ceiling for the memory that all networks of the process hold together, such "
        "as `96MiB`. A value that is too small is refused, and the answer names the bytes needed.",
        is_live=True,
        check=_check_size,
    ),
    ParameterSpec(
        name="device",
        default="auto",
        description="Device the networks run on: `auto`, `cpu`, or another one that the core has.",
    ),
    ParameterSpec(
        name="cache_dir",
        default="",
        description="Folder for the block files, best on a fast local disk; empty: the user's "
        "cache folder.",
    ),
    ParameterSpec(
        name="nodes",
        default=DEFAULT_NODES,
        description="Task nodes of this process: a task's name, or `name=task` for a node of "
        "another name, such as `detection_north=object_detection`.",
    ),
)

# Every task node has these.
IMAGE_TASK = (
    ParameterSpec(
        name="autostart",
        default=True,
        description="Configure and activate the node when the process starts.",
    ),
    ParameterSpec(
        name="image_transport",
        default="raw",
        choices=("raw", "compressed"),
        description="Subscribe to `image` (raw) or to `image/compressed`.",
    ),
    ParameterSpec(
        name="max_rate_hz",
        default=0.0,
        minimum=0.0,
        maximum=1000.0,
        is_live=True,
        description="Most frames per second that are processed; 0: as many as the network can.",
    ),
    ParameterSpec(
        name="deadline_s",
        default=0.0,
        minimum=0.0,
        maximum=3600.0,
        is_live=True,
        description="Seconds after a frame's arrival by which its inference must have started; a "
        "frame whose turn comes later is not processed. 0: no deadline.",
    ),
    ParameterSpec(
        name="priority",
        default=0,
        minimum=-100,
        maximum=100,
        is_live=True,
        description="Of the frames of several nodes that wait for the core, those of the highest "
        "priority are next.",
    ),
    ParameterSpec(
        name="input_size",
        default=0,
        minimum=0,
        maximum=4096,
        description="Side of the network's square input in pixels; 0: the network's own.",
    ),
    ParameterSpec(
        name="weights",
        default="",
        description="File with the network's weights; empty: random ones, to measure with.",
    ),
    ParameterSpec(
        name="labels",
        default="",
        description="File with one class name per line; empty: the network's own names.",
    ),
)

OBJECT_DETECTION = (
    ParameterSpec(
        name="network",
        default="yolov3",
        description="Name of a Darknet network, path of a Darknet `.cfg` file, or name of one of "
        "torchvision's detection networks.",
    ),
    *IMAGE_TASK,
    ParameterSpec(
        name="score_threshold",
        default=0.3,
        minimum=0.0,
        maximum=1.0,
        is_live=True,
        description="Detections with a lower score are left out.",
    ),
    ParameterSpec(
        name="iou_threshold",
        default=0.45,
        minimum=0.0,
        maximum=1.0,
        is_live=True,
        description="Of two boxes of one class that overlap more (intersection over union), the "
        "one with the lower score is left out.",
    ),
    ParameterSpec(
        name="max_detections",
        default=300,
        minimum=1,
        maximum=10000,
        is_live=True,
        description="Most detections per image; the best are kept.",
    ),
)

TASKS: dict[str, tuple[ParameterSpec, ...]] = {"object_detection": OBJECT_DETECTION}
