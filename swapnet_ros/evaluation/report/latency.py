"""Latency: how it is distributed, and how it went frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from swapnet_ros.evaluation.report.blocks import (
    Block,
    Chart,
    LegendEntry,
    Part,
    Section,
    Text,
    missing,
)
from swapnet_ros.evaluation.report.palette import OWN, colour, series
from swapnet_ros.evaluation.report.quantities import MS_PER_S, counted, milliseconds
from swapnet_ros.evaluation.report.run_record import ReportRecord, RunRecord, TaskTimes
from swapnet_ros.evaluation.report.svg_chart import draw_svg
from swapnet_ros.evaluation.report.thinning import MOST_POINTS, Bins, count_in_bins, thin


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
        if other.is_replay == run.is_replay  # else they are times of different things
        and name in other.times
        and other.times[name].latency_s
    }
    bins = count_in_bins([own.latency_s, *(times.latency_s for times in others.values())])
    svg = draw_svg(
        partial(
            _draw,
            own=own,
            others=list(others.values()),
            bins=bins,
            axis="result" if run.is_replay else "frame",
        ),
        name=f"latency-{number}",
        label="Distribution of latencies, and latency over the evaluation",
        height_in=2.7,
    )
    caption = _caption(own, bins, is_compared=bool(others))
    return [Chart(svg=svg, caption=caption, legend=_legend(run, others))]


def _draw(
    figure: Any, *, own: TaskTimes, others: Sequence[TaskTimes], bins: Bins, axis: str
) -> None:
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (2, 3)})
    if others:
        _draw_cumulated(left, [own, *others], bins)
    else:
        _draw_histogram(left, bins)
    left.set_xlabel("latency, ms")
    _draw_course(right, own)
    right.set_xlabel(axis)
    right.xaxis.get_major_locator().set_params(integer=True)


def _draw_histogram(axes: Any, bins: Bins) -> None:
    shares = 100 * bins.counts / max(1, bins.counts.sum())
    axes.stairs(shares, bins.edges * MS_PER_S, fill=True, color=colour(OWN))
    axes.set_ylabel("share of frames, %")
    axes.margins(x=0.01)


def _draw_cumulated(axes: Any, records: Sequence[TaskTimes], bins: Bins) -> None:
    """Draw which share of the frames was done within which time: curves can be compared."""
    shares = np.linspace(0, 1, MOST_POINTS)
    for number, times in reversed(list(enumerate(records))):
        latencies_ms = np.quantile(times.latency_s, shares) * MS_PER_S
        width = 1.4 if number else 2.4
        axes.plot(latencies_ms, 100 * shares, color=colour(series(number)), linewidth=width)
    axes.set_xlim(0, bins.edges[-1] * MS_PER_S * 1.02)
    axes.set_ylabel("frames done within, %")


def _draw_course(axes: Any, own: TaskTimes) -> None:
    course = thin(own.frames, own.latency_s)
    stalls = thin(own.frames, own.stall_s)
    if course.stretch > 1:
        axes.fill_between(
            *(course.places, course.least * MS_PER_S, course.largest * MS_PER_S),
            color=colour(OWN),
            alpha=0.25,
            linewidth=0,
        )
    axes.plot(course.places, course.middle * MS_PER_S, color=colour(OWN))
    axes.fill_between(
        *(stalls.places, 0, stalls.middle * MS_PER_S), color=colour("bad"), alpha=0.55, linewidth=0
    )
    axes.set_ylabel("latency, ms")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)


def _legend(run: RunRecord, others: Mapping[str, TaskTimes]) -> list[LegendEntry]:
    entries = [LegendEntry(role=OWN, text=run.budget or "this evaluation")]
    entries += [
        LegendEntry(role=series(number), text=budget)
        for number, budget in enumerate(others, start=1)
    ]
    return [*entries, LegendEntry(role="bad", text="stalled, part of it")]


def _caption(own: TaskTimes, bins: Bins, *, is_compared: bool) -> str:
    told = f"{counted(len(own.latency_s), 'frame')}. "
    if bins.beyond:
        where = "where the drawing on the left ends" if is_compared else "and count in the last bar"
        told += (
            f"{counted(bins.beyond, 'frame')} took more than {milliseconds(bins.edges[-1])}, "
            f"{where}; the longest took {milliseconds(max(own.latency_s))}. "
        )
    stretch = thin(own.frames, own.latency_s).stretch
    if stretch > 1:
        told += (
            f"On the right, the line is the median of {stretch:,} frames each, and the band goes "
            "from their shortest to their longest."
        )
    return told
