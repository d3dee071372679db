"""Frames on their way through a node: newest first, one at a time, every one accounted for."""

from __future__ import annotations

import enum
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from swapnet_core.errors import DeadlineMissedError
from swapnet_core.openmp import use_one_thread
from swapnet_ros.msg import DetectionArray
from swapnet_ros.nodes.cameras import CameraFrame
from swapnet_ros.nodes.errors import StaleFrameError
from swapnet_ros.nodes.newest import NewestOfEach
from swapnet_ros.perception.errors import ImageError, ImageMessageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a task works on at a time.

    Attributes:
        camera: the image, shared with other tasks.
        detections: a detector's boxes in this image; None for tasks that use none.
    """

    camera: CameraFrame
    detections: DetectionArray | None = None


class Outcome(enum.Enum):
    """What became of a frame that was taken out of the slot."""

    PROCESSED = "processed"
    REFUSED = "refused"
    LATE = "late"
    STALE = "stale"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCounts:
    """Frames since the node was created.

    `received` is the sum of those down to `failed`, of the one that waits and the one in hand.

    Attributes:
        received: image messages that arrived.
        processed: results published.
        dropped: a newer frame came before their turn, no boxes came for them, or the node was
            deactivated.
        refused: the message does not hold a usable image.
        stale: they were older than `max_age_s` when their turn came.
        late: their deadline had passed before the network was free for them.
        failed: processing raised an error.
        rate_limited: those of the dropped ones in whose place a newer frame came while the node let
            the time of `max_rate_hz` pass.
        without_boxes: those of the dropped ones for which no boxes came.
    """

    received: int = 0
    processed: int = 0
    dropped: int = 0
    refused: int = 0
    stale: int = 0
    late: int = 0
    failed: int = 0
    rate_limited: int = 0
    without_boxes: int = 0


class FrameTally:
    """Counts frames over several activations of a node. Any thread may call anything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = 0
        self._dropped_before = 0
        self._rate_limited_before = 0
        self._outcomes: Counter[Outcome] = Counter()

    def __repr__(self) -> str:
        return f"<FrameTally {self.snapshot(0)}>"

    def count_received(self) -> None:
        """One more frame arrived."""
        with self._lock:
            self._received += 1

    def count_outcome(self, outcome: Outcome) -> None:
        """One more frame is done with."""
        with self._lock:
            self._outcomes[outcome] += 1

    def keep_dropped(self, dropped: int, *, rate_limited: int = 0) -> None:
        """Add the drops of a slot that is closed for good."""
        with self._lock:
            self._dropped_before += dropped
            self._rate_limited_before += rate_limited

    def snapshot(self, dropped_now: int, *, rate_limited_now: int = 0) -> FrameCounts:
        """Counts so far, with the drops of the slot in use."""
        with self._lock:
            return FrameCounts(
                received=self._received,
                dropped=self._dropped_before + dropped_now,
                rate_limited=self._rate_limited_before + rate_limited_now,
                **{outcome.value: self._outcomes[outcome] for outcome in Outcome},
            )


def classify(error: Exception) -> Outcome:
    """Say whether an error is the image's fault, the clock's, or ours."""
    if isinstance(error, (ImageMessageError, ImageError)):
        return Outcome.REFUSED
    if isinstance(error, DeadlineMissedError):
        return Outcome.LATE
    if isinstance(error, StaleFrameError):
        return Outcome.STALE
    return Outcome.FAILED


class FrameWorker:
    """One thread that processes the newest frame, then the newest frame by then, and so on.

    `offer`, `dropped`, `wake` and `begin_no_more` may be called by any thread; `start` and `stop`
    belong to the owner. After `stop` a worker is of no use any more: every activation makes its
    own.
    """

    def __init__(
        self,
        name: str,
        process: Callable[[Frame], None],
        *,
        tally: FrameTally,
        period_s: Callable[[], float],
        report: Callable[[Outcome, Exception], None],
    ) -> None:
        """Prepare a worker; `start` starts it.

        Args:
            name: of the thread.
            process: does all the work of a frame; what it raises is classified, counted and
                reported, and the next frame goes on.
            tally: where frames are counted.
            period_s: least time between the starts of two frames, in seconds.
            report: told of every frame that was not processed, and why.
        """
        self._process = process
        self._tally = tally
        self._period_s = period_s
        self._report = report
        self._waiting: NewestOfEach[Frame] = NewestOfEach()
        self._started_s = float("-inf")  # when the last frame was taken
        self._is_busy = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __repr__(self) -> str:
        return f"<FrameWorker {self._thread.name} {self._waiting!r}>"

    @property
    def dropped(self) -> int:
        """Frames that a newer one replaced, in this activation."""
        return self._waiting.dropped

    @property
    def rate_limited(self) -> int:
        """Those of them that were replaced while `period_s` had not passed yet."""
        return self._waiting.dropped_at_rest

    @property
    def in_hand_s(self) -> float:
        """For how long the frame in hand has been worked on; 0 where there is none. Any thread."""
        return time.monotonic() - self._started_s if self._is_busy else 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, frame: Frame) -> None:
        """Hand a frame over; it is processed if its camera sends no newer one before its turn."""
        self._waiting.put(frame.camera.topic, frame)

    def wake(self) -> None:
        """Let a changed `period_s` count at once."""
        self._waiting.wake()

    def begin_no_more(self) -> None:
        """Drop the waiting frame, and those to come; idempotent."""
        self._waiting.close()

    def stop(self) -> None:
        """Drop the waiting frame, finish the one in hand and end the thread."""
        self.begin_no_more()
        self._thread.join()

    def _run(self) -> None:
        use_one_thread()  # the cores are the networks'
        while self._process_next():
            pass

    def _process_next(self) -> bool:
        """Process a frame; a function of its own, so that no idle thread holds one."""
        frame = self._waiting.take(self._earliest_s)
        if frame is None:
            return False
        self._started_s = time.monotonic()
        self._is_busy = True
        outcome = self._outcome_of(frame)
        self._is_busy = False
        self._tally.count_outcome(outcome)
        return True

    def _earliest_s(self) -> float:
        return self._started_s + self._period_s()

    def _outcome_of(self, frame: Frame) -> Outcome:
        try:
            self._process(frame)
        except Exception as error:  # told to the log and the diagnostics by `report`
            outcome = classify(error)
            self._report(outcome, error)
            return outcome
        return Outcome.PROCESSED
