"""Where everything of one evaluation lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFolder:
    """The files of one evaluation, by what they hold."""

    path: Path

    @property
    def results(self) -> Path:
        """What was found, frame by frame, and how accurate it was; no times."""
        return self.path / "results.json"

    @property
    def timings(self) -> Path:
        """What every frame took in every task."""
        return self.path / "timings.csv"

    @property
    def figures(self) -> Path:
        """Latencies, memory and reads in sums, and where all this was measured."""
        return self.path / "figures.json"

    @property
    def progress(self) -> Path:
        """How far it has come."""
        return self.path / "progress.json"

    @property
    def recording(self) -> Path:
        """The results as a bag."""
        return self.path / "results_bag"

    @property
    def timeline(self) -> Path:
        """One inference of every task: when which block was read and used."""
        return self.path / "timeline.json"

    @property
    def comparison(self) -> Path:
        """What is different under other budgets."""
        return self.path / "comparison.json"

    @property
    def profiles(self) -> Path:
        """What planning knows of every task's network, at the speeds of the evaluation."""
        return self.path / "profiles.json"

    @property
    def curve(self) -> Path:
        """Latencies that are predicted for other budgets."""
        return self.path / "curve.json"

    @property
    def memory(self) -> Path:
        """Of a replay: memory over time."""
        return self.path / "memory.csv"

    @property
    def samples(self) -> Path:
        """Which frames were drawn; their pictures lie beside it."""
        return self.path / "samples" / "samples.json"

    @property
    def page(self) -> Path:
        """The report for people."""
        return self.path / "report.html"

    def forget_sums(self) -> None:
        """Remove what an earlier evaluation came to: it is not true of a new one."""
        accounts = (self.timeline, self.profiles, self.curve)
        for path in (self.figures, *accounts, self.comparison, self.memory, self.page):
            path.unlink(missing_ok=True)
