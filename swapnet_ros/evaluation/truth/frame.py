"""What is labelled in one frame; each part is None where nobody has labelled it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swapnet_ros.evaluation.truth.errors import TruthError


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledBox:
    """One object that a person has marked, in pixels of the labelled image.

    Attributes:
        label: the class's name.
        x_min: left edge; the origin is the outer corner of the image's first pixel.
        y_min: upper edge.
        x_max: right edge.
        y_max: lower edge.
        is_ignored: neither finding it nor missing it counts, as for objects that VOC calls
            difficult.
        is_crowd: likewise, for a group: any number of detections in it do not count.

    Raises:
        TruthError: an edge is no number, or lies beyond the opposite one.
    """

    label: str
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    is_ignored: bool = False
    is_crowd: bool = False

    def __post_init__(self) -> None:
        places = (self.x_min, self.y_min, self.x_max, self.y_max)
        is_upright = self.x_min <= self.x_max and self.y_min <= self.y_max
        if not (is_upright and all(math.isfinite(place) for place in places)):
            raise TruthError(f"a labelled box of '{self.label}' has the impossible edges {places}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthBoxes:
    """All objects labelled in one image.

    Attributes:
        boxes: the objects.
        labels: names of all classes that were looked for; empty where the labels do not tell.
        width: of the labelled image, in the unit of the boxes: 1 where they are shares of it; None
            where they are in pixels of the frame, whatever its size.
        height: likewise.
    """

    boxes: tuple[LabelledBox, ...]
    labels: tuple[str, ...] = ()
    width: float | None = None
    height: float | None = None

    def in_pixels(self, width: int, height: int) -> tuple[LabelledBox, ...]:
        """The objects in pixels of the image in another size."""
        x_scale = 1.0 if self.width is None else width / self.width
        y_scale = 1.0 if self.height is None else height / self.height
        return tuple(
            replace(
                box,
                x_min=box.x_min * x_scale,
                y_min=box.y_min * y_scale,
                x_max=box.x_max * x_scale,
                y_max=box.y_max * y_scale,
            )
            for box in self.boxes
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TruthMask:
    """The class of every pixel of one image.

    Attributes:
        class_map: unsigned [H, W], indices into `labels`; pixels with other values are void: they
            do not count.
        labels: class names.
    """

    class_map: NDArray[np.unsignedinteger]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthClasses:
    """What one image shows as a whole.

    Attributes:
        names: the class; several where each of them is right.
        labels: names of all classes that were looked for; empty where the labels do not tell.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TruthLanes:
    """The lane lines of one image.

    Attributes:
        rows: float64 [R], rising: where columns are known, in pixels of the labelled image.
        columns: float64 [L, R]: of each line in each row, in pixels; NaN where it has none.
        scored: intp [S], indices of the rows in which points are compared.
        width: pixels of the labelled image.
        height: pixels of the labelled image.
    """

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    scored: NDArray[np.intp]
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TruthFrame:
    """What is labelled in one frame.

    Attributes:
        boxes: objects; without boxes in it: there are none.
        mask: classes of pixels.
        classes: what the image shows as a whole.
        lanes: lane lines; without lines in it: there are none.
    """

    boxes: TruthBoxes | None = None
    mask: TruthMask | None = None
    classes: TruthClasses | None = None
    lanes: TruthLanes | None = None

    def with_parts_of(self, other: TruthFrame) -> TruthFrame:
        """Take from another one what this one lacks."""
        return TruthFrame(
            boxes=other.boxes if self.boxes is None else self.boxes,
            mask=other.mask if self.mask is None else self.mask,
            classes=other.classes if self.classes is None else self.classes,
            lanes=other.lanes if self.lanes is None else self.lanes,
        )
