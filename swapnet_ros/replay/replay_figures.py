"""`figures.json` of a replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from swapnet_core.reports import summarize_latencies
from swapnet_ros.evaluation.direct.direct_task import DirectTask
from swapnet_ros.msg import SwapModelStatus, SwapStatus
from swapnet_ros.replay.answered_frames import Answers
from swapnet_ros.replay.frame_totals import FrameAccount, account
from swapnet_ros.replay.latency_parts import LatencyParts
from swapnet_ros.replay.session import Play

_PLAN = (
    *("demand_bytes", "weight_bytes", "activation_bytes", "resident_bytes", "streamed_bytes"),
    *("planned_peak_bytes", "predicted_latency_s"),
)


def play_figures(
    play: Play, tasks: Sequence[DirectTask], played: Mapping[str, int]
) -> dict[str, Any]:
    """Sum up one play: a row of `rates`.

    Args:
        play: what came of it.
        tasks: of the scenario.
        played: images by topic.

    Returns:
        Of JSON types.
    """
    accounts = accounts_of(play, tasks, played)
    return {
        "rate": play.rate,
        "reached_rate": play.reached_rate,
        "complete": play.is_complete,
        "drop_share": drop_share(accounts),
        "process_peak_bytes": max((each.process_bytes for each in play.memory), default=0),
        "tasks": {task.name: _task(task, play, accounts[task.name]) for task in tasks},
    }


def accounts_of(
    play: Play, tasks: Sequence[DirectTask], played: Mapping[str, int]
) -> dict[str, FrameAccount]:
    """Account for the images of every task."""
    return {
        task.name: account(
            sum(played[topic] for topic in task.topics),
            play.totals[task.name],
            takes_boxes=bool(task.detector),
        )
        for task in tasks
    }


def drop_share(accounts: Mapping[str, FrameAccount]) -> float:
    """Share of dropped images of the task that dropped most."""
    return max((each.drop_share for each in accounts.values()), default=0.0)


def status_figures(status: SwapStatus) -> dict[str, Any]:
    """What the core told last, in the words of direct mode."""
    return {
        "baseline_bytes": status.baseline_bytes,
        "budget_bytes": status.budget_bytes,
        "demand_bytes": status.demand_bytes,
        "core_peak_bytes": status.peak_bytes,
        "storage": {
            "read_bandwidth_bytes_per_s": status.read_bandwidth_bytes_per_s,
            "direct_io": status.direct_io,
        },
    }


def task_figures(row: Mapping[str, Any], play: Play, answers: Answers) -> dict[str, dict[str, Any]]:
    """Every task's figures of the report's own play: its row, its plan, and its labels."""
    models = {model.name.strip("/"): model for model in play.status.models}
    return {
        name: {
            **_plan(models.get(name)),
            **figures,
            "labelled": asdict(answers.labelled[name]),
            "unmatched": answers.unmatched[name],
        }
        for name, figures in row["tasks"].items()
    }


def _plan(model: SwapModelStatus | None) -> dict[str, Any]:
    return {} if model is None else {name: getattr(model, name) for name in _PLAN}


def _task(task: DirectTask, play: Play, frames: FrameAccount) -> dict[str, Any]:
    parts, totals = play.record.parts(task.name), play.totals[task.name]
    running_s = [each.stall_s + each.compute_s for each in parts]
    total_s = sum(running_s)
    return {
        "frames": len(parts),
        "inferences": totals.inferences,
        "inference_s": _distribution(running_s),
        **{
            each.name: _distribution([getattr(part, each.name) for part in parts])
            for each in fields(LatencyParts)
        },
        "stall_share": sum(each.stall_s for each in parts) / total_s if total_s else 0.0,
        "read_bytes": totals.bytes_read,
        "read_bytes_per_inference": (
            totals.bytes_read / totals.inferences if totals.inferences else 0.0
        ),
        "faults": totals.faults,
        "played": frames.played,
        "received": frames.received,
        "published": frames.published,
        "drops": dict(frames.drops),
        "drop_share": frames.drop_share,
        "deadline_misses": totals.deadline_misses,
    }


def _distribution(times_s: Sequence[float]) -> dict[str, Any] | None:
    found = summarize_latencies(times_s)
    return None if found is None else asdict(found)
