"""Simulate a plan: when blocks are read, when compute runs, where it stalls. Pure.

Source:
    Wang et al., SwapNet, IEEE TMC 2024: T_overlap(i) = T_swap_out(i-1) + T_swap_in(i+1) -
    T_inference(i); a positive value is a stall. Here the whole cycle is simulated, with slots
    that are reused and compute that slows down while reads run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swapnet_core.specs import DeviceProfile

_CYCLES = 3
"""Simulated inferences: the last one starts as the steady state does, with its head prefetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedUse:
    """One use of one streamed block.

    Attributes:
        size_bytes: read for this use.
        compute_s: until the next use begins.
        gate: distance back to the newest earlier use whose slot overlaps this one's: its compute
            must be over before this read may start.
    """

    size_bytes: int
    compute_s: float
    gate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A predicted inference in the steady state.

    Attributes:
        latency_s: from start to end.
        stall_s: compute waiting for blocks.
        stalls_s: the same, per use.
    """

    latency_s: float
    stall_s: float
    stalls_s: tuple[float, ...]


def find_gates(slots: Sequence[tuple[int, int]]) -> list[int]:
    """Find for every use how far back the newest use lies that occupies some of its bytes.

    Args:
        slots: `(begin, end)` of each use's slot, in cyclic order of use.

    Returns:
        Distances in uses, from 1 to `len(slots)`; the latter is the use itself, a cycle ago.
    """
    count = len(slots)
    gates = []
    for index, (begin, end) in enumerate(slots):
        for distance in range(1, count + 1):
            other_begin, other_end = slots[(index - distance) % count]
            if other_begin < end and begin < other_end:
                gates.append(distance)
                break
    return gates


def simulate(
    uses: Sequence[StreamedUse], device: DeviceProfile, *, head_compute_s: float
) -> Timeline:
    """Predict one inference among many of the same network, back to back.

    Args:
        uses: in order; the order is cyclic.
        device: read bandwidth and latency, and the slow-down of compute while reading.
        head_compute_s: compute before the first use.

    Returns:
        The timeline of the last simulated inference.
    """
    if not uses:
        return Timeline(latency_s=head_compute_s, stall_s=0.0, stalls_s=())
    pipeline = _Pipeline(uses, device)
    start_s = 0.0
    stalls: list[float] = []
    for cycle in range(_CYCLES):
        start_s = pipeline.now_s
        pipeline.compute(head_compute_s, cycle * len(uses))
        stalls = [pipeline.enter(cycle * len(uses) + index, use) for index, use in enumerate(uses)]
    return Timeline(latency_s=pipeline.now_s - start_s, stall_s=sum(stalls), stalls_s=tuple(stalls))


class _Pipeline:
    """One reader and one computer; compute of a use ends where the next use is entered."""

    def __init__(self, uses: Sequence[StreamedUse], device: DeviceProfile) -> None:
        self._uses = uses
        self._device = device
        self._released_s: list[float] = []
        self._reads: list[tuple[float, float]] = []
        self._first_open_read = 0
        self._reader_free_s = 0.0
        self.now_s = 0.0

    def enter(self, number: int, use: StreamedUse) -> float:
        """Wait for the use's read, compute it, release its slot; return the stall."""
        self._schedule_reads(number)
        stall_s = max(0.0, self._reads[number][1] - self.now_s)
        self.now_s += stall_s
        self.compute(use.compute_s, number)
        self._released_s.append(self.now_s)
        return stall_s

    def compute(self, duration_s: float, number: int) -> None:
        """Advance by compute that reads slow down."""
        self._schedule_reads(number)
        left_s = duration_s
        slow = 1.0 + self._device.compute_slowdown
        for index in range(self._first_open_read, len(self._reads)):
            begin_s, end_s = self._reads[index]
            if end_s <= self.now_s:
                self._first_open_read = index + 1
                continue
            quiet_s = max(0.0, begin_s - self.now_s)
            if quiet_s >= left_s:
                break
            self.now_s += quiet_s
            left_s -= quiet_s
            shared_s = min(end_s - self.now_s, left_s * slow)
            self.now_s += shared_s
            left_s -= shared_s / slow
        self.now_s += max(0.0, left_s)

    def _schedule_reads(self, number: int) -> None:
        """Start every read whose slot was released before use `number` was entered."""
        count = len(self._uses)
        while len(self._reads) < number + count:
            read = len(self._reads)
            use = self._uses[read % count]
            gate = read - use.gate
            if gate >= len(self._released_s):
                return
            free_s = self._released_s[gate] if gate >= 0 else 0.0
            begin_s = max(self._reader_free_s, free_s)
            self._reader_free_s = begin_s + self._device.read_s(use.size_bytes)
            self._reads.append((begin_s, self._reader_free_s))
