"""The table of tasks: what each took, read and held."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from swapnet_ros.evaluation.report.blocks import BAD, Block, Cell, Part, Section, Table, missing
from swapnet_ros.evaluation.report.quantities import (
    NOT_MEASURED,
    milliseconds,
    number,
    percent,
    quantile,
    size,
)
from swapnet_ros.evaluation.report.run_record import RunRecord

_QUANTILES = ("p50", "p90", "p99", "max")


def tasks_section(run: RunRecord) -> Section:
    """List the tasks with their times, and with what the core planned for them."""
    if not run.tasks:
        blocks: list[Block] = [missing("The files name no tasks.")]
        return Section(anchor="tasks", title="Tasks", parts=[Part(blocks=blocks)])
    parts = [
        Part(blocks=[_what(run)]),
        Part(title="Time", blocks=[_times(run)]),
        Part(title="Memory and reads", blocks=[_memory(run)]),
    ]
    return Section(anchor="tasks", title="Tasks", parts=parts)


def _what(run: RunRecord) -> Table:
    rows = []
    for name, task in run.tasks.items():
        kind = task.get("task", name)
        refused = run.results.refusals.get(name)
        is_random = task.get("random_weights")
        rows.append(
            (
                name if kind == name else f"{name} ({kind})",
                str(task.get("network", NOT_MEASURED)),
                Cell(text="random", tone=BAD) if is_random else _weights(task),
                ", ".join(task.get("topics", ())) or NOT_MEASURED,
                number(task.get("frames", task.get("published"))),
                Cell(text=number(refused.count), tone=BAD) if refused else "0",
            )
        )
    return Table(columns=("task", "network", "weights", "images", "frames", "refused"), rows=rows)


def _weights(task: Mapping[str, Any]) -> str:
    given = task.get("parameters", {}).get("weights")
    return PurePath(str(given)).name if given else "the network's own"


def _times(run: RunRecord) -> Table:
    if run.is_replay:
        return Table(
            columns=("task", *(f"latency {key}" for key in _QUANTILES), "inferences"),
            rows=[
                (name, *_quantiles(task.get("latency_s")), number(task.get("inferences")))
                for name, task in run.tasks.items()
            ],
            note="From reception of an image to publication of its result, by the monotonic clock.",
        )
    return Table(
        columns=("task", *_QUANTILES, "stalled", "predicted", "answer p50", "answer p99", "faults"),
        rows=[
            (
                name,
                *_quantiles(task.get("inference_s")),
                percent(task.get("stall_share")),
                milliseconds(task.get("predicted_latency_s")),
                milliseconds(quantile(task.get("answer_s"), "p50")),
                milliseconds(quantile(task.get("answer_s"), "p99")),
                number(task.get("faults")),
            )
            for name, task in run.tasks.items()
        ],
        note="p50, p90, p99 and max are of the time of an image's inferences, stalls included, "
        "without waiting for other tasks. Predicted: by the plan, for one inference, back to back "
        "with others of the same network. Answer: from handing the image to all its tasks to this "
        "one's result. Faults: weights read out of the planned order.",
    )


def _memory(run: RunRecord) -> Table:
    return Table(
        columns=(
            *("task", "demand", "weights", "activations", "resident", "streamed", "planned peak"),
            *("read per inference", "results"),
        ),
        rows=[
            (
                name,
                *(
                    size(task.get(f"{key}_bytes"))
                    for key in ("demand", "weight", "activation", "resident", "streamed")
                ),
                size(task.get("planned_peak_bytes")),
                size(task.get("read_bytes_per_inference")),
                _exactness(task),
            )
            for name, task in run.tasks.items()
        ],
        note="Demand: weights, buffers and activations with everything in memory. Resident weights "
        "stay in memory, streamed ones are read for every inference. Networks with equal weights "
        "share their memory and their reads, which count for each of them.",
    )


def _exactness(task: Mapping[str, Any]) -> str | Cell:
    if "is_exact" not in task:
        return NOT_MEASURED
    if task["is_exact"]:
        return "exact"
    return Cell(text="layers by tiles: the last bits may differ", tone=BAD)


def _quantiles(distribution: Mapping[str, Any] | None) -> list[str]:
    return [milliseconds(quantile(distribution, key)) for key in _QUANTILES]
