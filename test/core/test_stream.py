"""Networks that use one streaming region in turn: what is expected, broken, closed among them."""

from __future__ import annotations

import functools
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swapnet_core.errors import StorageError
from swapnet_core.lane import Lane
from swapnet_core.planner import make_plan
from swapnet_core.swapper import READING_THREADS, FetchPool
from swapnet_core.testing import (
    SIMULATED_DEVICE,
    MemoryStore,
    SimulatedBackend,
    simulated_profile,
)

OpenBench = Callable[..., Any]
OpenFleet = Callable[..., "Fleet"]
WaitUntil = Callable[[Callable[[], bool]], None]

_MIB = 2**20
_CELL_BYTES = 256 * 1024


class Fleet:
    """Several networks that use one streaming region in turn."""

    def __init__(
        self,
        pool: FetchPool,
        open_bench: OpenBench,
        delay_s: Callable[[], float],
        sizes: list[int],
    ) -> None:
        budget = 3 * _CELL_BYTES
        profiles = [
            simulated_profile(cell_bytes=[_CELL_BYTES] * cells, steps=range(cells))
            for cells in sizes
        ]
        plans = [make_plan(p, SIMULATED_DEVICE, budget_bytes=budget) for p in profiles]
        largest = max(plan.stream_bytes for plan in plans)
        stream, region = pool.open_stream(largest), SimulatedBackend().allocate(largest)
        self.stream = stream
        self.benches = [open_bench(p, budget, delay_s, stream, region) for p in profiles]

    def expect(self, numbers: list[int]) -> None:
        self.stream.expect([self.benches[number].lane for number in numbers])

    def close(self) -> None:
        for bench in self.benches:
            self.stream.close_lane(bench.lane)
        self.benches[0].pool.close_stream(self.stream)


@pytest.fixture
def open_fleet(pool: FetchPool, open_bench: OpenBench) -> Callable[..., Fleet]:
    return functools.partial(Fleet, pool, open_bench)


_turns = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.lists(st.integers(0, 2), max_size=4),
        st.none() | st.integers(0, 6),
    ),
    min_size=1,
    max_size=10,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_turns, st.integers(0, 2**16))
def test_networks_share_a_stream_whatever_was_expected(
    pool: FetchPool,
    open_fleet: OpenFleet,
    turns: list[tuple[int, list[int], int | None]],
    seed: int,
) -> None:
    dice = random.Random(seed)
    fleet = open_fleet(lambda: dice.choice((0.0, 0.0, 0.0005)), [5, 12, 9])
    try:
        for number, expected, stop_after in turns:
            fleet.benches[number].run(stop_after)
            fleet.expect(expected)
    finally:
        fleet.close()
    assert pool.snapshot().streams == 0


def test_the_head_of_the_expected_network_is_fetched_while_the_present_one_ends(
    open_fleet: OpenFleet, wait_until: WaitUntil
) -> None:
    fleet = open_fleet(lambda: 0.0, [5, 12])
    first, second = fleet.benches
    for _ in range(2):
        first.run()
    residents = second.lane.bytes_read
    fleet.expect([1])
    wait_until(lambda: second.lane.bytes_read > residents)
    before = second.lane.bytes_read
    second.store.hold_reads()  # what was fetched ahead is used without another read
    second.lane.begin()
    assert second.lane.enter(0) == 0.0
    assert second.lane.bytes_read == before
    second.store.release_reads()
    second.lane.abort()
    fleet.close()


def test_an_error_in_the_head_of_another_network_does_not_touch_the_present_one(
    open_fleet: OpenFleet,
) -> None:
    fleet = open_fleet(lambda: 0.0, [5, 12])
    first, second = fleet.benches
    with second.store.broken(second.plan.blocks[second.plan.uses[0]].file_offset_bytes):
        for _ in range(3):
            first.lane.begin()
            fleet.expect([1, 0])
            first.lane.finish()
            first.run()
        with pytest.raises(StorageError, match="broken"):
            second.run()
        second.lane.abort()
    first.run()
    second.run()
    fleet.close()


def test_an_expected_network_that_is_closed_leaves_the_present_one_running(
    open_fleet: OpenFleet,
) -> None:
    fleet = open_fleet(lambda: 0.0, [12, 9])
    first, second = fleet.benches
    first.run()
    first.lane.begin()
    fleet.expect([0, 1, 0])
    first.lane.enter(0)
    fleet.stream.close_lane(second.lane)
    for use in range(1, len(first.plan.uses)):
        first.lane.enter(use)
        block = first.plan.blocks[first.plan.uses[use]]
        with first.streaming.computing(block.slot_offset_bytes, block.size_bytes) as data:
            begin = block.file_offset_bytes
            assert data == first.content[begin : begin + block.size_bytes]
    first.lane.finish()
    first.run()
    fleet.close()


def test_what_is_expected_meanwhile_does_not_keep_residents_from_coming(
    open_bench: OpenBench, wait_until: WaitUntil
) -> None:
    profile = simulated_profile(cell_bytes=[_MIB] * 8, steps=range(8))
    first = open_bench(profile, 3 * _MIB)
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=profile.demand_bytes)
    store, region = MemoryStore(first.content), SimulatedBackend().allocate(plan.region_bytes)
    store.hold_reads()
    lanes: list[Lane] = []
    opening = threading.Thread(
        target=lambda: lanes.append(first.stream.open_lane(plan, region, store.read_into)),
        daemon=True,
    )
    opening.start()
    wait_until(lambda: len(store.reads) == READING_THREADS)
    first.stream.expect([first.lane])
    store.release_reads()
    opening.join(10)
    assert not opening.is_alive()
    assert len(store.reads) == len(plan.blocks)
    first.run()
    first.stream.close_lane(lanes[0])
    first.close()
