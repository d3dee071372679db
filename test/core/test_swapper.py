"""The fetch pipeline: whatever happens, a use finds its own bytes in its slot.

The store's bytes tell where they lie in the file, and the region refuses a fetch that writes
where compute reads.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swapnet_core.errors import RuntimeClosedError, StorageError
from swapnet_core.lane import REQUEST_BYTES, Lane
from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.regions import JoinedRegion
from swapnet_core.specs import NO_STEP, NetworkProfile, SwapPlan
from swapnet_core.stream import Stream
from swapnet_core.swapper import READING_THREADS, FetchPool
from swapnet_core.testing import (
    SIMULATED_DEVICE,
    MemoryStore,
    SimulatedBackend,
    SimulatedRegion,
    simulated_profile,
    stored_pattern,
)

_PAGE = 4096
_MIB = 2**20


@pytest.fixture
def pool() -> Iterator[FetchPool]:
    pool = FetchPool()
    yield pool
    pool.close()


class Bench:
    """A network on a simulated device, run step by step as the runner does it."""

    def __init__(
        self,
        pool: FetchPool,
        profile: NetworkProfile,
        budget_bytes: int,
        delay_s: Callable[[], float] | None = None,
        stream: Stream | None = None,
        streaming: SimulatedRegion | None = None,
    ) -> None:
        self.pool = pool
        self.content = stored_pattern(profile)
        self.plan: SwapPlan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=budget_bytes)
        self.store = MemoryStore(self.content, delay_s)
        self.stream = stream or pool.open_stream(self.plan.stream_bytes)
        self.streaming = streaming or SimulatedBackend().allocate(self.plan.stream_bytes)
        self.resident = SimulatedBackend().allocate(self.plan.region_bytes - self.plan.stream_bytes)
        self.region = JoinedRegion(self.plan, self.streaming, self.resident)
        self._cell_block = {c: i for i, block in enumerate(self.plan.blocks) for c in block.weights}
        self._steps = profile.trace.steps
        self.lane: Lane = self.stream.open_lane(self.plan, self.region, self.store.read_into)

    def run(self, stop_after: int | None = None) -> None:
        """One inference; `stop_after` breaks it off after so many steps."""
        self.lane.begin()
        current = NO_STEP
        for number, cell in enumerate(self._steps):
            if number == stop_after:
                self.lane.abort()
                return
            use = self.plan.step_uses[number]
            if use not in (NO_STEP, current):
                self.lane.enter(use)
                current = use
            self._check(self._cell_block[cell])
        self.lane.finish()

    def _check(self, block_index: int) -> None:
        block = self.plan.blocks[block_index]
        border = self.plan.stream_bytes
        part = self.resident if block.is_resident else self.streaming
        begin = block.slot_offset_bytes - border * block.is_resident
        with part.computing(begin, block.size_bytes) as data:
            begin = block.file_offset_bytes
            assert data == self.content[begin : begin + block.size_bytes]

    def close(self) -> None:
        self.stream.close_lane(self.lane)
        self.pool.close_stream(self.stream)


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
    pool: FetchPool, history: tuple[NetworkProfile, int, list[int | None], int]
) -> None:
    profile, budget_bytes, stops, seed = history
    dice = random.Random(seed)
    bench = Bench(pool, profile, budget_bytes, lambda: dice.choice((0.0, 0.0, 0.0003, 0.001)))
    try:
        for stop_after in stops:
            bench.run(stop_after)
        bench.run()
    finally:
        bench.close()


class Fleet:
    """Several networks that use one streaming region in turn."""

    def __init__(self, pool: FetchPool, delay_s: Callable[[], float], sizes: list[int]) -> None:
        budget = 3 * 256 * 1024
        profiles = [_streaming_profile(cells) for cells in sizes]
        plans = [make_plan(p, SIMULATED_DEVICE, budget_bytes=budget) for p in profiles]
        largest = max(plan.stream_bytes for plan in plans)
        stream, region = pool.open_stream(largest), SimulatedBackend().allocate(largest)
        self.stream = stream
        self.benches = [Bench(pool, p, budget, delay_s, stream, region) for p in profiles]

    def expect(self, numbers: list[int]) -> None:
        self.stream.expect([self.benches[number].lane for number in numbers])

    def close(self) -> None:
        for bench in self.benches:
            self.stream.close_lane(bench.lane)
        self.benches[0].pool.close_stream(self.stream)


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
    pool: FetchPool, turns: list[tuple[int, list[int], int | None]], seed: int
) -> None:
    dice = random.Random(seed)
    fleet = Fleet(pool, lambda: dice.choice((0.0, 0.0, 0.0005)), [5, 12, 9])
    try:
        for number, expected, stop_after in turns:
            fleet.benches[number].run(stop_after)
            fleet.expect(expected)
    finally:
        fleet.close()
    assert pool.snapshot().streams == 0


def test_the_head_of_the_expected_network_is_fetched_while_the_present_one_ends(
    pool: FetchPool,
) -> None:
    fleet = Fleet(pool, lambda: 0.0, [5, 12])
    first, second = fleet.benches
    for _ in range(2):
        first.run()
    residents = second.lane.bytes_read
    fleet.expect([1])
    _wait_until(lambda: second.lane.bytes_read > residents)
    before = second.lane.bytes_read
    second.store.hold_reads()  # what was fetched ahead is used without another read
    second.lane.begin()
    assert second.lane.enter(0) == 0.0
    assert second.lane.bytes_read == before
    second.store.release_reads()
    second.lane.abort()
    fleet.close()


def test_an_error_in_the_head_of_another_network_does_not_touch_the_present_one(
    pool: FetchPool,
) -> None:
    fleet = Fleet(pool, lambda: 0.0, [5, 12])
    first, second = fleet.benches
    second.store.break_page(second.plan.blocks[second.plan.uses[0]].file_offset_bytes)
    for _ in range(3):
        first.lane.begin()
        fleet.expect([1, 0])
        first.lane.finish()
        first.run()
    with pytest.raises(StorageError, match="broken"):
        second.run()
    second.lane.abort()
    second.store.mend()
    first.run()
    second.run()
    fleet.close()


def test_the_steady_state_reads_what_the_plan_says(pool: FetchPool) -> None:
    bench = Bench(pool, _streaming_profile(), 4 * 256 * 1024)
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


def test_residents_are_read_once(pool: FetchPool) -> None:
    profile = _streaming_profile()
    bench = Bench(pool, profile, profile.demand_bytes)
    for _ in range(3):
        bench.run()
    assert bench.lane.bytes_read == profile.weight_bytes
    bench.close()


def test_the_head_of_the_next_inference_is_fetched_while_idle(pool: FetchPool) -> None:
    bench = Bench(pool, _streaming_profile(), 4 * 256 * 1024)
    bench.run()
    first = bench.plan.blocks[bench.plan.uses[0]]
    _wait_until(lambda: bench.store.reads[-1][0] <= _last_page_that_fits(bench))
    assert first.file_offset_bytes in {offset for offset, _ in bench.store.reads[-4:]}
    bench.close()


def _last_page_that_fits(bench: Bench) -> int:
    return bench.plan.blocks[0].file_offset_bytes + bench.plan.region_bytes


def _wait_until(is_so: Callable[[], bool], timeout_s: float = 10.0) -> None:
    waiting = threading.Event()
    for _ in range(int(timeout_s / 0.01)):
        if is_so():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come to be")


def test_a_read_error_reaches_the_inference_and_the_next_one_tries_again(pool: FetchPool) -> None:
    bench = Bench(pool, _streaming_profile(), 3 * 256 * 1024)
    bench.run()
    broken = bench.plan.blocks[bench.plan.uses[-1]].file_offset_bytes
    bench.store.break_page(broken)
    # the bytes may be in place already for one inference
    with pytest.raises(StorageError, match="broken"):
        _run_often(bench)
    bench.lane.abort()
    bench.store.mend()
    bench.run()
    bench.run()
    bench.close()


def _run_often(bench: Bench) -> None:
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


def test_freeze_gives_up_all_streamed_slots_but_the_one_in_use(pool: FetchPool) -> None:
    bench = Bench(pool, _streaming_profile(), 5 * 256 * 1024)
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
    for begin, end in spans:
        bench.region.discard(begin, end - begin)
    assert len(bench.store.reads) == reads
    lane.abort()
    bench.run()
    bench.run()
    bench.close()


def test_closing_a_lane_wakes_the_inference_that_waits_in_it(pool: FetchPool) -> None:
    bench = Bench(pool, _streaming_profile(), 2 * 256 * 1024)
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


def test_a_closed_lane_writes_nothing_more(pool: FetchPool) -> None:
    bench = Bench(pool, _streaming_profile(), 3 * 256 * 1024, lambda: 0.001)
    bench.run()
    bench.stream.close_lane(bench.lane)
    reads = len(bench.store.reads)
    bench.streaming.discard(0, bench.streaming.size_bytes)
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


def test_closing_the_pool_wakes_who_waits() -> None:
    pool = FetchPool()
    bench = Bench(pool, _streaming_profile(), 2 * 256 * 1024)
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


def test_blocks_larger_than_a_request_are_read_in_pieces(pool: FetchPool) -> None:
    profile = simulated_profile(cell_bytes=[5 * _MIB + _PAGE] * 3, steps=range(3))
    bench = Bench(pool, profile, 11 * _MIB)
    bench.run()
    bench.run()
    assert max(size for _, size in bench.store.reads) == REQUEST_BYTES
    bench.close()


def test_an_expected_network_that_is_closed_leaves_the_present_one_running(
    pool: FetchPool,
) -> None:
    fleet = Fleet(pool, lambda: 0.0, [12, 9])
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


def test_what_is_expected_meanwhile_does_not_keep_residents_from_coming(pool: FetchPool) -> None:
    profile = simulated_profile(cell_bytes=[_MIB] * 8, steps=range(8))
    first = Bench(pool, profile, 3 * _MIB)
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=profile.demand_bytes)
    store, region = MemoryStore(first.content), SimulatedBackend().allocate(plan.region_bytes)
    store.hold_reads()
    lanes: list[Lane] = []
    opening = threading.Thread(
        target=lambda: lanes.append(first.stream.open_lane(plan, region, store.read_into)),
        daemon=True,
    )
    opening.start()
    _wait_until(lambda: len(store.reads) == READING_THREADS)
    first.stream.expect([first.lane])
    store.release_reads()
    opening.join(10)
    assert not opening.is_alive()
    assert len(store.reads) == len(plan.blocks)
    first.run()
    first.stream.close_lane(lanes[0])
    first.close()
