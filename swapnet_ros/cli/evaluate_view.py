"""How `swapnet evaluate` shows what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Column, Table

from swapnet_core.sizes import format_size

PERCENTILES = ("p50", "p90", "p99", "max")


def figures_tables(outcome: Mapping[str, Any]) -> list[Table]:
    """Return the tables of one evaluation: the whole, its tasks, accuracy and problems."""
    tables = [_whole(outcome), _tasks(outcome)]
    if outcome["accuracy"]:
        tables.append(_accuracy(outcome["accuracy"]))
    if outcome["problems"]:
        tables.append(problems_table(outcome["problems"]))
    return tables


def comparison_table(comparison: Mapping[str, Any]) -> Group:
    """Return a table with a row for each budget, and below it one with each task's latencies."""
    rows = comparison["runs"]
    whole = Table(
        *("budget", "frames/s", "process", "read per frame", "results"),
        title="the same frames under several budgets",
        caption=f"results against {comparison['reference']}",
    )
    for row in rows:
        reads = sum(task["read_bytes_per_inference"] or 0 for task in row["tasks"].values())
        whole.add_row(
            row["budget"],
            f"{row['frames_per_s']:.2f}",
            format_size(row["process_peak_bytes"]),
            format_size(reads),
            _verdict(row),
        )
    tasks = task_table(*(row["budget"] for row in rows))
    tasks.caption = "median latency of a frame's inferences"
    for name in rows[0]["tasks"]:
        tasks.add_row(name, *(_median(row["tasks"][name]["inference_s"]) for row in rows))
    return Group(whole, tasks)


def task_table(*columns: str) -> Table:
    """Return a table with a line for each task, whose name gives way to the numbers' columns."""
    numbers = (Column(each, justify="right", no_wrap=True) for each in columns)
    return Table(Column("task", overflow="fold"), *numbers)


def accuracy_words(figures: Mapping[str, Any]) -> str:
    """Return a task's single numbers, as they fit into a cell."""
    plain = {key: each for key, each in figures.items() if isinstance(each, (int, float))}
    return ", ".join(f"{key} {each:.4g}" for key, each in plain.items())


def problems_table(problems: Sequence[Mapping[str, Any]]) -> Table:
    """Return what is wrong with a bag, and how often it was met."""
    table = Table("problem of the bag", "times")
    for problem in problems:
        table.add_row(problem["sentence"], str(problem["count"]))
    return table


def _whole(outcome: Mapping[str, Any]) -> Table:
    budget_bytes = outcome["budget_bytes"]
    state = "complete" if outcome["complete"] else "stopped"
    table = Table("", f"{outcome['frames_done']} frames, {state}")
    table.add_row("budget", "none" if budget_bytes is None else format_size(budget_bytes))
    if outcome.get("core_peak_bytes") is not None:
        table.add_row("most held by the core", format_size(outcome["core_peak_bytes"]))
    table.add_row(
        "most held by the process",
        f"{format_size(outcome['process_peak_bytes'])} more than before loading",
    )
    table.add_row("speed", f"{outcome['frames_per_s']:.2f} frames/s")
    return table


def _tasks(outcome: Mapping[str, Any]) -> Table:
    table = task_table("frames", *PERCENTILES, "stall", "read")
    table.caption = (
        "latency of a frame's inferences in ms, without waiting for other tasks; read per inference"
    )
    for name, task in outcome["tasks"].items():
        latency = task.get("inference_s")
        table.add_row(
            name,
            str(task.get("frames", 0)),
            *("-" if latency is None else f"{latency[key] * 1e3:.1f}" for key in PERCENTILES),
            f"{task.get('stall_share', 0.0):.0%}",
            format_size(task.get("read_bytes_per_inference", 0.0)),
        )
    return table


def _accuracy(accuracy: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table("task", "accuracy")
    for name, figures in accuracy.items():
        table.add_row(name, accuracy_words(figures))
    return table


def _verdict(row: Mapping[str, Any]) -> str:
    difference = row.get("against_reference")
    if difference is None:
        return "reference"
    if difference["is_equal"]:
        return "the same"
    tiles = "" if row["is_exact"] else "; layers run by tiles, which may change the last bits"
    return f"{difference['different']} of {difference['frames']} frames DIFFER{tiles}"


def _median(latency: Mapping[str, float] | None) -> str:
    return "-" if latency is None else _ms(latency["p50"])


def _ms(duration_s: float) -> str:
    return f"{duration_s * 1e3:.1f} ms"
