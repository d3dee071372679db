"""What one comparison of a swapped network with the plain one found."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

_ALLOWED_DIFFERENCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFigures:
    """What a plan took. Times are seconds, sizes bytes; both per inference.

    Attributes:
        swapped_s: measured latency, the median.
        predicted_s: latency as the plan had it, from compute times and reads of inferences before
            the pairs.
        predicted_at_speed_s: the same with those times scaled to the pairs' plain latency, and with
            the bandwidth of their reads, as the machine may have changed meanwhile.
        stall_s: part of the latency that compute waited for blocks.
        read_bytes: read from storage.
        resident_bytes: weights that stayed in memory: residents, and streamed blocks whose slot no
            other block uses.
        used_bytes: weights that the network uses, as they lie in blocks.
        ratios: swapped over plain latency, one per pair.
        difference: largest one between the outputs and the plain network's, relative to the
            largest value of an output; 0 where they were equal bit for bit.
        tiles: weights that were read in parts, and in how many.
    """

    swapped_s: float
    predicted_s: float
    predicted_at_speed_s: float
    stall_s: float
    read_bytes: int
    resident_bytes: int
    used_bytes: int
    ratios: tuple[float, ...]
    difference: float
    tiles: dict[str, int]

    @property
    def ratio(self) -> float:
        """Median of the pairs' ratios."""
        return statistics.median(self.ratios)

    @property
    def is_right(self) -> bool:
        """Whether the outputs were what the plan promises: without tiles, equal bit for bit."""
        return self.difference <= (_ALLOWED_DIFFERENCE if self.tiles else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedResult:
    """One comparison. Times are seconds and medians, sizes bytes.

    Attributes:
        swapped: by the core's own plan.
        rival: by another one, in turn with it; None where none was asked for or possible.
        rival_reason: why it was not possible; empty otherwise.
        plain_s: latency of the plain network in memory.
        beside_reads_s: the same, while as many bytes are read beside it as the swapped one reads,
            by as many threads, into memory that nobody uses.
        with_reads_s: from the start of both until both are done, the network and those reads.
        least_delay_s: by how much any plan is slower within this budget, at the plain network's
            speed: stalls that must be, and tiles.
        least_delay_beside_s: the same at the speeds that compute and reads have beside each other.
        bandwidth_bytes_per_s: of direct reads: the better one of reading the block file in turn
            with the pairs, while nothing computes, and of the inferences' own reads.
        beside_bytes_per_s: of the reads beside the plain network, while it computes.
        load_average: of the machine in the last minute, when the measurement began.
        threads: that computed.
        read_priority: real-time priority of those that read, in all arms; 0: none.
    """

    network: str
    demand_bytes: int
    budget_bytes: int
    peak_bytes: int
    swapped: PlanFigures
    rival: PlanFigures | None
    rival_reason: str
    plain_s: float
    beside_reads_s: float
    with_reads_s: float
    least_delay_s: float
    least_delay_beside_s: float
    bandwidth_bytes_per_s: float
    beside_bytes_per_s: float
    load_average: float
    threads: int
    read_priority: int
    machine: str

    @property
    def read_s(self) -> float:
        """Bytes read per inference over the bandwidth."""
        return self.swapped.read_bytes / self.bandwidth_bytes_per_s

    @property
    def bound_s(self) -> float:
        """No schedule of these reads is faster, had it all the memory to read ahead into."""
        return max(self.plain_s, self.read_s)

    @property
    def bound_in_budget_s(self) -> float:
        """No schedule is faster within this budget: it can only read ahead into what it has."""
        return max(self.bound_s, self.plain_s + self.least_delay_s)

    @property
    def bound_beside_reads_s(self) -> float:
        """The same, counting what reads and compute cost each other here, whoever orders them."""
        compute_s = max(self.plain_s, self.beside_reads_s)
        return max(self.bound_s, self.with_reads_s, compute_s + self.least_delay_beside_s)

    @property
    def ratio_to_bound_beside_reads(self) -> float:
        """Swapped latency over the bound beside reads."""
        return self.swapped.swapped_s / self.bound_beside_reads_s

    @property
    def ratio_to_bound(self) -> float:
        """Swapped latency over the bound."""
        return self.swapped.swapped_s / self.bound_s

    @property
    def ratio_to_bound_in_budget(self) -> float:
        """Swapped latency over the bound within the budget."""
        return self.swapped.swapped_s / self.bound_in_budget_s

    @property
    def is_right(self) -> bool:
        """Whether all outputs were what the plans promise."""
        return self.swapped.is_right and (self.rival is None or self.rival.is_right)

    def to_json(self) -> dict[str, Any]:
        """Return all figures as plain numbers and strings."""
        derived = (
            *("read_s", "bound_s", "ratio_to_bound"),
            *("bound_in_budget_s", "ratio_to_bound_in_budget"),
            *("bound_beside_reads_s", "ratio_to_bound_beside_reads", "is_right"),
        )
        found = {**asdict(self), **{name: getattr(self, name) for name in derived}}
        for key, figures in (("swapped", self.swapped), ("rival", self.rival)):
            if figures is not None:
                found[key] |= {"ratio": figures.ratio, "is_right": figures.is_right}
        return found
