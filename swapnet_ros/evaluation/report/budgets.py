"""The same frames under several budgets, and latency over budget, measured and predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from swapnet_core.sizes import MIB
from swapnet_ros.evaluation.report.blocks import (
    Block,
    Cell,
    Chart,
    LegendEntry,
    Part,
    Section,
    Table,
    Text,
    missing,
)
from swapnet_ros.evaluation.report.palette import OWN, colour
from swapnet_ros.evaluation.report.quantities import (
    MS_PER_S,
    TIMES,
    milliseconds,
    number,
    quantile,
    ratio,
    size,
)
from swapnet_ros.evaluation.report.run_record import ReportRecord
from swapnet_ros.evaluation.report.svg_chart import NARROW_IN, draw_svg
from swapnet_ros.evaluation.report.verdicts import results_verdict, row_verdict

_Rows = Sequence[Mapping[str, Any]]


def budgets_section(report: ReportRecord) -> Section:
    """Compare budgets, and draw latency over budget."""
    parts = [Part(blocks=_comparison(report))]
    charts = _charts(report)
    if charts:
        told = Text(
            text="Dots are measured medians, with a line up to the 90th percentile; the curve is "
            "what `swapnet plan` predicts, at the speeds that networks and storage had in this "
            "evaluation, for inferences back to back with others of the same network."
        )
        parts += [Part(title="Latency over budget", blocks=[told]), *charts]
    else:
        blocks = [missing("There are not enough budgets for a curve: see --budgets.")]
        parts.append(Part(title="Latency over budget", blocks=blocks))
    return Section(anchor="budgets", title="Budgets", parts=parts)


def _comparison(report: ReportRecord) -> list[Block]:
    rows = report.comparison.get("runs", ())
    if not rows:
        return [
            missing(
                "Nothing was compared. `--against unlimited` runs the same frames through the "
                "plain networks, and `--budgets 64MiB,128MiB` under several budgets."
            )
        ]
    verdict = results_verdict(report.comparison)
    told = Text(text=f"Results are {verdict.short}: {verdict.reason}.", tone=verdict.tone)
    reference = next((row for row in rows if not row.get("against_reference")), rows[-1])
    totals = Table(
        columns=("budget", "results", "frames/s", "process peak", "core peak", "read per frame"),
        rows=[_totals(row) for row in rows],
        note="Every evaluation had a process of its own.",
    )
    blocks: list[Block] = [told, totals, *_differences(rows)]
    return [*blocks, *(_latencies(rows, reference, key) for key in ("p50", "p99"))]


def _totals(row: Mapping[str, Any]) -> list[str | Cell]:
    verdict = row_verdict(row)
    reads = [task.get("read_bytes_per_inference") for task in row["tasks"].values()]
    return [
        _name(row),
        Cell(text=f"{verdict.short}: {verdict.reason}".rstrip(": "), tone=verdict.tone),
        number(row.get("frames_per_s")),
        size(row.get("process_peak_bytes")),
        size(row.get("core_peak_bytes")),
        size(sum(each or 0 for each in reads)),
    ]


def _differences(rows: _Rows) -> list[Block]:
    """Where results differ, and what may be the reason."""
    found: list[Sequence[str | Cell]] = []
    for row in rows:
        difference = row.get("against_reference") or {"first_different": ()}
        is_tiled = row.get("is_exact") is False
        why = "layers run by tiles: the last bits" if is_tiled else "not known"
        found += [
            (_name(row), f"{frame:,}", ", ".join(tasks) or "only one has this frame", why)
            for frame, tasks in difference["first_different"]
        ]
    if not found:
        return []
    columns = ("budget", "frame", "tasks with other results", "possible reason")
    return [Table(columns=columns, rows=found, note="The first frames that differ.")]


def _latencies(rows: _Rows, reference: Mapping[str, Any], key: str) -> Table:
    """A row for each task, a column for each budget."""
    return Table(
        columns=(f"{key} of a frame's inferences", *map(_name, rows)),
        rows=[
            (name, *(_latency(row, reference, name, key) for row in rows))
            for name in rows[0]["tasks"]
        ],
        note=f"In brackets: relative to {_name(reference)}." if key == "p99" else "",
    )


def _latency(row: Mapping[str, Any], reference: Mapping[str, Any], name: str, key: str) -> str:
    own_s, other_s = (
        quantile(each["tasks"].get(name, {}).get("inference_s"), key) for each in (row, reference)
    )
    relative = "" if row is reference else f" ({TIMES}{ratio(own_s, other_s)})"
    return milliseconds(own_s) + relative


def _name(row: Mapping[str, Any]) -> str:
    budget = str(row["budget"] or "the scenario's")
    return f"{budget}, {row['mode']}" if row.get("mode") else budget


def _charts(report: ReportRecord) -> list[Part]:
    parts = []
    for place, name in enumerate(report.run.tasks):
        predicted = _predicted(report, name)
        measured = _measured(report, name)
        if len(predicted) + len(measured) < 2:
            continue
        svg = draw_svg(
            partial(
                _draw,
                predicted=predicted,
                measured=measured,
                unlimited_s=_unlimited(report, name),
                demand_bytes=report.run.demand_bytes,
            ),
            name=f"budgets-{place}",
            label="Latency over budget",
            width_in=NARROW_IN,
            height_in=3.3,
        )
        chart = Chart(svg=svg, caption="", legend=_legend(report, name))
        parts.append(Part(title=name, blocks=[chart], is_narrow=True))
    return parts


def _predicted(report: ReportRecord, name: str) -> list[tuple[int, float]]:
    points = report.run.curve.get("points", ())
    return [
        (point["budget_bytes"], point["latency_s"][name])
        for point in points
        if name in point["latency_s"]
    ]


def _measured(report: ReportRecord, name: str) -> list[tuple[int, Mapping[str, float]]]:
    rows: _Rows = report.comparison.get("runs", ()) or (report.run.figures,)
    found = [(row.get("budget_bytes"), row.get("tasks", {}).get(name, {})) for row in rows]
    return [
        (budget_bytes, task["inference_s"])
        for budget_bytes, task in found
        if budget_bytes is not None and task.get("inference_s")
    ]


def _unlimited(report: ReportRecord, name: str) -> float | None:
    for row in report.comparison.get("runs", ()):
        if row.get("budget_bytes") is None:
            return quantile(row["tasks"].get(name, {}).get("inference_s"), "p50")
    return None


def _draw(
    figure: Any,
    *,
    predicted: Sequence[tuple[int, float]],
    measured: Sequence[tuple[int, Mapping[str, float]]],
    unlimited_s: float | None,
    demand_bytes: int | None,
) -> None:
    axes = figure.subplots()
    if predicted:
        budgets = [budget_bytes / MIB for budget_bytes, _ in predicted]
        axes.plot(budgets, [each * MS_PER_S for _, each in predicted], color=colour("series-1"))
    for budget_bytes, latency in measured:
        place = budget_bytes / MIB
        span_ms = [latency["p50"] * MS_PER_S, latency["p90"] * MS_PER_S]
        axes.plot([place, place], span_ms, color=colour(OWN))
        axes.plot([place], span_ms[:1], "o", color=colour(OWN), markersize=7)
    if unlimited_s is not None:
        axes.axhline(unlimited_s * MS_PER_S, color=colour("good"), linestyle=(0, (4, 3)))
    if demand_bytes is not None:
        axes.axvline(demand_bytes / MIB, color=colour("muted"), linestyle=(0, (1, 2)))
    axes.set_xlabel("budget of all tasks together, MiB")
    axes.set_ylabel("latency, ms")
    axes.set_ylim(bottom=0)
    least, most = axes.get_xlim()
    if least < most / 2:  # else all that is there would stand in a corner
        axes.set_xlim(left=0)


def _legend(report: ReportRecord, name: str) -> list[LegendEntry]:
    entries = []
    if _measured(report, name):
        entries.append(LegendEntry(role=OWN, text="measured"))
    if _predicted(report, name):
        entries.append(LegendEntry(role="series-1", text="predicted"))
    if _unlimited(report, name) is not None:
        entries.append(LegendEntry(role="good", text="plain network, unlimited"))
    if report.run.demand_bytes is not None:
        entries.append(LegendEntry(role="muted", text="demand"))
    return entries
