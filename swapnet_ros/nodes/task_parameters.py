"""The parameters of the task nodes, group by group."""

from __future__ import annotations

import math
import re

from swapnet_ros.nodes.parameter_specs import ParameterSpec, Value

_TOPIC = re.compile(r"(~/|/)?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)


def _check_cameras(value: Value) -> None:
    if not value:
        raise ValueError("a task needs at least one camera")
    for topic in value:
        if not _TOPIC.fullmatch(topic):
            raise ValueError(f"{topic!r} is no topic name; write one like camera/image_raw")
    if len(set(value)) < len(value):
        raise ValueError(f"a camera stands in {value} twice")


def _check_region(value: Value) -> None:
    if len(value) != 4:
        raise ValueError(f"four numbers are needed: left, top, right, bottom; not {len(value)}")
    left, top, right, bottom = value
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(
            f"{value} is no part of an image; 0 <= left < right <= 1 and 0 <= top < bottom <= 1"
        )


def _check_input_size(value: Value) -> None:
    if len(value) > 2 or not all(1 <= side <= 4096 for side in value):
        raise ValueError(f"{value} is not [side] or [height, width] in 1 to 4096 pixels")


def _check_channels(value: Value) -> None:
    if len(value) not in (0, 3) or not all(math.isfinite(number) for number in value):
        raise ValueError(f"three finite numbers are needed, one per channel, not {value}")


def _check_deviations(value: Value) -> None:
    _check_channels(value)
    if 0 in value:
        raise ValueError(f"nothing can be divided by 0, as {value} would")


def _network(default: str, description: str) -> ParameterSpec:
    return ParameterSpec(name="network", default=default, description=description)


# Every task node has these.
_IMAGE_TASK = (
    ParameterSpec(
        name="autostart",
        default=True,
        description="Configure and activate the node when the process starts.",
    ),
    ParameterSpec(
        name="cameras",
        default=["image"],
        check=_check_cameras,
        description="Image topics, all for the one network: of each camera the newest image, and "
        "the camera that has waited longest is next. Relative names and remapping work as for all "
        "topics.",
    ),
    ParameterSpec(
        name="image_transport",
        default="raw",
        choices=("raw", "compressed"),
        description="Subscribe to the cameras' topics (raw) or to `compressed` below them.",
    ),
    ParameterSpec(
        name="max_rate_hz",
        default=0.0,
        minimum=0.0,
        maximum=1000.0,
        is_live=True,
        description="Most images per second that are processed, of all cameras together; 0: as "
        "many as the network can.",
    ),
    ParameterSpec(
        name="max_age_s",
        default=0.0,
        minimum=0.0,
        maximum=3600.0,
        is_live=True,
        description="An image that is older by its stamp when its turn comes is not processed, but "
        "counted as stale; for cameras whose clock is this computer's. 0: any age.",
    ),
    ParameterSpec(
        name="deadline_s",
        default=0.0,
        minimum=0.0,
        maximum=3600.0,
        is_live=True,
        description="Seconds after an image's arrival by which its inference must have started; an "
        "image whose turn comes later is not processed, but counted as late. 0: no deadline.",
    ),
    ParameterSpec(
        name="priority",
        default=0,
        minimum=-100,
        maximum=100,
        is_live=True,
        description="Of the images of several nodes that wait for the core, those of the highest "
        "priority are next.",
    ),
    ParameterSpec(
        name="weights",
        default="",
        description="File with the network's weights; empty: random ones, to measure with.",
    ),
)

_INPUT_SIZE = ParameterSpec(
    name="input_size",
    default=[],
    item_type=int,
    check=_check_input_size,
    description="Of the network's input in pixels: `[side]` or `[height, width]`; empty: the "
    "network's own.",
)

# How images are prepared; left as it is, a network's own preprocessing holds.
_PREPROCESSING = (
    _INPUT_SIZE,
    ParameterSpec(
        name="input_fit",
        default="own",
        choices=("own", "squash", "letterbox", "crop"),
        description="How an image gets the network's size: stretched; with its proportions kept, "
        "between grey borders; or with its proportions kept, the centre cut out.",
    ),
    ParameterSpec(
        name="input_crop_share",
        default=0.0,
        minimum=0.0,
        maximum=1.0,
        description="With `input_fit: crop`: part of the shorter side that stays; 0: the network's "
        "own.",
    ),
    ParameterSpec(
        name="input_channels",
        default="own",
        choices=("own", "rgb", "bgr"),
        description="Order of the colours that the network takes.",
    ),
    ParameterSpec(
        name="input_scale",
        default=0.0,
        minimum=0.0,
        maximum=1000.0,
        description="What pixels of 0 to 255 are multiplied with before mean and deviation; 0: the "
        "network's own, mostly 1/255.",
    ),
    ParameterSpec(
        name="input_mean",
        default=[],
        item_type=float,
        check=_check_channels,
        description="Taken off the scaled values: one number per channel, in the network's order; "
        "empty: the network's own.",
    ),
    ParameterSpec(
        name="input_std",
        default=[],
        item_type=float,
        check=_check_deviations,
        description="What they are divided by then: one number per channel; empty: the network's "
        "own.",
    ),
)

_LABELS = ParameterSpec(
    name="labels",
    default="",
    description="File with one class name per line; empty: the network's own names.",
)

_BOXES = (
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


def _classification(network: str, *, regions: str) -> tuple[ParameterSpec, ...]:
    return (
        _network(
            network,
            "Name of one of torchvision's classification networks, or `package.module:factory`.",
        ),
        *_IMAGE_TASK,
        *_PREPROCESSING,
        _LABELS,
        ParameterSpec(
            name="regions",
            default=regions,
            choices=("image", "region", "detections"),
            description="What is classified: the whole image, the part that `region` names, or the "
            "boxes that a detector publishes on `detections` for the image of the same stamp.",
        ),
        ParameterSpec(
            name="region",
            default=[0.0, 0.0, 1.0, 1.0],
            item_type=float,
            is_live=True,
            check=_check_region,
            description="With `regions: region`: left, top, right, bottom as parts of the image's "
            "width and height, from its top-left corner.",
        ),
        ParameterSpec(
            name="detection_labels",
            default=[],
            is_live=True,
            description="With `regions: detections`: only boxes with one of these labels; empty: "
            "all boxes.",
        ),
        ParameterSpec(
            name="max_regions",
            default=8,
            minimum=1,
            maximum=64,
            is_live=True,
            description="With `regions: detections`: most boxes per image; the best are kept. Each "
            "is one inference.",
        ),
        ParameterSpec(
            name="detections_wait_s",
            default=2.0,
            minimum=0.01,
            maximum=60.0,
            is_live=True,
            description="With `regions: detections`: longest time that an image waits for its "
            "boxes; without them it is dropped.",
        ),
        ParameterSpec(
            name="waiting_images",
            default=16,
            minimum=1,
            maximum=256,
            description="With `regions: detections`: most images that wait for their boxes. For a "
            "detector in another process: at least its latency times the camera's rate.",
        ),
        ParameterSpec(
            name="max_classes",
            default=3,
            minimum=1,
            maximum=1000,
            is_live=True,
            description="Most classes per region; the best are kept.",
        ),
        ParameterSpec(
            name="score_threshold",
            default=0.0,
            minimum=0.0,
            maximum=1.0,
            is_live=True,
            description="Classes with a lower score are left out.",
        ),
    )


OBJECT_DETECTION = (
    _network(
        "yolov3",
        "Name of a Darknet network, path of a Darknet `.cfg` file, name of one of torchvision's "
        "detection networks, or `package.module:factory`.",
    ),
    *_IMAGE_TASK,
    _INPUT_SIZE,
    _LABELS,
    *_BOXES,
)

_FINDER = (
    "Name of a detection network as for `object_detection`, of one of torchvision's classification "
    "networks (its heat map tells where), or `package.module:factory`."
)


FIRE_DETECTION = (
    _network("wide_resnet101_2", _FINDER),
    *_IMAGE_TASK,
    *_PREPROCESSING,
    _LABELS,
    *_BOXES,
)

WILD_ANIMAL_RECOGNITION = (
    _network("regnet_y_32gf", _FINDER),
    *_IMAGE_TASK,
    *_PREPROCESSING,
    _LABELS,
    *_BOXES,
)

LANE_DETECTION = (
    _network(
        "ufld_resnet34",
        "`ufld_resnet18` or `ufld_resnet34`, with `_culane` for CULane's row anchors; or "
        "`package.module:factory`.",
    ),
    *_IMAGE_TASK,
    *_PREPROCESSING,
    ParameterSpec(
        name="outputs",
        default="own",
        choices=("own", "line_mask", "area_mask"),
        description="What the mask of a network of your own shows: the lane lines, or the lane "
        "that the camera is in; `own`: what its attribute `outputs` says.",
    ),
    ParameterSpec(
        name="score_threshold",
        default=0.3,
        minimum=0.0,
        maximum=1.0,
        is_live=True,
        description="Points (row anchors) or pixels (masks) with a lower probability are left out.",
    ),
    ParameterSpec(
        name="min_points",
        default=3,
        minimum=2,
        maximum=1000,
        is_live=True,
        description="Fewest points of a lane line: row anchors, or rows of a mask.",
    ),
    ParameterSpec(
        name="max_lanes",
        default=8,
        minimum=1,
        maximum=64,
        is_live=True,
        description="Most lane lines per image; the best are kept.",
    ),
)

SEMANTIC_SEGMENTATION = (
    _network(
        "deeplabv3_resnet101",
        "Name of one of torchvision's segmentation networks, or `package.module:factory`.",
    ),
    *_IMAGE_TASK,
    *_PREPROCESSING,
    _LABELS,
)

TRAFFIC_SIGN_CLASSIFICATION = _classification("resnet101", regions="image")
TRAFFIC_LIGHT_CLASSIFICATION = _classification("resnet101", regions="image")
NATURAL_SCENE_CLASSIFICATION = _classification("resnet152", regions="image")
