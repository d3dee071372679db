"""The fetch pipeline: whatever happens, a use finds its own bytes in its slot; see `Bench`."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swapnet_core.errors import RuntimeClosedError, StorageError
from swapnet_core.lane import REQUEST_BYTES
from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.specs import NetworkProfile
from swapnet_core.swapper import FetchPool
from swapnet_core.testing import (
    SIMULATED_DEVICE,
    MemoryStore,
    SimulatedBackend,
    simulated_profile,
    stored_pattern,
)

OpenBench = Callable[..., Any]
WaitUntil = Callable[[Callable[[], bool]], None]

_PAGE = 4096
_MIB = 2**20


def _streaming_profile(cells: int = 12, cell_bytes: int = 256 * 1024) -> NetworkProfile:
    return simulated_profile(cell_bytes=[cell_bytes] * cells, steps=range(cells))


@st.composite
def _histories(draw: st.DrawFn) -> tuple[NetworkProfile, int, list[int | None], int]:
    pages = draw(st.lists(st.integers(1, 700), min_size=2, max_size=14))
    order = draw(st.lists(st.integers(0, len(pages) - 1), min_size=1, max_size=24))
    steps = [cell for i, cell in enumerate(order) if i == 0 or order[i - 1] != cell]
    profile = simulated_profile(cell_bytes=[count * _PAGE for count in pages], steps=steps)
    smallest = smallest_budget_bytes(profile)
    share = draw(st.floats(0.0, 0.9))
    budget = smallest + int((profile.demand_bytes - smallest) * share)
    stops = draw(st.lists(st.none() | st.integers(0, len(steps)), min_size=2, max_size=6))
    return profile, max(budget, smallest), stops, draw(st.integers(0, 2**16))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_histories())
def test_every_use_finds_its_bytes_under_random_delays_and_aborts(
    open_bench: OpenBench, history: tuple[NetworkProfile, int, list[int | None], int]
) -> None:
    profile, budget_bytes, stops, seed = history
    dice = random.Random(seed)
    bench = open_bench(profile, budget_bytes, lambda: dice.choice((0.0, 0.0, 0.0003, 0.001)))
    try:
        for stop_after in stops:
            bench.run(stop_after)
        bench.run()
    finally:
        bench.close()


def test_the_steady_state_reads_what_the_plan_says(open_bench: OpenBench) -> None:
    bench = open_bench(_streaming_profile(), 4 * 256 * 1024)
    bench.run()
    bench.run()
    before = bench.lane.bytes_read
    for _ in range(4):
        bench.run()
    bench.store.hold_reads()
    read = bench.lane.bytes_read - before
    bench.store.release_reads()
    ahead = bench.plan.region_bytes
    assert abs(read - 4 * bench.plan.streamed_bytes) <= ahead
    bench.close()


def test_residents_are_read_once(open_bench: OpenBench) -> None:
    profile = _streaming_profile()
    bench = open_bench(profile, profile.demand_bytes)
    for _ in range(3):
        bench.run()
    assert bench.lane.bytes_read == profile.weight_bytes
    bench.close()


def test_the_head_of_the_next_inference_is_fetched_while_idle(
    open_bench: OpenBench, wait_until: WaitUntil
) -> None:
    bench = open_bench(_streaming_profile(), 4 * 256 * 1024)
    bench.run()
    first = bench.plan.blocks[bench.plan.uses[0]]
    wait_until(lambda: bench.store.reads[-1][0] <= _last_page_that_fits(bench))
    assert first.file_offset_bytes in {offset for offset, _ in bench.store.reads[-4:]}
    bench.close()


def _last_page_that_fits(bench: Any) -> int:
    return bench.plan.blocks[0].file_offset_bytes + bench.plan.region_bytes


def test_a_read_error_reaches_the_inference_and_the_next_one_tries_again(
    open_bench: OpenBench,
) -> None:
    bench = open_bench(_streaming_profile(), 3 * 256 * 1024)
    bench.run()
    last = bench.plan.blocks[bench.plan.uses[-1]].file_offset_bytes
    # the bytes may be in place already for one inference
    with bench.store.broken(last), pytest.raises(StorageError, match="broken"):
        _run_often(bench)
    bench.lane.abort()
    bench.run()
    bench.run()
    bench.close()


def _run_often(bench: Any) -> None:
    for _ in range(3):
        bench.run()


def test_residents_that_cannot_be_read_leave_no_lane(pool: FetchPool) -> None:
    profile = _streaming_profile(4)
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=profile.demand_bytes)
    store = MemoryStore(stored_pattern(profile))
    store.break_page(plan.blocks[-1].file_offset_bytes)
    region = SimulatedBackend().allocate(plan.region_bytes)
    stream = pool.open_stream(plan.stream_bytes)
    with pytest.raises(StorageError, match="broken"):
        stream.open_lane(plan, region, store.read_into)
    assert "0 lanes" in repr(stream)


def test_a_truncated_store_is_an_error_not_a_hang(pool: FetchPool) -> None:
    profile = _streaming_profile(4)
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=profile.demand_bytes)
    store = MemoryStore(stored_pattern(profile)[: -8 * _PAGE])
    region = SimulatedBackend().allocate(plan.region_bytes)
    with pytest.raises(ValueError, match="assignment"):
        pool.open_stream(plan.stream_bytes).open_lane(plan, region, store.read_into)


def test_freeze_gives_up_all_streamed_slots_but_the_one_in_use(open_bench: OpenBench) -> None:
    bench = open_bench(_streaming_profile(), 5 * 256 * 1024)
    lane, plan = bench.lane, bench.plan
    lane.begin()
    lane.enter(0)
    spans = lane.freeze(0)
    held = plan.blocks[plan.uses[0]]
    free = {byte for begin, end in spans for byte in range(begin, end, _PAGE)}
    for block in plan.blocks:
        if block.is_resident or block is held:
            assert block.slot_offset_bytes not in free
    reads = len(bench.store.reads)
    bench.region.give_up(spans, 0)
    assert len(bench.store.reads) == reads
    lane.abort()
    bench.run()
    bench.run()
    bench.close()


def test_closing_a_lane_wakes_the_inference_that_waits_in_it(open_bench: OpenBench) -> None:
    bench = open_bench(_streaming_profile(), 2 * 256 * 1024)
    bench.run()
    bench.store.hold_reads()
    errors: list[BaseException] = []

    def infer() -> None:
        try:
            while True:
                bench.run()
        except RuntimeClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=infer)
    thread.start()
    closing = threading.Thread(target=bench.stream.close_lane, args=(bench.lane,))
    closing.start()
    thread.join(10)
    assert not thread.is_alive()
    assert len(errors) == 1
    bench.store.release_reads()
    closing.join(10)
    assert not closing.is_alive()
    assert "0 lanes" in repr(bench.stream)


def test_a_closed_lane_writes_nothing_more(open_bench: OpenBench) -> None:
    bench = open_bench(_streaming_profile(), 3 * 256 * 1024, lambda: 0.001)
    bench.run()
    bench.stream.close_lane(bench.lane)
    reads = len(bench.store.reads)
    bench.streaming.give_up([(0, bench.streaming.size_bytes)], 0)
    threading.Event().wait(0.02)
    assert len(bench.store.reads) == reads
    with bench.streaming.computing(0, bench.streaming.size_bytes) as data:
        assert not any(data)
    with pytest.raises(RuntimeClosedError):
        bench.lane.begin()


def test_a_closed_pool_takes_no_lanes() -> None:
    pool = FetchPool()
    pool.close()
    pool.close()
    profile = _streaming_profile(3)
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=2 * 256 * 1024)
    region = SimulatedBackend().allocate(plan.region_bytes)
    with pytest.raises(RuntimeClosedError):
        pool.open_stream(plan.stream_bytes).open_lane(
            plan, region, MemoryStore(stored_pattern(profile)).read_into
        )


def test_closing_the_pool_wakes_who_waits(pool: FetchPool, open_bench: OpenBench) -> None:
    bench = open_bench(_streaming_profile(), 2 * 256 * 1024)
    bench.run()
    bench.store.hold_reads()
    errors: list[BaseException] = []

    def infer() -> None:
        try:
            while True:
                bench.run()
        except RuntimeClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=infer, daemon=True)
    thread.start()
    closing = threading.Thread(target=pool.close, daemon=True)
    closing.start()
    threading.Event().wait(0.05)
    bench.store.release_reads()
    closing.join(10)
    thread.join(10)
    assert not thread.is_alive()
    assert len(errors) == 1


def test_blocks_larger_than_a_request_are_read_in_pieces(open_bench: OpenBench) -> None:
    profile = simulated_profile(cell_bytes=[5 * _MIB + _PAGE] * 3, steps=range(3))
    bench = open_bench(profile, 11 * _MIB)
    bench.run()
    bench.run()
    sizes = {size for _, size in bench.store.reads}
    assert max(sizes) <= REQUEST_BYTES
    assert max(sizes) - min(sizes) <= _PAGE
    bench.close()
