"""Labels as images: a folder of PNG files whose pixels have the number of their class or lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from swapnet_ros.evaluation.truth.frame import TruthFrame, TruthLanes, TruthMask
from swapnet_ros.evaluation.truth.lane_columns import TUSIMPLE_ROWS, columns_of_mask
from swapnet_ros.perception.errors import LabelsError
from swapnet_ros.perception.models.labels import read_labels

_INDEX_MODES = ("L", "P", "I", "I;16", "1")
_TUSIMPLE_HEIGHT = 720


class MaskFolder:
    """The class maps of a folder's images. An image without a file counts as not labelled.

    Threads: any thread may call any method; the object never changes.
    """

    def __init__(self, folder: Path, *, labels: Sequence[str] = (), suffix: str = "") -> None:
        """Look what the folder holds.

        Args:
            folder: has `NAME.png` for the image `NAME`, with class numbers as grey values or as
                indices into a palette.
            labels: class names by number; empty to take them from `classes.txt` in the folder.
                Pixels with other numbers are void.
            suffix: what stands behind the image's name, such as `_labelTrainIds`.

        Raises:
            LabelsError: no class names are there, or their file cannot be read.
        """
        self._files = _find(folder, suffix)
        self._labels = tuple(labels) or read_labels(folder / "classes.txt")
        self.names = tuple(sorted(self._files))

    def read(self, name: str) -> TruthFrame | None:
        """Read the class map of an image, given its name without suffix.

        Raises:
            LabelsError: the file cannot be read, or has colours instead of numbers.
        """
        path = self._files.get(name)
        if path is None:
            return None
        return TruthFrame(mask=TruthMask(class_map=read_numbers(path), labels=self._labels))


class LaneMaskFolder:
    """The lane lines of a folder's images. An image without a file counts as not labelled.

    Threads: any thread may call any method; the object never changes.
    """

    def __init__(self, folder: Path, *, suffix: str = "") -> None:
        """Look what the folder holds.

        Args:
            folder: has `NAME.png` for the image `NAME`, in which every line has a value of its
                own and everything else 0.
            suffix: what stands behind the image's name, such as `_gt_instance`.
        """
        self._files = _find(folder, suffix)
        self.names = tuple(sorted(self._files))

    def read(self, name: str) -> TruthFrame | None:
        """Read the lines of an image, given its name without suffix.

        Raises:
            LabelsError: the file cannot be read, or has colours instead of numbers.
        """
        path = self._files.get(name)
        if path is None:
            return None
        return TruthFrame(lanes=lanes_of_mask(read_numbers(path)))


def read_numbers(path: Path) -> NDArray[np.unsignedinteger]:
    """Read an image of numbers.

    Args:
        path: grey with 8 or 16 bits, or with a palette.

    Returns:
        uint8 or uint16 [H, W].

    Raises:
        LabelsError: it cannot be read, or has colours.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in _INDEX_MODES:
                raise LabelsError(
                    f"{path} has colours ({image.mode}) where class numbers are needed: convert "
                    "it to a grey image, or to one with a palette",
                    path=path,
                )
            pixels = np.asarray(image)
    except (OSError, UnidentifiedImageError) as error:
        raise LabelsError(f"labels file {path} cannot be read: {error}", path=path) from error
    kind = np.uint8 if pixels.dtype in (np.uint8, np.bool_) else np.uint16
    return pixels.astype(kind)


def lanes_of_mask(numbers: NDArray[np.unsignedinteger]) -> TruthLanes:
    """Take the lane lines out of a mask.

    Args:
        numbers: unsigned [H, W], a value for each line, and 0.

    Returns:
        The middle of each line in every row; points are compared in the rows that the TuSimple
        benchmark has, in an image of this height.
    """
    height, width = numbers.shape
    values = np.unique(numbers)
    columns = [columns_of_mask(numbers == value) for value in values[values > 0]]
    scored = np.asarray(TUSIMPLE_ROWS) * height // _TUSIMPLE_HEIGHT
    return TruthLanes(
        rows=np.arange(height) + 0.5,
        columns=np.array(columns, dtype=np.float64).reshape(len(columns), height),
        scored=scored.astype(np.intp),
        width=float(width),
        height=float(height),
    )


def _find(folder: Path, suffix: str) -> Mapping[str, Path]:
    end = f"{suffix}.png"
    return {path.name[: -len(end)]: path for path in folder.glob(f"*{end}")}
