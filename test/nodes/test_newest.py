"""The newest item wins, the others are counted."""

from __future__ import annotations

import threading
import time

from swapnet_ros.nodes.newest import NewestSlot


def at_once() -> float:
    return float("-inf")


def test_the_newest_item_is_taken_and_the_others_are_counted() -> None:
    slot: NewestSlot[int] = NewestSlot()
    for item in range(5):
        slot.put(item)
    assert slot.take(at_once) == 4
    assert slot.dropped == 4


def test_take_waits_for_an_item() -> None:
    slot: NewestSlot[str] = NewestSlot()
    taken: list[str | None] = []
    taker = threading.Thread(target=lambda: taken.append(slot.take(at_once)))
    taker.start()
    slot.put("frame")
    taker.join(5)
    assert taken == ["frame"]
    assert slot.dropped == 0


def test_close_ends_a_waiting_take_and_drops_what_waits() -> None:
    slot: NewestSlot[str] = NewestSlot()
    taken: list[str | None] = []
    taker = threading.Thread(target=lambda: taken.append(slot.take(lambda: float("inf"))))
    taker.start()
    slot.put("too early")
    slot.close()
    taker.join(5)
    slot.put("too late")
    assert taken == [None]
    assert slot.dropped == 2
    assert slot.take(at_once) is None


def test_nothing_is_taken_before_its_time_and_then_the_newest() -> None:
    slot: NewestSlot[int] = NewestSlot()
    earliest_s = time.monotonic() + 0.1
    slot.put(1)
    taken: list[tuple[int | None, float]] = []

    def take() -> None:
        taken.append((slot.take(lambda: earliest_s), time.monotonic()))

    taker = threading.Thread(target=take)
    taker.start()
    slot.put(2)
    taker.join(5)
    (item, taken_s) = taken[0]
    assert item == 2
    assert taken_s >= earliest_s


def test_wake_asks_again_when_the_time_has_changed() -> None:
    slot: NewestSlot[int] = NewestSlot()
    earliest = [time.monotonic() + 3600]
    slot.put(1)
    taken: list[int | None] = []
    taker = threading.Thread(target=lambda: taken.append(slot.take(lambda: earliest[0])))
    taker.start()
    earliest[0] = 0.0
    slot.wake()
    taker.join(5)
    assert taken == [1]


def test_every_item_of_many_putters_is_taken_or_counted() -> None:
    slot: NewestSlot[int] = NewestSlot()
    taken: list[int] = []

    def take_all() -> None:
        while (item := slot.take(at_once)) is not None:
            taken.append(item)

    taker = threading.Thread(target=take_all)
    taker.start()
    putters = [
        threading.Thread(target=lambda: [slot.put(item) for item in range(500)]) for _ in range(4)
    ]
    for putter in putters:
        putter.start()
    for putter in putters:
        putter.join()
    slot.close()
    taker.join(5)
    assert len(taken) + slot.dropped == 2000
