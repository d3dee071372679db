"""One possible plan: a partition, its residents and its slots, and what that would take. Pure.

[Note: slots in a ring]
Streamed blocks are used in a cyclic order, so their memory is a ring: each block's slot begins
where the one before it ends, and the first that does not fit begins at 0 again. What is left
over at the end of the ring is lost to large blocks. The other layout gives each block, in order
of use, the place whose newest user is the oldest; small blocks then fill such gaps. Both are
tried, since neither always wins.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from swapnet_core.partition import Partition
from swapnet_core.specs import NO_STEP, BlockSpec, DeviceProfile, SwapPlan
from swapnet_core.timeline import Timeline, Uses, find_gates, simulate

_NO_SLOT = (0, 0)
_LATENCY_DIGITS = 12
"""Beyond this, latencies differ by the order of additions alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Ceilings for the slots of one network.

    Attributes:
        stream_bytes: for streamed blocks.
        resident_bytes: for residents.
        total_bytes: for both together.
    """

    stream_bytes: int
    resident_bytes: int
    total_bytes: int

    def stream_beside(self, resident_bytes: int) -> int:
        """Return what streamed blocks may take beside residents of so many bytes."""
        return min(self.stream_bytes, self.total_bytes - resident_bytes)

    def residents_beside(self, stream_bytes: int) -> int:
        """Return what residents may take beside streamed slots of so many bytes."""
        return min(self.resident_bytes, self.total_bytes - stream_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What one choice of residents and slots gives.

    Attributes:
        slots: `(begin, end)` by run; residents have none yet.
        uses: runs, in the order of their streamed uses.
        stay_uses: the use of every stay of the partition, or `NO_STEP`.
        read_s: per use.
    """

    partition: Partition
    residents: frozenset[int]
    slots: tuple[tuple[int, int], ...]
    uses: tuple[int, ...]
    stay_uses: tuple[int, ...]
    read_s: tuple[float, ...]
    timeline: Timeline

    @property
    def stream_bytes(self) -> int:
        """Memory for the slots of streamed blocks."""
        return max((end for _, end in self.slots), default=0)

    @property
    def resident_bytes(self) -> int:
        """Memory for residents."""
        return sum(self.partition.runs[index].size_bytes for index in self.residents)

    @property
    def streamed_bytes(self) -> int:
        """Read per inference."""
        sizes = [self.partition.runs[run].size_bytes for run in self.uses]
        return sum(s for s, read_s in zip(sizes, self.read_s, strict=True) if read_s > 0.0)

    @property
    def rank(self) -> tuple[float, int, int, int]:
        """Smaller is better: faster, then fewer bytes read, less memory, fewer uses."""
        region_bytes = self.stream_bytes + self.resident_bytes
        latency_s = round(self.timeline.latency_s, _LATENCY_DIGITS)
        return (latency_s, self.streamed_bytes, region_bytes, len(self.uses))

    def to_plan(self, device: DeviceProfile, budget_bytes: int) -> SwapPlan:
        """Write the candidate down as a plan."""
        outline = self.partition.outline
        stream_bytes = self.stream_bytes
        blocks = self._blocks(stream_bytes)
        step_uses = [NO_STEP] * outline.steps
        for visit, stay in zip(outline.visits, self.partition.visit_stays, strict=True):
            if step_uses[visit.step] == NO_STEP:
                step_uses[visit.step] = self.stay_uses[stay]
        streamed_bytes = self.streamed_bytes
        return SwapPlan(
            budget_bytes=budget_bytes,
            blocks=blocks,
            uses=self.uses,
            step_uses=tuple(step_uses),
            stream_bytes=stream_bytes,
            region_bytes=stream_bytes + self.resident_bytes,
            fixed_bytes=outline.fixed_bytes,
            streamed_bytes=streamed_bytes,
            predicted_latency_s=self.timeline.latency_s,
            predicted_stall_s=self.timeline.stall_s,
            bound_s=max(outline.compute_s, streamed_bytes / device.read_bandwidth_bytes_per_s),
        )

    def _blocks(self, stream_bytes: int) -> tuple[BlockSpec, ...]:
        blocks = []
        resident_end = stream_bytes
        for index, run in enumerate(self.partition.runs):
            atoms = self.partition.outline.atoms[slice(*run.atoms)]
            offset = self.slots[index][0]
            if index in self.residents:
                offset, resident_end = resident_end, resident_end + run.size_bytes
            blocks.append(
                BlockSpec(
                    weights=tuple(weight for atom in atoms for weight in atom.weights),
                    file_offset_bytes=run.file_offset_bytes,
                    size_bytes=run.size_bytes,
                    slot_offset_bytes=offset,
                    is_resident=index in self.residents,
                    tile=atoms[0].tile,
                )
            )
        return tuple(blocks)


def evaluate(
    partition: Partition,
    device: DeviceProfile,
    residents: frozenset[int],
    slots: Sequence[tuple[int, int]],
) -> Candidate:
    """Predict what a choice of residents and slots takes.

    Args:
        partition: of the network.
        device: that it runs on.
        residents: runs that stay.
        slots: `(begin, end)` by run.
    """
    uses, compute_s, stay_uses = _stream(partition, residents)
    gates, in_place = find_gates(uses, slots)
    runs = partition.runs
    read_s = [0.0 if stays else runs[run].read_s for run, stays in zip(uses, in_place, strict=True)]
    timeline = simulate(
        Uses(read_s=read_s, compute_s=compute_s[1:], gates=gates, head_compute_s=compute_s[0]),
        compute_slowdown=device.compute_slowdown,
    )
    return Candidate(
        partition=partition,
        residents=residents,
        slots=tuple(slots),
        uses=tuple(uses),
        stay_uses=tuple(stay_uses),
        read_s=tuple(read_s),
        timeline=timeline,
    )


def _stream(
    partition: Partition, residents: frozenset[int]
) -> tuple[list[int], list[float], list[int]]:
    """Return the streamed uses, compute before the first and after each, and every stay's use."""
    uses: list[int] = []
    compute_s = [partition.outline.head_compute_s]
    stay_uses: list[int] = []
    for run, duration_s in partition.stays:
        is_resident = run in residents
        if not is_resident and (not uses or uses[-1] != run):
            uses.append(run)
            compute_s.append(0.0)
        compute_s[-1] += duration_s
        stay_uses.append(NO_STEP if is_resident else len(uses) - 1)
    return uses, compute_s, stay_uses


def lay_ring(
    partition: Partition, residents: Collection[int], stream_bytes: int
) -> list[tuple[int, int]] | None:
    """Give streamed runs their slots in a ring, in file order; see [Note: slots in a ring].

    Returns:
        `(begin, end)` by run, or None where a run is larger than the ring.
    """
    slots = [_NO_SLOT] * len(partition.runs)
    cursor = 0
    for index, run in enumerate(partition.runs):
        if index in residents:
            continue
        if run.size_bytes > stream_bytes:
            return None
        if cursor + run.size_bytes > stream_bytes:
            cursor = 0
        slots[index] = (cursor, cursor + run.size_bytes)
        cursor += run.size_bytes
    return slots


def lay_oldest_first(
    partition: Partition, residents: Collection[int], stream_bytes: int
) -> list[tuple[int, int]] | None:
    """Give each streamed run the place whose newest user is the oldest.

    Returns:
        `(begin, end)` by run, or None where a run is larger than the memory.
    """
    slots = [_NO_SLOT] * len(partition.runs)
    users = [(0, stream_bytes, -1)]  # (begin, end, number of the newest stay), without gaps
    for number, (run, _) in enumerate(partition.stays):
        if run in residents:
            continue
        size = partition.runs[run].size_bytes
        if size > stream_bytes:
            return None
        if slots[run] == _NO_SLOT:
            slots[run] = _oldest_place(users, size, stream_bytes)
        users = _put(users, (*slots[run], number))
    return slots


def _oldest_place(
    users: Sequence[tuple[int, int, int]], size: int, stream_bytes: int
) -> tuple[int, int]:
    """Find the place whose newest user is the oldest; the lowest of several."""
    begins = {begin for begin, _, _ in users} | {end - size for _, end, _ in users}
    ages = [
        (max(age for low, high, age in users if low < begin + size and begin < high), begin)
        for begin in begins
        if 0 <= begin <= stream_bytes - size
    ]
    begin = min(ages)[1]
    return (begin, begin + size)


def _put(
    users: Sequence[tuple[int, int, int]], newest: tuple[int, int, int]
) -> list[tuple[int, int, int]]:
    """Note a new user of some bytes."""
    begin, end, _ = newest
    kept = [(low, min(high, begin), age) for low, high, age in users if low < begin]
    kept.append(newest)
    kept += [(max(low, end), high, age) for low, high, age in users if high > end]
    return kept
