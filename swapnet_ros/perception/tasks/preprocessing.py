"""From a camera image to a network's input, and back from its pixels to the camera's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from swapnet_ros.perception.errors import ImageError

_BORDER_VALUE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageGeometry:
    """Where a source image lies in a network's input.

    A point at source pixel `x` lies at `x * scale_x + offset_x` in the input; y likewise.

    Attributes:
        source_width: pixels.
        source_height: pixels.
        scale_x: network pixels for one source pixel.
        scale_y: network pixels for one source pixel.
        offset_x: network pixels left of the source image.
        offset_y: network pixels above the source image.
    """

    source_width: int
    source_height: int
    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float

    def to_network(self, boxes: Tensor) -> Tensor:
        """Boxes in source pixels to network pixels: float [N, 4] as x_min, y_min, x_max, y_max."""
        return boxes * boxes.new_tensor(self._scales) + boxes.new_tensor(self._offsets)

    def to_source(self, boxes: Tensor) -> Tensor:
        """Boxes in network pixels to source pixels: float [N, 4] as x_min, y_min, x_max, y_max."""
        return (boxes - boxes.new_tensor(self._offsets)) / boxes.new_tensor(self._scales)

    def points_to_source(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Points in network pixels to source pixels: float32 [N, 2] as x, y."""
        return ((points - self._offsets[:2]) / self._scales[:2]).astype(np.float32)

    def clip(self, boxes: Tensor) -> Tensor:
        """Cut boxes in source pixels off at the image's borders."""
        far = boxes.new_tensor((self.source_width, self.source_height) * 2)
        return torch.minimum(boxes.clamp(min=0), far)

    @property
    def _scales(self) -> tuple[float, ...]:
        return (self.scale_x, self.scale_y) * 2

    @property
    def _offsets(self) -> tuple[float, ...]:
        return (self.offset_x, self.offset_y) * 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedImage:
    """One image, ready for a network.

    Attributes:
        inputs: positional arguments for the network.
        geometry: the way back to the source image.
    """

    inputs: tuple[Any, ...]
    geometry: ImageGeometry


def bilinear(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize by interpolating between the four nearest pixels, as Darknet and OpenCV do."""
    if image.shape[:2] == (height, width):
        # torch takes neither negative strides nor the read-only buffer of a message
        return np.require(image, requirements=("C", "W"))
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def averaging(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize with every pixel taken into account, as Pillow and torchvision's training do."""
    image = np.require(image, requirements=("C", "W"))
    if image.shape[:2] == (height, width):
        return image
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    resized = functional.interpolate(planes, size=(height, width), mode="bilinear", antialias=True)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())


Resize = Callable[[NDArray[np.uint8], int, int], NDArray[np.uint8]]
"""From uint8 [H, W, 3] to another height and width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Squash:
    """Stretches an image to the network's height and width, whatever its proportions."""

    height: int
    width: int
    resize: Resize = bilinear

    def __call__(self, image: NDArray[np.uint8]) -> tuple[Tensor, ImageGeometry]:
        """Resize and scale an image.

        Args:
            image: uint8 [H, W, 3], RGB, with any strides; it is not changed.

        Returns:
            float32 [1, 3, height, width] in 0..1, and the geometry.

        Raises:
            ImageError: the image has another type or shape, or no pixels.
        """
        check_rgb_image(image)
        planes = torch.empty(1, 3, self.height, self.width)
        _scale_into(planes[0], self.resize(image, self.height, self.width))
        height, width = image.shape[:2]
        return planes, ImageGeometry(
            source_width=width,
            source_height=height,
            scale_x=self.width / width,
            scale_y=self.height / height,
            offset_x=0.0,
            offset_y=0.0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """Fits an image into the network's input with its proportions kept, between grey borders."""

    height: int
    width: int
    resize: Resize = bilinear

    def __call__(self, image: NDArray[np.uint8]) -> tuple[Tensor, ImageGeometry]:
        """Resize, scale and centre an image.

        Args:
            image: uint8 [H, W, 3], RGB, with any strides; it is not changed.

        Returns:
            float32 [1, 3, height, width] in 0..1, borders at 0.5, and the geometry.

        Raises:
            ImageError: the image has another type or shape, or no pixels.
        """
        check_rgb_image(image)
        height, width = image.shape[:2]
        scale = min(self.width / width, self.height / height)
        inner_width = max(1, round(width * scale))
        inner_height = max(1, round(height * scale))
        left, top = (self.width - inner_width) // 2, (self.height - inner_height) // 2
        planes = torch.full((1, 3, self.height, self.width), _BORDER_VALUE)
        inner = planes[0, :, top : top + inner_height, left : left + inner_width]
        _scale_into(inner, self.resize(image, inner_height, inner_width))
        return planes, ImageGeometry(
            source_width=width,
            source_height=height,
            scale_x=inner_width / width,
            scale_y=inner_height / height,
            offset_x=float(left),
            offset_y=float(top),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreCrop:
    """Cuts the network's input out of an image's centre, with its proportions kept.

    As torchvision prepares images for its classifiers: resized with averaging, then cropped.

    Attributes:
        height: pixels of the network's input.
        width: pixels of the network's input.
        share: part of the side that fits more tightly which stays, above 0 up to 1.
    """

    height: int
    width: int
    share: float = 1.0

    def __call__(self, image: NDArray[np.uint8]) -> tuple[Tensor, ImageGeometry]:
        """Resize, crop and scale an image.

        Args:
            image: uint8 [H, W, 3], RGB, with any strides; it is not changed.

        Returns:
            float32 [1, 3, height, width] in 0..1, and the geometry.

        Raises:
            ImageError: the image has another type or shape, or no pixels.
        """
        check_rgb_image(image)
        height, width = image.shape[:2]
        scale = max(self.width / width, self.height / height) / self.share
        outer_width = max(self.width, round(width * scale))
        outer_height = max(self.height, round(height * scale))
        left, top = (outer_width - self.width) // 2, (outer_height - self.height) // 2
        outer = averaging(image, outer_height, outer_width)
        planes = torch.empty(1, 3, self.height, self.width)
        _scale_into(planes[0], outer[top : top + self.height, left : left + self.width])
        return planes, ImageGeometry(
            source_width=width,
            source_height=height,
            scale_x=outer_width / width,
            scale_y=outer_height / height,
            offset_x=-float(left),
            offset_y=-float(top),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOfOne:
    """Gives a network its image as a batch: float32 [1, 3, height, width]."""

    fit: Squash | Letterbox

    def __call__(self, image: NDArray[np.uint8]) -> PreparedImage:
        """Prepare an image uint8 [H, W, 3]; raises `ImageError` as `fit` does."""
        planes, geometry = self.fit(image)
        return PreparedImage(inputs=(planes,), geometry=geometry)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOfOne:
    """Gives a network its image in a list: [float32 [3, height, width]]."""

    fit: Squash | Letterbox

    def __call__(self, image: NDArray[np.uint8]) -> PreparedImage:
        """Prepare an image uint8 [H, W, 3]; raises `ImageError` as `fit` does."""
        planes, geometry = self.fit(image)
        return PreparedImage(inputs=([planes[0]],), geometry=geometry)


def check_rgb_image(image: object) -> None:
    """Make sure that an image is uint8 [H, W, 3] and has pixels.

    Raises:
        ImageError: it is not; the message names what it is and what to do.
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(
            f"an image must be a numpy array uint8 [H, W, 3], but is {type(image).__name__}; "
            "convert it, for a tensor with image.numpy()"
        )
    found = f"{image.dtype} {list(image.shape)}"
    if image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(
            f"an image must be uint8 [H, W, 3] in RGB, but is {found}; convert grey images and "
            "images with an alpha channel first, for example with cv2.cvtColor"
        )
    if image.dtype != np.uint8:
        raise ImageError(
            f"an image must be uint8 [H, W, 3] in 0..255, but is {found}; scale and convert it"
        )
    if 0 in image.shape:
        raise ImageError(f"an image must have pixels, but is {found}; drop empty frames")


def _scale_into(planes: Tensor, image: NDArray[np.uint8]) -> None:
    """Write uint8 [H, W, 3] into float32 [3, H, W] as 0..1, in one pass."""
    torch.div(torch.from_numpy(image).permute(2, 0, 1), 255.0, out=planes)
