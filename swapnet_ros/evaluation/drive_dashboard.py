"""What stands above and below the panels of the drive's video: title, memory, and turns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from swapnet_core.sizes import format_size
from swapnet_ros.evaluation.drive_figures import CoreState, DriveFigures
from swapnet_ros.evaluation.drive_record import DriveRecord
from swapnet_ros.evaluation.lettering import BACKGROUND, MUTED, Colour, write_text

Image = NDArray[np.uint8]

HEADER_PX = 56
_ROW_PX = 24
_MARGIN_PX = 24
_SPAN_S = 8.0  # of the timeline
_NS_PER_S = 1e9
_TROUGH: Colour = (48, 52, 60)
_HELD: Colour = (86, 180, 255)
_BUDGET: Colour = (255, 120, 110)


class Dashboard:
    """Draws header and footer for a moment of the drive. For one thread.

    Args:
        record: the whole drive.
        title: its name.
        colours: of the tasks, by name.
        width: pixels.
    """

    def __init__(
        self, record: DriveRecord, *, title: str, colours: dict[str, Colour], width: int
    ) -> None:
        self._title, self._colours, self._width = title, colours, width
        self._figures = record.figures()
        self._states = record.states
        self._told_ns = [state.received_ns for state in self._states]
        self._runs = {
            task: [
                (result.inferred_ns - round(result.running_s * _NS_PER_S), result.inferred_ns)
                for result in record.results(task).values()
            ]
            for task in record.tasks
        }
        self._start_ns = record.played[0].stamp_ns if record.played else 0

    @property
    def footer_px(self) -> int:
        """Height of the footer: as many rows as tasks, and at least the memory's."""
        return max(3, len(self._runs)) * _ROW_PX + 2 * _MARGIN_PX

    def header(self, now_ns: int) -> Image:
        """Draw what is above the panels."""
        canvas = np.full((HEADER_PX, self._width, 3), BACKGROUND, np.uint8)
        used = write_text(canvas, self._title, (_MARGIN_PX, 36), size_px=18)
        words = _in_words(self._figures)
        place = (_MARGIN_PX + used + 28, 36)
        write_text(canvas, words, place, size_px=14, colour=MUTED, width_px=self._width - 520)
        clock = f"{(now_ns - self._start_ns) / _NS_PER_S:.1f} s"
        write_text(canvas, clock, (self._width - _MARGIN_PX, 36), size_px=14, align="right")
        return canvas

    def footer(self, now_ns: int) -> Image:
        """Draw what is below the panels."""
        canvas = np.full((self.footer_px, self._width, 3), BACKGROUND, np.uint8)
        half = self._width // 2
        self._draw_memory(canvas[:, : half - _MARGIN_PX // 2], now_ns)
        self._draw_turns(canvas[:, half + _MARGIN_PX // 2 :], now_ns)
        return canvas

    def _draw_memory(self, canvas: Image, now_ns: int) -> None:
        """A bar as long as the demand, filled as far as memory is held."""
        core, state = self._figures.core, self._state_at(now_ns)
        if core is None or state is None:
            return
        left, right = _MARGIN_PX, canvas.shape[1]
        whole_bytes = max(self._figures.demand_bytes, core.budget_bytes, 1)

        def column(size_bytes: int) -> int:
            return left + round((right - left) * min(1.0, size_bytes / whole_bytes))

        top, bottom = _MARGIN_PX + 26, _MARGIN_PX + 54
        held_bytes, budget = state.core.leased_bytes, column(state.core.budget_bytes)
        words = f"memory held {format_size(held_bytes)}"
        write_text(canvas, words, (left, _MARGIN_PX + 12), size_px=13, colour=_HELD)
        demand = f"needed with everything in memory {format_size(self._figures.demand_bytes)}"
        write_text(
            canvas,
            demand,
            (right, _MARGIN_PX + 12),
            size_px=13,
            colour=MUTED,
            width_px=(right - left) * 3 // 5,
            align="right",
        )
        cv2.rectangle(canvas, (left, top), (right - 1, bottom), _TROUGH, cv2.FILLED)
        cv2.rectangle(canvas, (left, top), (column(held_bytes), bottom), _HELD, cv2.FILLED)
        cv2.line(canvas, (budget, top - 6), (budget, bottom + 6), _BUDGET, 3)
        words = f"budget {format_size(state.core.budget_bytes)}"
        write_text(canvas, words, (left, bottom + 28), size_px=13, colour=_BUDGET)
        reading = f"read from storage {self._read_rate(now_ns)}"
        write_text(canvas, reading, (right, bottom + 28), size_px=13, colour=MUTED, align="right")

    def _draw_turns(self, canvas: Image, now_ns: int) -> None:
        """One row for each task: when its network ran, in the last seconds up to now."""
        names_px, right = 210, canvas.shape[1] - _MARGIN_PX
        for row, (task, runs) in enumerate(self._runs.items()):
            top = _MARGIN_PX + row * _ROW_PX
            words = task.replace("_", " ")
            write_text(
                canvas, words, (0, top + 15), size_px=12, colour=MUTED, width_px=names_px - 8
            )
            end = (right, top + _ROW_PX - 6)
            cv2.rectangle(canvas, (names_px, top), end, _TROUGH, cv2.FILLED)
            for first, last in _columns(runs, now_ns, left=names_px, right=right):
                corners = (first, top), (last, end[1])
                cv2.rectangle(canvas, *corners, self._colours[task], cv2.FILLED)
        base = _MARGIN_PX + len(self._runs) * _ROW_PX + 14
        words = f"which network runs, last {_SPAN_S:.0f} s"
        write_text(canvas, words, (right, base), size_px=11, colour=MUTED, align="right")

    def _state_at(self, now_ns: int) -> CoreState | None:
        index = bisect_right(self._told_ns, now_ns) - 1
        return self._states[max(0, index)] if self._states else None

    def _read_rate(self, now_ns: int) -> str:
        """Between the two newest states: the core tells once per second."""
        index = bisect_right(self._told_ns, now_ns) - 1
        if index < 1:
            return "-"
        before, after = self._states[index - 1], self._states[index]
        seconds = (after.received_ns - before.received_ns) / _NS_PER_S
        bytes_read = _bytes_read(after) - _bytes_read(before)
        return f"{format_size(max(0.0, bytes_read / seconds))}/s" if seconds > 0 else "-"


def _columns(
    runs: Sequence[tuple[int, int]], now_ns: int, *, left: int, right: int
) -> list[tuple[int, int]]:
    """Where the runs stand in the timeline, as first and last columns."""
    begin_ns = now_ns - _SPAN_S * _NS_PER_S
    found = []
    for start_ns, end_ns in runs:
        first = max(0.0, (start_ns - begin_ns) / (now_ns - begin_ns))
        last = min(1.0, (end_ns - begin_ns) / (now_ns - begin_ns))
        if first < last:
            width = right - left
            found.append((left + round(width * first), left + round(width * last)))
    return found


def _bytes_read(state: CoreState) -> int:
    return sum(model.bytes_read for model in state.models.values())


def _in_words(figures: DriveFigures) -> str:
    count = len(figures.tasks)
    words = f"{count} networks" if count > 1 else "1 network"
    if figures.core is None:
        return words
    demand, budget = format_size(figures.demand_bytes), format_size(figures.core.budget_bytes)
    needs = "that need" if count > 1 else "that needs"
    ratio = figures.demand_bytes / max(1, figures.core.budget_bytes)
    return f"{words} {needs} {demand}, in {budget} (demand / budget {ratio:.2f})"
