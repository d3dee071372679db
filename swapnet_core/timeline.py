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

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

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
    gates = [count] * count
    in_place = [False] * count
    # No slot begins or ends between two neighbours of these.
    edges = sorted({edge for block in set(blocks) for edge in slots[block]})
    index = {edge: number for number, edge in enumerate(edges)}
    spans = [(index[slots[block][0]], index[slots[block][1]]) for block in blocks]
    newest = [-1] * len(edges)  # use of the bytes behind each edge
    last = [-1] * len(slots)  # use of each block
    for use, (begin, end) in enumerate(spans, start=-count):
        newest[begin:end] = [use] * (end - begin)
        last[blocks[use]] = use
    for use, (begin, end) in enumerate(spans):
        block = blocks[use]
        latest = max(newest[begin:end], default=last[block])
        if latest == last[block]:
            # No read, so no slot to wait for: only never more than one inference ahead.
            in_place[use] = True
        else:
            gates[use] = use - latest
        newest[begin:end] = [use] * (end - begin)
        last[block] = use
    return gates, in_place


def read_anew(blocks: Sequence[int], gates: list[int], in_place: list[bool]) -> None:
    """Forget what lies in place from the inference before: others have used the memory since.

    Args:
        blocks: the block of each use, in cyclic order of use.
        gates: from `find_gates`; changed.
        in_place: the same.
    """
    last = {block: use - len(blocks) for use, block in enumerate(blocks)}
    for use, block in enumerate(blocks):
        if last[block] < 0 and in_place[use]:
            in_place[use] = False
            gates[use] = use - last[block]
        last[block] = use


def simulate(uses: Uses, *, compute_slowdown: float, wake_s: float) -> Timeline:
    """Predict one inference among many of the same network, back to back.

    Args:
        uses: of one inference.
        compute_slowdown: by which share compute takes longer while reads run.
        wake_s: by what compute takes longer for each block that is read.

    Returns:
        The timeline of the last simulated inference.
    """
    if not uses.read_s:
        return Timeline(latency_s=uses.head_compute_s, stall_s=0.0, stalls_s=(), is_queued=())
    compute_s = [
        duration_s + wake_s if read_s > 0.0 else duration_s
        for duration_s, read_s in zip(uses.compute_s, uses.read_s, strict=True)
    ]
    latency_s, stalls_s, is_queued = _run_cycles(uses, compute_s, 1.0 + compute_slowdown)
    return Timeline(
        latency_s=latency_s,
        stall_s=sum(stalls_s),
        stalls_s=tuple(stalls_s),
        is_queued=tuple(is_queued),
    )


def _run_cycles(
    uses: Uses, compute_s: Sequence[float], slow: float
) -> tuple[float, list[float], list[bool]]:
    """Return latency, stalls and queued reads of the last of `_CYCLES` inferences."""
    read_s = uses.read_s
    count = len(read_s)
    beside_share = 1.0 - 1.0 / slow
    at_once, opens = _openings(uses.gates)
    now_s = reader_s = start_s = 0.0
    ends_s = [0.0] * count
    stalls_s = [0.0] * count
    is_queued = [False] * count
    for read in at_once:
        reader_s += read_s[read]
        ends_s[read] = reader_s
    for _ in range(_CYCLES):
        start_s = now_s
        now_s += uses.head_compute_s
        if reader_s > start_s:
            now_s += min(reader_s - start_s, uses.head_compute_s * slow) * beside_share
        for use, duration_s in enumerate(compute_s):
            stall_s = ends_s[use] - now_s
            if stall_s > 0.0:
                stalls_s[use] = stall_s
                now_s += stall_s
            else:
                stalls_s[use] = 0.0
            beside_s = reader_s - now_s  # reads run beside this compute
            now_s += duration_s
            if beside_s > 0.0:
                most_s = duration_s * slow
                now_s += (beside_s if beside_s < most_s else most_s) * beside_share
            for read in opens[use]:
                queued = is_queued[read] = reader_s > now_s
                reader_s = (reader_s if queued else now_s) + read_s[read]
                ends_s[read] = reader_s
    return now_s - start_s, stalls_s, is_queued


def _openings(gates: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """Tell which reads may start before anything is used, and which at the end of each use.

    Reads start one after the other, so none before all in front of it may.
    """
    count = len(gates)
    # A read may start once this many uses of its cycle are over; of the one before, if negative.
    needs = [index - gate + 1 for index, gate in enumerate(gates)]
    needs = list(accumulate([max(needs) - count, *needs], max))[1:]
    ahead = bisect_right(needs, 0)
    opens: list[list[int]] = [[] for _ in range(count)]
    for read in [*range(ahead, count), *range(ahead)]:
        opens[(needs[read] - 1) % count].append(read)
    return list(range(ahead)), opens
