"""A panel of the drive's video: one task's results over the frames that were played.

[Note: results of frames that have passed]
Most frames have no result: the network was busy. A panel shows the newest result up to its frame,
and lets it fade while the frames go on, because things move on, too. Results of random weights mean
nothing: they are drawn faintly, and the panel says what they are.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from swapnet_ros.evaluation.drive_record import FramePlayed, FrameResult
from swapnet_ros.evaluation.lettering import (
    AMBER,
    BACKGROUND,
    MUTED,
    Colour,
    darken,
    fit_size,
    resized,
    write_text,
)
from swapnet_ros.evaluation.task_results import TaskOutput, draw_result, resize_result

Image = NDArray[np.uint8]

CAPTION_PX = 40
_TEXT_PX = 13
_FADED, _FADE_S = 0.4, 3.0  # how faint a result becomes, and how soon
_RANDOM_STRENGTH = 0.3
_NS_PER_S = 1e9


class TaskPanel:
    """Draws one task's panel, frame after frame. For one thread.

    Args:
        task: the node's name.
        network: its network's name.
        is_random: the network has random weights.
        colour: the task's own.
        size: width and height of the panel in pixels.
    """

    def __init__(
        self, task: str, network: str, *, is_random: bool, colour: Colour, size: tuple[int, int]
    ) -> None:
        self._task, self._network, self._is_random = task.replace("_", " "), network, is_random
        self._colour, self._size = colour, size
        self._source: FramePlayed | None = None
        self._latency_s = 0.0
        self._output: TaskOutput | None = None

    def take(self, frame: FramePlayed, result: FrameResult, image: Image) -> None:
        """Show this frame's result from now on."""
        width, height = self._inner_size(image)
        self._source, self._latency_s = frame, result.latency_s
        self._output = resize_result(result.output, width=width, height=height)

    def draw(self, frame: FramePlayed, image: Image) -> Image:
        """Draw the panel for a frame, uint8 [height, width, 3]."""
        width, height = self._size
        picture = resized(image, self._inner_size(image))
        if self._output is not None:
            drawn = draw_result(picture, self._output)
            share = self._strength(frame)
            picture = np.asarray(cv2.addWeighted(drawn, share, picture, 1 - share, 0))
        panel = np.full((height, width, 3), BACKGROUND, np.uint8)
        top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
        panel[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        self._write_caption(panel, frame)
        return panel

    def _inner_size(self, image: Image) -> tuple[int, int]:
        return fit_size(image.shape[1], image.shape[0], into=self._size)

    def _strength(self, frame: FramePlayed) -> float:
        faded = min(1.0, self._age_s(frame) / _FADE_S)
        full = _RANDOM_STRENGTH if self._is_random else 1.0
        return full * (1.0 - (1.0 - _FADED) * faded)

    def _age_s(self, frame: FramePlayed) -> float:
        return (frame.stamp_ns - self._source.stamp_ns) / _NS_PER_S if self._source else 0.0

    def _write_caption(self, panel: Image, frame: FramePlayed) -> None:
        height, width = panel.shape[:2]
        darken(panel, height - CAPTION_PX, height)
        panel[height - CAPTION_PX :, :6] = self._colour
        base, half = height - (CAPTION_PX - _TEXT_PX) // 2, width // 2
        used = write_text(panel, self._task, (18, base), size_px=_TEXT_PX, width_px=half)
        network, colour = self._network, MUTED
        if self._is_random:
            network, colour = f"{self._network}, random weights: this means nothing", AMBER
        room = width - 270 - used - 34
        place = (18 + used + 16, base)
        write_text(panel, network, place, size_px=_TEXT_PX - 2, colour=colour, width_px=room)
        state = self._state(frame)
        write_text(
            panel, state, (width - 14, base), size_px=_TEXT_PX - 2, width_px=250, align="right"
        )

    def _state(self, frame: FramePlayed) -> str:
        if self._source is None:
            return "no result yet"
        latency = f"{1e3 * self._latency_s:.0f} ms"
        if self._source is frame:
            return f"latency {latency}, this frame"
        return f"latency {latency}, {self._age_s(frame):.1f} s ago"


def empty_panel(size: tuple[int, int]) -> Image:
    """What fills a place without a task."""
    return np.full((size[1], size[0], 3), BACKGROUND, np.uint8)
