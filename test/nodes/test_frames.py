"""Every frame is processed, or counted with the reason; no error ends the worker."""

from __future__ import annotations

import queue
import threading
import time

import pytest
from sensor_msgs.msg import Image

from swapnet_core.errors import DeadlineMissedError, NetworkError
from swapnet_ros.nodes.errors import ImageMessageError
from swapnet_ros.nodes.frames import Frame, FrameCounts, FrameTally, FrameWorker, Outcome, classify
from swapnet_ros.perception.errors import ImageError


class Bench:
    """A worker whose frames take as long as the test wants."""

    def __init__(self, *, period_s: float = 0.0) -> None:
        self.period_s = period_s
        self.started: queue.Queue[Frame] = queue.Queue()
        self.finish: queue.Queue[Exception | None] = queue.Queue()
        self.reported: list[tuple[Outcome, Exception]] = []
        self.tally = FrameTally()
        self.worker = FrameWorker(
            "worker",
            self._process,
            tally=self.tally,
            period_s=lambda: self.period_s,
            report=lambda outcome, error: self.reported.append((outcome, error)),
        )

    def _process(self, frame: Frame) -> None:
        self.started.put(frame)
        error = self.finish.get(timeout=5)
        if error is not None:
            raise error

    def counts(self) -> FrameCounts:
        return self.tally.snapshot(self.worker.dropped)


@pytest.fixture
def bench():
    bench = Bench()
    bench.worker.start()
    yield bench
    bench.finish.put(None)
    bench.worker.stop()


def image(width: int) -> Image:
    return Image(width=width)


def test_a_slow_worker_gets_the_newest_frame(bench: Bench) -> None:
    bench.worker.offer(image(1))
    assert bench.started.get(timeout=5).message.width == 1
    for width in (2, 3, 4):
        bench.worker.offer(image(width))
    bench.finish.put(None)
    assert bench.started.get(timeout=5).message.width == 4
    counts = bench.counts()
    assert (counts.received, counts.processed, counts.dropped) == (4, 1, 2)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ImageMessageError("step"), Outcome.REFUSED),
        (ImageError("shape"), Outcome.REFUSED),
        (DeadlineMissedError("late", late_s=0.1), Outcome.LATE),
        (NetworkError("network"), Outcome.FAILED),
        (ZeroDivisionError("bug"), Outcome.FAILED),
    ],
)
def test_an_error_is_reported_and_the_next_frame_goes_on(
    bench: Bench, error: Exception, outcome: Outcome
) -> None:
    assert classify(error) is outcome
    bench.worker.offer(image(1))
    bench.started.get(timeout=5)
    bench.finish.put(error)
    bench.worker.offer(image(2))
    assert bench.started.get(timeout=5).message.width == 2
    assert bench.reported == [(outcome, error)]
    assert getattr(bench.counts(), outcome.value) == 1


def test_stop_finishes_the_frame_in_hand_and_drops_the_waiting_one() -> None:
    bench = Bench()
    bench.worker.start()
    bench.worker.offer(image(1))
    bench.started.get(timeout=5)
    bench.worker.offer(image(2))
    threading.Timer(0.05, bench.finish.put, [None]).start()
    bench.worker.stop()
    assert bench.counts() == FrameCounts(received=2, processed=1, dropped=1)


def test_the_period_holds_between_starts_and_can_change(bench: Bench) -> None:
    bench.period_s = 0.15
    bench.worker.offer(image(1))
    first_s = time.monotonic()
    bench.started.get(timeout=5)
    bench.finish.put(None)
    bench.worker.offer(image(2))
    bench.started.get(timeout=5)
    assert time.monotonic() - first_s >= 0.14
    bench.period_s = 3600
    bench.finish.put(None)
    bench.worker.offer(image(3))
    with pytest.raises(queue.Empty):
        bench.started.get(timeout=0.1)
    bench.period_s = 0.0
    bench.worker.wake()
    assert bench.started.get(timeout=5).message.width == 3
