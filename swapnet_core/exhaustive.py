"""Try every plan of a network with few layers. Pure.

Up to `ALL_LAYOUTS_ATOMS` atoms every partition, every set of residents and every layout of slots
is tried; up to `ALL_RESIDENTS_ATOMS` every partition and every set of residents, each in the two
layouts of `candidates`.

[Note: every layout]
Push the slots of any layout towards 0, one after the other, as far as no two that were apart come
to overlap: each then begins at 0 or where another one ends. So begins that are sums of other
slots' sizes are all that need to be tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from swapnet_core.atoms import Outline
from swapnet_core.candidates import Candidate, Room, evaluate, lay_oldest_first, lay_ring
from swapnet_core.partition import Partition, can_join, cut_at
from swapnet_core.search import least_latency_s
from swapnet_core.specs import DeviceProfile

ALL_LAYOUTS_ATOMS = 4
ALL_RESIDENTS_ATOMS = 7

_ROUNDING = 1e-12

_Slots = Sequence[tuple[int, int]]


def try_all(outline: Outline, device: DeviceProfile, room: Room) -> Candidate | None:
    """Return the best of all plans for a network of at most `ALL_RESIDENTS_ATOMS` atoms.

    Args:
        outline: of the network.
        device: that it runs on.
        room: for its slots.

    Returns:
        The best candidate, or None where nothing fits.
    """
    best: Candidate | None = None
    least_s = least_latency_s(outline.compute_s, outline.used_bytes - room.total_bytes, device)
    for resident_bytes, partition, residents in _choices(outline, device, room):
        if best is not None and best.timeline.latency_s <= least_s * (1.0 + _ROUNDING):
            break
        for candidate in _lay_out(partition, residents, device, room.stream_beside(resident_bytes)):
            if best is None or candidate.rank < best.rank:
                best = candidate
    return best


def list_all(outline: Outline, device: DeviceProfile, room: Room) -> Iterator[Candidate]:
    """List all plans for a network of at most `ALL_RESIDENTS_ATOMS` atoms.

    Args:
        outline: of the network.
        device: that it runs on.
        room: for its slots.
    """
    for resident_bytes, partition, residents in _choices(outline, device, room):
        yield from _lay_out(partition, residents, device, room.stream_beside(resident_bytes))


def _lay_out(
    partition: Partition, residents: frozenset[int], device: DeviceProfile, stream_bytes: int
) -> Iterator[Candidate]:
    atoms = len(partition.outline.atoms)
    lays = _every_layout if atoms <= ALL_LAYOUTS_ATOMS else _two_layouts
    for slots in lays(partition, residents, stream_bytes):
        yield evaluate(partition, device, residents, slots)


def _choices(
    outline: Outline, device: DeviceProfile, room: Room
) -> list[tuple[int, Partition, frozenset[int]]]:
    """List partitions with residents and their bytes; the most residents first."""
    choices = []
    for partition in _partitions(outline, device):
        pinned = frozenset(i for i, run in enumerate(partition.runs) if run.is_pinned)
        others = [index for index in range(len(partition.runs)) if index not in pinned]
        for count in range(len(others) + 1):
            for chosen in itertools.combinations(others, count):
                residents = pinned.union(chosen)
                resident_bytes = sum(partition.runs[index].size_bytes for index in residents)
                if resident_bytes <= room.resident_bytes:
                    choices.append((resident_bytes, partition, residents))
    choices.sort(key=lambda choice: -choice[0])
    return choices


def _partitions(outline: Outline, device: DeviceProfile) -> Iterator[Partition]:
    if not outline.atoms:
        yield cut_at(outline, device, [])
        return
    atoms = range(1, len(outline.atoms))
    fixed = [0, *(atom for atom in atoms if not can_join(outline, atom))]
    free = [atom for atom in atoms if can_join(outline, atom)]
    for count in range(len(free) + 1):
        for cuts in itertools.combinations(free, count):
            yield cut_at(outline, device, sorted([*fixed, *cuts]))


def _two_layouts(
    partition: Partition, residents: frozenset[int], stream_bytes: int
) -> Iterator[_Slots]:
    for lay in (lay_ring, lay_oldest_first):
        slots = lay(partition, residents, stream_bytes)
        if slots is not None:
            yield slots


def _every_layout(
    partition: Partition, residents: frozenset[int], stream_bytes: int
) -> Iterator[_Slots]:
    """See [Note: every layout]."""
    sizes = [
        0 if index in residents else run.size_bytes for index, run in enumerate(partition.runs)
    ]
    begins = []
    for index, size in enumerate(sizes):
        others = [other for i, other in enumerate(sizes) if other and size and i != index]
        sums = {sum(c) for n in range(len(others) + 1) for c in itertools.combinations(others, n)}
        begins.append(sorted(begin for begin in sums if begin + size <= stream_bytes))
    for layout in itertools.product(*begins):
        yield [(begin, begin + size) for begin, size in zip(layout, sizes, strict=True)]
