"""The newest item wins, the others are counted."""

from __future__ import annotations

import threading
import time

from swapnet_ros.nodes.newest import NewestOfEach


def at_once() -> float:
    return float("-inf")


def test_the_newest_item_is_taken_and_the_others_are_counted() -> None:
    slot: NewestOfEach[int] = NewestOfEach()
    for item in range(5):
        slot.put("camera", item)
    assert slot.take(at_once) == 4
    assert slot.dropped == 4


def test_each_source_keeps_its_newest_item_and_its_place_in_the_order() -> None:
    slot: NewestOfEach[str] = NewestOfEach()
    slot.put("fast", "fast 1")
    slot.put("slow", "slow 1")
    slot.put("fast", "fast 2")
    slot.put("fast", "fast 3")
    assert slot.take(at_once) == "fast 3"
    slot.put("fast", "fast 4")
    assert slot.take(at_once) == "slow 1"
    assert slot.take(at_once) == "fast 4"
    assert slot.dropped == 2


def test_take_waits_for_an_item() -> None:
    slot: NewestOfEach[str] = NewestOfEach()
    taken: list[str | None] = []
    taker = threading.Thread(target=lambda: taken.append(slot.take(at_once)))
    taker.start()
    slot.put("camera", "frame")
    taker.join(5)
    assert taken == ["frame"]
    assert slot.dropped == 0


def test_close_ends_a_waiting_take_and_drops_what_waits() -> None:
    slot: NewestOfEach[str] = NewestOfEach()
    taken: list[str | None] = []
    taker = threading.Thread(target=lambda: taken.append(slot.take(lambda: float("inf"))))
    taker.start()
    slot.put("camera", "too early")
    slot.close()
    taker.join(5)
    slot.put("camera", "too late")
    assert taken == [None]
    assert slot.dropped == 2
    assert slot.take(at_once) is None


def test_nothing_is_taken_before_its_time_and_then_the_newest() -> None:
    slot: NewestOfEach[int] = NewestOfEach()
    earliest_s = time.monotonic() + 0.1
    slot.put("camera", 1)
    taken: list[tuple[int | None, float]] = []

    def take() -> None:
        taken.append((slot.take(lambda: earliest_s), time.monotonic()))

    taker = threading.Thread(target=take)
    taker.start()
    slot.put("camera", 2)
    taker.join(5)
    (item, taken_s) = taken[0]
    assert item == 2
    assert taken_s >= earliest_s


def test_what_is_replaced_before_its_earliest_time_is_counted_apart() -> None:
    now_s = [0.0]
    slot: NewestOfEach[int] = NewestOfEach(clock_s=lambda: now_s[0])
    asked = threading.Event()

    def earliest_s() -> float:
        asked.set()
        return 1.0

    taken: list[int | None] = []
    slot.put("camera", 1)
    taker = threading.Thread(target=lambda: taken.append(slot.take(earliest_s)))
    taker.start()
    assert asked.wait(5)
    slot.put("camera", 2)  # the taker rests
    now_s[0] = 2.0
    slot.wake()
    taker.join(5)
    slot.put("camera", 3)
    slot.put("camera", 4)  # the taker is at work
    assert taken == [2]
    assert (slot.dropped, slot.dropped_at_rest) == (2, 1)


def test_wake_asks_again_when_the_time_has_changed() -> None:
    slot: NewestOfEach[int] = NewestOfEach()
    earliest = [time.monotonic() + 3600]
    slot.put("camera", 1)
    taken: list[int | None] = []
    taker = threading.Thread(target=lambda: taken.append(slot.take(lambda: earliest[0])))
    taker.start()
    earliest[0] = 0.0
    slot.wake()
    taker.join(5)
    assert taken == [1]


def test_every_item_of_many_putters_is_taken_or_counted() -> None:
    slot: NewestOfEach[int] = NewestOfEach()
    taken: list[int] = []

    def take_all() -> None:
        while (item := slot.take(at_once)) is not None:
            taken.append(item)

    taker = threading.Thread(target=take_all)
    taker.start()
    putters = [
        threading.Thread(target=lambda: [slot.put("camera", item) for item in range(500)])
        for _ in range(4)
    ]
    for putter in putters:
        putter.start()
    for putter in putters:
        putter.join()
    slot.close()
    taker.join(5)
    assert len(taken) + slot.dropped == 2000
