"""Where everything lies in a block file. Pure: no file is touched.

[Note: layout]
A block file is a valid safetensors file. Its tensors stand in execution order; cells (see
`CellSpec`) start on 4 KiB, tensors on 256 B. The format allows no holes, so the gaps stand as
`__pad__N` tensors.

256 B is what cudaMalloc promises, and the most that torch tells cuBLASLt about a matrix
(`_getAlignment` in its CUDABlas.cpp): with less, another kernel may be chosen for a weight in a
slot than for the same weight in memory of its own, and sum in another order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swapnet_core.sizes import KIB
from swapnet_core.specs import LayerSpec, WeightSpec, round_up

TENSOR_ALIGNMENT_BYTES = 256
_SMALLEST_CELL_BYTES = 64 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLayout:
    """What a block file holds, and where.

    Attributes:
        cell_layers: first layer of every cell, and the one after its last.
        cell_ranges_bytes: begin and end of every cell, in file order.
        weight_offsets_bytes: place of every weight, by index.
        header: all bytes before the first cell.
    """

    cell_layers: tuple[tuple[int, int], ...]
    cell_ranges_bytes: tuple[tuple[int, int], ...]
    weight_offsets_bytes: tuple[int, ...]
    header: bytes


def plan_layout(
    weights: Sequence[WeightSpec], layers: Sequence[LayerSpec], *, format_version: int
) -> FileLayout:
    """Give cells, weights and header their places; see [Note: layout].

    Args:
        weights: every stored tensor; each belongs to exactly one layer.
        layers: in execution order.
        format_version: noted in the header.
    """
    cell_layers = _cut_cells(weights, layers)
    relative = [0] * len(weights)
    ranges: list[tuple[int, int]] = []
    position = 0
    for first, last in cell_layers:
        begin = position
        for layer in layers[first:last]:
            for index in layer.weights:
                position = round_up(position, TENSOR_ALIGNMENT_BYTES)
                relative[index] = position
                position += weights[index].size_bytes
        position = round_up(position)
        ranges.append((begin, position))
    header = _header(weights, layers, relative, position, format_version)
    start = len(header)
    return FileLayout(
        cell_layers=tuple(cell_layers),
        cell_ranges_bytes=tuple((begin + start, end + start) for begin, end in ranges),
        weight_offsets_bytes=tuple(offset + start for offset in relative),
        header=header,
    )


def _cut_cells(weights: Sequence[WeightSpec], layers: Sequence[LayerSpec]) -> list[tuple[int, int]]:
    """Join small neighbours, so that padding to pages stays a few per cent."""
    cells: list[tuple[int, int]] = []
    size = 0
    for index, layer in enumerate(layers):
        starts = not cells or size >= _SMALLEST_CELL_BYTES
        if starts or layers[index - 1].is_pinned != layer.is_pinned:
            cells.append((index, index + 1))
            size = 0
        else:
            cells[-1] = (cells[-1][0], index + 1)
        size += sum(weights[weight].size_bytes for weight in layer.weights)
    return cells


def _header(
    weights: Sequence[WeightSpec],
    layers: Sequence[LayerSpec],
    relative: list[int],
    end: int,
    format_version: int,
) -> bytes:
    """Build a safetensors header whose data starts on a page."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt", "swapnet": str(format_version)}}
    position = pads = 0
    for layer in layers:
        for index in layer.weights:
            weight = weights[index]
            if relative[index] > position:
                entries[f"__pad__{pads}"] = _pad_entry(position, relative[index])
                pads += 1
            position = relative[index] + weight.size_bytes
            entries[weight.name] = {
                "dtype": weight.dtype,
                "shape": _stored_shape(weight),
                "data_offsets": [relative[index], position],
            }
    if end > position:
        entries[f"__pad__{pads}"] = _pad_entry(position, end)
    text = json.dumps(entries, separators=(",", ":")).encode()
    text = text.ljust(round_up(len(text) + 8) - 8)
    return len(text).to_bytes(8, "little") + text


def _pad_entry(begin: int, end: int) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}


def _stored_shape(weight: WeightSpec) -> list[int]:
    """Return the shape in which a weight's bytes are row-major (channels-last ones are not)."""
    return [weight.shape[dim] for dim in storage_order(weight)]


def storage_order(weight: WeightSpec) -> list[int]:
    """Return the dimensions from the outermost to the innermost in memory."""
    return sorted(range(len(weight.shape)), key=lambda dim: (-weight.stride[dim], dim))
