"""One possible plan: a partition, its residents and its slots, and what that would take. Pure.

[Note: slots in a ring]
Streamed blocks are used in a cyclic order, so their memory is a ring: each block's slot begins
where the one before it ends, and the first that does not fit begins at 0 again. What is left
over at the end of the ring is lost to large blocks. The other layout gives each block, in order
of use, the place whose newest user is the oldest; small blocks then fill such gaps. Both are
tried, since neither always wins.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from swapnet_core.atoms import Outline
from swapnet_core.partition import Partition
from swapnet_core.specs import NO_STEP, BlockSpec, DeviceProfile, SwapPlan
from swapnet_core.timeline import Timeline, Uses, find_gates, read_anew, simulate

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
        activation_bytes: ceiling for activations: layers that need more are cut. None: no ceiling.
        is_shared: other networks stream through the same memory between two inferences.
    """

    stream_bytes: int
    resident_bytes: int
    total_bytes: int
    activation_bytes: int | None = None
    is_shared: bool = False

    def lets(self, outline: Outline) -> bool:
        """Tell whether a network's activations keep to the ceiling if it is cut like this."""
        return self.activation_bytes is None or outline.activation_bytes <= self.activation_bytes

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
            activation_bytes=outline.activation_bytes,
            fixed_bytes=outline.fixed_bytes,
            streamed_bytes=streamed_bytes,
            predicted_latency_s=self.timeline.latency_s,
            predicted_stall_s=self.timeline.stall_s,
            compute_s=outline.untiled_compute_s,
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
    if partition.outline.shares_stream:
        read_anew(uses, gates, in_place)
    runs = partition.runs
    read_s = [0.0 if stays else runs[run].read_s for run, stays in zip(uses, in_place, strict=True)]
    head_s, *after_s = compute_s
    timeline = simulate(
        Uses(read_s=read_s, compute_s=after_s, gates=gates, head_compute_s=head_s),
        compute_slowdown=device.compute_slowdown,
        wake_s=device.wake_s,
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
    edges, ages = [0, stream_bytes], [-1]  # the newest stay between neighbouring edges
    for number, (run, _) in enumerate(partition.stays):
        if run in residents:
            continue
        size = partition.runs[run].size_bytes
        if size > stream_bytes:
            return None
        if slots[run] == _NO_SLOT:
            begin = _oldest_place(edges, ages, size)
            slots[run] = (begin, begin + size)
        _put(edges, ages, slots[run], number)
    return slots


def _oldest_place(edges: Sequence[int], ages: Sequence[int], size: int) -> int:
    """Find where the place whose newest user is the oldest begins; the lowest of several."""
    best_age, best_begin = len(edges) + max(ages), 0
    for first, begin in enumerate(edges):  # places that begin at an edge
        end, last, age = begin + size, first, -1
        if end > edges[-1]:
            break
        while edges[last] < end and age < best_age:
            age = max(age, ages[last])
            last += 1
        if age < best_age:
            best_age, best_begin = age, begin
    for last, end in enumerate(edges):  # places that end at an edge
        begin, first, age = end - size, last, -1
        if begin < 0:
            continue
        while edges[first] > begin and age <= best_age:
            first -= 1
            age = max(age, ages[first])
        if (age, begin) < (best_age, best_begin):
            best_age, best_begin = age, begin
    return best_begin


def _put(edges: list[int], ages: list[int], slot: tuple[int, int], number: int) -> None:
    """Note a new user of some bytes."""
    first, behind = (_cut(edges, ages, edge) for edge in slot)
    edges[first:behind] = [slot[0]]
    ages[first:behind] = [number]


def _cut(edges: list[int], ages: list[int], at: int) -> int:
    """Make an edge at some byte; return its index."""
    index = bisect_left(edges, at)
    if edges[index] != at:
        edges.insert(index, at)
        ages.insert(index, ages[index - 1])
    return index
