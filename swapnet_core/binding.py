"""A network's weights as tensors over the slots of one plan: made once for the life of the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from swapnet_core.backends.base import Region
from swapnet_core.specs import NetworkProfile, SwapPlan, WeightSpec
from swapnet_core.tensors import as_parameter
from swapnet_core.tiled_weight import TiledWeight, TileSource
from swapnet_core.tiles import Rows

NO_BLOCK = -1
"""Where nothing uses a weight, no block holds it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoundTile:
    """A tile in its slot.

    Attributes:
        weight: index of the weight.
        rows: half-open range of slices along its first dimension.
        block: index of the block that holds it.
        spec: the rows as a weight of their own.
        file_offset_bytes: where they start in the block file.
        tensor: over the slot.
    """

    weight: int
    rows: Rows
    block: int
    spec: WeightSpec
    file_offset_bytes: int
    tensor: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundWeights:
    """All weights of a network.

    Attributes:
        tensors: what the network gets for each weight.
        blocks: for each weight the block that holds it whole, or `NO_BLOCK`.
        tiles: of the weights that have any: in the order of their rows.
    """

    tensors: tuple[torch.Tensor, ...]
    blocks: tuple[int, ...]
    tiles: dict[int, tuple[BoundTile, ...]]


def bind_weights(
    profile: NetworkProfile, plan: SwapPlan, region: Region, source: TileSource
) -> BoundWeights:
    """Point every weight at its slot, and tiled ones at who brings their tiles.

    Args:
        profile: of the network.
        plan: in force from now on.
        region: its slots.
        source: of the tiles.
    """
    blocks = _blocks_of_weights(profile, plan)
    tiles = _bind_tiles(profile, plan, region)
    tensors: list[torch.Tensor] = []
    for index, weight in enumerate(profile.trace.weights):
        if index in tiles:
            starts = [tile.rows[0] for tile in tiles[index]]
            device = tiles[index][0].tensor.device
            tensors.append(TiledWeight.standing_for(index, weight, starts, device, source))
        elif blocks[index] == NO_BLOCK:
            tensors.append(as_parameter(torch.empty(weight.shape, device="meta"), weight))
        else:
            block = plan.blocks[blocks[index]]
            offset_bytes = profile.weight_offsets_bytes[index] - block.file_offset_bytes
            tensors.append(_view(region, plan, blocks[index], offset_bytes, weight))
    return BoundWeights(tensors=tuple(tensors), blocks=blocks, tiles=tiles)


def _blocks_of_weights(profile: NetworkProfile, plan: SwapPlan) -> tuple[int, ...]:
    blocks = [NO_BLOCK] * len(profile.trace.weights)
    for index, block in enumerate(plan.blocks):
        for weight in block.weights:
            blocks[weight] = index
    return tuple(blocks)


def _bind_tiles(
    profile: NetworkProfile, plan: SwapPlan, region: Region
) -> dict[int, tuple[BoundTile, ...]]:
    tiles: dict[int, list[BoundTile]] = {}
    for index, block in enumerate(plan.blocks):
        if block.tile is None:
            continue
        tile = block.tile
        spec = _slice_weight(profile.trace.weights[tile.weight], tile.rows)
        bound = BoundTile(
            weight=tile.weight,
            rows=tile.rows,
            block=index,
            spec=spec,
            file_offset_bytes=block.file_offset_bytes + tile.offset_bytes,
            tensor=_view(region, plan, index, tile.offset_bytes, spec),
        )
        tiles.setdefault(tile.weight, []).append(bound)
    return {
        weight: tuple(sorted(found, key=lambda tile: tile.rows)) for weight, found in tiles.items()
    }


def _slice_weight(weight: WeightSpec, rows: Rows) -> WeightSpec:
    """Describe some rows as a weight; they need their first dimension outermost."""
    count = rows[1] - rows[0]
    return replace(
        weight,
        shape=(count, *weight.shape[1:]),
        size_bytes=weight.size_bytes // weight.shape[0] * count,
    )


def _view(
    region: Region, plan: SwapPlan, block: int, offset_bytes: int, weight: WeightSpec
) -> torch.nn.Parameter:
    """Return what lies at an offset of a block, wherever its slot is."""
    begin = plan.blocks[block].slot_offset_bytes + offset_bytes
    return as_parameter(region.weight_view(begin, weight), weight)
