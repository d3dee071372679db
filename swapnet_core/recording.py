"""What an inference took: which block was in use when, and when it was read. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from swapnet_core.reports import BlockRead, BlockUse, InferenceTimeline


class Entry(NamedTuple):
    """A streamed block was entered.

    Attributes:
        waited_s: how long that took.
        time_s: when it was done, by `time.perf_counter`.
    """

    block: int
    waited_s: float
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """What one inference took.

    Attributes:
        begin_s: when it began, by `time.perf_counter`.
        latency_s: from first to last layer.
        stall_s: part of it spent waiting for blocks.
        faults: weights that were read out of the planned order.
        entries: of streamed blocks, in order.
        reads: the newest by its plan, which go on; None where the plan changed on the way.
    """

    begin_s: float
    latency_s: float
    stall_s: float
    faults: int
    entries: Sequence[Entry]
    reads: Collection[BlockRead] | None


def retimed(
    entries: Sequence[Entry], waits: Sequence[tuple[float, float]] | None
) -> Sequence[Entry]:
    """Give entries the times that the device tells; None: the host's own are right.

    Args:
        entries: in order.
        waits: for each of them `(waited_s, time_s)`.
    """
    if waits is None:
        return entries
    return [
        Entry(entry.block, waited_s, time_s)
        for entry, (waited_s, time_s) in zip(entries, waits, strict=True)
    ]


def record_timeline(
    inference: Inference, earlier: Inference | None = None
) -> InferenceTimeline | None:
    """Put the uses and the reads of an inference together, before later reads push its own out.

    Args:
        inference: the newest one.
        earlier: the one before it: what a block was read for there was not read for this one.

    Returns:
        Its times are from the beginning of the inference. None where the plan changed on the way.
    """
    if inference.reads is None:
        return None
    begin_s, end_s = inference.begin_s, inference.begin_s + inference.latency_s
    used_s = {entry.block: entry.time_s for entry in earlier.entries} if earlier else {}
    # a copy in one step: the fetching threads go on adding
    reads = [
        read
        for read in tuple(inference.reads)
        if used_s.get(read.block, 0.0) <= read.begin_s < end_s
    ]
    own: set[BlockRead] = set()
    for entry in inference.entries:
        own.update(_newest(reads, entry))
    ahead = [read for read in reads if read not in own and read.end_s > begin_s]
    return InferenceTimeline(
        latency_s=inference.latency_s,
        uses=tuple(_uses(inference.entries, begin_s, end_s)),
        reads=_shifted(own, begin_s),
        reads_ahead=_shifted(ahead, begin_s),
    )


def _newest(reads: Sequence[BlockRead], entry: Entry) -> list[BlockRead]:
    """Return the reads that brought a block in last before it was entered."""
    there = [r for r in reads if r.block == entry.block and r.end_s <= entry.time_s]
    found: list[BlockRead] = []
    for read in reversed(there):
        if any(read.offset_bytes == other.offset_bytes for other in found):
            break  # the block was read once more before
        found.append(read)
    return found


def _uses(entries: Sequence[Entry], begin_s: float, end_s: float) -> Iterable[BlockUse]:
    ends_s = [*(entry.time_s - entry.waited_s for entry in entries), end_s]
    if ends_s[0] > begin_s:
        yield BlockUse(block=None, stall_s=0.0, begin_s=0.0, end_s=ends_s[0] - begin_s)
    for entry, use_end_s in zip(entries, ends_s[1:], strict=True):
        yield BlockUse(
            block=entry.block,
            stall_s=entry.waited_s,
            begin_s=entry.time_s - begin_s,
            end_s=use_end_s - begin_s,
        )


def _shifted(reads: Iterable[BlockRead], begin_s: float) -> tuple[BlockRead, ...]:
    moved = (
        replace(read, begin_s=read.begin_s - begin_s, end_s=read.end_s - begin_s) for read in reads
    )
    return tuple(sorted(moved, key=lambda read: (read.begin_s, read.end_s)))
