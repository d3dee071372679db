"""Labels that a bag has as a topic."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from swapnet_ros.evaluation.truth.errors import TruthError
from swapnet_ros.evaluation.truth.frame import TruthFrame
from swapnet_ros.evaluation.truth.meetings import Meetings, TruthReport, check_tolerance
from swapnet_ros.evaluation.truth.messages import read_truth

LOOK_AHEAD = 16
"""Messages that are read ahead, so that labels recorded out of order find their frames."""


class _Waiting:
    """A message of labels that frames may still ask for; read when one does."""

    def __init__(self, stamp_ns: int, message: Any) -> None:
        self.stamp_ns = stamp_ns
        self.message = message
        self.is_used = False


class TopicTruth:
    """Labels that a bag has as a topic. Holds a few messages, however long the bag is.

    Use from one thread. Frames must be asked about in the order of their stamps.
    """

    def __init__(
        self,
        messages: Iterable[tuple[int, Any]],
        *,
        tolerance_ns: int,
        labels: Sequence[str] = (),
    ) -> None:
        """Begin before the first message.

        Args:
            messages: stamp in nanoseconds and message, in the order of recording; of a type that
                `read_truth` reads. Labels that it cannot use are counted as a problem.
            tolerance_ns: longest time between a frame and its labels.
            labels: class names by number, where messages have numbers.

        Raises:
            TruthError: the tolerance is negative.
        """
        check_tolerance(tolerance_ns)
        self._messages: Iterator[tuple[int, Any]] = iter(messages)
        self._tolerance_ns = tolerance_ns
        self._labels = tuple(labels)
        self._ahead: list[tuple[int, int, Any]] = []
        self._waiting: deque[_Waiting] = deque()
        self._meetings = Meetings()
        self._read = self._used = 0

    def find(self, stamp_ns: int, *, name: str = "", index: int | None = None) -> TruthFrame | None:
        """The labels nearest to a stamp, if they are within the tolerance."""
        del name, index  # labels on a topic have stamps
        self._meetings.count_frame()
        self._drop_before(stamp_ns - self._tolerance_ns)
        self._fill_to(stamp_ns + self._tolerance_ns)
        near = [
            each for each in self._waiting if abs(each.stamp_ns - stamp_ns) <= self._tolerance_ns
        ]
        if not near:
            return None
        nearest = min(near, key=lambda each: abs(each.stamp_ns - stamp_ns))
        try:
            found = read_truth(nearest.message, self._labels)
        except TruthError as error:
            self._meetings.count_problem(str(error))
            return None
        self._used += not nearest.is_used
        nearest.is_used = True
        self._meetings.count_match(abs(nearest.stamp_ns - stamp_ns))
        return found

    def report(self) -> TruthReport:
        """How frames and labels met so far."""
        return self._meetings.report(read=self._read, used=self._used)

    def _drop_before(self, stamp_ns: int) -> None:
        while self._waiting and self._waiting[0].stamp_ns < stamp_ns:
            self._waiting.popleft()

    def _fill_to(self, stamp_ns: int) -> None:
        """Let messages wait up to a stamp, and drop those that are too old for any frame."""
        earliest_ns = stamp_ns - 2 * self._tolerance_ns
        while True:
            while len(self._ahead) < LOOK_AHEAD:
                following = next(self._messages, None)
                if following is None:
                    break
                heapq.heappush(self._ahead, (following[0], self._read, following[1]))
                self._read += 1
            if not self._ahead or self._ahead[0][0] > stamp_ns:
                return
            found_ns, _, message = heapq.heappop(self._ahead)
            if found_ns >= earliest_ns:
                self._waiting.append(_Waiting(found_ns, message))
