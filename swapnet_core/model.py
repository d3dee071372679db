"""One loaded network: its plan in force, its slots, its counters."""

from __future__ import annotations

import functools
import statistics
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swapnet_core import memory
from swapnet_core.assembly import Assembly
from swapnet_core.copies import PrivateCopies
from swapnet_core.errors import RuntimeClosedError
from swapnet_core.graphs import GraphWish, InferenceGraphs
from swapnet_core.heap_guard import HeapGuard
from swapnet_core.heap_watch import HeapWatch
from swapnet_core.holding import Holding
from swapnet_core.planned_access import Boundary, PlannedAccess, StoredAccess
from swapnet_core.recording import Inference, record_timeline
from swapnet_core.reports import InferenceTimeline, ModelStats, summarize_latencies
from swapnet_core.runner import Runner
from swapnet_core.specs import NetworkProfile, SwapPlan
from swapnet_core.speeds import round_factor

_LATENCIES_KEPT = 1024
_COMPUTE_TIMES_KEPT = 32
_ENOUGH_COMPUTE_TIMES = 8


class LoadedModel:
    """A network that runs by the plan of its weights.

    `run`, `void_graphs` and `close` are for the inference thread; `stats` and `require_open` for
    any.
    """

    def __init__(
        self,
        name: str,
        assembly: Assembly,
        holding: Holding,
        boundary: Boundary,
        *,
        rate_hz: float | None,
        heap: HeapWatch,
        graphs: GraphWish | None = None,
    ) -> None:
        self.name = name
        self.rate_hz = rate_hz
        self.holding = holding
        self._assembly = assembly
        weights = holding.profile.trace.weights
        room = holding.backend.copies
        self._idle = StoredAccess(PrivateCopies(weights, holding.fill_copy, room))
        self._faulted = PrivateCopies(weights, holding.fill_copy, room)
        self._boundary = boundary
        self._graphs = InferenceGraphs(graphs, holding.backend) if graphs is not None else None
        self._runner: Runner | None = None
        self._is_open = True
        self._has_run = False
        self._heap = heap
        self._newest: tuple[Inference, ...] = ()
        self._counters = _Counters()
        self._assembly.source = self._idle

    @property
    def profile(self) -> NetworkProfile:
        """What is known of the network."""
        return self.holding.profile

    @property
    def inferences(self) -> int:
        """How many there were."""
        return self._counters.inferences

    @property
    def measured_profile(self) -> NetworkProfile:
        """What is known of the network, at the speed at which it runs of late.

        A trace was made in one moment, maybe a busy one, and is kept. Its compute times are
        scaled, in steps of 5 %, to what inferences take, less what reads and tiles add to that.
        """
        traced_s, taken_s = self.profile.trace.compute_s, self._counters.compute_s()
        if taken_s is None or traced_s <= 0.0:
            return self.profile
        factor = round_factor(taken_s / traced_s) if taken_s > 0.0 else 1.0
        return self.profile if factor == 1.0 else self.profile.slowed(factor)

    @property
    def graph_bytes(self) -> int:
        """What a plan should count for CUDA graphs; 0: there will be none."""
        return self._graphs.room_bytes if self._graphs is not None else 0

    @property
    def plan(self) -> SwapPlan | None:
        """The plan in force; None while there is none."""
        return self.holding.plan if self._is_open else None

    @property
    def is_direct(self) -> bool:
        """Whether reads go around the page cache."""
        return self.holding.is_direct

    def require_open(self) -> None:
        """Refuse a closed model; its weights may be open still: those of an equal network.

        Raises:
            RuntimeClosedError: the model is closed.
        """
        if not self._is_open:
            raise RuntimeClosedError(f"the network {self.name!r} is closed")

    def take_weights(self) -> None:
        """Let go of the network's own weights: from here on the block file has them."""
        self._assembly.forget_tensors()

    def caller(self) -> object | None:
        """Note where the calling thread's own work on the device stands, for `run`."""
        return self.holding.backend.queue.caller()

    def run(
        self, inputs: Sequence[Any], kwargs: Mapping[str, Any], caller: object | None = None
    ) -> Any:
        """Run one inference; see `Runner.run`.

        Raises:
            RuntimeClosedError: the model is closed.
            StorageError: it has no plan because its residents could not be read.
        """
        self.require_open()
        if self._runner is None:
            on_host = self.holding.backend.device.type == "cpu"
            guard = HeapGuard(self.profile.trace, self._heap) if on_host else None
            access = PlannedAccess(self.holding, self._faulted, self._idle, self._boundary, guard)
            self._runner = Runner(self._assembly, access, self._idle)
        graphs = self._graphs
        run = self._runner.run if graphs is None else functools.partial(graphs.run, self._runner)
        output, inference = self._run_by_plan(lambda: run(inputs, kwargs, caller))
        self._newest = (*self._newest[-1:], inference)
        plan = self.plan
        self._counters.add(inference, 1.0 if plan is None else plan.compute_slowdown)
        return output

    def _run_by_plan(self, run: Callable[[], tuple[Any, Inference]]) -> tuple[Any, Inference]:
        """Run, and see to it that malloc keeps no more than the activations that are leased."""
        self._heap.check()
        if self._has_run:
            with memory.large_tensors_in_heap():
                return run()
        with memory.tensors_out_of_heap():  # kernels are made now, and stay
            result = run()
        self._has_run = True
        self._heap.expect_holes()
        return result

    @property
    def timeline(self) -> InferenceTimeline | None:
        """See `SwappedModel.timeline`."""
        newest = self._newest
        if not newest:
            return None
        return record_timeline(newest[-1], newest[0] if len(newest) > 1 else None)

    def count_missed_deadline(self) -> None:
        """A job of this network was dropped because its deadline had passed."""
        self._counters.add_missed_deadline()

    def void_graphs(self) -> None:
        """Give CUDA graphs back whose slots are not the network's any more."""
        if self._graphs is not None:
            self._graphs.void_unless(self.holding.lane)

    def close(self) -> None:
        """Let go of the plan. Idempotent.

        The network has its weights again only if they were not taken.
        """
        if not self._is_open:
            return
        self._is_open = False
        self._runner = None
        if self._graphs is not None:
            self._graphs.close()
        self._assembly.detach()

    def stats(self) -> ModelStats:
        """Return the state of this moment."""
        plan = self.plan
        trace = self.profile.trace
        return self._counters.report(
            bytes_read=self.holding.bytes_read,
            name=self.name,
            demand_bytes=self.profile.demand_bytes,
            weight_bytes=self.profile.weight_bytes,
            activation_bytes=trace.activation_bytes,
            resident_bytes=plan.resident_bytes if plan is not None else 0,
            streamed_bytes=plan.streamed_bytes if plan is not None else 0,
            planned_peak_bytes=plan.peak_bytes if plan is not None else 0,
            predicted_latency_s=plan.predicted_latency_s if plan is not None else 0.0,
            bound_s=plan.bound_s if plan is not None else 0.0,
            cuda_graphs=self._graphs.stats() if self._graphs is not None else None,
        )

    def __repr__(self) -> str:
        return f"<LoadedModel {self.name!r}, {self.holding!r}>"


class _Counters:
    """Totals of one model. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.inferences = 0
        self._faults = 0
        self._stall_s = 0.0
        self._compute_s = 0.0
        self._deadline_misses = 0
        self._latencies_s: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._compute_times_s: deque[float] = deque(maxlen=_COMPUTE_TIMES_KEPT)

    def add(self, inference: Inference, slowdown: float) -> None:
        with self._lock:
            self.inferences += 1
            self._faults += inference.faults
            self._stall_s += inference.stall_s
            self._compute_s += inference.latency_s - inference.stall_s
            self._compute_times_s.append((inference.latency_s - inference.stall_s) / slowdown)
            self._latencies_s.append(inference.latency_s)

    def compute_s(self) -> float | None:
        """Median of what the last inferences took with all in memory; None after too few."""
        with self._lock:
            if len(self._compute_times_s) < _ENOUGH_COMPUTE_TIMES:
                return None
            return statistics.median(self._compute_times_s)

    def add_missed_deadline(self) -> None:
        with self._lock:
            self._deadline_misses += 1

    def report(self, **facts: Any) -> ModelStats:
        with self._lock:
            return ModelStats(
                **facts,
                inferences=self.inferences,
                faults=self._faults,
                stall_s=self._stall_s,
                compute_s=self._compute_s,
                deadline_misses=self._deadline_misses,
                latency_s=summarize_latencies(tuple(self._latencies_s)),
            )
