"""How frames and labels met.

[Note: matching] A frame and its labels belong together where they have the same stamp, or, among
labels within the tolerance, the nearest: half a frame period unless the user gives another one, so
that with a steady camera a label fits one frame, or two where it is right in the middle. Labels
from files have no stamps. They are found by the frame's name, by a table of stamps and names, or
by the frame's number in its topic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low

from swapnet_ros.evaluation.truth.errors import TruthError

_MOST_PROBLEMS = 20  # texts that are kept: a long bag may have one of its own for every frame
_OTHER_PROBLEMS = "others like these"


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthReport:
    """How frames and labels met so far.

    Attributes:
        frames: that were asked about.
        matched: frames for which there were labels.
        largest_offset_ns: longest time between a frame and its labels.
        labels_read: labelled frames that have been seen: of a topic as far as it was read.
        labels_used: those that belonged to a frame.
        problems: what was wrong with labels, and how often.
    """

    frames: int
    matched: int
    largest_offset_ns: int
    labels_read: int
    labels_used: int
    problems: Mapping[str, int]


class Meetings:
    """Counts how frames and labels met."""

    def __init__(self) -> None:
        self._frames = self._matched = self._largest_offset_ns = 0
        self._problems: dict[str, int] = {}

    def count_frame(self) -> None:
        """A frame was asked about."""
        self._frames += 1

    def count_match(self, offset_ns: int = 0) -> None:
        """There were labels for it."""
        self._matched += 1
        self._largest_offset_ns = max(self._largest_offset_ns, offset_ns)

    def count_problem(self, text: str) -> None:
        """There were labels for it that cannot be used."""
        is_told = text in self._problems or len(self._problems) < _MOST_PROBLEMS
        told = text if is_told else _OTHER_PROBLEMS
        self._problems[told] = self._problems.get(told, 0) + 1

    def report(self, *, read: int, used: int) -> TruthReport:
        """The counts so far."""
        return TruthReport(
            frames=self._frames,
            matched=self._matched,
            largest_offset_ns=self._largest_offset_ns,
            labels_read=read,
            labels_used=used,
            problems=dict(self._problems),
        )


def half_frame_period_ns(stamps_ns: Sequence[int]) -> int:
    """Half the median time between frames: the tolerance unless the user gives another one.

    Args:
        stamps_ns: of some frames of one topic, in any order.

    Returns:
        Nanoseconds; 0 for less than two different stamps.
    """
    rising = sorted(set(stamps_ns))
    gaps = [later - earlier for earlier, later in pairwise(rising)]
    return median_low(gaps) // 2 if gaps else 0


def check_tolerance(tolerance_ns: int) -> None:
    """Make sure that a tolerance is possible.

    Raises:
        TruthError: it is negative.
    """
    if tolerance_ns < 0:
        raise TruthError(f"the tolerance must be at least 0 ns, but is {tolerance_ns}")
