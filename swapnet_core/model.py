"""One loaded network: its plan in force, its slots, its counters."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from swapnet_core import memory
from swapnet_core.arena import Arena
from swapnet_core.backends.base import Region
from swapnet_core.copies import PrivateCopies
from swapnet_core.errors import RuntimeClosedError
from swapnet_core.lane import Lane
from swapnet_core.loading import Prepared
from swapnet_core.planner import make_plan
from swapnet_core.reader import DirectReader
from swapnet_core.reports import ModelStats, summarize_latencies
from swapnet_core.runner import Inference, PlannedAccess, Runner, StoredAccess
from swapnet_core.specs import PAGE_BYTES, DeviceProfile, NetworkProfile, SwapPlan
from swapnet_core.swapper import FetchPool

_LATENCIES_KEPT = 1024


class LoadedModel:
    """A network that runs by a plan, or waits for one.

    `replan`, `suspend`, `run` and `close` are for the inference thread; `stats` for any.
    """

    def __init__(self, name: str, prepared: Prepared, pool: FetchPool, arena: Arena) -> None:
        self.name = name
        self.profile = prepared.profile
        self._assembly = prepared.assembly
        self._pool = pool
        self._arena = arena
        self._reader = DirectReader(prepared.block_file.path)
        weights = prepared.profile.trace.weights
        self._idle = StoredAccess(PrivateCopies(weights, self._fill_copy))
        self._faulted = PrivateCopies(weights, self._fill_copy)
        self._plan: SwapPlan | None = None
        self._region: Region | None = None
        self._lane: Lane | None = None
        self._runner: Runner | None = None
        self._trouble: BaseException | None = None
        self._has_run = False
        self._heap = memory.HeapWatch()
        self._counters = _Counters()
        self._assembly.source = self._idle

    @property
    def plan(self) -> SwapPlan | None:
        """The plan in force; None while suspended."""
        return self._plan

    @property
    def is_direct(self) -> bool:
        """Whether reads go around the page cache."""
        return self._reader.is_direct

    def take_weights(self) -> None:
        """Let go of the network's own weights: from here on the block file has them."""
        self._assembly.forget_tensors()

    def adopt(self, plan: SwapPlan) -> None:
        """Allocate a plan's slots, bind the weights to them and read the residents.

        Raises:
            BudgetTooSmallError: the slots cannot be leased.
            StorageError: a resident block cannot be read.
        """
        self._trouble = None
        region = self._arena.allocate(self.name, plan.region_bytes)
        try:
            lane = self._pool.open_lane(plan, region, self._reader.read_into)
        except BaseException as error:
            self._trouble = error
            self._arena.release(region)
            raise
        access = PlannedAccess(self.profile, plan, lane, region, self._faulted, self._idle)
        self._runner = Runner(self._assembly, access, self._idle, region)
        self._plan, self._region, self._lane = plan, region, lane

    def suspend(self) -> None:
        """Give the slots back. Idempotent; the model cannot run until it adopts a plan again."""
        if self._lane is not None:
            self._pool.close_lane(self._lane)
            self._counters.add_read(self._lane.bytes_read)
        if self._region is not None:
            self._arena.release(self._region)
        self._plan = self._region = self._lane = self._runner = None

    def run(self, inputs: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run one inference; see `Runner.run`.

        Raises:
            RuntimeClosedError: the model has no plan because it was closed.
            StorageError: it has no plan because its residents could not be read.
        """
        if self._trouble is not None:
            raise self._trouble
        if self._runner is None:
            raise RuntimeClosedError(f"the network {self.name!r} is closed")
        output, inference = self._run_by_plan(self._runner, inputs, kwargs)
        self._counters.add(inference)
        return output

    def _run_by_plan(
        self, runner: Runner, inputs: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Any, Inference]:
        """Run, and see to it that malloc keeps no more than the activations that are leased."""
        if self._has_run:
            result = runner.run(inputs, kwargs)
        else:  # kernels are made now, and stay
            memory.keep_tensors_out_of_heap()
            try:
                result = runner.run(inputs, kwargs)
            finally:
                memory.keep_activations_in_heap()
            self._has_run = True
        self._heap.check(self.profile.trace.activation_bytes)
        return result

    def count_missed_deadline(self) -> None:
        """A job of this network was dropped because its deadline had passed."""
        self._counters.add_missed_deadline()

    def close(self) -> None:
        """Give everything back. The network has its weights again only if they were not taken."""
        self.suspend()
        self._assembly.detach()
        self._reader.close()

    def stats(self) -> ModelStats:
        """Return the state of this moment."""
        plan, lane = self._plan, self._lane
        trace = self.profile.trace
        return self._counters.report(
            read_bytes=lane.bytes_read if lane is not None else 0,
            name=self.name,
            demand_bytes=self.profile.demand_bytes,
            weight_bytes=self.profile.weight_bytes,
            activation_bytes=trace.activation_bytes,
            resident_bytes=plan.resident_bytes if plan is not None else 0,
            streamed_bytes=plan.streamed_bytes if plan is not None else 0,
            planned_peak_bytes=plan.peak_bytes if plan is not None else 0,
            predicted_latency_s=plan.predicted_latency_s if plan is not None else 0.0,
            bound_s=plan.bound_s if plan is not None else 0.0,
        )

    def _fill_copy(self, weight: int, target: memoryview) -> int:
        """Read whole pages around a weight; return where in them it starts."""
        offset = self.profile.weight_offsets_bytes[weight]
        start = offset % PAGE_BYTES
        end = self.profile.trace.weights[weight].size_bytes + start
        pages = -(-end // PAGE_BYTES) * PAGE_BYTES
        self._reader.read_into(target[:pages], offset - start)
        return start

    def __repr__(self) -> str:
        state = "planned" if self._plan is not None else "suspended"
        return f"<LoadedModel {self.name!r}, {state}>"


def plan_for(profile: NetworkProfile, device: DeviceProfile, share_bytes: int) -> SwapPlan:
    """Plan a network for a share of the slots.

    Args:
        profile: of the network.
        device: it runs on.
        share_bytes: for slots alone: activations and buffers are leased apart.

    Raises:
        BudgetTooSmallError: see `make_plan`.
    """
    fixed_bytes = profile.trace.buffer_bytes + profile.trace.activation_bytes
    return make_plan(profile, device, budget_bytes=share_bytes + fixed_bytes)


class _Counters:
    """Totals of one model. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inferences = 0
        self._faults = 0
        self._bytes_read = 0
        self._stall_s = 0.0
        self._compute_s = 0.0
        self._deadline_misses = 0
        self._latencies_s: deque[float] = deque(maxlen=_LATENCIES_KEPT)

    def add(self, inference: Inference) -> None:
        with self._lock:
            self._inferences += 1
            self._faults += inference.faults
            self._stall_s += inference.stall_s
            self._compute_s += inference.latency_s - inference.stall_s
            self._latencies_s.append(inference.latency_s)

    def add_read(self, size_bytes: int) -> None:
        with self._lock:
            self._bytes_read += size_bytes

    def add_missed_deadline(self) -> None:
        with self._lock:
            self._deadline_misses += 1

    def report(self, *, read_bytes: int, **facts: Any) -> ModelStats:
        with self._lock:
            return ModelStats(
                **facts,
                inferences=self._inferences,
                faults=self._faults,
                bytes_read=self._bytes_read + read_bytes,
                stall_s=self._stall_s,
                compute_s=self._compute_s,
                deadline_misses=self._deadline_misses,
                latency_s=summarize_latencies(tuple(self._latencies_s)),
            )
