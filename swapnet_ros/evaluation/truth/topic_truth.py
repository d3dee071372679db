"""Labels that a bag has as a topic.

[Note: clocks that are set back]
Where the camera's clock was set back, or a loop was recorded, frames come in several runs, each in
the order of its stamps, and so do labels (`in_stamp_order`). Labels of the next run wait until the
frames have gone back, too, and what is left of the run before is passed by then. Labels are read
ahead, so that some that came much too late are not taken for a run of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from swapnet_ros.evaluation.bags.stamp_order import in_stamp_order
from swapnet_ros.evaluation.truth.errors import TruthError
from swapnet_ros.evaluation.truth.frame import TruthFrame
from swapnet_ros.evaluation.truth.meetings import Meetings, TruthReport, check_tolerance
from swapnet_ros.evaluation.truth.messages import read_truth

LOOK_AHEAD = 16
"""Messages that may be recorded too late, and, of those in order, that are read ahead."""


class _Label:
    """A message of labels that frames may ask for; read when one does."""

    topic = ""  # all of one

    def __init__(self, stamp_ns: int, message: Any) -> None:
        self.stamp_ns = stamp_ns
        self.message = message
        self.is_used = False


class TopicTruth:
    """Labels that a bag has as a topic. Holds a few messages, however long the bag is.

    Use from one thread. Frames must be asked about in the order of their stamps, or run after run
    where a clock was set back.
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
        self._tolerance_ns = tolerance_ns
        self._labels = tuple(labels)
        self._coming = in_stamp_order(self._counted(messages), window=LOOK_AHEAD)
        self._ahead: deque[_Label] = deque()
        self._waiting: deque[_Label] = deque()
        self._meetings = Meetings()
        self._read = self._used = 0
        self._last_ns: int | None = None  # of the labels of this run that were taken
        self._latest_ns: int | None = None  # of the frames of this run

    def find(self, stamp_ns: int, *, name: str = "", index: int | None = None) -> TruthFrame | None:
        """The labels nearest to a stamp, if they are within the tolerance."""
        del name, index  # labels on a topic have stamps
        self._meetings.count_frame()
        self._follow(stamp_ns)
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
        """Let labels of this run wait up to a stamp, and drop those too old for any frame."""
        earliest_ns = stamp_ns - 2 * self._tolerance_ns
        while self._read_ahead() and self._ahead[0].stamp_ns <= stamp_ns:
            if self._ends_at(0) and not self._is_late():
                return  # the next run's
            label = self._ahead.popleft()
            self._last_ns = max(label.stamp_ns, self._last_ns or label.stamp_ns)
            if label.stamp_ns >= earliest_ns:
                self._waiting.append(label)

    def _follow(self, stamp_ns: int) -> None:
        """Go on to the labels' next run where the frames have gone back, if it begins nearby."""
        if self._latest_ns is not None and stamp_ns < self._latest_ns:
            self._read_ahead()
            for place in range(len(self._ahead)):
                if self._ends_at(place):
                    for _ in range(place):
                        self._ahead.popleft()
                    self._waiting.clear()
                    self._last_ns, self._latest_ns = None, stamp_ns
                    return
        self._latest_ns = max(stamp_ns, self._latest_ns or stamp_ns)

    def _ends_at(self, place: int) -> bool:
        """Whether the run has ended before a label that was read ahead."""
        before_ns = self._ahead[place - 1].stamp_ns if place else self._last_ns
        return before_ns is not None and self._ahead[place].stamp_ns < before_ns

    def _is_late(self) -> bool:
        """Whether the run goes on after labels that came much too late."""
        return any(each.stamp_ns >= (self._last_ns or 0) for each in self._ahead)

    def _read_ahead(self) -> bool:
        self._ahead.extend(islice(self._coming, LOOK_AHEAD - len(self._ahead)))
        return len(self._ahead) > 0

    def _counted(self, messages: Iterable[tuple[int, Any]]) -> Iterator[_Label]:
        for stamp_ns, message in messages:
            self._read += 1
            yield _Label(stamp_ns, message)
