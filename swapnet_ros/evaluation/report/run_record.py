"""One evaluation's folder, read as far as it is there."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNKNOWN: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTimes:
    """One task's times, a value for each frame that it worked on.

    Attributes:
        frames: position in the evaluation; in replay mode, the number of the result.
        latency_s: direct mode: of the frame's inferences; replay mode: from reception to
            publication.
        stall_s: part of it that compute waited for blocks.
    """

    frames: array[int] = field(default_factory=lambda: array("q"))
    latency_s: array[float] = field(default_factory=lambda: array("d"))
    stall_s: array[float] = field(default_factory=lambda: array("d"))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRecord:
    """What was held, over the evaluation.

    Attributes:
        axis: what `places` are, with their unit.
        places: rising.
        process_bytes: above what the process held before the networks were loaded.
        core_bytes: what the core held; empty where only its peak is known.
        budget_bytes: in force then; empty where it did not change.
    """

    axis: str = "frame"
    places: array[float] = field(default_factory=lambda: array("d"))
    process_bytes: array[float] = field(default_factory=lambda: array("d"))
    core_bytes: array[float] = field(default_factory=lambda: array("d"))
    budget_bytes: array[float] = field(default_factory=lambda: array("d"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """Frames that a task could not take.

    Attributes:
        count: how many.
        first_frame: position of the first one.
        reason: why that one was refused.
    """

    count: int
    first_frame: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsRecord:
    """What `results.json` says beside what was found.

    Attributes:
        tasks: every task's setting.
        frames: how many there are.
        topics: how many there are of each topic.
        sizes: of the images, as `WIDTHxHEIGHT`, and how many have it.
        span_s: between the first and the last stamp; None with fewer than two frames.
        refusals: by task.
        tail: what stands after the frames: accuracy, labels, problems; empty where it is not there.
    """

    tasks: Mapping[str, Mapping[str, Any]]
    frames: int
    topics: Mapping[str, int]
    sizes: Mapping[str, int]
    span_s: float | None
    refusals: Mapping[str, Refusals]
    tail: Mapping[str, Any]


NO_RESULTS = ResultsRecord(
    tasks=UNKNOWN, frames=0, topics={}, sizes={}, span_s=None, refusals={}, tail=UNKNOWN
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One evaluation's folder.

    Attributes:
        path: the folder.
        figures: `figures.json`; empty where it is not there.
        setup: of `progress.json`: bag, budget, scenario and labels.
        results: of `results.json`.
        times: of `timings.csv`, by task.
        memory: of `memory.csv`, or else of `timings.csv`.
        timeline: `timeline.json`: one inference of every task.
        samples: `samples/samples.json`: frames with their pictures.
        curve: `curve.json`: what was predicted for other budgets.
        faults: files that cannot be read, in sentences.
    """

    path: Path
    figures: Mapping[str, Any]
    setup: Mapping[str, Any]
    results: ResultsRecord
    times: Mapping[str, TaskTimes]
    memory: MemoryRecord
    timeline: Mapping[str, Any]
    samples: Sequence[Mapping[str, Any]]
    curve: Mapping[str, Any]
    faults: Sequence[str]

    @property
    def budget(self) -> str:
        """As it was asked for; empty where nothing says it."""
        return str(self.figures.get("budget") or self.setup.get("budget") or "")

    @property
    def command(self) -> Mapping[str, Any]:
        """The words of the command line, as far as they are known."""
        words: Mapping[str, Any] = self.figures.get("configuration", UNKNOWN).get(
            "command", UNKNOWN
        )
        return words

    @property
    def is_replay(self) -> bool:
        """Whether the nodes ran, in their own time."""
        return self.figures.get("mode") == "replay"

    @property
    def is_complete(self) -> bool:
        """Whether the evaluation came to its end."""
        return bool(self.results.tail.get("complete", self.figures.get("complete", False)))

    @property
    def frames_done(self) -> int:
        """How many images were evaluated."""
        return int(self.results.frames or self.figures.get("frames_done", 0))

    @property
    def demand_bytes(self) -> int | None:
        """What all tasks need together with everything in memory; None where it is not known.

        Where only the tasks' own demands are told, it is known if no two tasks have one network:
        those may be held once.
        """
        told = self.figures.get("demand_bytes")
        tasks = self.tasks.values()
        networks = {task.get("network") for task in tasks}
        keys = ("demand_bytes", "activation_bytes")
        if told is not None or len(networks) < len(tasks):
            return told
        if not tasks or not all(task.get(key) is not None for task in tasks for key in keys):
            return None
        kept_bytes = sum(task["demand_bytes"] - task["activation_bytes"] for task in tasks)
        return int(kept_bytes + max(task["activation_bytes"] for task in tasks))

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Every task's figures and setting by its name, in the scenario's order."""
        measured = self.figures.get("tasks", UNKNOWN)
        names = dict.fromkeys((*self.results.tasks, *measured, *self.times))
        return {
            name: {**self.results.tasks.get(name, {}), **measured.get(name, {})} for name in names
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRecord:
    """All that a report is made of.

    Attributes:
        run: the evaluation.
        comparison: `comparison.json`; empty where nothing was compared.
        others: the evaluations that it was compared with, by their budgets.
    """

    run: RunRecord
    comparison: Mapping[str, Any]
    others: Mapping[str, RunRecord]


def read_json(path: Path, faults: list[str]) -> Mapping[str, Any]:
    """Read a file that holds an object; what is wrong with it is added to `faults`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return UNKNOWN
    except (OSError, ValueError) as error:
        faults.append(f"{path.name} cannot be read: {error}")
        return UNKNOWN
    if not isinstance(content, dict):
        faults.append(f"{path.name} cannot be read: it holds no JSON object")
        return UNKNOWN
    return content
