"""Memory over the evaluation, against the budget."""

from __future__ import annotations

from functools import partial
from typing import Any

from swapnet_core.sizes import MIB
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
from swapnet_ros.evaluation.report.quantities import size
from swapnet_ros.evaluation.report.run_record import MemoryRecord, ReportRecord, RunRecord
from swapnet_ros.evaluation.report.svg_chart import draw_svg
from swapnet_ros.evaluation.report.thinning import thin

_WHAT_COUNTS = (
    "The budget is for what the core holds: weights, buffers and the networks' activations. The "
    "process's memory is private memory above what it held before the networks were loaded: "
    "images, prepared inputs and results come on top of the core's."
)


def memory_section(report: ReportRecord) -> Section:
    """Draw what was held, with the budget as a line."""
    run = report.run
    blocks: list[Block] = [Text(text=_WHAT_COUNTS)]
    if run.memory.places:
        others = {name: other.memory for name, other in report.others.items()}
        others = {
            name: each
            for name, each in others.items()
            if each.places and each.axis == run.memory.axis
        }
        svg = draw_svg(
            partial(_draw, run=run, others=list(others.values())),
            name="memory-course",
            label="Memory of the process and of the core over the evaluation, and the budget",
            height_in=3.4,
        )
        blocks.append(Chart(svg=svg, caption=_caption(run), legend=_legend(run, list(others))))
    else:
        blocks.append(missing("Neither timings.csv nor memory.csv has memory over time."))
    return Section(anchor="memory", title="Memory", parts=[Part(blocks=blocks)])


def _draw(figure: Any, *, run: RunRecord, others: list[MemoryRecord]) -> None:
    axes = figure.subplots()
    own = run.memory
    for number, other in enumerate(others, start=1):
        course = thin(other.places, other.process_bytes)
        axes.plot(course.places, course.largest / MIB, color=colour(series(number)))
    course = thin(own.places, own.process_bytes)
    axes.plot(course.places, course.largest / MIB, color=colour(OWN), linewidth=2.2)
    if own.core_bytes:
        held = thin(own.places, own.core_bytes)
        axes.plot(held.places, held.largest / MIB, color=colour("ink"))
    elif run.figures.get("core_peak_bytes") is not None:
        axes.axhline(
            run.figures["core_peak_bytes"] / MIB, color=colour("ink"), linestyle=(0, (2, 2))
        )
    _draw_budget(axes, run)
    axes.set_xlabel(own.axis)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel("memory, MiB")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)


def _draw_budget(axes: Any, run: RunRecord) -> None:
    line = {"color": colour("budget"), "linestyle": (0, (6, 3)), "linewidth": 1.8}
    if run.memory.budget_bytes:
        budgets = thin(run.memory.places, run.memory.budget_bytes)
        axes.step(budgets.places, budgets.middle / MIB, where="post", **line)
    elif run.figures.get("budget_bytes") is not None:
        axes.axhline(run.figures["budget_bytes"] / MIB, **line)


def _legend(run: RunRecord, others: list[str]) -> list[LegendEntry]:
    entries = [LegendEntry(role=OWN, text=f"process, {run.budget or 'this evaluation'}")]
    entries += [
        LegendEntry(role=series(number), text=f"process, {budget}")
        for number, budget in enumerate(others, start=1)
    ]
    if run.memory.core_bytes:
        entries.append(LegendEntry(role="ink", text="core"))
    elif run.figures.get("core_peak_bytes") is not None:
        entries.append(LegendEntry(role="ink", text="the most that the core held"))
    if run.figures.get("budget_bytes") is not None or run.memory.budget_bytes:
        entries.append(LegendEntry(role="budget", text="budget"))
    return entries


def _caption(run: RunRecord) -> str:
    figures = run.figures
    told = []
    if figures.get("core_peak_bytes") is not None and figures.get("budget_bytes"):
        held, budget = figures["core_peak_bytes"], figures["budget_bytes"]
        verdict = "within" if held <= budget else "ABOVE"
        told.append(f"The core held {size(held)} at most, {verdict} its budget of {size(budget)}.")
    elif run.figures:
        told.append("There is no budget: the plain networks ran, outside the core.")
    if figures.get("process_peak_bytes") is not None:
        told.append(f"The process held {size(figures['process_peak_bytes'])} at most.")
    stretch = thin(run.memory.places, run.memory.process_bytes).stretch
    if stretch > 1:
        told.append(f"Each point of the line is the most during {stretch:,} of them.")
    return " ".join(told)
