"""The report's first section: what was run, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from swapnet_ros.evaluation.direct.budget_words import UNLIMITED
from swapnet_ros.evaluation.report.blocks import (
    BAD,
    PLAIN,
    Bar,
    Bars,
    Block,
    Facts,
    Part,
    Section,
    Text,
    Tile,
    Tiles,
)
from swapnet_ros.evaluation.report.headlines import accuracy_headline
from swapnet_ros.evaluation.report.palette import OWN
from swapnet_ros.evaluation.report.quantities import (
    NOT_MEASURED,
    TIMES,
    counted,
    milliseconds,
    number,
    percent,
    quantile,
    ratio,
    size,
)
from swapnet_ros.evaluation.report.run_record import (
    UNKNOWN,
    ReportRecord,
    RunRecord,
)
from swapnet_ros.evaluation.report.verdicts import results_verdict


def summary_section(report: ReportRecord) -> Section:
    """Say what was run, and the headline figures."""
    run = report.run
    blocks: list[Block] = [*_state(run), Tiles(tiles=_tiles(report))]
    bars = _memory_bars(run)
    parts = [Part(blocks=blocks)]
    if bars:
        parts.append(Part(title="Budget against demand", blocks=[Bars(bars=bars)]))
    parts.append(Part(title="What was run", blocks=[Facts(facts=_facts(run))]))
    return Section(anchor="summary", title="Summary", parts=parts)


def latency_key(run: RunRecord) -> str:
    """Which distribution of a task is its latency: of its inferences, or up to publication."""
    return "latency_s" if run.is_replay else "inference_s"


def _state(run: RunRecord) -> list[Text]:
    told = [Text(text=fault, tone=BAD) for fault in run.faults]
    if not run.is_complete:
        done = counted(run.frames_done, "frame")
        total = run.figures.get("frames_in_bag")
        of = f" of {total:,}" if total else ""
        told.insert(
            0,
            Text(
                text=f"This report is partial: the evaluation was stopped after {done}{of}. All "
                "figures are of these; `swapnet evaluate ... --resume` goes on from there.",
                tone=BAD,
            ),
        )
    random = [name for name, task in run.tasks.items() if task.get("random_weights")]
    if random:
        told.append(
            Text(
                text=f"Random weights: {', '.join(random)}. Memory and speed are real, results "
                "mean nothing.",
                tone=BAD,
            )
        )
    return told


def _tiles(report: ReportRecord) -> list[Tile]:
    run = report.run
    figures = run.figures
    verdict = results_verdict(report.comparison)
    tiles = [
        _budget_tile(run),
        Tile(label="Results", value=verdict.short, note=verdict.reason, tone=verdict.tone),
        Tile(
            label="Frames",
            value=number(run.frames_done),
            note=_which_frames(run),
            tone=PLAIN if run.is_complete else BAD,
        ),
    ]
    if run.is_replay:
        tiles.append(_rate_tile(figures))
    else:
        tiles.append(
            Tile(
                label="Speed",
                value=_speed(figures.get("frames_per_s")),
                note=_elapsed(figures.get("elapsed_s")),
            )
        )
    tiles += [_latency_tile(run), _stall_tile(run), *_cost_tile(report), *_accuracy_tiles(run)]
    return tiles


def _which_frames(run: RunRecord) -> str:
    if not run.is_complete:
        return "stopped: this is a partial report"
    if run.is_replay:
        return f"were answered, of {number(run.figures.get('frames_played'))} played"
    return "all of the bag"


def _speed(frames_per_s: float | None) -> str:
    return NOT_MEASURED if frames_per_s is None else f"{frames_per_s:,.2f} frames/s"


def _elapsed(elapsed_s: float | None) -> str:
    if elapsed_s is None:
        return "how long it took is not known"
    return f"{elapsed_s:,.1f} s for all tasks of all frames"


def _budget_tile(run: RunRecord) -> Tile:
    if run.budget == UNLIMITED:
        return Tile(label="Budget", value=UNLIMITED, note="the plain networks, without the core")
    budget_bytes, demand_bytes = run.figures.get("budget_bytes"), run.demand_bytes
    note = "the networks' demand is not known"
    if demand_bytes:
        note = f"demand {size(demand_bytes)}: {ratio(demand_bytes, budget_bytes)} times the budget"
    value = size(budget_bytes) if budget_bytes else run.budget or NOT_MEASURED
    return Tile(label="Budget", value=value, note=note)


def _rate_tile(figures: Mapping[str, Any]) -> Tile:
    highest, rates = figures.get("highest_rate"), figures.get("rates") or ()
    if len(rates) == 1:
        dropped = percent(rates[0].get("drop_share"))
        return Tile(
            label="Play rate",
            value=f"{rates[0]['rate']:.3g} times",
            note=f"the bag's own; {dropped} of the images were dropped",
        )
    value = NOT_MEASURED if highest is None else f"{highest:.3g} times"
    return Tile(
        label="Highest play rate", value=value, note="of the bag's own, with under 5 % of drops"
    )


def _slowest(run: RunRecord) -> str | None:
    """The task with the longest median; None where none was timed."""
    key = latency_key(run)
    medians = {name: task[key]["p50"] for name, task in run.tasks.items() if task.get(key)}
    return max(medians, key=lambda name: medians[name]) if medians else None


def _latency_tile(run: RunRecord) -> Tile:
    slowest = _slowest(run)
    if slowest is None:
        return Tile(label="Latency", value=NOT_MEASURED, note="no inference was timed")
    found = run.tasks[slowest][latency_key(run)]
    return Tile(
        label="Median latency, slowest task",
        value=milliseconds(found["p50"]),
        note=f"{slowest}; 99 % within {milliseconds(quantile(found, 'p99'))}",
    )


def _stall_tile(run: RunRecord) -> Tile:
    taken_s = sum(sum(times.latency_s) for times in run.times.values())
    stalled_s = sum(sum(times.stall_s) for times in run.times.values())
    return Tile(
        label="Stalled",
        value=percent(stalled_s / taken_s if taken_s else None),
        note="of the latencies: compute waited for blocks"
        if run.is_replay
        else "of the inferences' time: compute waited for blocks",
    )


def _cost_tile(report: ReportRecord) -> list[Tile]:
    """What the budget costs, where the plain networks ran, too."""
    reference = report.others.get(UNLIMITED)
    slowest = _slowest(report.run)
    if reference is None or slowest is None:
        return []
    own_s = quantile(report.run.tasks[slowest].get("inference_s"), "p50")
    other_s = quantile(reference.tasks.get(slowest, UNKNOWN).get("inference_s"), "p50")
    held, other_held = (
        size(each.figures.get("process_peak_bytes")) for each in (report.run, reference)
    )
    return [
        Tile(
            label="Against unlimited memory",
            value=f"{TIMES}{ratio(own_s, other_s)} time",
            note=f"median inference of {slowest}; the process held {held} instead of {other_held}",
        )
    ]


def _accuracy_tiles(run: RunRecord) -> list[Tile]:
    accuracy = run.results.tail.get("accuracy", UNKNOWN) or run.figures.get("accuracy", UNKNOWN)
    headlines = {name: accuracy_headline(figures) for name, figures in accuracy.items()}
    return [
        Tile(label=f"Accuracy: {headline.name}", value=headline.value, note=name)
        for name, headline in headlines.items()
        if headline is not None
    ]


def _memory_bars(run: RunRecord) -> list[Bar]:
    figures = run.figures
    sizes = (
        ("demand: weights, buffers and activations", run.demand_bytes, "muted"),
        ("budget", figures.get("budget_bytes"), "budget"),
        ("most held by the core", figures.get("core_peak_bytes"), "ink"),
        ("most held by the process", figures.get("process_peak_bytes"), OWN),
    )
    known = [(label, each, role) for label, each, role in sizes if each is not None]
    most = max((each for _, each, _ in known), default=0)
    if len(known) < 2 or not most:
        return []
    return [
        Bar(label=label, value=size(each), share=each / most, role=role)
        for label, each, role in known
    ]


def _facts(run: RunRecord) -> list[tuple[str, str]]:
    command = run.command
    topics = run.results.topics
    span_s = run.results.span_s
    facts = [
        ("Bag", str(command.get("bag", "")) or _files(run)),
        ("Scenario", str(command.get("config", "")) or NOT_MEASURED),
        ("Mode", "replay: nodes, in real time" if run.is_replay else "direct: every frame"),
        ("Images", ", ".join(f"{name}: {count:,}" for name, count in topics.items())),
        ("Sizes", ", ".join(f"{name}: {count:,}" for name, count in run.results.sizes.items())),
        ("Recorded", NOT_MEASURED if span_s is None else f"{span_s:,.1f} s, by the images' stamps"),
        ("Tasks", ", ".join(run.tasks)),
    ]
    return [(name, value or NOT_MEASURED) for name, value in facts]


def _files(run: RunRecord) -> str:
    return ", ".join(PurePath(name).name for name, _ in run.setup.get("bag", ()))
