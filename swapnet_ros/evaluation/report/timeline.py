"""One inference of every task: when blocks were read and used, and where compute waited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from swapnet_ros.evaluation.direct.budget_words import UNLIMITED
from swapnet_ros.evaluation.report.blocks import (
    Block,
    Chart,
    LegendEntry,
    Part,
    Section,
    Text,
    missing,
)
from swapnet_ros.evaluation.report.palette import colour
from swapnet_ros.evaluation.report.quantities import MS_PER_S, counted, milliseconds, quantile, size
from swapnet_ros.evaluation.report.run_record import RunRecord
from swapnet_ros.evaluation.report.svg_chart import draw_svg

_MOST_ROWS = 8  # of reads under way at the same time
_LEGEND = (
    LegendEntry(role="compute", text="compute, one streamed block"),
    LegendEntry(role="compute-other", text="compute, the next one"),
    LegendEntry(role="bad", text="stall: compute waits for a block"),
    LegendEntry(role="read", text="read for this inference"),
    LegendEntry(role="ahead", text="read ahead for what comes next"),
)
_Read = Mapping[str, Any]


def timeline_section(run: RunRecord) -> Section:
    """Draw one inference of every task."""
    parts = [Part(blocks=[Text(text=_WHAT)])] if run.timeline else []
    for number, name in enumerate(run.tasks):
        if name in run.timeline:
            parts.append(Part(title=name, blocks=[_task(run, name, number)]))
        elif run.timeline:
            parts.append(Part(title=name, blocks=[missing("No inference of it was recorded.")]))
    if not parts:
        parts = [Part(blocks=[missing(_why_none(run))])]
    return Section(anchor="timeline", title="One inference", parts=parts)


_WHAT = (
    "The last inference of each task as it was measured; 0 is its beginning. Reads before that "
    "were made ahead, during the inference before or between the two. Compute of a block contains "
    "that of the resident layers up to the next streamed block."
)


def _why_none(run: RunRecord) -> str:
    if run.budget == UNLIMITED:
        return "The plain networks ran with all their weights in memory: nothing was read."
    return "There is no timeline.json: no inference was recorded."


def _task(run: RunRecord, name: str, number: int) -> Block:
    """A drawing, or a sentence where there would be nothing in it but one bar."""
    timeline, caption = run.timeline[name], _caption(run.timeline[name], run.tasks[name])
    if not timeline["reads"] and not timeline["reads_ahead"] and len(timeline["uses"]) < 2:
        return Text(text=caption)
    svg = draw_svg(
        partial(_draw, timeline=timeline),
        name=f"timeline-{number}",
        label="Reads, compute and stalls of one inference as bars over time",
        height_in=2.3,
    )
    return Chart(svg=svg, caption=caption, legend=_LEGEND)


def _draw(figure: Any, *, timeline: Mapping[str, Any]) -> None:
    axes = figure.subplots()
    latency_ms = timeline["latency_s"] * MS_PER_S
    _draw_uses(axes, timeline["uses"])
    for place, (reads, role) in enumerate(
        ((timeline["reads"], "read"), (timeline["reads_ahead"], "ahead"))
    ):
        _draw_reads(axes, reads, bottom=1.25 + 1.25 * place, role=role)
    for place_ms in (0.0, latency_ms):
        axes.axvline(place_ms, color=colour("muted"), linewidth=1, linestyle=(0, (3, 3)))
    axes.set_yticks((0.5, 1.75, 3.0), ("compute", "reads", "reads ahead"))
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(3.6, -0.1)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("time since the inference's beginning, ms")
    axes.margins(x=0.01)


def _draw_uses(axes: Any, uses: Sequence[Mapping[str, Any]]) -> None:
    stalls = [
        ((use["begin_s"] - use["stall_s"]) * MS_PER_S, use["stall_s"] * MS_PER_S)
        for use in uses
        if use["stall_s"] > 0.0
    ]
    for place, role in enumerate(("compute", "compute-other")):
        bars = [_bar(use) for use in uses[place::2]]
        if bars:
            axes.broken_barh(bars, (0.0, 1.0), facecolors=colour(role), linewidth=0)
    if stalls:
        axes.broken_barh(stalls, (0.0, 1.0), facecolors=colour("bad"), linewidth=0)


def _draw_reads(axes: Any, reads: Sequence[_Read], *, bottom: float, role: str) -> None:
    """Draw reads in as many rows as are under way at the same time."""
    rows = _in_rows(reads)
    height = 1.0 / max(1, len(rows))
    for place, row in enumerate(rows):
        span = (bottom + place * height, height * 0.86)
        axes.broken_barh(list(map(_bar, row)), span, facecolors=colour(role), linewidth=0)


def _bar(span: Mapping[str, Any]) -> tuple[float, float]:
    """Begin and length of a read or a use, in milliseconds."""
    return span["begin_s"] * MS_PER_S, (span["end_s"] - span["begin_s"]) * MS_PER_S


def _in_rows(reads: Sequence[_Read]) -> list[list[_Read]]:
    """Give each read the first row that is free when it begins."""
    rows: list[list[_Read]] = []
    for read in sorted(reads, key=lambda read: read["begin_s"]):
        free = next((row for row in rows if row[-1]["end_s"] <= read["begin_s"]), None)
        if free is None and len(rows) < _MOST_ROWS:
            free = []
            rows.append(free)
        (rows[-1] if free is None else free).append(read)
    return rows


def _caption(timeline: Mapping[str, Any], task: Mapping[str, Any]) -> str:
    stalls_s = [use["stall_s"] for use in timeline["uses"]]
    reads = timeline["reads"]
    blocks = len({read["block"] for read in reads})
    told = [
        f"This inference took {milliseconds(timeline['latency_s'])}, of which "
        f"{milliseconds(sum(stalls_s))} stalled.",
        f"{counted(blocks, 'block')} with {size(sum(read['size_bytes'] for read in reads))} came "
        f"from storage in {counted(len(reads), 'read')}."
        if reads
        else "Nothing was read for it: all blocks were in memory.",
    ]
    if timeline.get("resident_bytes") is not None:
        told.append(f"Resident: {size(timeline['resident_bytes'])}.")
    median_s = quantile(task.get("inference_s"), "p50")
    if median_s is not None:
        told.append(f"The median over all frames is {milliseconds(median_s)}.")
    return " ".join(told)
