"""What a plan may move: cells, and the tiles of layers that are too large for their room. Pure.

[Note: a tiled cell]
A layer whose weight is larger than the room for it is run a slice of rows at a time. The weight
lies in a cell, between smaller tensors. Its rows are cut into tiles, each of which takes the whole
pages around its rows; what lies before and after the weight in the cell becomes pinned atoms,
which overlap the outer tiles by a page at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from swapnet_core.sizes import KIB
from swapnet_core.specs import (
    PAGE_BYTES,
    CellSpec,
    NetworkProfile,
    NetworkTrace,
    TileSpec,
    round_up,
    typical_tile_rows,
)

SMALLEST_TILE_BYTES = 256 * KIB
"""Below that, a read is mostly its fixed cost, and an operator mostly its call."""
_MOST_TILES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Atom:
    """The smallest stretch of the block file that a plan moves.

    Attributes:
        weights: those that lie in it whole.
        is_pinned: must stay resident.
        tile: what it holds of a weight that is cut.
    """

    weights: tuple[int, ...]
    file_offset_bytes: int
    size_bytes: int
    is_pinned: bool
    tile: TileSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One stay of compute at an atom.

    Attributes:
        atom: index.
        step: of the trace.
        compute_s: until the next visit.
    """

    atom: int
    step: int
    compute_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A network as the planner sees it.

    Attributes:
        atoms: all that are used or pinned, in file order.
        visits: in order of execution. A tiled step has one per tile, any other step one.
        steps: how many the trace has.
        head_compute_s: compute before the first visit.
        activation_bytes: peak of activations and operator scratch.
        buffer_bytes: buffers.
        untiled_compute_s: compute time of one inference in which all layers are whole.
        shares_stream: other networks stream through the same memory between two inferences, so
            that nothing is left there of the one before.
    """

    atoms: tuple[Atom, ...]
    visits: tuple[Visit, ...]
    steps: int
    head_compute_s: float
    activation_bytes: int
    buffer_bytes: int
    untiled_compute_s: float
    shares_stream: bool = False

    @property
    def compute_s(self) -> float:
        """Compute time of one inference with everything in memory."""
        return self.head_compute_s + sum(visit.compute_s for visit in self.visits)

    @property
    def fixed_bytes(self) -> int:
        """What is held beside the slots."""
        return self.activation_bytes + self.buffer_bytes

    @property
    def used_bytes(self) -> int:
        """All atoms together."""
        return sum(atom.size_bytes for atom in self.atoms)

    @property
    def pinned_bytes(self) -> int:
        """What must stay resident."""
        return sum(atom.size_bytes for atom in self.atoms if atom.is_pinned)

    @property
    def needed_bytes(self) -> int:
        """The smallest memory for slots: what is pinned, and one slot for the largest other."""
        return self.pinned_bytes + self.slot_bytes

    @property
    def slot_bytes(self) -> int:
        """The largest atom that can be moved."""
        return max((atom.size_bytes for atom in self.atoms if not atom.is_pinned), default=0)

    @property
    def is_tiled(self) -> bool:
        """Whether some layer is cut."""
        return any(atom.tile is not None for atom in self.atoms)


def outline_network(profile: NetworkProfile, *, tile_above_bytes: int | None = None) -> Outline:
    """List what can be moved, and in which order compute needs it.

    Args:
        profile: of the network.
        tile_above_bytes: layers that can be tiled and whose cell is larger than this are cut into
            tiles of at most this size, if rows allow it. None leaves all layers whole.
    """
    trace = profile.trace
    used = set(trace.steps)
    atoms: list[Atom] = []
    layer_atoms: dict[int, list[int]] = {}
    for cell in profile.cells:
        layers = range(*cell.layers)
        is_pinned = any(trace.layers[layer].is_pinned for layer in layers)
        if not is_pinned and used.isdisjoint(layers):
            continue  # read only on a fault
        parts = _cut_cell(profile, cell, tile_above_bytes) if not is_pinned else []
        if not parts:
            parts = [_whole(trace, cell, is_pinned)]
        first = len(atoms)
        atoms.extend(parts)
        tiles = [first + index for index, part in enumerate(parts) if part.tile is not None]
        for layer in layers:
            layer_atoms[layer] = [first]
        if tiles:
            layer_atoms[layers[-1]] = tiles
    activations = (
        part_activation_bytes(trace, step, atoms[atom].tile)
        for step, layer in enumerate(trace.steps)
        for atom in layer_atoms[layer]
    )
    return Outline(
        atoms=tuple(atoms),
        visits=tuple(_visits(trace, atoms, layer_atoms)),
        steps=len(trace.steps),
        head_compute_s=trace.head_compute_s,
        activation_bytes=max([trace.head_activation_bytes, *activations]),
        buffer_bytes=trace.buffer_bytes,
        untiled_compute_s=trace.compute_s,
    )


def tile_limits_bytes(profile: NetworkProfile) -> list[int]:
    """Propose values for `tile_above_bytes`, from the largest to the smallest that matters."""
    sizes = [
        cell.size_bytes for cell in profile.cells if _tileable_layer(profile, cell) is not None
    ]
    limits = []
    limit = max(sizes, default=0)
    while limit > SMALLEST_TILE_BYTES:
        limit = max(SMALLEST_TILE_BYTES, round_up(limit // 2))
        limits.append(limit)
    return limits


def _whole(trace: NetworkTrace, cell: CellSpec, is_pinned: bool) -> Atom:
    layers = trace.layers[slice(*cell.layers)]
    return Atom(
        weights=tuple(weight for layer in layers for weight in layer.weights),
        file_offset_bytes=cell.offset_bytes,
        size_bytes=cell.size_bytes,
        is_pinned=is_pinned,
    )


def _tileable_layer(profile: NetworkProfile, cell: CellSpec) -> int | None:
    """Return the layer of a cell that can be tiled: large layers are the last of their cell."""
    last = cell.layers[1] - 1
    layer = profile.trace.layers[last]
    return last if layer.tile_unit_rows > 0 and not layer.is_pinned else None


def _cut_cell(profile: NetworkProfile, cell: CellSpec, tile_above_bytes: int | None) -> list[Atom]:
    """See [Note: a tiled cell]; nothing where the cell stays whole."""
    layer = _tileable_layer(profile, cell)
    if tile_above_bytes is None or cell.size_bytes <= tile_above_bytes or layer is None:
        return []
    trace = profile.trace
    weight = max(trace.layers[layer].weights, key=lambda w: trace.weights[w].size_bytes)
    begin = profile.weight_offsets_bytes[weight]
    end = begin + trace.weights[weight].size_bytes
    tiles = _cut_weight(profile, weight, trace.layers[layer].tile_unit_rows, tile_above_bytes)
    if len(tiles) < 2:
        return []
    whole = _whole(trace, cell, is_pinned=False)
    others = [other for other in whole.weights if other != weight]
    before = [other for other in others if profile.weight_offsets_bytes[other] < begin]
    after = [other for other in others if profile.weight_offsets_bytes[other] >= end]
    atoms = [*tiles]
    if before:
        atoms.insert(0, _rest(before, cell.offset_bytes, round_up(begin)))
    if after:
        last = cell.offset_bytes + cell.size_bytes
        atoms.append(_rest(after, end // PAGE_BYTES * PAGE_BYTES, last))
    return atoms


def _rest(weights: Sequence[int], begin: int, end: int) -> Atom:
    return Atom(
        weights=tuple(weights),
        file_offset_bytes=begin,
        size_bytes=end - begin,
        is_pinned=True,
    )


def _cut_weight(
    profile: NetworkProfile, weight: int, unit_rows: int, limit_bytes: int
) -> list[Atom]:
    """Cut a weight's rows into tiles of nearly equal size, each within the limit if it can be."""
    spec = profile.trace.weights[weight]
    row_bytes = spec.size_bytes // spec.shape[0]
    units = spec.shape[0] // unit_rows
    unit_bytes = unit_rows * row_bytes
    # The pages around the rows: up to one more at either end.
    most = max(1, (limit_bytes - 2 * PAGE_BYTES) // unit_bytes)
    smallest_bytes = max(min(SMALLEST_TILE_BYTES, limit_bytes), spec.size_bytes // _MOST_TILES)
    least = -(-smallest_bytes // unit_bytes)
    tiles = -(-units // max(most, least))
    bounds = [units * number // tiles * unit_rows for number in range(tiles)] + [spec.shape[0]]
    atoms = []
    for first, last in pairwise(bounds):
        begin = profile.weight_offsets_bytes[weight] + first * row_bytes
        end = profile.weight_offsets_bytes[weight] + last * row_bytes
        start = begin // PAGE_BYTES * PAGE_BYTES
        atoms.append(
            Atom(
                weights=(),
                file_offset_bytes=start,
                size_bytes=round_up(end) - start,
                is_pinned=False,
                tile=TileSpec(weight=weight, rows=(first, last), offset_bytes=begin - start),
            )
        )
    return atoms


def _visits(
    trace: NetworkTrace, atoms: Sequence[Atom], layer_atoms: dict[int, list[int]]
) -> Iterator[Visit]:
    for step, layer in enumerate(trace.steps):
        for atom in layer_atoms[layer]:
            compute_s = part_compute_s(trace, step, atoms[atom].tile)
            yield Visit(atom=atom, step=step, compute_s=compute_s)


def part_compute_s(trace: NetworkTrace, step: int, tile: TileSpec | None) -> float:
    """Return the compute time of a step, or of one of its tiles; these take longer in sum."""
    if tile is None:
        return trace.step_compute_s[step]
    share = (tile.rows[1] - tile.rows[0]) / trace.weights[tile.weight].shape[0]
    return trace.step_compute_s[step] * share + trace.step_tile_s[step]


def part_activation_bytes(trace: NetworkTrace, step: int, tile: TileSpec | None) -> int:
    """Return the peak of activations during a step, or one of its tiles: larger ones need more."""
    whole_bytes = trace.step_activation_bytes[step]
    if tile is None:
        return whole_bytes
    all_rows = trace.weights[tile.weight].shape[0]
    unit_rows = trace.layers[trace.steps[step]].tile_unit_rows
    typical_rows = typical_tile_rows(all_rows, unit_rows)
    rows = max(tile.rows[1] - tile.rows[0], typical_rows)
    share = (rows - typical_rows) / max(1, all_rows - typical_rows)
    typical_bytes = min(trace.step_tile_activation_bytes[step], whole_bytes)
    return typical_bytes + int(share * (whole_bytes - typical_bytes))
