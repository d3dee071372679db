"""Simulate a plan: when blocks are read, when compute runs, where it stalls. Pure.

[Note: one reader]
Reads happen in the order of use. A read starts when the one before it is over and the newest
earlier user of its slot has been released. Whatever becomes startable, does so at a release: so
from any release on the reader is busy without a break up to a known moment, and idle after that.
Each use is therefore a handful of operations, and planning can afford thousands of simulations.

Source:
    Wang et al., SwapNet, IEEE TMC 2024: T_overlap(i) = T_swap_out(i-1) + T_swap_in(i+1) -
    T_inference(i); a positive value is a stall. Here the whole cycle is simulated, with slots
    that are reused and compute that slows down while reads run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_CYCLES = 3
"""Simulated inferences: the last one starts as the steady state does, with its head prefetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """The streamed uses of one inference, in order; the order is cyclic.

    Attributes:
        read_s: how long the read for each use takes; 0 where its block is still in place.
        compute_s: from each use to the next.
        gates: distance back to the use that must be over before the read may start.
        head_compute_s: compute before the first use.
    """

    read_s: Sequence[float]
    compute_s: Sequence[float]
    gates: Sequence[int]
    head_compute_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A predicted inference in the steady state.

    Attributes:
        latency_s: from start to end.
        stall_s: compute waiting for blocks.
        stalls_s: the same, per use.
        is_queued: per use, whether its read waited for the read before it, not for its slot.
    """

    latency_s: float
    stall_s: float
    stalls_s: tuple[float, ...]
    is_queued: tuple[bool, ...]


def find_gates(
    blocks: Sequence[int], slots: Sequence[tuple[int, int]]
) -> tuple[list[int], list[bool]]:
    """Find for every use which earlier use its read waits for, and whether it needs a read.

    Args:
        blocks: the block of each use, in cyclic order of use.
        slots: `(begin, end)` by block.

    Returns:
        Distances in uses to the newest use of another block in the same bytes, from 1 to
        `len(blocks)`; and whether the block is still in place since its use before.
    """
    count = len(blocks)
    begins = [slots[block][0] for block in blocks] * 2
    ends = [slots[block][1] for block in blocks] * 2
    cycle = [*blocks, *blocks]
    gates = [count] * count
    in_place = [False] * count
    for index in range(count):
        use = index + count
        block, begin, end = cycle[use], begins[use], ends[use]
        seen = False
        for other in range(use - 1, index, -1):
            if begins[other] < end and begin < ends[other]:
                if cycle[other] != block:
                    gates[index] = use - other
                    break
                seen = True
        else:
            seen = True
        if seen:
            # No read, so no slot to wait for: only never more than one inference ahead.
            gates[index] = count
            in_place[index] = True
    return gates, in_place


def simulate(uses: Uses, *, compute_slowdown: float) -> Timeline:
    """Predict one inference among many of the same network, back to back.

    Args:
        uses: of one inference.
        compute_slowdown: by which share compute takes longer while reads run.

    Returns:
        The timeline of the last simulated inference.
    """
    if not uses.read_s:
        return Timeline(latency_s=uses.head_compute_s, stall_s=0.0, stalls_s=(), is_queued=())
    latency_s, stalls_s, is_queued = _run_cycles(uses, 1.0 + compute_slowdown)
    return Timeline(
        latency_s=latency_s,
        stall_s=sum(stalls_s),
        stalls_s=tuple(stalls_s),
        is_queued=tuple(is_queued),
    )


def _run_cycles(uses: Uses, slow: float) -> tuple[float, list[float], list[bool]]:
    """Return latency, stalls and queued reads of the last of `_CYCLES` inferences."""
    count = len(uses.read_s)
    read_s, compute_s, head_s = list(uses.read_s), list(uses.compute_s), uses.head_compute_s
    # A read may start once this many uses were released since its cycle's first one.
    needs = [index - gate + 1 for index, gate in enumerate(uses.gates)]
    now_s = reader_s = start_s = 0.0
    ends_s: list[float] = []
    is_queued: list[bool] = []
    stalls_s: list[float] = []
    read = base = 0  # the next read: its index in its cycle, and that cycle's first use
    for first in range(0, _CYCLES * count, count):
        start_s = now_s
        stalls_s = []
        for index in range(-1, count):  # -1: the head, before the first use is entered
            number = first + max(index, 0)
            while base + needs[read] <= number:
                is_queued.append(reader_s > now_s)
                reader_s = max(reader_s, now_s) + read_s[read]
                ends_s.append(reader_s)
                read += 1
                if read == count:
                    read, base = 0, base + count
            duration_s = head_s
            if index >= 0:
                stalls_s.append(max(0.0, ends_s[number] - now_s))
                now_s += stalls_s[-1]
                duration_s = compute_s[index]
            if reader_s > now_s:  # reads run beside this compute
                beside_s = min(reader_s - now_s, duration_s * slow)
                duration_s += beside_s - beside_s / slow
            now_s += duration_s
    begin = (_CYCLES - 1) * count
    return now_s - start_s, stalls_s, is_queued[begin : begin + count]
