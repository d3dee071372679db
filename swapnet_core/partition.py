"""Cut a network's atoms into runs: each run becomes one block of a plan. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from swapnet_core.atoms import Outline
from swapnet_core.specs import DeviceProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Consecutive atoms that are moved together.

    Attributes:
        atoms: half-open range of indices.
        compute_s: of all stays at it.
        read_s: how long it takes to read.
    """

    atoms: tuple[int, int]
    file_offset_bytes: int
    size_bytes: int
    is_pinned: bool
    compute_s: float
    read_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """All atoms of a network, cut into runs.

    Attributes:
        runs: in file order.
        stays: `(run, compute_s)` in order of execution; neighbours differ.
        visit_stays: the stay of every visit of the outline.
    """

    outline: Outline
    runs: tuple[Run, ...]
    stays: tuple[tuple[int, float], ...]
    visit_stays: tuple[int, ...]


def can_join(outline: Outline, atom: int) -> bool:
    """Tell whether an atom may share a run with the one before it. Tiles stand alone."""
    one, other = outline.atoms[atom - 1], outline.atoms[atom]
    return (
        one.file_offset_bytes + one.size_bytes == other.file_offset_bytes
        and one.is_pinned == other.is_pinned
        and one.tile is None
        and other.tile is None
    )


def count_visits(outline: Outline) -> list[int]:
    """Count for each atom how often compute comes back to it; visits in a row count once."""
    counts = [0] * len(outline.atoms)
    previous = -1
    for visit in outline.visits:
        if visit.atom != previous:
            counts[visit.atom] += 1
        previous = visit.atom
    return counts


def join_up_to(outline: Outline, device: DeviceProfile, target_bytes: int) -> Partition:
    """Join neighbours until they reach a size; what is larger by itself stays alone.

    Atoms that are used more or less often than their neighbour stand apart: what is needed all
    the time should not drag along what is not.
    """
    visits = count_visits(outline)
    begins: list[int] = []
    size = 0
    for index, atom in enumerate(outline.atoms):
        fits = index > 0 and size + atom.size_bytes <= target_bytes
        if not fits or visits[index] != visits[index - 1] or not can_join(outline, index):
            begins.append(index)
            size = 0
        size += atom.size_bytes
    return cut_at(outline, device, begins)


def cut_at(outline: Outline, device: DeviceProfile, begins: Iterable[int]) -> Partition:
    """Make runs that begin at the given atoms; the first is 0."""
    spans = list(pairwise([*begins, len(outline.atoms)]))
    atom_run = [number for number, (first, last) in enumerate(spans) for _ in range(first, last)]
    order: list[int] = []
    times_s: list[float] = []
    visit_stays: list[int] = []
    for visit in outline.visits:
        run = atom_run[visit.atom]
        if not order or order[-1] != run:
            order.append(run)
            times_s.append(0.0)
        times_s[-1] += visit.compute_s
        visit_stays.append(len(order) - 1)
    stays = tuple(zip(order, times_s, strict=True))
    compute_s = [0.0] * len(spans)
    for run, duration_s in stays:
        compute_s[run] += duration_s
    runs = [
        _join(outline, device, span, duration_s)
        for span, duration_s in zip(spans, compute_s, strict=True)
    ]
    return Partition(outline=outline, runs=tuple(runs), stays=stays, visit_stays=tuple(visit_stays))


def _join(outline: Outline, device: DeviceProfile, span: tuple[int, int], compute_s: float) -> Run:
    atoms = outline.atoms[slice(*span)]
    size_bytes = sum(atom.size_bytes for atom in atoms)
    return Run(
        atoms=span,
        file_offset_bytes=atoms[0].file_offset_bytes,
        size_bytes=size_bytes,
        is_pinned=atoms[0].is_pinned,
        compute_s=compute_s,
        read_s=device.read_s(size_bytes),
    )
