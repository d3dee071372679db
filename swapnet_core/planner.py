"""Turn a budget into a plan. Pure: equal inputs give equal plans.

[Note: what is searched]
Bytes read per inference are the weights that are not resident, so residents always pay. What is
left to choose: the block size (small blocks waste less memory, large ones read faster), the
streaming region (more of it hides more jitter, less of it leaves more room for residents) and
which blocks stay. With a cyclic use of blocks every block's next use is one cycle away, so
residents are chosen by what they relieve: where compute offers the least time per byte read.
Every candidate is simulated; the smallest predicted latency wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swapnet_core.errors import BudgetTooSmallError
from swapnet_core.sizes import KIB, MIB, format_size
from swapnet_core.specs import (
    NO_STEP,
    PAGE_BYTES,
    BlockSpec,
    DeviceProfile,
    NetworkProfile,
    SwapPlan,
    round_up,
)
from swapnet_core.timeline import StreamedUse, Timeline, find_gates, simulate

_BLOCK_TARGETS_BYTES = (256 * KIB, MIB, 2 * MIB, 4 * MIB, 8 * MIB)
_REGION_FRACTIONS = (0.04, 0.08, 0.12, 0.2, 0.3, 0.45, 0.7, 1.0)
_RELIEF_ROUNDS = 4


def smallest_budget_bytes(profile: NetworkProfile) -> int:
    """Return the smallest budget that `make_plan` accepts for a network."""
    cells = _used_cells(profile)
    pinned = [index for index in cells if _is_pinned(profile, index)]
    sizes = [profile.cells[index].size_bytes for index in cells if index not in set(pinned)]
    pinned_bytes = sum(profile.cells[index].size_bytes for index in pinned)
    return _fixed_bytes(profile) + pinned_bytes + max(sizes, default=0)


def make_plan(profile: NetworkProfile, device: DeviceProfile, *, budget_bytes: int) -> SwapPlan:
    """Choose blocks, residents and slots with the smallest predicted latency inside a budget.

    Args:
        profile: layers in execution order, with bytes and compute times.
        device: read bandwidth and latency, and the slow-down of compute while reading.
        budget_bytes: ceiling for slots, residents, buffers and the activation peak.

    Returns:
        A plan with `peak_bytes <= budget_bytes`.

    Raises:
        BudgetTooSmallError: the largest layer does not fit beside activations and buffers;
            carries `needed_bytes`.

    Source:
        Wang et al., SwapNet, IEEE TMC 2024: partition by overlap of swap and execution.
    """
    needed_bytes = smallest_budget_bytes(profile)
    if budget_bytes < needed_bytes:
        raise BudgetTooSmallError(
            f"a budget of {format_size(budget_bytes)} is too small: the largest layer, buffers "
            f"and activations need {format_size(needed_bytes)} ({needed_bytes} bytes) at once",
            needed_bytes=needed_bytes,
            budget_bytes=budget_bytes,
        )
    room_bytes = (budget_bytes - _fixed_bytes(profile)) // PAGE_BYTES * PAGE_BYTES
    # Never empty: one slot for one cell fits.
    best = min(_candidates(profile, device, room_bytes), key=lambda candidate: candidate.rank)
    return best.to_plan(profile, device, budget_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A run of cells that is a candidate for a block."""

    cells: tuple[int, int]
    file_offset_bytes: int
    size_bytes: int
    compute_s: float
    is_pinned: bool


@dataclass(frozen=True, slots=True)
class _Partition:
    """All used cells cut into runs, and the run of every step."""

    runs: tuple[_Run, ...]
    step_runs: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """Residents and slots for a partition, with the predicted timeline."""

    partition: _Partition
    residents: frozenset[int]
    slots: tuple[int, ...]
    uses: tuple[int, ...]
    step_uses: tuple[int, ...]
    stream_bytes: int
    region_bytes: int
    streamed_bytes: int
    timeline: Timeline

    @property
    def rank(self) -> tuple[float, int, int]:
        return (round(self.timeline.latency_s, 6), self.streamed_bytes, self.region_bytes)

    def to_plan(
        self, profile: NetworkProfile, device: DeviceProfile, budget_bytes: int
    ) -> SwapPlan:
        blocks = tuple(
            BlockSpec(
                weights=_weights_of(profile, run),
                file_offset_bytes=run.file_offset_bytes,
                size_bytes=run.size_bytes,
                slot_offset_bytes=self.slots[index],
                is_resident=index in self.residents,
            )
            for index, run in enumerate(self.partition.runs)
        )
        read_s = self.streamed_bytes / device.read_bandwidth_bytes_per_s
        return SwapPlan(
            budget_bytes=budget_bytes,
            blocks=blocks,
            uses=self.uses,
            step_uses=self.step_uses,
            stream_bytes=self.stream_bytes,
            region_bytes=self.region_bytes,
            fixed_bytes=_fixed_bytes(profile),
            streamed_bytes=self.streamed_bytes,
            predicted_latency_s=self.timeline.latency_s,
            predicted_stall_s=self.timeline.stall_s,
            bound_s=max(profile.trace.compute_s, read_s),
        )


def _candidates(
    profile: NetworkProfile, device: DeviceProfile, room_bytes: int
) -> Iterator[_Candidate]:
    seen: set[tuple[tuple[int, int], ...]] = set()
    for target_bytes in _BLOCK_TARGETS_BYTES:
        partition = _cut(profile, min(target_bytes, room_bytes))
        key = tuple(run.cells for run in partition.runs)
        if key in seen:
            continue
        seen.add(key)
        for region_bytes in _region_sizes(partition, room_bytes):
            candidate = _fill(profile, device, partition, room_bytes, region_bytes)
            if candidate is not None:
                yield candidate


def _cut(profile: NetworkProfile, target_bytes: int) -> _Partition:
    """Join consecutive cells until they reach the target.

    Pinned cells, and cells that are used more or less often than their neighbour, stand apart:
    what is needed all the time should not drag along what is not.
    """
    trace = profile.trace
    layer_cell = {
        layer: index for index, cell in enumerate(profile.cells) for layer in range(*cell.layers)
    }
    compute_s = [0.0] * len(profile.cells)
    for layer, duration_s in zip(trace.steps, trace.step_compute_s, strict=True):
        compute_s[layer_cell[layer]] += duration_s
    uses = _count_uses([layer_cell[layer] for layer in trace.steps], len(profile.cells))
    runs: list[_Run] = []
    for index in _used_cells(profile):
        cell = profile.cells[index]
        pinned = _is_pinned(profile, index)
        last = runs[-1] if runs else None
        joins = (
            last is not None
            and last.cells[1] == index
            and last.is_pinned == pinned
            and uses[index] == uses[index - 1]
            and last.size_bytes + cell.size_bytes <= target_bytes
        )
        if joins and last is not None:
            runs[-1] = _Run(
                cells=(last.cells[0], index + 1),
                file_offset_bytes=last.file_offset_bytes,
                size_bytes=last.size_bytes + cell.size_bytes,
                compute_s=last.compute_s + compute_s[index],
                is_pinned=pinned,
            )
        else:
            runs.append(
                _Run(
                    cells=(index, index + 1),
                    file_offset_bytes=cell.offset_bytes,
                    size_bytes=cell.size_bytes,
                    compute_s=compute_s[index],
                    is_pinned=pinned,
                )
            )
    cell_run = {cell: number for number, run in enumerate(runs) for cell in range(*run.cells)}
    return _Partition(tuple(runs), tuple(cell_run[layer_cell[layer]] for layer in trace.steps))


def _region_sizes(partition: _Partition, room_bytes: int) -> list[int]:
    """Propose sizes of the streaming region; 0 where everything fits."""
    total = sum(run.size_bytes for run in partition.runs)
    if total <= room_bytes:
        return [0]
    largest = sorted((run.size_bytes for run in partition.runs), reverse=True)[:3]
    sizes = {round_up(int(room_bytes * fraction)) for fraction in _REGION_FRACTIONS}
    sizes.update(size * factor for size in largest for factor in (1, 2, 3))
    return sorted(size for size in sizes if size <= room_bytes)


def _fill(
    profile: NetworkProfile,
    device: DeviceProfile,
    partition: _Partition,
    room_bytes: int,
    region_bytes: int,
) -> _Candidate | None:
    """Choose residents for one streaming region; relieve the worst stalls, keep the best."""
    forced = _forced_residents(partition, region_bytes)
    free_bytes = room_bytes - region_bytes - _size_of(partition, forced)
    if free_bytes < 0:
        return None
    best: _Candidate | None = None
    wanted = _by_relief(partition)
    for _ in range(_RELIEF_ROUNDS):
        chosen = _take(partition, wanted, forced, free_bytes)
        # What no resident fits into makes the streaming region longer.
        ring_bytes = region_bytes + free_bytes - _size_of(partition, chosen)
        candidate = _lay_out(profile, device, partition, forced | chosen, ring_bytes)
        if candidate is None:
            return best
        if best is None or candidate.rank < best.rank:
            best = candidate
        stalls = candidate.timeline.stalls_s
        stalled = sorted(range(len(stalls)), key=lambda use: -stalls[use])
        first = [candidate.uses[use] for use in stalled if stalls[use] > 0.0][:4]
        if not first:
            break
        wanted = [*dict.fromkeys([*first, *wanted])]
    return best


def _forced_residents(partition: _Partition, region_bytes: int) -> frozenset[int]:
    return frozenset(
        index
        for index, run in enumerate(partition.runs)
        if run.is_pinned or run.size_bytes > region_bytes
    )


def _by_relief(partition: _Partition) -> list[int]:
    """Order runs by how much reading they cost per byte held, then by how little compute hides."""
    uses = _count_uses(partition.step_runs, len(partition.runs))

    def key(index: int) -> tuple[int, float]:
        run = partition.runs[index]
        return (-uses[index], run.compute_s / run.size_bytes)

    return sorted(range(len(partition.runs)), key=key)


def _count_uses(order: Sequence[int], count: int) -> list[int]:
    """Count for each of `count` things how often it comes up; neighbours in a row count once."""
    uses = [0] * count
    previous = None
    for thing in order:
        if thing != previous:
            uses[thing] += 1
        previous = thing
    return uses


def _take(
    partition: _Partition, wanted: Sequence[int], taken: frozenset[int], free_bytes: int
) -> frozenset[int]:
    chosen = set()
    for index in wanted:
        size = partition.runs[index].size_bytes
        if index not in taken and size <= free_bytes:
            chosen.add(index)
            free_bytes -= size
    return frozenset(chosen)


def _lay_out(
    profile: NetworkProfile,
    device: DeviceProfile,
    partition: _Partition,
    residents: frozenset[int],
    region_bytes: int,
) -> _Candidate | None:
    """Give every block its fixed slot: streamed ones in a ring, residents behind it."""
    slots = [0] * len(partition.runs)
    cursor = ring_bytes = 0
    for index, run in enumerate(partition.runs):
        if index in residents:
            continue
        if cursor + run.size_bytes > region_bytes:
            cursor = 0
        if run.size_bytes > region_bytes:
            return None
        slots[index] = cursor
        cursor += run.size_bytes
        ring_bytes = max(ring_bytes, cursor)
    end = ring_bytes
    for index in sorted(residents):
        slots[index] = end
        end += partition.runs[index].size_bytes
    uses, step_uses = _collapse(partition, residents)
    timeline, streamed_bytes = _predict(profile, device, partition, tuple(slots), uses, step_uses)
    return _Candidate(
        partition=partition,
        residents=residents,
        slots=tuple(slots),
        uses=uses,
        step_uses=step_uses,
        stream_bytes=ring_bytes,
        region_bytes=end,
        streamed_bytes=streamed_bytes,
        timeline=timeline,
    )


def _collapse(
    partition: _Partition, residents: frozenset[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Join neighbouring steps of one streamed block into one use."""
    uses: list[int] = []
    step_uses = []
    for run in partition.step_runs:
        if run in residents:
            step_uses.append(NO_STEP)
            continue
        if not uses or uses[-1] != run:
            uses.append(run)
        step_uses.append(len(uses) - 1)
    return tuple(uses), tuple(step_uses)


def _predict(
    profile: NetworkProfile,
    device: DeviceProfile,
    partition: _Partition,
    slots: tuple[int, ...],
    uses: tuple[int, ...],
    step_uses: tuple[int, ...],
) -> tuple[Timeline, int]:
    """Return the simulated timeline and the bytes read per inference."""
    trace = profile.trace
    compute_s = [0.0] * len(uses)
    head_s = trace.head_compute_s
    current = NO_STEP
    for use, duration_s in zip(step_uses, trace.step_compute_s, strict=True):
        current = use if use != NO_STEP else current
        if current == NO_STEP:
            head_s += duration_s
        else:
            compute_s[current] += duration_s
    gates = find_gates([(slots[run], slots[run] + partition.runs[run].size_bytes) for run in uses])
    streamed = [
        # Where the newest occupant of the slot is the block itself, its bytes are still there.
        StreamedUse(
            size_bytes=0 if uses[index - gate] == run else partition.runs[run].size_bytes,
            compute_s=compute_s[index],
            gate=gate,
        )
        for index, (run, gate) in enumerate(zip(uses, gates, strict=True))
    ]
    timeline = simulate(streamed, device, head_compute_s=head_s)
    return timeline, sum(use.size_bytes for use in streamed)


def _weights_of(profile: NetworkProfile, run: _Run) -> tuple[int, ...]:
    cells = profile.cells[slice(*run.cells)]
    layers = profile.trace.layers[cells[0].layers[0] : cells[-1].layers[1]]
    return tuple(weight for layer in layers for weight in layer.weights)


def _size_of(partition: _Partition, runs: frozenset[int]) -> int:
    return sum(partition.runs[index].size_bytes for index in runs)


def _fixed_bytes(profile: NetworkProfile) -> int:
    return profile.trace.buffer_bytes + profile.trace.activation_bytes


def _used_cells(profile: NetworkProfile) -> list[int]:
    """Cells with at least one layer that is used or pinned; others are read only on a fault."""
    layers = profile.trace.layers
    used = set(profile.trace.steps) | {i for i, layer in enumerate(layers) if layer.is_pinned}
    return [
        index
        for index, cell in enumerate(profile.cells)
        if any(layer in used for layer in range(*cell.layers))
    ]


def _is_pinned(profile: NetworkProfile, cell: int) -> bool:
    layers = profile.trace.layers
    return any(layers[layer].is_pinned for layer in range(*profile.cells[cell].layers))
