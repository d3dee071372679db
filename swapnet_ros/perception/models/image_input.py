"""What a network wants of an image, declared: size, fit, colours, mean and deviation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from swapnet_ros.perception.errors import PreprocessingError
from swapnet_ros.perception.tasks.preprocessing import (
    CentreCrop,
    Letterbox,
    PreparedImage,
    Squash,
    averaging,
)

FITS = ("squash", "letterbox", "crop")
CHANNEL_ORDERS = ("rgb", "bgr")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInput:
    """Brings images into the form that a network was trained with.

    The network gets float32 [1, 3, height, width], each value `(pixel * scale - mean) / std` with
    pixels in 0..255; mean and std in the network's order of channels. Caffe's networks, for
    example, have `channel_order="bgr"`, `scale=1` and a mean of 104, 117, 123.

    Attributes:
        height: pixels of the network's input.
        width: pixels of the network's input.
        fit: `squash` stretches, `letterbox` keeps proportions between grey borders, `crop` keeps
            proportions and cuts the centre out.
        crop_share: with `crop`, the part of the shorter side that stays, above 0 up to 1;
            torchvision's 224 of 256 is 0.875.
        channel_order: `rgb` or `bgr`.
        scale: what pixels in 0..255 are multiplied with first.
        mean: one number per channel, after scaling.
        std: one number per channel, after scaling; not 0.

    Raises:
        PreprocessingError: a value is not possible.
    """

    height: int
    width: int
    fit: str = "squash"
    crop_share: float = 1.0
    channel_order: str = "rgb"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        _require(min(self.height, self.width) > 0, f"{self.height}x{self.width} has no pixels")
        _require(self.fit in FITS, f"fit is '{self.fit}', not one of {', '.join(FITS)}")
        orders = ", ".join(CHANNEL_ORDERS)
        is_order = self.channel_order in CHANNEL_ORDERS
        _require(is_order, f"channel_order is '{self.channel_order}', not one of {orders}")
        _require(0 < self.crop_share <= 1, f"crop_share is {self.crop_share}, not in 0..1")
        _require(
            math.isfinite(self.scale) and self.scale != 0, f"scale is {self.scale}; 1/255 is usual"
        )
        for name, values in (("mean", self.mean), ("std", self.std)):
            is_triple = len(values) == 3 and all(math.isfinite(value) for value in values)
            _require(is_triple, f"{name} is {list(values)}, not three numbers")
        _require(0 not in self.std, f"std is {list(self.std)}; nothing can be divided by 0")

    def __call__(self, image: NDArray[np.uint8]) -> PreparedImage:
        """Prepare an image.

        Args:
            image: uint8 [H, W, 3], RGB, with any strides; it is not changed.

        Returns:
            float32 [1, 3, height, width], and the geometry.

        Raises:
            ImageError: the image has another type or shape, or no pixels.
        """
        fits = {
            "squash": partial(Squash, resize=averaging),
            "letterbox": partial(Letterbox, resize=averaging),
            "crop": partial(CentreCrop, share=self.crop_share),
        }
        planes, geometry = fits[self.fit](height=self.height, width=self.width)(image)
        if self.channel_order == "bgr":
            planes = planes.flip(1)
        # the fits give 0..1
        factor = torch.tensor([255 * self.scale / std for std in self.std])
        pairs = zip(self.mean, self.std, strict=True)
        offset = torch.tensor([-mean / std for mean, std in pairs])
        planes.mul_(factor[:, None, None]).add_(offset[:, None, None])
        return PreparedImage(inputs=(planes,), geometry=geometry)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputChanges:
    """The parts of an `ImageInput` that a user sets; None for what the network brings along.

    Attributes:
        size: pixels, one number for a square, or height and width.
        fit: see `ImageInput`, as for the others.
        crop_share: see there.
        channel_order: see there.
        scale: see there.
        mean: see there.
        std: see there.
    """

    size: int | tuple[int, int] | None = None
    fit: str | None = None
    crop_share: float | None = None
    channel_order: str | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def applied_to(self, default: ImageInput) -> ImageInput:
        """An input with the parts that are set here, and `default`'s others.

        Raises:
            PreprocessingError: a value is not possible.
        """
        given: dict[str, Any] = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "size" and getattr(self, field.name) is not None
        }
        if self.size is not None:
            given["height"], given["width"] = _height_and_width(self.size)
        for name in given.keys() & {"mean", "std"}:
            given[name] = tuple(given[name])
        return replace(default, **given)


def declared_changes(declaration: Mapping[str, Any], *, owner: str) -> InputChanges:
    """Read what a user's network declares in its `image_input`.

    Args:
        declaration: any of the fields of `InputChanges`.
        owner: name of the network, for messages.

    Raises:
        PreprocessingError: it has other keys.
    """
    known = [field.name for field in fields(InputChanges)]
    unknown = sorted(set(declaration) - set(known))
    if unknown:
        raise PreprocessingError(
            f"image_input of {owner} has '{unknown[0]}'; known are {', '.join(known)}"
        )
    return InputChanges(**declaration)


def _height_and_width(size: int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    _require(len(size) == 2, f"size is {list(size)}; give one number, or height and width")
    height, width = size
    return height, width


def _require(is_possible: bool, message: str) -> None:
    if not is_possible:
        raise PreprocessingError(f"an image cannot be prepared like this: {message}")
