"""Room is made before steps that take much: no more is held than is leased for activations."""

from __future__ import annotations

import ctypes
import itertools
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import SwapRuntime, memory
from swapnet_core.heap_guard import HeapGuard
from swapnet_core.heap_watch import HeapWatch
from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.profiling import profile_network
from swapnet_core.specs import NetworkProfile, SwapPlan
from swapnet_core.testing import SIMULATED_DEVICE

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc's malloc")

_MIB = 2**20


class _Heap:
    """What a process holds, as far as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.live_bytes = 100 * _MIB
        self.kept_bytes = 0
        self.returns = 0
        monkeypatch.setattr(memory, "resident_bytes", self._look)
        monkeypatch.setattr(memory, "return_free_memory", self._return)

    def _look(self) -> int:
        return self.live_bytes + self.kept_bytes

    def _return(self) -> None:
        self.returns += 1
        self.kept_bytes = 0


@pytest.fixture
def heap(monkeypatch: pytest.MonkeyPatch) -> _Heap:
    return _Heap(monkeypatch)


@pytest.fixture
def watch(heap: _Heap) -> HeapWatch:
    watch = HeapWatch()
    watch.allow(30 * _MIB)
    watch.check()  # now 100 MiB are known to be others'
    heap.returns = 0
    return watch


def test_nothing_is_returned_while_all_fits(heap: _Heap, watch: HeapWatch) -> None:
    heap.kept_bytes = 10 * _MIB
    for _ in range(3):
        watch.check()
        watch.make_room(live_bytes=0, growth_bytes=20 * _MIB, may_wait=False)
    assert heap.returns == 0


def test_room_is_made_before_a_step_that_might_not_fit(heap: _Heap, watch: HeapWatch) -> None:
    heap.kept_bytes = 15 * _MIB
    watch.make_room(live_bytes=0, growth_bytes=20 * _MIB, may_wait=False)
    assert heap.returns == 1
    assert heap.kept_bytes == 0


def test_what_others_hold_by_now_is_not_returned_time_and_again(
    heap: _Heap, watch: HeapWatch
) -> None:
    heap.live_bytes += 200 * _MIB
    for _ in range(5):
        watch.make_room(live_bytes=0, growth_bytes=20 * _MIB, may_wait=False)
        heap.kept_bytes = 5 * _MIB
    assert heap.returns == 1


def test_what_others_give_back_does_not_become_room(heap: _Heap, watch: HeapWatch) -> None:
    heap.live_bytes -= 50 * _MIB
    watch.check()
    heap.kept_bytes = 15 * _MIB
    watch.make_room(live_bytes=0, growth_bytes=20 * _MIB, may_wait=False)
    assert heap.returns == 1


def test_what_is_live_already_is_not_taken_for_others(heap: _Heap, watch: HeapWatch) -> None:
    heap.live_bytes += 20 * _MIB  # activations
    heap.kept_bytes = 15 * _MIB
    watch.make_room(live_bytes=20 * _MIB, growth_bytes=8 * _MIB, may_wait=False)
    assert heap.returns == 1
    heap.kept_bytes = 15 * _MIB
    watch.make_room(live_bytes=20 * _MIB, growth_bytes=8 * _MIB, may_wait=False)
    assert heap.returns == 2


def test_a_step_is_left_to_the_holes_where_that_is_little(heap: _Heap, watch: HeapWatch) -> None:
    heap.kept_bytes = 15 * _MIB
    assert watch.make_room(live_bytes=0, growth_bytes=20 * _MIB, may_wait=True)
    assert heap.returns == 0
    assert not watch.make_room(live_bytes=0, growth_bytes=60 * _MIB, may_wait=True)
    assert heap.returns == 1
    assert not watch.make_room(live_bytes=0, growth_bytes=20 * _MIB, may_wait=True)
    assert heap.returns == 1


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 96, 3, padding=1),  # 24 MiB
        nn.Conv2d(96, 4, 1),
        nn.MaxPool2d(8),
        nn.Flatten(),
        nn.Linear(4096, 512),
        nn.Linear(512, 4),
    ).eval()


_IMAGE = torch.rand(1, 3, 256, 256)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> NetworkProfile:
    """Made before any test says what the process holds."""
    return profile_network(_network(), (_IMAGE,), cache_dir=tmp_path_factory.mktemp("network"))


def test_the_trace_tells_what_steps_take(profile: NetworkProfile) -> None:
    trace = profile.trace
    assert 23 * _MIB < trace.step_growth_bytes[0] < 60 * _MIB
    assert trace.step_live_bytes[0] < 2 * _MIB
    assert 23 * _MIB < trace.step_live_bytes[1] < 28 * _MIB
    assert max(trace.step_growth_bytes[-2:]) < _MIB
    for step in range(len(trace.steps)):
        assert trace.step_tile_growth_bytes[step] <= trace.step_growth_bytes[step]
        peak_bytes = trace.step_live_bytes[step] + trace.step_growth_bytes[step]
        assert peak_bytes <= trace.step_activation_bytes[step]


def test_only_steps_that_take_much_are_guarded(profile: NetworkProfile) -> None:
    asked: list[int] = []

    class Watch(HeapWatch):
        def make_room(self, *, live_bytes: int, growth_bytes: int, may_wait: bool) -> bool:
            asked.append(growth_bytes)
            return False

    guard = HeapGuard(profile.trace, Watch())
    guard.follow(
        make_plan(profile, SIMULATED_DEVICE, budget_bytes=smallest_budget_bytes(profile) + _MIB)
    )
    for access in range(len(profile.trace.accesses)):
        guard.before(access)
    assert asked[0] == profile.trace.step_growth_bytes[0]
    assert all(growth >= 16 * _MIB for growth in asked)
    assert len(asked) < len(profile.trace.steps)


def _guard(profile: NetworkProfile, plan: SwapPlan, heap: _Heap) -> HeapGuard:
    """One whose first step leaves 4 MiB of what is allowed."""
    watch = HeapWatch()
    watch.check()
    watch.allow(profile.trace.step_growth_bytes[0] + 4 * _MIB)
    guard = HeapGuard(profile.trace, watch)
    guard.follow(plan)
    heap.returns = 0
    return guard


def test_a_step_that_once_found_no_holes_is_made_room_for(
    profile: NetworkProfile, heap: _Heap
) -> None:
    growth_bytes = profile.trace.step_growth_bytes[0]
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=2 * profile.demand_bytes)
    guard = _guard(profile, plan, heap)

    heap.kept_bytes = 10 * _MIB
    for _ in range(3):  # it finds holes
        guard.before(0)
    assert heap.returns == 0
    heap.kept_bytes = growth_bytes + 10 * _MIB
    guard.before(0)
    assert heap.returns == 1
    heap.kept_bytes = 10 * _MIB
    guard.before(0)
    assert heap.returns == 2
    guard.follow(plan)
    heap.kept_bytes = 10 * _MIB
    guard.before(0)
    assert heap.returns == 2


def test_a_step_is_left_to_what_is_kept_where_that_is_enough(heap: _Heap, watch: HeapWatch) -> None:
    heap.kept_bytes = 30 * _MIB
    assert watch.make_room(live_bytes=0, growth_bytes=28 * _MIB, may_wait=True)
    assert not watch.make_room(live_bytes=4 * _MIB, growth_bytes=28 * _MIB, may_wait=True)
    heap.kept_bytes = 30 * _MIB
    assert not watch.make_room(live_bytes=0, growth_bytes=28 * _MIB, may_wait=False)
    assert heap.returns == 2
    watch.allow(100 * _MIB)
    heap.kept_bytes = 90 * _MIB
    assert watch.make_room(live_bytes=0, growth_bytes=70 * _MIB, may_wait=True)  # in the heap, too
    assert heap.returns == 2
    watch.allow(30 * _MIB)
    heap.kept_bytes = 40 * _MIB  # more than is allowed already
    assert not watch.make_room(live_bytes=0, growth_bytes=28 * _MIB, may_wait=True)
    assert heap.returns == 3


def test_what_was_learnt_of_a_step_is_void_when_others_took_the_memory(
    profile: NetworkProfile, heap: _Heap
) -> None:
    growth_bytes = profile.trace.step_growth_bytes[0]
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=2 * profile.demand_bytes)
    guard = _guard(profile, plan, heap)

    heap.kept_bytes = 10 * _MIB
    guard.before(0)
    heap.live_bytes += growth_bytes + 10 * _MIB  # others'
    guard.before(0)
    assert heap.returns == 1
    heap.kept_bytes = 10 * _MIB
    guard.before(0)
    assert heap.returns == 1  # it may wait again


def test_the_heap_is_put_in_order_when_holes_did_not_do(
    heap: _Heap, watch: HeapWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    watch.expect_holes()
    watch.check()
    heap.returns, renewed_s = 0, []
    for _ in range(200):
        heap.kept_bytes = 50 * _MIB
        assert watch.notices_too_much()
        heap.kept_bytes = 0
        watch.check()
        if heap.returns:
            heap.returns = 0
            renewed_s.append(now_s)
        now_s += 1.0
    gaps_s = [late - early for early, late in itertools.pairwise(renewed_s)]
    assert gaps_s == [10.0, 20.0, 40.0, 80.0]
    now_s += 1000.0
    watch.check()
    epoch = watch.epoch
    watch.check()
    assert watch.epoch == epoch  # nothing was too much any more


def test_the_heap_is_put_in_order_after_loading_and_after_the_first_inference(
    tmp_path: Path,
) -> None:
    with SwapRuntime(budget="1GiB", cache_dir=tmp_path) as runtime:
        model = runtime.load("network", _network(), (_IMAGE,))
        epochs = [runtime._fleet._heap.epoch]
        for _ in range(4):
            model(_IMAGE)
            epochs.append(runtime._fleet._heap.epoch)
        assert [late - early for early, late in itertools.pairwise(epochs)][:2] == [1, 1]
        assert "holes" in repr(runtime._fleet._heap)
    assert "0 holes" in repr(runtime._fleet._heap)


@pytest.fixture
def littered() -> Iterator[ctypes.CDLL]:
    """A heap in which much is kept."""
    libc = memory.glibc()
    assert libc is not None
    yield libc
    memory.return_free_memory()


def test_what_was_kept_before_is_returned_in_an_inference(
    tmp_path: Path, littered: ctypes.CDLL
) -> None:
    with SwapRuntime(budget="1GiB", cache_dir=tmp_path) as runtime:
        model = runtime.load("network", _network(), (_IMAGE,))
        for _ in range(2):
            model(_IMAGE)
        runtime._dispatcher.run_exclusive(memory.return_free_memory)
        before_bytes = memory.anonymous_bytes()
        # Between the pieces lies what stays, untouched: so they are kept one by one.
        found = [(littered.malloc(_MIB), littered.malloc(_MIB)) for _ in range(120)]
        pieces, ends = zip(*found, strict=True)
        for piece in pieces:
            ctypes.memset(piece, 1, _MIB)
        for piece in pieces:
            littered.free(piece)
        assert memory.anonymous_bytes() - before_bytes > 100 * _MIB
        model(_IMAGE)
        assert memory.anonymous_bytes() - before_bytes < runtime.report().peak_bytes
        for end in ends:
            littered.free(end)
