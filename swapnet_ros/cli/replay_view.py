"""How `swapnet evaluate --mode replay` shows what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from swapnet_core.sizes import format_size
from swapnet_ros.cli.evaluate_view import PERCENTILES, accuracy_words, problems_table, task_table
from swapnet_ros.replay.latency_parts import PARTS


def replay_tables(
    outcome: Mapping[str, Any], comparison: Mapping[str, Any] | None
) -> list[Table | str]:
    """Return the tables of one replay: the whole, latency, images, rates, accuracy, comparison."""
    shown: list[Table | str] = [
        *(_whole(outcome), _latencies(outcome), _latency_parts(outcome), _images(outcome))
    ]
    if len(outcome["rates"]) > 1 or "rate_search" in outcome:
        shown.append(_rates(outcome))
    if outcome["accuracy"]:
        shown.append(_accuracy(outcome))
    if outcome["problems"]:
        shown.append(problems_table(outcome["problems"]))
    if comparison is not None:
        shown.append(_verdict(comparison))
    return shown


def _whole(outcome: Mapping[str, Any]) -> Table:
    state = "complete" if outcome["complete"] else "stopped"
    table = Table("", f"{outcome['frames_played']} images played, {state}")
    table.add_row("answered by a task at least", str(outcome["frames_done"]))
    table.add_row("rate", _rate_words(outcome))
    table.add_row("budget", format_size(outcome["budget_bytes"]))
    table.add_row("most held by the core", format_size(outcome["core_peak_bytes"]))
    table.add_row(
        "most held by the process",
        f"{format_size(outcome['process_peak_bytes'])} more than before loading",
    )
    return table


def _latencies(outcome: Mapping[str, Any]) -> Table:
    table = task_table("answers", *PERCENTILES)
    table.title = "latency, from an image's arrival to its result's publication, in ms"
    for name, task in outcome["tasks"].items():
        latency = task["latency_s"]
        times = () if latency is None else (_ms(latency[key]) for key in PERCENTILES)
        table.add_row(name, str(task["frames"]), *times)
    return table


def _latency_parts(outcome: Mapping[str, Any]) -> Table:
    table = task_table(*(part.removesuffix("_s") for part in PARTS))
    table.title = "its parts, as means, in ms"
    for name, task in outcome["tasks"].items():
        if task["latency_s"] is not None:
            table.add_row(name, *(_ms(task[part]["mean"]) for part in PARTS))
    return table


def _images(outcome: Mapping[str, Any]) -> Table:
    causes = dict.fromkeys(
        cause for task in outcome["tasks"].values() for cause, n in task["drops"].items() if n
    )
    heads = (cause.replace("_", "\n") for cause in causes)
    table = task_table("played", "received", "published", *heads, "deadline\nmisses")
    table.title = "what became of the images"
    for name, task in outcome["tasks"].items():
        numbers = [task[key] for key in ("played", "received", "published")]
        numbers += [task["drops"][cause] for cause in causes] + [task["deadline_misses"]]
        table.add_row(name, *map(str, numbers))
    return table


def _rates(outcome: Mapping[str, Any]) -> Table:
    table = Table(
        *("rate", *outcome["tasks"]),
        title="median latency, and images dropped for want of time",
        caption=outcome.get("rate_search") or _highest(outcome),
    )
    for row in outcome["rates"]:
        cells = [
            f"{'-' if task['latency_s'] is None else _ms(task['latency_s']['p50']) + ' ms'}, "
            f"{task['drop_share']:.1%}"
            for task in row["tasks"].values()
        ]
        table.add_row(_rate_words(row), *cells)
    return table


def _accuracy(outcome: Mapping[str, Any]) -> Table:
    table = Table("task", "labelled images answered", "accuracy on these")
    for name, figures in outcome["accuracy"].items():
        met = outcome["labelled"][name]
        table.add_row(name, f"{met['answered']} of {met['frames']}", accuracy_words(figures))
    return table


def _verdict(comparison: Mapping[str, Any]) -> str:
    found = comparison["runs"][0]["against_reference"]
    reference = comparison["reference"]
    if found["different"]:
        return (
            f"{found['different']} of {found['frames']} answered images DIFFER from {reference}; "
            "where a plan runs layers by tiles, the last bits may"
        )
    accuracy = {True: "; so is the accuracy", False: "; the accuracy DIFFERS", None: ""}
    return (
        f"the results of all {found['frames']} answered images are those of {reference}"
        f"{accuracy[found['is_accuracy_equal']]}"
    )


def _highest(outcome: Mapping[str, Any]) -> str:
    rate = outcome["highest_rate"]
    return "no rate with under 5 % drops" if rate is None else f"under 5 % drops up to {rate:.3g}"


def _rate_words(row: Mapping[str, Any]) -> str:
    reached = row["reached_rate"]
    return f"{row['rate']:.3g}" + ("" if reached is None else f" (reached {reached:.3g})")


def _ms(duration_s: float) -> str:
    return f"{duration_s * 1e3:.1f}"
