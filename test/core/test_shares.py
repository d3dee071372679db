"""Several networks under one budget: every promise of `plan_together`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from swapnet_core.candidates import Room
from swapnet_core.errors import BudgetTooSmallError
from swapnet_core.planner import choose, make_plan, smallest_budget_bytes
from swapnet_core.shares import SharedNetwork, plan_together, smallest_shared_budget_bytes
from swapnet_core.specs import DeviceProfile, NetworkProfile, SwapPlan
from swapnet_core.testing import simulated_profile

Split = Callable[[Sequence[SharedNetwork], int], list[int]]

_PAGE = 4096
_CELL = 16 * _PAGE
_DEVICE = DeviceProfile(read_bandwidth_bytes_per_s=1e8, read_latency_s=1e-4, compute_slowdown=0.1)


@st.composite
def profiles(
    draw: st.DrawFn, least: int = 1, most: int = 16, tiles: bool = False
) -> NetworkProfile:
    """Networks of so many cells, each used once; some can be tiled, one may be pinned."""
    count = draw(st.integers(1, most))
    pages = [draw(st.integers(1, 200 if tiles else 60)) for _ in range(count)]
    pinned = draw(st.sets(st.integers(0, count - 1), max_size=1)) if count > 1 else set()
    steps = [index for index in range(count) if index not in pinned]
    profile = simulated_profile(
        cell_bytes=[size * _PAGE for size in pages],
        steps=steps,
        pinned=sorted(pinned),
        step_compute_s=[draw(st.floats(1e-4, 0.005)) for _ in steps],
        activation_bytes=draw(st.integers(0, 1 << 18)),
        buffer_bytes=draw(st.integers(0, 1 << 16)),
    )
    layers = tuple(
        replace(layer, tile_unit_rows=_PAGE if tiles and not layer.is_pinned else 0)
        for layer in profile.trace.layers
    )
    return replace(profile, trace=replace(profile.trace, layers=layers))


def _network(name: str, profile: NetworkProfile, rate_hz: float | None) -> SharedNetwork:
    return SharedNetwork(name=name, profile=profile, rate_hz=rate_hz)


rates = st.one_of(st.none(), st.floats(0.1, 30.0))


def networks(
    least: int = 2, most: int = 4, *, cells: int = 16, tiles: bool = False
) -> st.SearchStrategy[list[SharedNetwork]]:
    """So many networks of at most so many cells."""
    each = st.builds(_network, st.sampled_from("abcdef"), profiles(most=cells, tiles=tiles), rates)
    return st.lists(each, min_size=least, max_size=most)


def _budget(together: Sequence[SharedNetwork], share: float) -> int:
    """Go from the smallest budget (share 0) to one with room for everything (1)."""
    smallest = smallest_shared_budget_bytes(together)
    full = _fixed_bytes(together) + sum(network.profile.weight_bytes for network in together)
    return smallest + int(max(0, full - smallest) * share)


def _fixed_bytes(together: Sequence[SharedNetwork]) -> int:
    traces = [network.profile.trace for network in together]
    return sum(t.buffer_bytes for t in traces) + max(t.activation_bytes for t in traces)


def _weighted_s(together: Sequence[SharedNetwork], plans: Sequence[SwapPlan]) -> float:
    pairs = zip(together, plans, strict=True)
    return sum((network.rate_hz or 1.0) * plan.predicted_latency_s for network, plan in pairs)


@settings(max_examples=30, deadline=None)
@given(st.one_of(networks(), networks(tiles=True)), st.floats(0.0, 1.0))
def test_all_plans_together_fit_the_budget(together: list[SharedNetwork], share: float) -> None:
    budget_bytes = _budget(together, share)
    plans = plan_together(together, _DEVICE, budget_bytes=budget_bytes)
    stream_bytes = max(plan.stream_bytes for plan in plans)
    residents = sum(plan.resident_bytes for plan in plans)
    assert _fixed_bytes(together) + stream_bytes + residents <= budget_bytes
    for network, plan in zip(together, plans, strict=True):
        trace = network.profile.trace
        own_bytes = trace.buffer_bytes + trace.activation_bytes + plan.resident_bytes
        assert plan.peak_bytes <= plan.budget_bytes == own_bytes + stream_bytes
        assert len(plan.step_uses) == len(trace.steps)
        # others use the region in between: nothing streamed is left there
        assert plan.streamed_bytes == sum(plan.blocks[b].size_bytes for b in set(plan.uses))
    assert plan_together(together, _DEVICE, budget_bytes=budget_bytes) == plans


@settings(max_examples=30, deadline=None)
@given(networks(1, 4, tiles=True), st.integers(1, 1 << 20))
def test_the_smallest_budget_is_accepted_and_nothing_below_it(
    together: list[SharedNetwork], short_bytes: int
) -> None:
    smallest = smallest_shared_budget_bytes(together)
    assert smallest <= sum(smallest_budget_bytes(network.profile) for network in together)
    assert len(plan_together(together, _DEVICE, budget_bytes=smallest)) == len(together)
    for budget_bytes in {smallest - 1, max(0, smallest - short_bytes)}:
        with pytest.raises(BudgetTooSmallError) as refused:
            plan_together(together, _DEVICE, budget_bytes=budget_bytes)
        assert refused.value.needed_bytes == smallest
        assert refused.value.budget_bytes == budget_bytes
        assert ", ".join(network.name for network in together) in str(refused.value)


@given(networks(1, 2), st.integers(2, 3))
@settings(max_examples=20, deadline=None)
def test_networks_with_equal_weights_have_buffers_of_their_own(
    together: list[SharedNetwork], users: int
) -> None:
    first, *others = together
    shared = [replace(first, users=users), *others]
    more_bytes = (users - 1) * first.profile.trace.buffer_bytes
    smallest = smallest_shared_budget_bytes(shared)
    assert smallest == smallest_shared_budget_bytes(together) + more_bytes
    with pytest.raises(BudgetTooSmallError) as refused:
        plan_together(shared, _DEVICE, budget_bytes=smallest - 1)
    assert refused.value.needed_bytes == smallest
    budget_bytes = _budget(together, 0.5)
    plans = plan_together(shared, _DEVICE, budget_bytes=budget_bytes + more_bytes)
    assert plans == plan_together(together, _DEVICE, budget_bytes=budget_bytes)


@settings(max_examples=20, deadline=None)
@given(networks(1, 1, tiles=True), st.floats(0.0, 1.0))
def test_one_network_alone_gets_the_plan_of_the_budget(
    alone: list[SharedNetwork], share: float
) -> None:
    budget_bytes = _budget(alone, share)
    assert smallest_shared_budget_bytes(alone) == smallest_budget_bytes(alone[0].profile)
    plan = make_plan(alone[0].profile, _DEVICE, budget_bytes=budget_bytes)
    assert plan_together(alone, _DEVICE, budget_bytes=budget_bytes) == [plan]


@settings(max_examples=30, deadline=None)
@given(networks(), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_more_budget_is_never_worse(
    together: list[SharedNetwork], share: float, other: float
) -> None:
    small, large = (
        plan_together(together, _DEVICE, budget_bytes=_budget(together, each))
        for each in sorted([share, other])
    )
    assert _weighted_s(together, large) <= _weighted_s(together, small) * 1.01


_ONE_LARGE_LAYER = simulated_profile(
    cell_bytes=[pages * _PAGE for pages in (28, 1, 1, 1, 1, 1, 1, 12, 1)],
    steps=(0, 1, 2, 3, 5, 6, 7, 8),
    pinned=(4,),
    step_compute_s=[1 / 256] * 8,
)


@settings(max_examples=30, deadline=None)
@given(profiles(), st.lists(st.floats(0.1, 30.0), min_size=2, max_size=4), st.floats(0.0, 1.0))
@example(_ONE_LARGE_LAYER, [1.0, 2.0], 0.109375)  # what was left over went to the lower rate
def test_of_equal_networks_the_one_with_the_higher_rate_is_not_slower(
    profile: NetworkProfile, wanted: list[float], share: float
) -> None:
    together = [_network(f"n{index}", profile, rate) for index, rate in enumerate(wanted)]
    plans = plan_together(together, _DEVICE, budget_bytes=_budget(together, share))
    pairs = sorted(zip(wanted, (plan.predicted_latency_s for plan in plans), strict=True))
    for (low, slow_s), (high, fast_s) in itertools.combinations(pairs, 2):
        assert low == high or fast_s <= slow_s * (1 + 1e-9)


def _equal(together: Sequence[SharedNetwork], bytes_left: int) -> list[int]:
    return [bytes_left // len(together)] * len(together)


def _proportional(together: Sequence[SharedNetwork], bytes_left: int) -> list[int]:
    sizes = [network.profile.weight_bytes for network in together]
    return [bytes_left * size // sum(sizes) for size in sizes]


def _judged_s(
    together: Sequence[SharedNetwork], stream_bytes: int, shares: Sequence[int]
) -> float | None:
    """Weighted latencies with so many bytes for streaming and residents; None: it does not fit."""
    total_s = 0.0
    for network, share in zip(together, shares, strict=True):
        resident_bytes = share // _PAGE * _PAGE
        room = Room(
            stream_bytes=stream_bytes,
            resident_bytes=resident_bytes,
            total_bytes=stream_bytes + resident_bytes,
            is_shared=True,
        )
        candidate = choose(network.profile, _DEVICE, room)
        if candidate is None:
            return None
        total_s += network.weight * candidate.timeline.latency_s
    return total_s


@settings(max_examples=30, deadline=None)
@given(
    networks(), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.sampled_from([_equal, _proportional])
)
def test_no_simple_split_is_better(
    together: list[SharedNetwork], share: float, part: float, split: Split
) -> None:
    """Whatever part of the room the split gives to streaming."""
    budget_bytes = _budget(together, share)
    room_bytes = budget_bytes - _fixed_bytes(together)
    stream_bytes = int(room_bytes * part) // _PAGE * _PAGE
    simple_s = _judged_s(together, stream_bytes, split(together, room_bytes - stream_bytes))
    assume(simple_s is not None)
    plans = plan_together(together, _DEVICE, budget_bytes=budget_bytes)
    assert simple_s is not None
    assert _weighted_s(together, plans) <= simple_s * 1.02


@settings(max_examples=20, deadline=None)
@given(networks(2, 2, cells=3), st.floats(0.0, 1.0))
def test_no_shares_of_two_small_networks_are_better(
    together: list[SharedNetwork], share: float
) -> None:
    """All sizes of the streaming region and all residents that can matter."""
    budget_bytes = _budget(together, share)
    room_bytes = (budget_bytes - _fixed_bytes(together)) // _PAGE * _PAGE
    sums = [_sums(network.profile) for network in together]
    best_s = min(
        total_s
        for stream_bytes in sorted(sums[0] | sums[1])
        for shares in itertools.product(*sums)
        if stream_bytes + sum(shares) <= room_bytes
        if (total_s := _judged_s(together, stream_bytes, shares)) is not None
    )
    plans = plan_together(together, _DEVICE, budget_bytes=budget_bytes)
    assert _weighted_s(together, plans) <= best_s * 1.01


def _sums(profile: NetworkProfile) -> set[int]:
    sizes = [cell.size_bytes for cell in profile.cells]
    picks = itertools.product((False, True), repeat=len(sizes))
    return {sum(itertools.compress(sizes, pick)) for pick in picks}


def test_memory_goes_where_it_saves_most() -> None:
    profile = simulated_profile(cell_bytes=[_CELL] * 20, steps=range(20))
    rare, frequent = _network("rare", profile, 0.1), _network("frequent", profile, 10.0)
    budget_bytes = 24 * _CELL
    plans = plan_together([rare, frequent], _DEVICE, budget_bytes=budget_bytes)
    assert plans[1].resident_bytes > 4 * plans[0].resident_bytes


def test_with_room_for_all_nothing_is_read_again() -> None:
    profile = simulated_profile(cell_bytes=[_CELL] * 20, steps=range(20))
    together = [_network("a", profile, 1.0), _network("b", profile, None)]
    plans = plan_together(together, _DEVICE, budget_bytes=40 * _CELL)
    assert [plan.streamed_bytes for plan in plans] == [0, 0]
    assert [plan.stream_bytes for plan in plans] == [0, 0]


def test_a_region_large_enough_for_one_network_keeps_nothing_for_it() -> None:
    """Each network would fit into the region by itself, but both use it in turn."""
    profile = simulated_profile(cell_bytes=[_CELL] * 12, steps=range(12))
    together = [_network("a", profile, 1.0), _network("b", profile, 1.0)]
    plans = plan_together(together, _DEVICE, budget_bytes=14 * _CELL)
    assert sum(plan.streamed_bytes for plan in plans) >= 10 * _CELL
