"""Every frame is processed, or counted with the reason; no error ends the worker."""

from __future__ import annotations

import queue
import threading
import time

import pytest
from sensor_msgs.msg import Image

from swapnet_core.errors import DeadlineMissedError, NetworkError
from swapnet_ros.nodes.cameras import CameraFrame
from swapnet_ros.nodes.errors import StaleFrameError
from swapnet_ros.nodes.frames import Frame, FrameCounts, FrameTally, FrameWorker, Outcome, classify
from swapnet_ros.perception.errors import ImageError, ImageMessageError


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


def image(number: int, topic: str = "/image") -> Frame:
    """A frame that is known by its stamp."""
    message = Image()
    message.header.stamp.sec = number
    return Frame(camera=CameraFrame(topic, message, arrived_s=0.0))


def number_of(frame: Frame) -> int:
    return frame.camera.header.stamp.sec


def test_a_slow_worker_gets_the_newest_frame(bench: Bench) -> None:
    bench.worker.offer(image(1))
    assert number_of(bench.started.get(timeout=5)) == 1
    for number in (2, 3, 4):
        bench.worker.offer(image(number))
    bench.finish.put(None)
    assert number_of(bench.started.get(timeout=5)) == 4
    counts = bench.counts()
    assert (counts.processed, counts.dropped) == (1, 2)


def test_how_long_a_frame_is_in_hand(bench: Bench) -> None:
    assert bench.worker.in_hand_s == 0.0
    bench.worker.offer(image(1))
    bench.started.get(timeout=5)
    first_s = bench.worker.in_hand_s
    time.sleep(0.01)
    assert bench.worker.in_hand_s > first_s
    bench.worker.offer(image(2))
    bench.finish.put(RuntimeError("failed"))
    bench.started.get(timeout=5)
    assert bench.counts().failed == 1


def test_a_fast_camera_gets_no_more_turns_than_a_slow_one(bench: Bench) -> None:
    bench.worker.offer(image(0))
    bench.started.get(timeout=5)
    bench.worker.offer(image(1, "/fast"))
    bench.worker.offer(image(2, "/slow"))
    for turn, (topic, number) in enumerate([("/fast", 10), ("/slow", 2), ("/fast", 30)]):
        bench.worker.offer(image(10 * (turn + 1), "/fast"))
        bench.finish.put(None)
        frame = bench.started.get(timeout=5)
        assert (frame.camera.topic, number_of(frame)) == (topic, number)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ImageMessageError("step"), Outcome.REFUSED),
        (ImageError("shape"), Outcome.REFUSED),
        (DeadlineMissedError("late", late_s=0.1), Outcome.LATE),
        (StaleFrameError(age_s=2.0, max_age_s=1.0), Outcome.STALE),
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
    assert number_of(bench.started.get(timeout=5)) == 2
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
    assert bench.counts() == FrameCounts(processed=1, dropped=1)


def test_a_worker_that_begins_no_more_finishes_the_frame_in_hand(bench: Bench) -> None:
    bench.worker.offer(image(1))
    bench.started.get(timeout=5)
    bench.worker.offer(image(2))
    bench.worker.begin_no_more()
    bench.worker.offer(image(3))
    bench.finish.put(None)
    with pytest.raises(queue.Empty):
        bench.started.get(timeout=0.1)
    assert bench.counts() == FrameCounts(processed=1, dropped=2)


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
    assert number_of(bench.started.get(timeout=5)) == 3
