"""Slots remember what is in a fetch's way, and never for longer than it is there."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from swapnet_core.lane import Lane, Occupant
from swapnet_core.slots import Slots

_BLOCKS = 12
_STEPS = 60


def _lane() -> Lane:
    return cast(Lane, SimpleNamespace(held={}, plan=None))


def _occupy(slots: Slots, lane: Lane, block: int, begin: int, end: int) -> Occupant:
    occupant = Occupant(lane, block, begin, end)
    lane.held[block] = occupant
    slots.add(occupant)
    return occupant


def test_what_is_wanted_stays_until_it_is_released() -> None:
    slots, lane = Slots(), _lane()
    _occupy(slots, lane, 0, 0, 8).numbers += [3, 5]
    assert not slots.make_room(4, 12, released=3)
    assert slots.is_stuck(5)
    assert not slots.is_stuck(6)
    assert slots.make_room(4, 12, released=6)
    assert not lane.held
    assert len(slots) == 0


def test_what_is_on_its_way_stays_although_nobody_wants_it() -> None:
    slots, lane = Slots(), _lane()
    occupant = _occupy(slots, lane, 0, 0, 8)
    occupant.pending = 1
    assert not slots.make_room(0, 8, released=0)
    assert not slots.is_stuck(0)  # it may land at any time
    occupant.pending = 0
    assert slots.make_room(0, 8, released=0)


def test_all_that_is_in_the_way_stays_or_goes_together() -> None:
    slots, lane = Slots(), _lane()
    _occupy(slots, lane, 0, 0, 8)
    _occupy(slots, lane, 1, 8, 16).numbers.append(2)
    _occupy(slots, lane, 2, 16, 24)
    assert not slots.make_room(0, 16, released=2)
    assert set(lane.held) == {0, 1, 2}
    assert slots.make_room(0, 16, released=3)
    assert set(lane.held) == {2}


def test_one_block_is_kept() -> None:
    slots, lane, other = Slots(), _lane(), _lane()
    for number in range(3):
        _occupy(slots, lane, number, number, number + 1)
    _occupy(slots, other, 1, 3, 4)
    kept = slots.keep_only(lane, 1)
    assert kept is lane.held[1]
    assert set(lane.held) == {1}
    assert not other.held
    assert slots.keep_only(lane, -1) is None
    assert not lane.held


@given(st.integers(0, 2**32))
def test_nothing_is_in_the_way_for_longer_than_it_is_there(seed: int) -> None:
    dice = random.Random(seed)
    slots, lanes = Slots(), [_lane(), _lane()]
    released, number = 0, 0
    wanted: tuple[int, int] | None = None
    for _ in range(_STEPS):
        match dice.randrange(8):
            case 0:
                released = min(number, released + dice.randrange(3))
            case 1:
                base = dice.randrange(released, number + 1)
                slots.take_back(base)
                number = base
            case 2:
                slots.take_all_back()
            case 3:
                slots.forget_lane(lanes[1])
                lanes[1].held.clear()
            case 4:
                for lane in lanes:
                    for block in [b for b in lane.held if dice.random() < 0.3]:
                        slots.forget(lane.held.pop(block))
            case 5:
                slots.keep_only(lanes[0], dice.randrange(_BLOCKS))
            case _:
                lane, block = dice.choice(lanes), dice.randrange(_BLOCKS)
                if block in lane.held or slots.is_stuck(released):
                    continue
                begin = dice.randrange(16)
                wanted = (begin, begin + 1 + dice.randrange(8))
                if not slots.make_room(*wanted, released):
                    continue
                _occupy(slots, lane, block, *wanted).numbers.append(number)
                number, wanted = number + 1, None
        if wanted is not None and slots.is_stuck(released):
            assert not slots.make_room(*wanted, released)
    slots.take_all_back()
    assert not slots.is_stuck(0)
    assert slots.make_room(0, 32, 0)
    assert len(slots) == 0
