"""Frozen snapshots for users: what runs, what it holds, how fast it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyStats:
    """Distribution of latencies in seconds, over the newest inferences."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphStats:
    """CUDA graphs of one network.

    Attributes:
        is_used: whether an inference of the example's kind is a replay now.
        reason: why it is not; empty where it is.
        replays: inferences that were, since the network was loaded.
        graphs: that make one inference up: one per streamed block, and what comes before.
        size_bytes: of the memory in which they compute.
    """

    is_used: bool
    reason: str
    replays: int
    graphs: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStats:
    """One loaded network. Counters are totals since it was loaded.

    Attributes:
        demand_bytes: weights, buffers and activation peak: what it needs without swapping.
        weight_bytes: stored weights.
        activation_bytes: measured peak of activations and operator scratch.
        resident_bytes: weights that stay in memory.
        streamed_bytes: weights read for every inference.
        planned_peak_bytes: slots, buffers and activations.
        predicted_latency_s: of one inference, back to back with others of this network.
        bound_s: no schedule is faster: `max(compute, bytes / bandwidth)`.
        bytes_read: of these weights, by all networks that share them.
        faults: weights read out of the planned order.
        stall_s: compute waiting for blocks.
        compute_s: inferences without their stalls.
        latency_s: of inferences, without queueing; None before the first.
        cuda_graphs: None where the network was loaded without.
    """

    name: str
    demand_bytes: int
    weight_bytes: int
    activation_bytes: int
    resident_bytes: int
    streamed_bytes: int
    planned_peak_bytes: int
    predicted_latency_s: float
    bound_s: float
    inferences: int
    faults: int
    bytes_read: int
    stall_s: float
    compute_s: float
    deadline_misses: int
    latency_s: LatencyStats | None
    cuda_graphs: GraphStats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRead:
    """One read request of a block.

    Attributes:
        block: its index in the plan.
        offset_bytes: in the block.
        begin_s: when the request was made.
        end_s: when its bytes were in the slot.
    """

    block: int
    offset_bytes: int
    size_bytes: int
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockUse:
    """A stretch of an inference in which one streamed block is in use, and residents around it.

    Attributes:
        block: its index in the plan; None for the stretch before the first streamed block.
        stall_s: how long compute waited for it, up to `begin_s`.
        begin_s: when it was there.
        end_s: when the next one was wanted, or the inference ended.
    """

    block: int | None
    stall_s: float
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceTimeline:
    """One inference as it was measured; times in seconds from its beginning.

    Attributes:
        latency_s: its end.
        uses: of blocks, in order, without gaps but for stalls.
        reads: for this inference, in the order of beginning; from before it where blocks were
            fetched ahead. Blocks that still lay in their slots have none.
        reads_ahead: for what comes next, that were under way meanwhile.
    """

    latency_s: float
    uses: tuple[BlockUse, ...]
    reads: tuple[BlockRead, ...]
    reads_ahead: tuple[BlockRead, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLoad:
    """What one network's rate asks of the device, as shares of its time.

    Attributes:
        rate_hz: as declared; None: as often as there is time, which is no load.
        compute_share: part of the time in which it computes.
        read_share: part of the storage's bandwidth that its blocks take.
        busy_share: part of the time in which its inferences run, stalls included.
        reachable_rate_hz: predicted: the declared rate where the set fits. Where it does not, all
            declared rates times one factor; networks without a rate share what time is left.
    """

    name: str
    rate_hz: float | None
    compute_share: float
    read_share: float
    busy_share: float
    reachable_rate_hz: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether the declared rates of all networks fit the device, with one inference at a time.

    Attributes:
        fits: none of the three shares is above 1.
        compute_share: part of the time that compute needs.
        read_share: part of the storage's bandwidth that reads need.
        busy_share: part of the time in which an inference runs, stalls included.
        enough_budget_bytes: the smallest budget found at which the rates fit; None: at none.
        networks: in the order in which they were loaded.
        reason: all this in one sentence, and what to do where it does not fit.
    """

    fits: bool
    compute_share: float
    read_share: float
    busy_share: float
    enough_budget_bytes: int | None
    networks: tuple[NetworkLoad, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeReport:
    """A runtime at one moment.

    Attributes:
        leased_bytes: what the core may hold now.
        peak_bytes: the most it was allowed to hold under the present budget.
        demand_bytes: what all networks need together with everything in memory, one inference at a
            time; weights that several share count once.
        read_bandwidth_bytes_per_s: achieved while reading; 0 before the first read.
        direct_io: whether reads go around the page cache.
        comply_s: how long the last `set_budget` took until no more than the new budget was held;
            None before the first.
        admission: whether the rates that the networks were loaded with fit; None while there is
            no network.
        staging_bytes: pinned memory of the host between storage and a discrete GPU: beside the
            budget, which then is of the GPU's memory.
        host_budget_bytes: ceiling for pinned host memory in which weights stay; 0: there is none.
        host_bytes: of it, what is held.
        read_priority: real-time priority of the threads that read; 0: they are ordinary ones.
    """

    budget_bytes: int
    leased_bytes: int
    peak_bytes: int
    demand_bytes: int
    models: Mapping[str, ModelStats]
    read_bandwidth_bytes_per_s: float
    direct_io: bool
    comply_s: float | None = None
    admission: Admission | None = None
    staging_bytes: int = 0
    host_budget_bytes: int = 0
    host_bytes: int = 0
    read_priority: int = 0


def summarize_latencies(latencies_s: Sequence[float]) -> LatencyStats | None:
    """Summarize latencies in seconds; None where there are none."""
    if not latencies_s:
        return None
    ordered = sorted(latencies_s)
    return LatencyStats(
        count=len(ordered),
        mean=sum(ordered) / len(ordered),
        p50=_quantile(ordered, 0.50),
        p90=_quantile(ordered, 0.90),
        p99=_quantile(ordered, 0.99),
        max=ordered[-1],
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Interpolate linearly between the two nearest values."""
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)
