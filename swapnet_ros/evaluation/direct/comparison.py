"""What differs between the results of two evaluations of one bag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from swapnet_ros.evaluation.direct.results_file import read_frames, read_tail

_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two files of results, frame by frame.

    Attributes:
        frames: how many were compared; those that only one has count, too.
        different: how many are not equal in every digit.
        first_different: frame and names of the tasks that differ, of the first few.
        is_accuracy_equal: the figures of accuracy are the same.
    """

    frames: int
    different: int
    first_different: tuple[tuple[int, tuple[str, ...]], ...]
    is_accuracy_equal: bool

    @property
    def is_equal(self) -> bool:
        """Whether there is no difference at all."""
        return self.different == 0 and self.is_accuracy_equal


def compare_results(path: Path, other: Path) -> Comparison:
    """Compare two files of results; neither is held in memory.

    Args:
        path: a file that `ResultsFile` wrote.
        other: another one, of the same bag and scenario.

    Raises:
        OSError: a file cannot be read.
    """
    frames, different = 0, 0
    first: list[tuple[int, tuple[str, ...]]] = []
    for one, two in zip_longest(read_frames(path), read_frames(other)):
        if one != two:
            different += 1
            if len(first) < _SHOWN:
                first.append((frames, _different_tasks(one or {}, two or {})))
        frames += 1
    accuracies = [read_tail(each).get("accuracy") for each in (path, other)]
    return Comparison(
        frames=frames,
        different=different,
        first_different=tuple(first),
        is_accuracy_equal=accuracies[0] == accuracies[1],
    )


def _different_tasks(one: Mapping[str, Any], two: Mapping[str, Any]) -> tuple[str, ...]:
    found, others = one.get("results", {}), two.get("results", {})
    names = dict.fromkeys((*found, *others))
    return tuple(name for name in names if found.get(name) != others.get(name))
