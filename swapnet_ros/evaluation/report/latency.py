"""Latency: how it is distributed, and how it went frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from swapnet_ros.evaluation.report.blocks import (
    Block,
    Chart,
    LegendEntry,
    Part,
    Section,
    Text,
    missing,
)
from swapnet_ros.evaluation.report.palette import colour, series
from swapnet_ros.evaluation.report.quantities import counted, milliseconds
from swapnet_ros.evaluation.report.run_record import ReportRecord, RunRecord, TaskTimes
from swapnet_ros.evaluation.report.svg_chart import draw_svg
from swapnet_ros.evaluation.report.thinning import Bins, count_in_bins, thin

_OWN = "series-0"
_MS = 1e3


def latency_section(report: ReportRecord) -> Section:
    """Draw every task's latencies, beside those of other budgets where there are any."""
    run = report.run
    parts = [
        Part(title=name, blocks=_task_blocks(report, name, number))
        for number, name in enumerate(run.tasks)
    ]
    said = (
        "From reception of an image to publication of its result."
        if run.is_replay
        else "Time of an image's inferences, stalls included, without waiting for other tasks."
    )
    if not parts:
        parts = [Part(blocks=[missing("timings.csv has no times.")])]
    return Section(
        anchor="latency", title="Latency", parts=[Part(blocks=[Text(text=said)]), *parts]
    )


def _task_blocks(report: ReportRecord, name: str, number: int) -> list[Block]:
    run = report.run
    own = run.times.get(name)
    if own is None or not own.latency_s:
        return [missing("No inference of this task was timed.")]
    others = {
        budget: other.times[name]
        for budget, other in report.others.items()
        if name in other.times and other.times[name].latency_s
    }
    bins = count_in_bins([own.latency_s, *(times.latency_s for times in others.values())])
    svg = draw_svg(
        partial(_draw, own=own, bins=bins, axis="result" if run.is_replay else "frame"),
        name=f"latency-{number}",
        label="Histogram of latencies, and latency over the evaluation",
        height_in=2.7,
    )
    return [Chart(svg=svg, caption=_caption(own, bins), legend=_legend(run, others))]


def _draw(figure: Any, *, own: TaskTimes, bins: Bins, axis: str) -> None:
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (2, 3)})
    _draw_histogram(left, own.latency_s, bins)
    _draw_course(right, own)
    right.set_xlabel(axis)


def _draw_histogram(axes: Any, latencies_s: Sequence[float], bins: Bins) -> None:
    edges_ms = bins.edges * _MS
    shares = [100 * counts / max(1, counts.sum()) for counts in bins.counts]
    axes.stairs(shares[0], edges_ms, fill=True, color=colour(_OWN), alpha=0.8)
    for number, share in enumerate(shares[1:], start=1):
        axes.stairs(share, edges_ms, color=colour(series(number)), linewidth=1.6)
    axes.set_xlabel("latency, ms")
    axes.set_ylabel("share of frames, %")
    axes.margins(x=0.01)


def _draw_course(axes: Any, own: TaskTimes) -> None:
    course = thin(own.frames, own.latency_s)
    stalls = thin(own.frames, own.stall_s)
    if course.stretch > 1:
        axes.fill_between(
            *(course.places, course.least * _MS, course.largest * _MS),
            color=colour(_OWN),
            alpha=0.25,
            linewidth=0,
        )
    axes.plot(course.places, course.middle * _MS, color=colour(_OWN))
    axes.fill_between(
        *(stalls.places, 0, stalls.middle * _MS), color=colour("bad"), alpha=0.55, linewidth=0
    )
    axes.set_ylabel("latency, ms")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)


def _legend(run: RunRecord, others: Mapping[str, TaskTimes]) -> list[LegendEntry]:
    entries = [LegendEntry(role=_OWN, text=run.budget or "this evaluation")]
    entries += [
        LegendEntry(role=series(number), text=budget)
        for number, budget in enumerate(others, start=1)
    ]
    return [*entries, LegendEntry(role="bad", text="stalled, part of it")]


def _caption(own: TaskTimes, bins: Bins) -> str:
    told = f"{counted(len(own.latency_s), 'frame')}. "
    if bins.beyond:
        told += (
            f"{counted(bins.beyond, 'frame')} took more than {milliseconds(bins.edges[-1])} and "
            f"count in the last bar; the longest took {milliseconds(max(own.latency_s))}. "
        )
    stretch = thin(own.frames, own.latency_s).stretch
    if stretch > 1:
        told += (
            f"On the right, the line is the median of {stretch:,} frames each, and the band goes "
            "from their shortest to their longest."
        )
    return told
