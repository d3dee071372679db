"""Labels in messages, as a bag's reader gives them: by their fields, whatever library made them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from swapnet_ros.evaluation.truth.errors import TruthError
from swapnet_ros.evaluation.truth.frame import (
    LabelledBox,
    TruthBoxes,
    TruthClasses,
    TruthFrame,
    TruthLanes,
    TruthMask,
)
from swapnet_ros.evaluation.truth.lane_columns import TUSIMPLE_ROWS, columns_at

_TUSIMPLE_HEIGHT = 720
_LEAST_ANGLE = 1e-6
_PIXELS: Mapping[str, type[np.unsignedinteger]] = {
    "mono8": np.uint8,
    "8UC1": np.uint8,
    "mono16": np.uint16,
    "16UC1": np.uint16,
}


def read_truth(message: Any, labels: Sequence[str] = ()) -> TruthFrame:
    """Read the labels of one frame.

    Args:
        message: of one of `TRUTH_TYPES`, with its type's name as `__msgtype__`.
        labels: class names by number: needed for class maps, and for messages in which a class has
            a number instead of a name.

    Raises:
        TruthError: the message has another type, or cannot be used; the text says why.
    """
    kind = getattr(message, "__msgtype__", type(message).__name__)
    if kind not in _READERS:
        raise TruthError(
            f"messages of {kind} cannot be read as labels; {', '.join(TRUTH_TYPES)} can"
        )
    return _READERS[kind](message, tuple(labels))


def read_label_names(message: Any) -> tuple[str, ...]:
    """Take class names by number from a message of one of `NAME_TYPES`.

    Raises:
        TruthError: the message has no names.
    """
    if hasattr(message, "labels"):
        return tuple(message.labels)
    if not hasattr(message, "class_map"):
        raise TruthError(f"messages of {type(message).__name__} have no names of classes")
    names = {int(each.class_id): each.class_name for each in message.class_map}
    return tuple(names.get(n, f"class_{n}") for n in range(max(names, default=-1) + 1))


def _own_detections(message: Any, labels: tuple[str, ...]) -> TruthFrame:
    boxes = tuple(
        LabelledBox(
            label=each.label or _name(each.class_id, labels),
            x_min=each.x_min,
            y_min=each.y_min,
            x_max=each.x_max,
            y_max=each.y_max,
        )
        for each in message.detections
    )
    return TruthFrame(boxes=TruthBoxes(boxes=boxes, labels=labels, **_size(message)))


def _vision_detections(message: Any, labels: tuple[str, ...]) -> TruthFrame:
    boxes = tuple(_vision_box(each, labels) for each in message.detections)
    return TruthFrame(boxes=TruthBoxes(boxes=boxes, labels=labels))


def _vision_box(detection: Any, labels: tuple[str, ...]) -> LabelledBox:
    centre = detection.bbox.center
    if abs(centre.theta) > _LEAST_ANGLE:
        raise TruthError(
            f"a labelled box is turned by {centre.theta:g} rad; only upright boxes can be compared"
        )
    place = getattr(centre, "position", centre)  # before Humble the centre was a Pose2D
    half_width, half_height = detection.bbox.size_x / 2, detection.bbox.size_y / 2
    return LabelledBox(
        label=_best_hypothesis(detection.results, labels),
        x_min=place.x - half_width,
        y_min=place.y - half_height,
        x_max=place.x + half_width,
        y_max=place.y + half_height,
    )


def _own_classes(message: Any, labels: tuple[str, ...]) -> TruthFrame:
    """One region that covers the image is the image's class; other regions are boxes.

    Where several classes of the image are equally sure, each of them is right.
    """
    regions = [(each, _best_classes(each, labels)) for each in message.regions if each.classes]
    if len(regions) == 1:
        ((region, names),) = regions
        covered = (region.x_max - region.x_min) * (region.y_max - region.y_min)
        if covered >= message.width * message.height:
            return TruthFrame(classes=TruthClasses(names=names, labels=labels))
    boxes = tuple(
        LabelledBox(
            label=names[0],
            x_min=region.x_min,
            y_min=region.y_min,
            x_max=region.x_max,
            y_max=region.y_max,
        )
        for region, names in regions
    )
    return TruthFrame(boxes=TruthBoxes(boxes=boxes, labels=labels, **_size(message)))


def _best_classes(region: Any, labels: tuple[str, ...]) -> tuple[str, ...]:
    best = max(each.score for each in region.classes)
    return tuple(
        each.label or _name(each.class_id, labels) for each in region.classes if each.score == best
    )


def _vision_classes(message: Any, labels: tuple[str, ...]) -> TruthFrame:
    name = _best_hypothesis(message.results, labels)
    return TruthFrame(classes=TruthClasses(names=(name,), labels=labels))


def _lanes(message: Any, labels: tuple[str, ...]) -> TruthFrame:
    """Lines at the rows that TuSimple has, in an image of this height."""
    del labels  # lines have no classes
    if not message.width or not message.height:
        raise TruthError("labelled lanes need the image's size, but width or height is 0")
    rows = np.asarray(TUSIMPLE_ROWS) * (message.height / _TUSIMPLE_HEIGHT)
    points = [
        np.array([(point.x, point.y) for point in lane.points], np.float64).reshape(-1, 2)
        for lane in message.lanes
    ]
    columns = [columns_at(each, rows.tolist()) for each in points]
    return TruthFrame(
        lanes=TruthLanes(
            rows=rows,
            columns=np.array(columns).reshape(len(columns), len(rows)),
            scored=np.arange(len(rows)),
            **_size(message),
        )
    )


def _class_map(message: Any, labels: tuple[str, ...]) -> TruthFrame:
    if message.encoding not in _PIXELS:
        raise TruthError(
            f"a class map has the encoding '{message.encoding}', not one of {', '.join(_PIXELS)}"
        )
    order = ">" if message.is_bigendian else "<"
    kind = np.dtype(_PIXELS[message.encoding]).newbyteorder(order)
    try:
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        pixels = np.ascontiguousarray(rows[:, : message.width * kind.itemsize]).view(kind)
        pixels = pixels.reshape(message.height, message.width)
    except ValueError as error:
        raise TruthError(f"a class map's data do not fit its size: {error}") from error
    return _mask(pixels.astype(_PIXELS[message.encoding]), labels)


def _compressed_class_map(message: Any, labels: tuple[str, ...]) -> TruthFrame:
    if "png" not in message.format.lower():
        raise TruthError(
            f"a class map is compressed as '{message.format}', which changes class numbers; "
            "record it as png or uncompressed"
        )
    pixels = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise TruthError("a compressed class map is no PNG with one grey channel")
    return _mask(pixels, labels)


def _mask(pixels: NDArray[np.unsignedinteger], labels: tuple[str, ...]) -> TruthFrame:
    if not labels:
        raise TruthError("a class map needs the names of its classes: give them by number")
    return TruthFrame(mask=TruthMask(class_map=pixels, labels=labels))


def _best_hypothesis(results: Sequence[Any], labels: tuple[str, ...]) -> str:
    if not len(results):
        raise TruthError("a label has no hypothesis, so no class; give it one with its name")
    hypotheses = [getattr(each, "hypothesis", each) for each in results]
    best = max(hypotheses, key=lambda each: each.score)
    name = getattr(best, "class_id", None)
    if name is None:
        name = best.id  # before Humble
    return _name(int(name), labels) if labels and str(name).isdecimal() else str(name)


def _name(number: int, labels: tuple[str, ...]) -> str:
    if not number < len(labels):
        raise TruthError(
            f"a label has the class number {number}, but there are {len(labels)} names of classes; "
            "give them all"
        )
    return labels[number]


def _size(message: Any) -> dict[str, float | None]:
    """Width and height of the labelled image, where the message tells."""
    is_told = message.width > 0 and message.height > 0
    return {
        "width": float(message.width) if is_told else None,
        "height": float(message.height) if is_told else None,
    }


_READERS: Mapping[str, Callable[[Any, tuple[str, ...]], TruthFrame]] = {
    "swapnet_ros/msg/DetectionArray": _own_detections,
    "swapnet_ros/msg/LaneArray": _lanes,
    "swapnet_ros/msg/ClassificationArray": _own_classes,
    "vision_msgs/msg/Detection2DArray": _vision_detections,
    "vision_msgs/msg/Classification": _vision_classes,
    "sensor_msgs/msg/Image": _class_map,
    "sensor_msgs/msg/CompressedImage": _compressed_class_map,
}

TRUTH_TYPES = tuple(_READERS)
"""Message types that can hold labels; images only as class maps."""

CLASS_MAP_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
"""Those that are class maps: their numbers need names."""

NAME_TYPES = ("swapnet_ros/msg/SegmentationInfo", "vision_msgs/msg/LabelInfo")
"""Those that tell names of classes by number."""
