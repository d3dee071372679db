"""Layers whose weight is larger than its room: a slice of it at a time.

[Note: tiles]
A tile is a run of whole slices along a weight's first dimension: its bytes are contiguous. It
serves

- `linear` and convolutions for some of the output channels, written into their place;
- convolutions with groups, transposed or not, for whole groups and their input channels;
- transposed convolutions without groups, whose weight begins with the input channels, for a share
  in the sum that makes every output. This takes memory for two outputs instead of one.

[Note: bits]
Measured on a CPU with AVX-512 (`benchmarks/tiles.py`): where every tile, the last one too, has at
least 16 rows, `linear` gives the plain operator's bits, and convolutions do over contiguous
inputs. Over channels-last ones oneDNN may choose another kernel for fewer channels, which sums in
another order; transposed convolutions without groups always do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from swapnet_core.sizes import KIB
from swapnet_core.specs import WeightSpec, round_up

_SIMD_ROWS = 16
_SMALLEST_TILE_BYTES = 128 * KIB
_MODULES = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)

Rows = tuple[int, int]
"""A half-open range of slices along the first dimension, or of channels."""


@dataclass(frozen=True, slots=True)
class _Operator:
    """How an operator uses its weight.

    Attributes:
        dim: in which inputs and outputs have their channels, counted from the end.
        is_transposed: the weight's first dimension is that of the input channels.
    """

    dim: int
    is_transposed: bool


_aten = torch.ops.aten
# All take (input, weight, bias, ...), and the convolutions `groups` as their seventh.
_GROUPS = 6
_OPERATORS: dict[Any, _Operator] = {
    _aten.linear.default: _Operator(-1, False),
    _aten.conv1d.default: _Operator(-2, False),
    _aten.conv1d.padding: _Operator(-2, False),
    _aten.conv2d.default: _Operator(-3, False),
    _aten.conv2d.padding: _Operator(-3, False),
    _aten.conv3d.default: _Operator(-4, False),
    _aten.conv3d.padding: _Operator(-4, False),
    _aten.conv_transpose1d.default: _Operator(-2, True),
    _aten.conv_transpose2d.input: _Operator(-3, True),
    _aten.conv_transpose3d.input: _Operator(-4, True),
}


def tile_unit_rows(module: nn.Module, weight: WeightSpec) -> int:
    """Return the rows of which tiles of a module's weight are multiples; 0 where it has none.

    Args:
        module: whose `weight` is meant.
        weight: the same, as it is stored.
    """
    if type(module) not in _MODULES or weight.aliases or weight.size_bytes == 0:
        return 0
    rows = weight.shape[0]
    if weight.stride[0] * rows != math.prod(weight.shape):
        return 0  # weights are dense: this one does not have its first dimension outermost
    groups = getattr(module, "groups", 1)
    step = rows // groups if groups > 1 else _SIMD_ROWS
    unit = round_up(-(-_SMALLEST_TILE_BYTES * rows // weight.size_bytes), step)
    return unit if unit < rows else 0


def weight_read_by(operator: Any, args: Sequence[Any]) -> torch.Tensor | None:
    """Return the tensor that a dispatched operator would read by tiles; None for other ones."""
    return args[1] if operator in _OPERATORS else None


class TiledCall:
    """One call of an operator, cut into what each tile of its weight does."""

    def __init__(self, func: Callable[..., torch.Tensor], args: Sequence[Any]) -> None:
        self._func = func
        self._operator = _OPERATORS[func]
        self._input: torch.Tensor = args[0]
        self._shape: tuple[int, ...] = tuple(args[1].shape)
        self._bias: torch.Tensor | None = args[2] if len(args) > 2 else None
        self._rest = args[3:]
        self._groups: int = args[_GROUPS] if len(args) > _GROUPS else 1

    def is_cut_by(self, common_rows: int) -> bool:
        """Tell whether it can be cut into tiles that start at multiples of so many rows.

        What it would refuse anyway it cannot: then the operator itself says why.
        """
        rows, across = self._shape[0], self._shape[1] * self._groups
        dim, inputs = self._operator.dim, rows if self._operator.is_transposed else across
        return (
            rows % self._groups == 0
            and (self._groups == 1 or common_rows % (rows // self._groups) == 0)
            and (self._bias is None or self._bias.shape == (self._channels,))
            and self._input.dim() >= -dim
            and self._input.shape[dim] == inputs
        )

    def run_tile(self, rows: Rows, tile: torch.Tensor) -> torch.Tensor:
        """Compute what these rows of the weight make."""
        begin, end = self._inputs(rows)
        operand = self._input.narrow(self._operator.dim, begin, end - begin)
        bias = None
        if self._bias is not None and not (self._adds and rows[0] > 0):
            bias = self._bias[slice(*self._outputs(rows))]
        rest = list(self._rest)
        if self._groups > 1:
            rest[_GROUPS - 3] = self._count_groups(rows)
        return self._func(operand, tile, bias, *rest)

    def join(self, output: torch.Tensor | None, rows: Rows, part: torch.Tensor) -> torch.Tensor:
        """Put what a tile has made into the output; the first one has none yet."""
        begin, end = self._outputs(rows)
        if output is None:
            if end - begin == self._channels:
                return part
            output = _allocate(part, self._operator.dim, self._channels)
        if self._adds:
            return output.add_(part)
        output.narrow(self._operator.dim, begin, end - begin).copy_(part)
        return output

    @property
    def _channels(self) -> int:
        return self._shape[1] * self._groups if self._operator.is_transposed else self._shape[0]

    @property
    def _adds(self) -> bool:
        """Whether every tile has a share in all outputs."""
        return self._operator.is_transposed and self._groups == 1

    def _inputs(self, rows: Rows) -> Rows:
        return rows if self._operator.is_transposed else self._across(rows)

    def _outputs(self, rows: Rows) -> Rows:
        return self._across(rows) if self._operator.is_transposed else rows

    def _across(self, rows: Rows) -> Rows:
        """Return the channels that the groups of these rows have on the other side."""
        first = rows[0] * self._groups // self._shape[0]
        return first * self._shape[1], (first + self._count_groups(rows)) * self._shape[1]

    def _count_groups(self, rows: Rows) -> int:
        return max(1, (rows[1] - rows[0]) * self._groups // self._shape[0])


def _allocate(part: torch.Tensor, dim: int, channels: int) -> torch.Tensor:
    """Make room for a whole output, with the order of dimensions in memory that a part has."""
    shape = list(part.shape)
    shape[dim] = channels
    strides = [0] * len(shape)
    step = 1
    for axis in sorted(range(len(shape)), key=lambda axis: (part.stride(axis), -axis)):
        strides[axis] = step
        step *= shape[axis]
    return part.new_empty_strided(shape, strides)
