"""What a drive came to, as facts: of every task, of the core, and together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Median and 99th percentile of some times, in seconds."""

    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """The core's state of one network at one moment; `ModelStats` has the words."""

    demand_bytes: int
    weight_bytes: int
    activation_bytes: int
    resident_bytes: int
    streamed_bytes: int
    planned_peak_bytes: int
    predicted_latency_s: float
    inferences: int
    bytes_read: int
    faults: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreFigures:
    """The core's state at one moment, all networks together; `RuntimeReport` has the words."""

    budget_bytes: int
    leased_bytes: int
    peak_bytes: int
    demand_bytes: int
    read_bandwidth_bytes_per_s: float
    is_direct_io: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreState:
    """What the core told at one moment.

    Attributes:
        received_ns: when that arrived, on the clock of the images' stamps.
        core: of all networks together.
        models: of each network, by the name of its task's node.
    """

    received_ns: int
    core: CoreFigures
    models: Mapping[str, ModelFigures]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFigures:
    """The sums of one task so far.

    Attributes:
        network: name of its network; empty while that is not loaded.
        is_random: its weights are random numbers, and its results mean nothing.
        frames_processed: frames for which a result came.
        frames_dropped: frames for which none will come: a newer one was taken instead.
        processed_hz: results per second between the first and the last one; 0 with fewer than two.
        latency: from stamp to result; None while there is no result.
        in_node: from arrival at the node to publication of the result.
        inference: the network's share of it, its waiting for the other networks included.
        running: from the network's start to its output.
        stall_share: share of that in which compute waited for blocks.
        bytes_read_per_frame: read from storage per inference while frames were played; None until
            the core has told of one.
        model: newest state of its network; None while there is none.
    """

    network: str
    is_random: bool
    frames_processed: int
    frames_dropped: int
    processed_hz: float
    latency: Percentiles | None
    in_node: Percentiles | None
    inference: Percentiles | None
    running: Percentiles | None
    stall_share: float
    bytes_read_per_frame: float | None
    model: ModelFigures | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveFigures:
    """The sums of a drive so far.

    Attributes:
        frames_played: frames published.
        tasks: by the name of the task's node.
        core: newest state of the core; None while there is none.
        demand_bytes: what the networks need with everything in memory; 0 while that is not known.
    """

    frames_played: int
    tasks: Mapping[str, TaskFigures]
    core: CoreFigures | None
    demand_bytes: int
