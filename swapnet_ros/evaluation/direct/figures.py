"""`figures.json`: latencies, memory and reads of an evaluation, from its timings."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from swapnet_core.reports import summarize_latencies
from swapnet_ros.evaluation.direct.timings_file import TimingRow
from swapnet_ros.evaluation.direct.whole_file import replace_text


class TaskTimings:
    """Sums of one task's frames; 16 bytes per frame."""

    def __init__(self) -> None:
        self._inferences_s = array("d")
        self._answers_s = array("d")
        self._inferences = 0
        self._stall_s = 0.0
        self._read_bytes = 0

    def __repr__(self) -> str:
        return f"<TaskTimings of {len(self._answers_s)} frames>"

    def add(self, row: TimingRow) -> None:
        """Take one frame in."""
        self._answers_s.append(row.answer_s)
        if row.inferences:  # none where an image was refused, or had no boxes to classify
            self._inferences_s.append(row.inference_s)
        self._inferences += row.inferences
        self._stall_s += row.stall_s
        self._read_bytes += row.read_bytes

    def summary(self) -> dict[str, Any]:
        """Latencies per frame in seconds, and sums; of JSON types."""
        inferring_s = sum(self._inferences_s)
        return {
            "frames": len(self._answers_s),
            "inferences": self._inferences,
            "inference_s": _distribution(self._inferences_s),
            "answer_s": _distribution(self._answers_s),
            "stall_share": self._stall_s / inferring_s if inferring_s else 0.0,
            "read_bytes": self._read_bytes,
            "read_bytes_per_inference": (
                self._read_bytes / self._inferences if self._inferences else 0.0
            ),
        }


def sum_up(rows: Iterable[TimingRow]) -> tuple[dict[str, dict[str, Any]], int]:
    """Sum up timings.

    Args:
        rows: of all frames.

    Returns:
        Every task's figures by its name, and the most that the process held above its baseline.
    """
    tasks: dict[str, TaskTimings] = {}
    peak_bytes = 0
    for row in rows:
        tasks.setdefault(row.task, TaskTimings()).add(row)
        peak_bytes = max(peak_bytes, row.process_bytes)
    return {name: timings.summary() for name, timings in tasks.items()}, peak_bytes


def join_tasks(
    timings: Mapping[str, Mapping[str, Any]], engine: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Put what was timed of every task beside what the engine knows of it."""
    return {name: {**engine[name], **timings.get(name, {})} for name in engine}


def write_figures(path: Path, figures: Mapping[str, Any]) -> None:
    """Write the file; an older one is replaced in one step.

    Raises:
        ReportError: it cannot be written; the older one is as it was.
    """
    replace_text(path, json.dumps(figures, indent=2) + "\n")


def _distribution(times_s: array[float]) -> dict[str, Any] | None:
    found = summarize_latencies(times_s)
    return None if found is None else asdict(found)
