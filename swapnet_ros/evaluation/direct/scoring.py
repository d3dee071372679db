"""Results and ground truth brought together, task by task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.direct.frame_analyst import TaskAnswer
from swapnet_ros.evaluation.metrics.scorers import Scorer
from swapnet_ros.evaluation.truth.frame import TruthFrame
from swapnet_ros.evaluation.truth.sources import TruthSource


class Scoring:
    """The accuracy of all tasks. Use from one thread."""

    def __init__(
        self,
        truth: TruthSource | None,
        scorers: Mapping[str, Scorer],
        *,
        tolerances_ns: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """Begin with no frames.

        Args:
            truth: what is known of the frames; None for nothing.
            scorers: by the tasks' names; tasks without one are not judged.
            tolerances_ns: of each topic's labels, the longest time between a frame and them; told
                beside how they met.
        """
        self._truth = truth
        self._scorers = dict(scorers)
        self._tolerances_ns = tolerances_ns or {}

    def __repr__(self) -> str:
        return f"<Scoring of {', '.join(self._scorers) or 'nothing'}>"

    def add(self, frame: SourceFrame, answers: Iterable[TaskAnswer]) -> bool:
        """Compare one frame's results with what is known of it; False where nothing is."""
        known = self.skip(frame)
        if known is None:
            return False
        for answer in answers:
            scorer = self._scorers.get(answer.task)
            if scorer is not None and answer.result is not None:
                scorer.add(answer.result, known)
        return True

    def skip(self, frame: SourceFrame) -> TruthFrame | None:
        """Return what is known of a frame, without comparing it with results."""
        if self._truth is None:
            return None
        return self._truth.find(frame.topic, frame.stamp_ns, index=frame.index)

    def summary(self) -> dict[str, Any]:
        """The tasks' figures by their names, of JSON types."""
        return {name: dict(scorer.summary()) for name, scorer in self._scorers.items()}

    def meetings(self) -> dict[str, list[dict[str, Any]]]:
        """How frames and labels met, by topic of images, of JSON types."""
        reports = {} if self._truth is None else self._truth.reports()
        return {
            topic: [
                {"tolerance_ns": tolerance_ns, **asdict(report)}
                for tolerance_ns, report in zip(
                    self._tolerances_ns.get(topic, ()), each, strict=True
                )
            ]
            for topic, each in reports.items()
        }

    def state(self) -> dict[str, Any]:
        """All that was taken in, of JSON types."""
        return {name: scorer.state() for name, scorer in self._scorers.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same tasks."""
        for name, scorer in self._scorers.items():
            scorer.restore(state[name])
