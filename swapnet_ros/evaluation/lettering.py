"""Text on pictures, measured in pixels and never wider than its place. ASCII only, as OpenCV."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

WHITE: Colour = (240, 242, 245)
MUTED: Colour = (160, 166, 176)
AMBER: Colour = (255, 190, 70)
BACKGROUND: Colour = (20, 22, 27)

_FONT = cv2.FONT_HERSHEY_DUPLEX
_CAPITALS_PX = 22  # height of this font's capitals at scale 1


def write_text(
    canvas: Image,
    text: str,
    place: tuple[int, int],
    *,
    size_px: int,
    colour: Colour = WHITE,
    width_px: int | None = None,
    align: Literal["left", "right"] = "left",
) -> int:
    """Write one line.

    Args:
        canvas: uint8 [H, W, 3], RGB; written to.
        text: letters that OpenCV's fonts have.
        place: x of its left end (or its right one), y of its base.
        size_px: height of its capitals.
        colour: RGB.
        width_px: the most that it may take, by smaller letters; None: up to the canvas's edge.
        align: which end `place` is.

    Returns:
        The width in pixels.
    """
    x, y = place
    limit_px = width_px or (canvas.shape[1] - x if align == "left" else x)
    scale = size_px / _CAPITALS_PX
    width = _width(text, scale)
    if width > limit_px:
        scale *= limit_px / width
        width = _width(text, scale)
    left = x if align == "left" else x - width
    cv2.putText(canvas, text, (left, y), _FONT, scale, colour, 1, cv2.LINE_AA)
    return width


def text_width(text: str, size_px: int) -> int:
    """Width of a line in pixels."""
    return _width(text, size_px / _CAPITALS_PX)


def darken(canvas: Image, top: int, bottom: int) -> None:
    """Darken rows, so that text on them can be read over any picture."""
    canvas[top:bottom] = canvas[top:bottom] // 4 + 8


def fit_size(width: int, height: int, *, into: tuple[int, int]) -> tuple[int, int]:
    """The largest width and height of the same proportions that fit into a width and height."""
    scale = min(into[0] / width, into[1] / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def resized(image: Image, size: tuple[int, int]) -> Image:
    """An image in another width and height."""
    is_smaller = size[0] < image.shape[1]
    how = cv2.INTER_AREA if is_smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how))


def _width(text: str, scale: float) -> int:
    (width, _), _ = cv2.getTextSize(text, _FONT, scale, 1)
    return int(width)
