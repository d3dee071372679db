"""What `swapnet top` shows: perception processes and their tasks, as tables or JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from swapnet_core.sizes import format_size
from swapnet_ros.msg import SwapModelStatus, SwapStatus
from swapnet_ros.nodes.status_listener import NodeReport

_STYLES = {"OK": "green", "WARN": "yellow", "ERROR": "bold red", "STALE": "dim"}
_LOST = ("refused", "stale", "late", "failed")
_MIB = 2**20
_FIGURES = (
    "rate\nHz",
    "latency ms\np50/p99",
    "predicted\nms",
    "stall",
    "resident\nMiB",
    "read\nMiB",
    "dropped",
    "lost",
)


def top_json(cores: Mapping[str, SwapStatus], nodes: Mapping[str, NodeReport]) -> dict[str, Any]:
    """Everything that was heard, as JSON's types; sizes in bytes, times in seconds."""
    return {
        "cores": {name: _fields(status) for name, status in sorted(cores.items())},
        "nodes": {
            name: {
                "level": report.level,
                "message": report.message,
                "rate_hz": report.rate_hz,
                "values": dict(report.values),
            }
            for name, report in sorted(nodes.items())
        },
    }


def top_tables(cores: Mapping[str, SwapStatus], nodes: Mapping[str, NodeReport]) -> Group:
    """Lay out what was heard: one table of cores, one of tasks, and what is amiss."""
    models = {model.name: model for status in cores.values() for model in status.models}
    tasks = {name: report for name, report in sorted(nodes.items()) if "state" in report.values}
    amiss = [
        Text(f"{name}: {report.message}", style=_STYLES[report.level])
        for name, report in sorted(nodes.items())
        if report.level != "OK"
    ]
    return Group(_core_table(cores), _task_table(tasks, models), *amiss)


def _core_table(cores: Mapping[str, SwapStatus]) -> Table:
    table = Table("core", "device", "held", "budget", "peak", "demand", "reads", "busy")
    for name, status in sorted(cores.items()):
        ratio = status.demand_bytes / status.budget_bytes if status.budget_bytes else math.nan
        table.add_row(
            name,
            status.device,
            format_size(status.leased_bytes),
            format_size(status.budget_bytes),
            format_size(status.peak_bytes),
            f"{format_size(status.demand_bytes)} ({ratio:.2f}x)",
            f"{format_size(status.read_bandwidth_bytes_per_s)}/s",
            Text(f"{status.busy_share:.0%}", style="" if status.rates_fit else "yellow"),
        )
    return table


def _task_table(tasks: Mapping[str, NodeReport], models: Mapping[str, SwapModelStatus]) -> Table:
    """One row per task, narrow: units stand above, networks below the names of their tasks."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("task\nnetwork", no_wrap=True)
    table.add_column("state", overflow="fold")
    for title in _FIGURES:
        table.add_column(title, justify="right", overflow="fold")
    for name, report in tasks.items():
        values = report.values
        table.add_row(
            f"{name}\n{values.get('network') or '-'}",
            Text(values["state"], style=_STYLES[report.level]),
            _rate(report),
            *_model_cells(models.get(name)),
            values.get("dropped", "-"),
            str(sum(int(values.get(key, 0)) for key in _LOST)),
        )
    return table


def _rate(report: NodeReport) -> str:
    return "-" if report.rate_hz is None else f"{report.rate_hz:.2f}"


def _model_cells(model: SwapModelStatus | None) -> tuple[str, ...]:
    if model is None:
        return ("-",) * 5
    running_s = model.stall_s + model.compute_s
    return (
        f"{1e3 * model.latency_p50_s:.0f}/{1e3 * model.latency_p99_s:.0f}",
        f"{1e3 * model.predicted_latency_s:.0f}",
        f"{model.stall_s / running_s:.1%}" if running_s > 0 else "-",
        f"{model.resident_bytes / _MIB:.1f}",
        f"{model.streamed_bytes / _MIB:.1f}",
    )


def _fields(message: Any) -> Any:
    """A message's fields by name, nested ones too."""
    if isinstance(message, list):
        return [_fields(item) for item in message]
    if not hasattr(message, "get_fields_and_field_types"):
        return message
    return {name: _fields(getattr(message, name)) for name in message.get_fields_and_field_types()}
