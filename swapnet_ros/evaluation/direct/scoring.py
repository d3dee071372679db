"""Results and ground truth brought together, task by task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.direct.frame_analyst import TaskAnswer
from swapnet_ros.perception.tasks.analysis import TaskResult


class Truth(Protocol):
    """Ground truth of a recording's frames, asked for in the order of their stamps."""

    def find(
        self, topic: str, stamp_ns: int, *, name: str = "", index: int | None = None
    ) -> Any | None:
        """Return what is known of a frame; None where nothing is."""


class Scorer(Protocol):
    """Compares the results of one task with ground truth."""

    def add(self, result: TaskResult, truth: Any) -> None:
        """Take one frame in; one without labels of this kind changes nothing."""

    def summary(self) -> Mapping[str, Any]:
        """The figures so far, of JSON types."""

    def state(self) -> Any:
        """All that was taken in, of JSON types."""

    def restore(self, state: Any) -> None:
        """Go on from a state."""


class Scoring:
    """The accuracy of all tasks. Use from one thread."""

    def __init__(self, truth: Truth | None, scorers: Mapping[str, Scorer]) -> None:
        """Begin with no frames.

        Args:
            truth: what is known of the frames; None for nothing.
            scorers: by the tasks' names; tasks without one are not judged.
        """
        self._truth = truth
        self._scorers = dict(scorers)

    def __repr__(self) -> str:
        return f"<Scoring of {', '.join(self._scorers) or 'nothing'}>"

    def add(self, frame: SourceFrame, answers: Iterable[TaskAnswer]) -> None:
        """Compare one frame's results with what is known of it."""
        known = self.skip(frame)
        if known is None:
            return
        for answer in answers:
            scorer = self._scorers.get(answer.task)
            if scorer is not None and answer.result is not None:
                scorer.add(answer.result, known)

    def skip(self, frame: SourceFrame) -> Any | None:
        """Return what is known of a frame, without comparing it with results."""
        if self._truth is None:
            return None
        return self._truth.find(frame.topic, frame.stamp_ns, index=frame.index)

    def summary(self) -> dict[str, Any]:
        """The tasks' figures by their names, of JSON types."""
        return {name: dict(scorer.summary()) for name, scorer in self._scorers.items()}

    def state(self) -> dict[str, Any]:
        """All that was taken in, of JSON types."""
        return {name: scorer.state() for name, scorer in self._scorers.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same tasks."""
        for name, scorer in self._scorers.items():
            scorer.restore(state[name])
