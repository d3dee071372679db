"""A drive while it happens: live tables in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from swapnet_core.sizes import format_size
from swapnet_ros.evaluation.drive_figures import DriveFigures, Percentiles, TaskFigures

_LINE_EVERY_S = 2.0
_BAR_WIDTH = 40


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
    """Tables that are drawn over themselves. Use from one thread."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=5, auto_refresh=False)
        self._live.start()

    def show(self, phase: str, figures: DriveFigures) -> None:
        """Redraw the tables."""
        self._live.update(figures_tables(phase, figures), refresh=True)

    def __exit__(self, *_: object) -> None:
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
        tasks = (f"{name} {_brief(task)}" for name, task in figures.tasks.items())
        parts = [f"frames in {figures.frames_played}", *_memory(figures)[:1], *tasks]
        self._console.print(f"{phase}: {', '.join(parts)}", highlight=False, soft_wrap=True)

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""


def figures_tables(title: str, figures: DriveFigures) -> RenderableType:
    """Lay the figures out: a row for each task, and the memory below them; 80 columns will do."""
    table = Table(
        title=f"{title}: {figures.frames_played} frames in",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=0,
    )
    table.add_column("task")
    for name in ("done", "drop", "Hz", "latency ms", "run ms", "stall", "read/frame"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, task in figures.tasks.items():
        table.add_row(name, *_cells(task))
        table.add_row(_network(task))
    if figures.core is None:
        return table
    bar = ProgressBar(
        total=max(figures.demand_bytes, 1), completed=figures.core.leased_bytes, width=_BAR_WIDTH
    )
    memory = Table.grid()
    for line in (bar, *(Text(words) for words in _memory(figures))):
        memory.add_row(line)
    return Group(table, memory)


def _cells(task: TaskFigures) -> tuple[str, ...]:
    return (
        str(task.frames_processed),
        str(task.frames_dropped),
        f"{task.processed_hz:.2f}",
        _milliseconds(task.latency),
        "-" if task.running is None else f"{1e3 * task.running.p50_s:.0f}",
        f"{task.stall_share:.1%}" if task.running else "-",
        "-" if task.bytes_read_per_frame is None else format_size(task.bytes_read_per_frame),
    )


def _network(task: TaskFigures) -> Text:
    words = Text("random " if task.is_random else "", style="yellow")
    words.append(task.network or "loading", style="dim")
    return words


def _brief(task: TaskFigures) -> str:
    if task.latency is None:
        return "no result yet" if task.model else "loading"
    return f"{task.frames_processed} ({task.processed_hz:.2f} Hz, {_milliseconds(task.latency)} ms)"


def _memory(figures: DriveFigures) -> list[str]:
    """The core's memory in words; empty while it is not known."""
    core = figures.core
    if core is None:
        return []
    demand = f"demand {format_size(figures.demand_bytes)}"
    if core.budget_bytes:
        demand += f" ({figures.demand_bytes / core.budget_bytes:.2f} x the budget)"
    return [
        f"memory {format_size(core.leased_bytes)} of {format_size(core.budget_bytes)}",
        f"peak {format_size(core.peak_bytes)}",
        demand,
        f"storage {format_size(core.read_bandwidth_bytes_per_s)}/s",
    ]


def _milliseconds(percentiles: Percentiles | None) -> str:
    if percentiles is None:
        return "-"
    return f"{1e3 * percentiles.p50_s:.0f}/{1e3 * percentiles.p99_s:.0f}"
