"""From the accesses of one forward to layers and steps. Pure: no tensors, no files, no clock.

[Note: held weights]
A weight is accessed by name, and its bytes are read by operators some time later. The first pass
sees both: accesses through the parameter table, reads through a dispatch mode. Where the bytes of
one weight are still read after another was accessed (fused attention takes all its weights at
once), their layers are needed together and become one layer. A weight that is read without having
been accessed (the network keeps a list of its own), or across more than `_LONGEST_HOLD` accesses,
is pinned: it stays in memory.

[Note: what may be tiled]
A layer that is run by tiles has its weight brought in by the operator that reads it. So the weight
must belong to a module of a kind that can do that, which has nothing but a weight and a bias; and
in the first two passes nothing else may read it, and no access be good for two reads. Where such
a layer runs several times in a row, each time is a step of its own: the tiles come in anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from swapnet_core.specs import NO_STEP, LayerSpec, WeightSpec

_LONGEST_HOLD = 64


@dataclass(slots=True)
class LivePeaks:
    """Peaks of memory between two accesses.

    Attributes:
        weight: that the operator reads which could run by tiles; -1 where there is none.
        operator_bytes: while it ran.
        tile_bytes: while it ran one typical tile; 0 where there was none.
        other_bytes: while others ran.
        begin_bytes: what was live before the first of all.
    """

    weight: int = -1
    operator_bytes: int = 0
    tile_bytes: int = 0
    other_bytes: int = 0
    begin_bytes: int = 0

    @property
    def whole_bytes(self) -> int:
        """With the layer whole."""
        return max(self.operator_bytes, self.other_bytes)

    @property
    def cut_bytes(self) -> int:
        """With the layer cut, if it can be."""
        return max(self.tile_bytes or self.operator_bytes, self.other_bytes)

    def include(self, other: LivePeaks) -> None:
        """Cover a further stretch; only one of a step's operators can be cut."""
        self.begin_bytes = self.begin_bytes or other.begin_bytes
        self.tile_bytes = max(self.tile_bytes, other.tile_bytes)
        self.other_bytes = max(self.other_bytes, other.other_bytes)
        if other.tile_bytes:
            self.weight = other.weight
            self.operator_bytes = max(self.operator_bytes, other.operator_bytes)
        else:
            self.other_bytes = max(self.other_bytes, other.operator_bytes)


@dataclass(slots=True)
class AccessRecord:
    """What one pass of a network has shown.

    Attributes:
        accesses: index of the weight at every access.
        held_until: for every access the last one before its bytes were read for the last time.
        tiled_reads: for every access, by how many operators that could do it by tiles.
        read_whole: weights that other operators read.
        pinned: weights that were read without having been accessed.
        live: peaks of memory, before the first access and after each one up to the next.
    """

    accesses: list[int] = field(default_factory=list)
    held_until: list[int] = field(default_factory=list)
    tiled_reads: list[int] = field(default_factory=list)
    read_whole: set[int] = field(default_factory=set)
    pinned: set[int] = field(default_factory=set)
    live: list[LivePeaks] = field(default_factory=lambda: [LivePeaks()])

    @property
    def peak_bytes(self) -> int:
        """Of memory, with all layers whole."""
        return max(peaks.whole_bytes for peaks in self.live)

    def only_cutting(self, tileable: Collection[int]) -> AccessRecord:
        """Return the record of a network in which only these weights may be cut."""
        live = [
            peaks
            if peaks.weight in tileable
            else LivePeaks(other_bytes=peaks.whole_bytes, begin_bytes=peaks.begin_bytes)
            for peaks in self.live
        ]
        return replace(self, live=live)


def find_tileable(units_rows: Mapping[int, int], *records: AccessRecord) -> dict[int, int]:
    """Leave out the weights that are not always read by tiles; see [Note: what may be tiled]."""
    unfit = {weight for record in records for weight in record.read_whole}
    for record in records:
        for weight, reads in zip(record.accesses, record.tiled_reads, strict=True):
            if reads > 1:
                unfit.add(weight)
    return {weight: rows for weight, rows in units_rows.items() if weight not in unfit}


def form_layers(
    weights: Sequence[WeightSpec], record: AccessRecord, tileable: Mapping[int, int]
) -> tuple[tuple[LayerSpec, ...], tuple[int, ...], tuple[int, ...]]:
    """Group weights into layers, and accesses into steps; see [Note: held weights]."""
    pinned = set(record.pinned)
    groups = _Groups([weight.name.rpartition(".")[0] for weight in weights])
    for position, until in enumerate(record.held_until):
        if until - position > _LONGEST_HOLD:
            pinned.add(record.accesses[position])
    for position, until in enumerate(record.held_until):
        weight = record.accesses[position]
        if weight in pinned:
            continue
        for other in record.accesses[position + 1 : until + 1]:
            if other not in pinned:
                groups.join(weight, other)
    members: dict[tuple[int, bool], list[int]] = {}
    unused = [weight for weight in range(len(weights)) if weight not in set(record.accesses)]
    for weight in dict.fromkeys([*record.accesses, *sorted(pinned), *unused]):
        members.setdefault((groups.find(weight), weight in pinned), []).append(weight)
    layers = tuple(
        LayerSpec(
            name=weights[group[0]].name.rpartition(".")[0] or weights[group[0]].name,
            weights=tuple(group),
            is_pinned=is_pinned,
            tile_unit_rows=0 if is_pinned else _unit_rows_of(group, weights, tileable),
        )
        for (_, is_pinned), group in members.items()
    )
    return (layers, *_form_steps(layers, record, tileable))


def _unit_rows_of(
    group: Sequence[int], weights: Sequence[WeightSpec], tileable: Mapping[int, int]
) -> int:
    """Return the unit of a layer's tiles: it has one weight to tile, and a bias at most."""
    by_size = sorted(group, key=lambda weight: -weights[weight].size_bytes)
    largest, others = by_size[0], by_size[1:]
    owner = weights[largest].name.removesuffix("weight")
    if any(weights[other].name != f"{owner}bias" for other in others):
        return 0
    if any(weights[other].size_bytes == weights[largest].size_bytes for other in others):
        return 0
    return tileable.get(largest, 0)


def _form_steps(
    layers: Sequence[LayerSpec], record: AccessRecord, tileable: Mapping[int, int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Join consecutive accesses of one layer into a step; pinned layers have none.

    A step reads the weight of a layer that may be tiled only once.
    """
    layer_of = {weight: index for index, layer in enumerate(layers) for weight in layer.weights}
    steps: list[int] = []
    access_steps: list[int] = []
    has_read = False
    for weight, reads in zip(record.accesses, record.tiled_reads, strict=True):
        layer = layer_of[weight]
        if layers[layer].is_pinned:
            access_steps.append(NO_STEP)
            continue
        is_tiled_read = bool(layers[layer].tile_unit_rows and weight in tileable and reads)
        if not steps or steps[-1] != layer or (is_tiled_read and has_read):
            steps.append(layer)
            has_read = False
        has_read = has_read or is_tiled_read
        access_steps.append(len(steps) - 1)
    return tuple(access_steps), tuple(steps)


class _Groups:
    """Disjoint sets of weights: first by owning module, then joined."""

    def __init__(self, owners: Sequence[str]) -> None:
        first: dict[str, int] = {}
        self._parent = [first.setdefault(owner, index) for index, owner in enumerate(owners)]

    def find(self, weight: int) -> int:
        while self._parent[weight] != weight:
            weight = self._parent[weight]
        return weight

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.find(one), self.find(other)))
        self._parent[high] = low
