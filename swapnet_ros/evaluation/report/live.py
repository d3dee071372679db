"""Replay mode: where the time of a live frame goes, what was dropped, and at which play rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from swapnet_ros.evaluation.drop_limit import DROP_LIMIT
from swapnet_ros.evaluation.report.blocks import (
    BAD,
    Block,
    Cell,
    Chart,
    LegendEntry,
    Part,
    Section,
    Table,
    missing,
)
from swapnet_ros.evaluation.report.palette import OWN, colour
from swapnet_ros.evaluation.report.quantities import (
    MS_PER_S,
    NOT_MEASURED,
    TIMES,
    milliseconds,
    number,
    percent,
    quantile,
)
from swapnet_ros.evaluation.report.run_record import RunRecord
from swapnet_ros.evaluation.report.svg_chart import NARROW_IN, draw_svg

_PARTS = {
    "queue_s": "series-4",
    "prepare_s": "series-2",
    "stall_s": "bad",
    "compute_s": "compute",
    "interpret_s": "series-1",
    "publish_s": "series-3",
}
_WHAT_PARTS_ARE = (
    "Queue: waiting for the node, for a detector's boxes, and for the core, which runs one "
    "inference at a time. Prepare: decoding the image and making the network's input. Stall: the "
    "inference waited for blocks. Compute: the rest of it. Interpret: making the result of what "
    "the network returned. Publish: filling and sending messages."
)


def live_section(run: RunRecord) -> Section:
    """Split the latency of every task, count drops, and compare play rates."""
    parts = [
        Part(title="Where the time goes", blocks=[*_split_tables(run), *_split_charts(run)]),
        Part(title="Frames and drops", blocks=[_drops(run)]),
        Part(title="Play rates", blocks=_rates(run.figures)),
    ]
    return Section(anchor="live", title="Live", parts=parts)


def _split_tables(run: RunRecord) -> list[Block]:
    parts = _parts_of(run)
    names = [part.removesuffix("_s") for part in parts]
    return [
        Table(
            columns=(key, *names),
            rows=[
                (name, *(milliseconds(quantile(task.get(part), key)) for part in parts))
                for name, task in run.tasks.items()
            ],
            note=_WHAT_PARTS_ARE if key == "p99" else "",
        )
        for key in ("p50", "p99")
    ]


def _parts_of(run: RunRecord) -> list[str]:
    """The parts that any task has."""
    return [part for part in _PARTS if any(task.get(part) for task in run.tasks.values())]


def _split_charts(run: RunRecord) -> list[Block]:
    charts: list[Block] = []
    parts = _parts_of(run)
    legend = [LegendEntry(role=_PARTS[part], text=part.removesuffix("_s")) for part in parts]
    for place, (name, task) in enumerate(run.tasks.items()):
        means_s = {part: quantile(task.get(part), "mean") for part in parts}
        if parts and None not in means_s.values():
            svg = draw_svg(
                partial(_draw_split, means_s=means_s),
                name=f"split-{place}",
                label="Mean latency as a bar of its parts",
                height_in=1.0,
            )
            caption = f"{name}: means, which add up to the mean latency."
            charts.append(Chart(svg=svg, caption=caption, legend=legend))
    return charts


def _draw_split(figure: Any, *, means_s: Mapping[str, float]) -> None:
    axes = figure.subplots()
    begin_ms = 0.0
    for part, mean_s in means_s.items():
        role = _PARTS[part]
        axes.barh(0, mean_s * MS_PER_S, left=begin_ms, height=0.8, color=colour(role), linewidth=0)
        begin_ms += mean_s * MS_PER_S
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("ms")
    axes.margins(x=0)


def _drops(run: RunRecord) -> Block:
    drops = [task.get("drops") or {} for task in run.tasks.values()]
    causes = list(dict.fromkeys(cause for each in drops for cause in each if each[cause]))
    rows: list[Sequence[str | Cell]] = []
    for name, task in run.tasks.items():
        drops = task.get("drops") or {}
        rows.append(
            (
                *(name, *(number(task.get(key)) for key in ("played", "received", "published"))),
                _share_cell(task.get("drop_share")),
                *(number(drops.get(cause, 0)) for cause in causes),
                number(task.get("deadline_misses")),
            )
        )
    return Table(
        columns=(
            *("task", "played", "received", "published", "dropped"),
            *(cause.replace("_", " ") for cause in causes),
            "deadlines missed",
        ),
        rows=rows,
        note="Dropped: part of the played images that was lost for want of time; what a rate limit "
        "of the scenario held back, and images that cannot be used, do not count. Newest wins: a "
        "newer image took the place of one that waited.",
    )


def _rates(figures: Mapping[str, Any]) -> list[Block]:
    rates = figures.get("rates") or ()
    if len(rates) < 2:
        return [
            missing("The bag was played at one rate; `--rates` and `--find-rate` play it at more.")
        ]
    tasks = list(dict.fromkeys(name for row in rates for name in row.get("tasks", {})))
    table = Table(
        columns=("play rate", "reached", "dropped", *tasks),
        rows=[
            (
                _rate(row["rate"]),
                NOT_MEASURED if row.get("reached_rate") is None else _rate(row["reached_rate"]),
                _share_cell(row.get("drop_share")),
                *(
                    _share_cell(row.get("tasks", {}).get(name, {}).get("drop_share"))
                    for name in tasks
                ),
            )
            for row in rates
        ],
        note=_highest(figures),
    )
    shown = [row for row in rates if row.get("drop_share") is not None]
    if len(shown) < 2:
        return [table]
    svg = draw_svg(
        partial(_draw_rates, rates=shown),
        name="rates",
        label="Dropped images over play rate",
        width_in=NARROW_IN,
        height_in=2.8,
    )
    legend = [LegendEntry(role="budget", text="5 %")]
    return [table, Chart(svg=svg, caption="Of the task that dropped most.", legend=legend)]


def _draw_rates(figure: Any, *, rates: Sequence[Mapping[str, Any]]) -> None:
    axes = figure.subplots()
    ordered = sorted(rates, key=lambda row: row["rate"])
    axes.plot(
        [row["rate"] for row in ordered],
        [row["drop_share"] * 100 for row in ordered],
        "o-",
        color=colour(OWN),
    )
    axes.axhline(DROP_LIMIT * 100, color=colour("budget"), linestyle=(0, (6, 3)))
    axes.set_xlabel("play rate, times the bag's own")
    axes.set_ylabel("dropped, %")
    axes.set_ylim(bottom=0)


def _share_cell(share: float | None) -> Cell:
    tone = BAD if share is not None and share >= DROP_LIMIT else ""
    return Cell(text=percent(share), tone=tone)


def _rate(rate: float) -> str:
    return f"{TIMES}{rate:.3g}"


def _highest(figures: Mapping[str, Any]) -> str:
    told = (
        "Dropped: by the task that dropped most, then by each. Reached: what the player could keep "
        "up with. "
    )
    if figures.get("rate_search"):
        return f"{told}The search: {figures['rate_search']}."
    rate = figures.get("highest_rate")
    if rate is None:
        return f"{told}No play rate had less than 5 % of drops."
    return f"{told}The highest play rate with less than 5 % of drops is {_rate(rate)}."
