"""Pictures of results with a caption below, and all of them on one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swapnet_ros.evaluation.lettering import (
    AMBER,
    BACKGROUND,
    MUTED,
    WHITE,
    fit_size,
    resized,
    write_text,
)
from swapnet_ros.evaluation.task_results import TaskOutput, draw_result, resize_result

Image = NDArray[np.uint8]

WIDTH_PX, HEIGHT_PX = 1280, 720  # of the images; the caption comes below them
_CAPTION_PX, _MARGIN_PX, _GAP_PX = 84, 20, 6
_SHEET_COLUMNS, _SHEET_WIDTH_PX = 2, 800


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """What stands below a picture.

    Attributes:
        task: its name in words.
        network: network and weights.
        memory: the budget it ran in.
        is_random: the weights are random.
    """

    task: str
    network: str
    memory: str
    is_random: bool


def picture(results: Sequence[tuple[Image, TaskOutput]], caption: Caption) -> Image:
    """Draw results over their images, side by side where there are several.

    Args:
        results: images, uint8 [H, W, 3], RGB, with what was found in them.
        caption: what stands below.

    Returns:
        uint8 [804, 1280, 3], RGB.
    """
    columns = math.ceil(math.sqrt(len(results)))
    rows = math.ceil(len(results) / columns)
    cell = (WIDTH_PX // columns, HEIGHT_PX // rows)
    body = np.full((HEIGHT_PX, WIDTH_PX, 3), BACKGROUND, np.uint8)
    for number, (image, output) in enumerate(results):
        left, top = number % columns * cell[0], number // columns * cell[1]
        _paste(body[top : top + cell[1], left : left + cell[0]], image, output)
    return np.vstack([body, _caption(caption)])


def contact_sheet(pictures: Sequence[Image]) -> Image:
    """Put pictures on one sheet, smaller, two in a row."""
    height, width = pictures[0].shape[:2]
    size = _SHEET_WIDTH_PX, round(height * _SHEET_WIDTH_PX / width)
    smaller = [resized(each, size) for each in pictures]
    empty = np.full_like(smaller[0], BACKGROUND)
    smaller += [empty] * (-len(smaller) % min(_SHEET_COLUMNS, len(pictures)))
    columns = min(_SHEET_COLUMNS, len(pictures))
    rows = [np.hstack(smaller[n : n + columns]) for n in range(0, len(smaller), columns)]
    return np.vstack(rows)


def _paste(cell: Image, image: Image, output: TaskOutput) -> None:
    """Fit the image into its cell, and draw the result in the size that is seen."""
    gap = 0 if cell.shape[1] == WIDTH_PX else _GAP_PX
    room = cell.shape[1] - gap, cell.shape[0] - gap
    width, height = fit_size(image.shape[1], image.shape[0], into=room)
    smaller = resize_result(output, width=width, height=height)
    drawn = draw_result(resized(image, (width, height)), smaller)
    top, left = (cell.shape[0] - height) // 2, (cell.shape[1] - width) // 2
    if gap == 0:
        cell[:] = _blurred(image)
    cell[top : top + height, left : left + width] = drawn


def _blurred(image: Image) -> Image:
    """The image spread over all of the picture, blurred and dark, for what lies beside it."""
    spread = resized(resized(image, (32, 18)), (WIDTH_PX, HEIGHT_PX))
    return spread // 3


def _caption(caption: Caption) -> Image:
    strip = np.full((_CAPTION_PX, WIDTH_PX, 3), BACKGROUND, np.uint8)
    right = WIDTH_PX - _MARGIN_PX
    write_text(strip, caption.task, (_MARGIN_PX, 34), size_px=19, colour=WHITE, width_px=600)
    write_text(
        strip, caption.memory, (right, 34), size_px=14, colour=MUTED, width_px=600, align="right"
    )
    write_text(
        strip,
        caption.network,
        (_MARGIN_PX, 66),
        size_px=14,
        colour=AMBER if caption.is_random else MUTED,
        width_px=right - _MARGIN_PX,
    )
    return strip
