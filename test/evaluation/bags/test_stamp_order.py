"""Late items are put in their place; a clock that is set back begins a new run."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from swapnet_ros.evaluation.bags.stamp_order import in_stamp_order


@dataclass(frozen=True)
class Item:
    stamp_ns: int
    topic: str = "/image"


def ordered(stamps, window):
    return [each.stamp_ns for each in in_stamp_order(map(Item, stamps), window=window)]


def test_late_ones_within_the_window_are_put_in_their_place():
    assert ordered([1, 2, 5, 4, 3, 6], window=3) == [1, 2, 3, 4, 5, 6]


def test_a_loop_gives_one_run_after_another():
    assert ordered([1, 2, 3, 4, 5] * 2, window=2) == [1, 2, 3, 4, 5] * 2


def test_one_that_is_too_late_comes_when_it_is_met():
    assert ordered([1, 2, 3, 4, 5, 6, 0, 7, 8], window=2) == [1, 2, 3, 4, 5, 6, 0, 7, 8]


def test_equal_stamps_come_by_topic_and_then_as_recorded():
    items = [Item(1, "/b"), Item(1, "/a"), Item(0, "/b")]
    assert list(in_stamp_order(items, window=3)) == [Item(0, "/b"), Item(1, "/a"), Item(1, "/b")]


@given(st.lists(st.integers(0, 20)), st.integers(1, 6))
def test_nothing_is_lost_and_little_is_held_back(stamps, window):
    taken, held = [], 0

    def items():
        for stamp in stamps:
            taken.append(stamp)
            yield Item(stamp)

    given_out = []
    for item in in_stamp_order(items(), window=window):
        given_out.append(item.stamp_ns)
        held = max(held, len(taken) - len(given_out))
    assert sorted(given_out) == sorted(stamps)
    assert held <= window + 1


@given(st.lists(st.integers(0, 1000), max_size=30), st.integers(1, 5))
def test_what_is_less_than_the_window_out_of_place_is_sorted(stamps, window):
    in_order = sorted(set(stamps))
    shuffled = []
    for start in range(0, len(in_order), window + 1):
        shuffled += reversed(in_order[start : start + window + 1])
    assert ordered(shuffled, window) == in_order
