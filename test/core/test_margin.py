"""The margin: promises of one decision, and of many in a row on a system that changes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapnet_core.errors import InputError
from swapnet_core.margin import CALM_S, Position, follow, margin_of, start_position, tightest
from swapnet_core.sizes import GIB, MIB
from swapnet_core.system_memory import MemoryBound

_LIMIT = 8 * GIB
_MARGIN = margin_of(_LIMIT)


@st.composite
def bounds(draw: st.DrawFn) -> MemoryBound:
    limit = draw(st.integers(64 * MIB, 64 * GIB))
    return MemoryBound(
        source="/proc/meminfo",
        limit_bytes=limit,
        free_bytes=draw(st.integers(0, limit)),
        pressure=draw(st.sampled_from([0.0, 0.05, 0.1, 0.9])),
    )


positions = st.builds(
    Position, budget_bytes=st.integers(1, 64 * GIB), calm_s=st.floats(0.0, CALM_S)
)
sizes = st.integers(0, 8 * GIB)


@given(st.lists(bounds(), min_size=1, max_size=3), positions, sizes, sizes, st.floats(0.1, 10.0))
def test_one_decision(
    several: list[MemoryBound], position: Position, held: int, smallest: int, elapsed_s: float
) -> None:
    after = follow(position, several, held_bytes=held, smallest_bytes=smallest, elapsed_s=elapsed_s)
    now, new = position.budget_bytes, after.budget_bytes
    wanted = max(tightest(several, held).budget_bytes, smallest, 1)
    assert new >= min(now, smallest)
    if wanted < 0.94 * now or now < smallest:
        assert new == wanted  # at once, all the way
    elif new > now:
        assert wanted > 1.05 * now
        assert new <= min(wanted, now * 1.25 + 1)
        assert position.calm_s + elapsed_s >= CALM_S
        assert all(bound.pressure < 0.1 for bound in several)
    if new != now:
        assert abs(wanted - now) > 0.049 * now or now < smallest
        assert after.calm_s == 0.0


@given(st.lists(st.integers(0, 7 * GIB), min_size=1, max_size=40), st.integers(1, GIB))
def test_the_margin_stays_free_while_others_come_and_go(others: list[int], smallest: int) -> None:
    """The core fills its budget; a decision is followed before the next one."""
    position = start_position([_machine(_LIMIT - others[0])])
    held = 0
    for wish in others:
        # What others took since the last decision may violate the margin until this one.
        used = min(wish, _LIMIT - held)
        machine = _machine(_LIMIT - used - held)
        position = follow(
            position, [machine], held_bytes=held, smallest_bytes=smallest, elapsed_s=CALM_S
        )
        held = position.budget_bytes
        assert held >= smallest
        if held > smallest:
            assert _LIMIT - used - held >= _MARGIN - 0.053 * held


def test_it_comes_to_rest_where_the_margin_is() -> None:
    position = Position(budget_bytes=100 * MIB)
    budgets = []
    for _ in range(200):
        held = position.budget_bytes
        position = follow(
            position,
            [_machine(4 * GIB - held)],
            held_bytes=held,
            smallest_bytes=0,
            elapsed_s=1.0,
        )
        budgets.append(position.budget_bytes)
    assert budgets == sorted(budgets)
    assert budgets[-1] <= 4 * GIB - _MARGIN <= budgets[-1] * 1.05
    assert budgets.count(budgets[-1]) > 20
    steps = [(b, c) for b, c in itertools.pairwise(budgets) if b != c]
    assert all(c <= b * 1.25 + 1 for b, c in steps)


def test_pressure_doubles_the_margin() -> None:
    calm, pressed = _machine(2 * GIB), _machine(2 * GIB, pressure=0.2)
    difference = tightest([calm], 0).budget_bytes - tightest([pressed], 0).budget_bytes
    assert difference == _MARGIN
    position = Position(budget_bytes=2 * GIB - _MARGIN)
    stays = follow(position, [calm], held_bytes=0, smallest_bytes=0, elapsed_s=1.0)
    assert stays.budget_bytes == position.budget_bytes
    shrinks = follow(position, [pressed], held_bytes=0, smallest_bytes=0, elapsed_s=1.0)
    assert shrinks.budget_bytes == 2 * GIB - 2 * _MARGIN
    assert "memory pressure of 20%" in tightest([pressed], 0).reason


def test_the_tightest_bound_decides_and_is_named() -> None:
    group = MemoryBound(
        source="/sys/fs/cgroup/robot", limit_bytes=GIB, free_bytes=512 * MIB, pressure=0.0
    )
    room = tightest([_machine(4 * GIB), group], 0)
    assert room.budget_bytes == 512 * MIB - 128 * MIB
    assert room.reason == (
        "/sys/fs/cgroup/robot has 512.0 MiB of 1.0 GiB free, beside a margin of 128.0 MiB"
    )


@pytest.mark.parametrize(
    ("limit", "margin"), [(100 * MIB, 25 * MIB), (GIB, 128 * MIB), (20 * GIB, 2 * GIB)]
)
def test_the_margin_is_a_tenth_within_limits(limit: int, margin: int) -> None:
    assert margin_of(limit) == margin


def test_a_system_that_tells_nothing() -> None:
    with pytest.raises(InputError, match="the budget cannot be 'auto'"):
        start_position([])
    position = Position(budget_bytes=GIB, calm_s=1.0)
    stays = follow(position, [], held_bytes=0, smallest_bytes=0, elapsed_s=1.0)
    assert stays == Position(budget_bytes=GIB)


def _machine(free_bytes: int, pressure: float = 0.0) -> MemoryBound:
    return MemoryBound(
        source="/proc/meminfo",
        limit_bytes=_LIMIT,
        free_bytes=max(0, free_bytes),
        pressure=pressure,
    )
