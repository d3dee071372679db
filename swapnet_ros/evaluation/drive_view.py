"""A drive while it happens: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

from swapnet_core.sizes import format_size
from swapnet_ros.evaluation.drive_record import DriveFigures, Percentiles

_LINE_EVERY_S = 2.0


class DriveView(Protocol):
    """Shows figures as often as it is given some."""

    def show(self, phase: str, figures: DriveFigures) -> None:
        """Show what is being done and the figures so far."""
        ...

    def __enter__(self) -> DriveView: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None: ...


def drive_view(console: Console) -> DriveView:
    """Choose the view that fits the console."""
    return LiveView(console) if console.is_terminal else LineView(console)


class LiveView(AbstractContextManager["LiveView"]):
    """One table that is drawn over itself. Use from one thread."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=5, auto_refresh=False)
        self._live.start()

    def show(self, phase: str, figures: DriveFigures) -> None:
        """Redraw the table."""
        self._live.update(figures_table(phase, figures), refresh=True)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()


class LineView(AbstractContextManager["LineView"]):
    """One line every two seconds, and one for each new phase. Use from one thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._last_s = 0.0

    def show(self, phase: str, figures: DriveFigures) -> None:
        """Print a line when it is time for one."""
        now_s = time.monotonic()
        if phase == self._phase and now_s - self._last_s < _LINE_EVERY_S:
            return
        self._phase, self._last_s = phase, now_s
        shown = ", ".join(f"{name} {value}" for name, value in figure_rows(figures))
        self._console.print(f"{phase}: {shown}", highlight=False, soft_wrap=True)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing is held."""


def figures_table(title: str, figures: DriveFigures) -> Table:
    """Lay the figures out as a table with two columns."""
    table = Table(title=title, title_justify="left", show_header=False, min_width=64)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in figure_rows(figures):
        table.add_row(name, value)
    return table


def figure_rows(figures: DriveFigures) -> list[tuple[str, str]]:
    """Put the figures into words, most wanted first."""
    rows = [
        ("frames in", str(figures.frames_played)),
        ("processed", f"{figures.frames_processed} ({figures.processed_hz:.2f} Hz)"),
        ("dropped", str(figures.frames_dropped)),
        ("latency p50/p99", _milliseconds(figures.latency)),
        ("network p50/p99", _milliseconds(figures.inference)),
    ]
    if figures.swap is None:
        return rows
    swap = figures.swap
    return [
        *rows,
        ("memory held", f"{format_size(swap.leased_bytes)} of {format_size(swap.budget_bytes)}"),
        ("memory peak", format_size(swap.peak_bytes)),
        (
            "demand",
            f"{format_size(swap.demand_bytes)}{_times(swap.demand_bytes, swap.budget_bytes)}",
        ),
        ("read per frame", _size(figures.bytes_read_per_frame)),
        ("stall", f"{100 * figures.stall_share:.1f} % of the network's time"),
    ]


def _times(demand_bytes: int, budget_bytes: int) -> str:
    return f" ({demand_bytes / budget_bytes:.2f} x the budget)" if budget_bytes else ""


def _size(size_bytes: float | None) -> str:
    return "-" if size_bytes is None else format_size(size_bytes)


def _milliseconds(percentiles: Percentiles | None) -> str:
    if percentiles is None:
        return "-"
    return f"{1e3 * percentiles.p50_s:.0f}/{1e3 * percentiles.p99_s:.0f} ms"
