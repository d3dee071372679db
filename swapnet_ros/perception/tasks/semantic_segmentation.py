"""Semantic segmentation: an image in, the class of each of its pixels out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swapnet_ros.perception.tasks.preprocessing import ImageGeometry, PreparedImage

if TYPE_CHECKING:  # its import takes seconds, and results are also made and drawn without networks
    from swapnet_ros.perception.models.segmentation import SegmentationNetwork


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentationResult:
    """The class of every pixel of one image.

    Attributes:
        class_map: uint8 [height, width], indices into `labels`.
        labels: class names.
        shares: part of the pixels that each class has, 0..1, in the order of `labels`.
        width: pixels of the source image.
        height: pixels of the source image.
    """

    class_map: NDArray[np.uint8]
    labels: tuple[str, ...]
    shares: tuple[float, ...]
    width: int
    height: int


class SemanticSegmentation:
    """The two halves around a segmentation network: before it and after it.

    Threads: any thread may call any method; the object never changes.

    Args:
        network: the network that runs between `preprocess` and `decode`.
    """

    def __init__(self, network: SegmentationNetwork) -> None:
        self.network = network

    def preprocess(self, image: NDArray[np.uint8]) -> PreparedImage:
        """Turn an image into the network's inputs.

        Args:
            image: uint8 [H, W, 3], RGB, with any strides; it is not changed.

        Raises:
            ImageError: the image has another type or shape, or no pixels.
        """
        return self.network.preprocess(image)

    def decode(self, outputs: Any, prepared: PreparedImage) -> SegmentationResult:
        """Turn the network's outputs into a class map of the source image.

        With a network that crops, what it has not seen gets the class of the nearest pixel.

        Args:
            outputs: what the network returned for `prepared.inputs`.
            prepared: what `preprocess` returned.

        Raises:
            NetworkOutputError: the outputs are no scores and no class ids.
        """
        geometry = prepared.geometry
        class_map = _to_source(self.network.decode(outputs).numpy(), geometry)
        counts = np.bincount(class_map.ravel(), minlength=len(self.network.labels))
        labels = self.network.labels or tuple(f"class_{number}" for number in range(len(counts)))
        return SegmentationResult(
            class_map=class_map,
            labels=labels,
            shares=tuple((counts / class_map.size).tolist()),
            width=geometry.source_width,
            height=geometry.source_height,
        )


def _to_source(class_map: NDArray[np.uint8], geometry: ImageGeometry) -> NDArray[np.uint8]:
    """Take for every source pixel the class at its centre's place in the network's input."""
    height, width = class_map.shape
    x_offset, y_offset = geometry.offset_x, geometry.offset_y
    columns = _places(geometry.source_width, geometry.scale_x, x_offset, limit=width)
    rows = _places(geometry.source_height, geometry.scale_y, y_offset, limit=height)
    return np.take(class_map[rows], columns, axis=1)


def _places(count: int, scale: float, offset: float, *, limit: int) -> NDArray[np.intp]:
    centres = (np.arange(count) + 0.5) * scale + offset
    return np.clip(np.floor(centres), 0, limit - 1).astype(np.intp)
