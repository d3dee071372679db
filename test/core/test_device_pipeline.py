"""The fetch pipeline in front of a device that works late: kernels see their bytes all the same.

See [Note: the host runs ahead] and [Note: the worst device].
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from swapnet_core.backends.base import Backend, Region
from swapnet_core.backends.cuda import CudaBackend
from swapnet_core.backends.cuda_calls import Queue
from swapnet_core.backends.unified import UnifiedBackend
from swapnet_core.errors import NetworkError, StorageError
from swapnet_core.lane import Piece
from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.regions import JoinedRegion
from swapnet_core.simulated_cuda import SimulatedCuda
from swapnet_core.specs import NetworkProfile, bytes_spec
from swapnet_core.stream import Stream
from swapnet_core.swapper import FetchPool
from swapnet_core.testing import (
    SIMULATED_DEVICE,
    MemoryStore,
    run_steps,
    simulated_profile,
    stored_pattern,
)

_PAGE = 4096
_CELL_BYTES = 64 * 1024
_LATE_S = 0.02
_KINDS = (CudaBackend, UnifiedBackend)


class DeviceBench:
    """Networks whose kernels run when the device gets there, each on its block's bytes."""

    def __init__(self, kind: Callable[[SimulatedCuda], Backend], seed: int) -> None:
        self.dice = random.Random(seed)
        self.device = SimulatedCuda(seed, computes_late=True)
        self.backend = kind(self.device)
        self.pool = FetchPool(self.backend.queue)
        self.wrong: list[str] = []
        self.kernels = 0

    def open(self, profile: NetworkProfile, budget_bytes: int, host_share: float = 0.0) -> Runs:
        return Runs(self, profile, budget_bytes, host_share)

    def open_stream(self, size_bytes: int) -> tuple[Stream, Region]:
        return self.pool.open_stream(size_bytes), self.backend.allocate(size_bytes)

    def close_stream(self, stream: Stream, region: Region) -> None:
        self.pool.close_stream(stream)
        region.free()

    def check(self, slot: torch.Tensor, content: bytes, name: str) -> None:
        """Issue a kernel that reads a slot."""
        self.kernels += 1

        def kernel() -> None:
            if slot.numpy().tobytes() != content:
                self.wrong.append(name)

        self.device.compute(kernel)

    def close(self) -> None:
        self.pool.close()
        self.device.wait_for(Queue.COMPUTE)
        self.backend.close()
        assert not self.wrong, self.wrong
        assert self.device.held.device_bytes == 0
        assert self.device.held.pinned_bytes == 0


class Runs:
    """One network in slots of its own."""

    def __init__(
        self,
        bench: DeviceBench,
        profile: NetworkProfile,
        budget_bytes: int,
        host_share: float = 0.0,
        stream: tuple[Stream, Region] | None = None,
    ) -> None:
        self._bench = bench
        self._is_alone = stream is None
        self.content = stored_pattern(profile)
        plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=budget_bytes)
        streamed_bytes = sum(plan.blocks[block].size_bytes for block in set(plan.uses))
        self.plan = replace(plan, host_bytes=int(streamed_bytes * host_share))
        dice = bench.dice
        self.store = MemoryStore(self.content, lambda: dice.choice((0.0, 0.0, 0.0005)))
        plan = self.plan
        self.stream, self.streaming = stream or bench.open_stream(plan.stream_bytes)
        self.residents = bench.backend.allocate(plan.region_bytes - plan.stream_bytes)
        self.region = JoinedRegion(plan, self.streaming, self.residents)
        parts = (self.streaming, self.residents) if self._is_alone else (self.residents,)
        for part in parts:  # somebody computes there until now
            before = _bytes_of(part, 0, part.size_bytes)
            bench.check(before, before.numpy().tobytes(), "before")
        host_bytes = self.plan.host_bytes
        self.shelf = bench.backend.open_shelf(host_bytes) if host_bytes else None
        read_into = self.store.read_into
        self.lane = self.stream.open_lane(self.plan, self.region, read_into, self.shelf)
        self._steps = profile.trace.steps
        self._blocks = {c: i for i, block in enumerate(plan.blocks) for c in block.weights}

    def run(self, stop_after: int | None = None) -> None:
        """One inference, whose kernels are issued and not waited for."""
        run_steps(self.lane, self._steps, self._read_step, stop_after)

    def _read_step(self, step: int) -> None:
        self.read(self._blocks[self._steps[step]], f"step {step}")

    def read(self, index: int, name: str) -> None:
        block = self.plan.blocks[index]
        begin = block.file_offset_bytes
        content = self.content[begin : begin + block.size_bytes]
        slot = _bytes_of(self.region, block.slot_offset_bytes, block.size_bytes)
        self._bench.check(slot, content, name)

    def close(self) -> None:
        self.stream.close_lane(self.lane)
        if self.shelf is not None:
            self.shelf.close()
        self.residents.free()
        if self._is_alone:
            self._bench.close_stream(self.stream, self.streaming)


def _bytes_of(region: Region, offset_bytes: int, size_bytes: int) -> torch.Tensor:
    return region.weight_view(offset_bytes, bytes_spec(size_bytes))


@pytest.fixture(params=_KINDS, ids=lambda kind: kind.kind)
def open_device(request: pytest.FixtureRequest) -> Iterator[Callable[[int], DeviceBench]]:
    benches: list[DeviceBench] = []

    def open_device(seed: int) -> DeviceBench:
        benches.append(DeviceBench(request.param, seed))
        return benches[-1]

    yield open_device
    for bench in benches:
        bench.close()


OpenDevice = Callable[[int], DeviceBench]


def _random_profile(dice: random.Random) -> NetworkProfile:
    pages = [dice.randint(1, 40) for _ in range(dice.randint(2, 12))]
    order = [dice.randrange(len(pages)) for _ in range(dice.randint(1, 20))]
    steps = [cell for i, cell in enumerate(order) if i == 0 or order[i - 1] != cell]
    return simulated_profile(cell_bytes=[count * _PAGE for count in pages], steps=steps)


@pytest.mark.parametrize("seed", range(8))
def test_kernels_see_their_bytes_in_whatever_order_the_device_works(
    open_device: OpenDevice, seed: int
) -> None:
    bench = open_device(seed)
    profile = _random_profile(bench.dice)
    least = smallest_budget_bytes(profile)
    share = bench.dice.random() * 0.9
    runs = bench.open(profile, least + int((profile.demand_bytes - least) * share))
    for _ in range(6):
        steps = len(profile.trace.steps)
        runs.run(bench.dice.choice((None, None, bench.dice.randrange(steps + 1))))
    runs.run()
    runs.close()
    assert bench.kernels


@pytest.mark.parametrize("seed", range(6))
def test_networks_share_a_stream_whatever_was_expected(open_device: OpenDevice, seed: int) -> None:
    bench = open_device(seed)
    dice = bench.dice
    profiles = [
        simulated_profile(cell_bytes=[_CELL_BYTES] * cells, steps=range(cells))
        for cells in (5, 9, 7)
    ]
    budget_bytes = 3 * _CELL_BYTES
    shared = bench.open_stream(budget_bytes)
    networks = [Runs(bench, profile, budget_bytes, stream=shared) for profile in profiles]
    for _ in range(10):
        dice.choice(networks).run(dice.choice((None, None, dice.randrange(5))))
        shared[0].expect([dice.choice(networks).lane for _ in range(dice.randrange(4))])
    for network in networks:
        network.close()
    bench.close_stream(*shared)


@pytest.mark.parametrize("seed", range(5))
def test_kernels_see_their_bytes_where_host_memory_holds_a_part_of_them(seed: int) -> None:
    bench = DeviceBench(CudaBackend, seed)
    profile = _random_profile(bench.dice)
    runs = bench.open(profile, smallest_budget_bytes(profile), bench.dice.choice((0.3, 0.7, 1.0)))
    for _ in range(6):
        runs.run(bench.dice.choice((None, None, 1)))
    runs.run()
    runs.close()
    bench.close()


def test_requests_of_one_block_have_places_of_their_own_in_host_memory() -> None:
    bench = DeviceBench(CudaBackend, 7)
    profile = simulated_profile(cell_bytes=[9 * 2**20, 5 * 2**20 + _PAGE, _PAGE], steps=range(3))
    runs = bench.open(profile, smallest_budget_bytes(profile), 1.0)
    for _ in range(3):
        runs.run()
    runs.close()
    bench.close()


def test_blocks_larger_than_a_request_and_than_the_ring(open_device: OpenDevice) -> None:
    bench = open_device(3)
    profile = simulated_profile(cell_bytes=[5 * 2**20 + _PAGE, 37 * 2**20, _PAGE], steps=range(3))
    runs = bench.open(profile, 42 * 2**20 + 2 * _PAGE)
    runs.run()
    runs.run()
    runs.close()


def test_memory_is_given_back_while_the_device_is_behind(open_device: OpenDevice) -> None:
    bench = open_device(4)
    profile = simulated_profile(cell_bytes=[_CELL_BYTES] * 8, steps=range(8))
    for budget_cells in (3, 5, 8, 2):
        runs = bench.open(profile, budget_cells * _CELL_BYTES)
        runs.run()
        runs.run(3)
        runs.close()


def test_to_wait_for_the_device_is_not_to_read(
    open_device: OpenDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = open_device(6)
    waits: list[float] = []
    prepare = Piece.prepare

    def prepare_late(piece: Piece) -> None:
        waits.append(_LATE_S)
        time.sleep(_LATE_S)
        prepare(piece)

    monkeypatch.setattr(Piece, "prepare", prepare_late)
    profile = simulated_profile(cell_bytes=[_CELL_BYTES] * 8, steps=range(8))
    runs = bench.open(profile, 3 * _CELL_BYTES)
    runs.run()
    runs.close()
    snapshot = bench.pool.snapshot()
    assert snapshot.bytes_read > 0
    assert snapshot.reading_s < 0.25 * sum(waits)  # two threads that wait at once take half of it


@pytest.mark.parametrize("seed", range(2))
def test_copies_of_weights_lie_in_given_up_slots(open_device: OpenDevice, seed: int) -> None:
    bench = open_device(seed)
    profile = simulated_profile(cell_bytes=[_CELL_BYTES] * 8, steps=range(8))
    runs = bench.open(profile, 4 * _CELL_BYTES)
    lane, plan = runs.lane, runs.plan
    for _ in range(2):
        runs.run()
        lane.begin()
        use = bench.dice.randrange(1, len(plan.uses))
        for number in range(use + 1):
            lane.enter(number)
            runs.read(plan.uses[number], f"use {number}")
        spans = lane.freeze(use)
        assert bench.device.log[-2:] == ["record copy", "let_wait compute"]
        memory = runs.region.give_up(spans, 0)
        bench.device.wait_for(Queue.COMPUTE)  # the copy below is made at once, a GPU's in order
        made = memory.make(_CELL_BYTES - _PAGE, _fill)
        bench.device.wait_for(Queue.COPY)  # what was on its way to slots is there already
        bench.check(made.data, b"w" * (_CELL_BYTES - _PAGE), "a copy")
        runs.read(plan.uses[use], "the use that was kept")
        lane.abort()
        with pytest.raises(NetworkError, match="keeps a weight"):
            memory.check_over()
        bench.device.wait_for(Queue.COMPUTE)
        del made
        memory.check_over()
    runs.run()
    runs.close()


def _fill(target: memoryview) -> int:
    target[:] = b"w" * len(target)
    return 0


def test_copies_have_no_more_room_than_there_is(open_device: OpenDevice) -> None:
    bench = open_device(6)
    region = bench.backend.allocate(8 * _PAGE)
    bench.backend.queue.join()
    memory = region.give_up([(0, 2 * _PAGE), (4 * _PAGE, 5 * _PAGE)], _PAGE)
    first = memory.make(2 * _PAGE, _fill)
    beside = [memory.make(_PAGE, _fill) for _ in range(2)]  # in the second span, and in the rest
    for size_bytes in (_PAGE, 1):
        with pytest.raises(MemoryError):
            memory.make(size_bytes, _fill)
    del first
    again = memory.make(_PAGE, _fill)
    assert not bool((again.data != ord("w")).any())
    del again, beside
    region.free()


def test_a_read_that_fails_gives_its_staging_back(open_device: OpenDevice) -> None:
    bench = open_device(7)
    profile = simulated_profile(cell_bytes=[_CELL_BYTES] * 6, steps=range(6))
    runs = bench.open(profile, 2 * _CELL_BYTES)
    last = runs.plan.blocks[runs.plan.uses[-1]].file_offset_bytes
    for _ in range(12):  # more often than there are chunks
        with runs.store.broken(last), pytest.raises(StorageError, match="broken"):
            _run_often(runs)
        runs.lane.abort()
    runs.run()
    runs.close()


def _run_often(runs: Runs) -> None:
    for _ in range(3):
        runs.run()


def test_what_waits_for_what_on_a_discrete_device() -> None:
    device = SimulatedCuda(computes_late=True)
    backend = CudaBackend(device)
    region = backend.allocate(_PAGE)
    backend.queue.release()
    landing = region.open_landing(0, _PAGE, backend.queue.released)
    arrival = landing.deliver()
    assert arrival is not None
    backend.queue.admit([arrival])
    backend.queue.join()
    assert device.log == [
        "record compute",  # the slot was used in front of this
        "let_wait copy",  # for that
        "copy copy",
        "record copy",  # the arrival
        "let_wait compute",  # for the arrival
        "record compute",  # when it was there
        "record copy",
        "let_wait compute",  # join
    ]
    region.free()
    backend.close()
