"""The parameters of the task nodes, group by group."""

from __future__ import annotations

from swapnet_ros.nodes.image_parameters import IMAGE_TASK, INPUT_SIZE, PREPROCESSING
from swapnet_ros.nodes.parameter_specs import ParameterSpec, Value


def _check_region(value: Value) -> None:
    if len(value) != 4:
        raise ValueError(f"four numbers are needed: left, top, right, bottom; not {len(value)}")
    left, top, right, bottom = value
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(
            f"{value} is no part of an image; 0 <= left < right <= 1 and 0 <= top < bottom <= 1"
        )


def _network(default: str, names: str) -> ParameterSpec:
    """The network of a task, with what stands for one beside a user's own.

    Args:
        default: its name.
        names: what else may stand here, as the beginning of a sentence.
    """
    own = (
        "or a network of your own: `package.module:factory`, or the path of a `.pt2` file of "
        "`torch.export.save`."
    )
    return ParameterSpec(name="network", default=default, description=f"{names}, {own}")


def _share(name: str, default: float, description: str) -> ParameterSpec:
    """A part of a whole that may be changed while the node runs."""
    return ParameterSpec(
        name=name,
        default=default,
        minimum=0.0,
        maximum=1.0,
        is_live=True,
        description=description,
    )


def _count(
    name: str, default: int, description: str, *, maximum: int, minimum: int = 1
) -> ParameterSpec:
    """A number of things that may be changed while the node runs."""
    return ParameterSpec(
        name=name,
        default=default,
        minimum=minimum,
        maximum=maximum,
        is_live=True,
        description=description,
    )


_LABELS = ParameterSpec(
    name="labels",
    default="",
    description="File with one class name per line; empty: the network's own names.",
)

_BOXES = (
    _share("score_threshold", 0.3, "Detections with a lower score are left out."),
    _share(
        "iou_threshold",
        0.45,
        "Of two boxes of one class that overlap more (intersection over union), the one with the "
        "lower score is left out.",
    ),
    _count(
        "max_detections",
        300,
        "Most detections per image; the best are kept.",
        maximum=10000,
    ),
)

_REGIONS = (
    ParameterSpec(
        name="regions",
        default="image",
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
    _count(
        "max_regions",
        8,
        "With `regions: detections`: most boxes per image; the best are kept. Each is one "
        "inference.",
        maximum=64,
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
)


def _classification(network: str) -> tuple[ParameterSpec, ...]:
    return (
        _network(network, "Name of one of torchvision's classification networks"),
        *IMAGE_TASK,
        *PREPROCESSING,
        _LABELS,
        *_REGIONS,
        _count("max_classes", 3, "Most classes per region; the best are kept.", maximum=1000),
        _share("score_threshold", 0.0, "Classes with a lower score are left out."),
    )


def _finder(network: str) -> tuple[ParameterSpec, ...]:
    return (
        _network(
            network,
            "A detection network as for `object_detection`, name of one of torchvision's "
            "classification networks (its heat map tells where)",
        ),
        *IMAGE_TASK,
        *PREPROCESSING,
        _LABELS,
        *_BOXES,
    )


OBJECT_DETECTION = (
    _network(
        "yolov3",
        "Name of a Darknet network, path of a Darknet `.cfg` file (its name alone, without the "
        "ending, where it lies beside `weights`), name of one of torchvision's detection networks",
    ),
    *IMAGE_TASK,
    INPUT_SIZE,
    _LABELS,
    *_BOXES,
)

LANE_DETECTION = (
    _network(
        "ufld_resnet34",
        "`ufld_resnet18` or `ufld_resnet34`, with `_culane` for CULane's row anchors",
    ),
    *IMAGE_TASK,
    *PREPROCESSING,
    ParameterSpec(
        name="outputs",
        default="own",
        choices=("own", "line_mask", "area_mask"),
        description="What the mask of a network of your own shows: the lane lines, or the lane "
        "that the camera is in; `own`: what its attribute `outputs` says.",
    ),
    _share(
        "score_threshold",
        0.3,
        "Points (row anchors) or pixels (masks) with a lower probability are left out.",
    ),
    _count(
        "min_points",
        3,
        "Fewest points of a lane line: row anchors, or rows of a mask.",
        minimum=2,
        maximum=1000,
    ),
    _count("max_lanes", 8, "Most lane lines per image; the best are kept.", maximum=64),
)

SEMANTIC_SEGMENTATION = (
    _network("deeplabv3_resnet101", "Name of one of torchvision's segmentation networks"),
    *IMAGE_TASK,
    *PREPROCESSING,
    _LABELS,
)

TRAFFIC_SIGN_CLASSIFICATION = _classification("resnet101")
TRAFFIC_LIGHT_CLASSIFICATION = _classification("resnet101")
NATURAL_SCENE_CLASSIFICATION = _classification("resnet152")
FIRE_DETECTION = _finder("wide_resnet101_2")
WILD_ANIMAL_RECOGNITION = _finder("regnet_y_32gf")
