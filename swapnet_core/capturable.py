"""What a CUDA graph can hold: seen before anything is captured, by watching one inference.

[Note: what is frozen]
A graph holds kernels and their addresses. What the network's Python does between them is done once,
while it is captured, and not again: branches are decided, numbers are as they were, what comes from
the host stays as it is. So a network is not captured

- where Python reads values from the device (`item`, `nonzero`, `if tensor:`): CUDA refuses to wait
  for the device inside of a capture, and what depends on the values would be frozen;
- where tensors go from the host to the device inside of its forward, or back: the copy would be
  captured with the host's address, at which something else may lie by then;
- where it writes into its inputs: a replay has copies of them;
- where inputs or outputs are, or hold, objects that are not known to be constants.

A failed capture leaves torch's allocators in a state that is hard to tidy (see [Note: captures] in
`backends/cuda_graphs.py`), which is why they are avoided and not only survived. What cannot be seen
here, Python's state and random numbers among it, is looked for by comparing a replay with the
network itself; see [Note: graphs] in `graphs.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves

from swapnet_core.operator_mode import OperatorMode
from swapnet_core.tiled_weight import TiledWeight

_CONSTANTS = (type(None), bool, int, float, complex, str, torch.dtype, torch.device)
_READING_TAGS = frozenset({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape})
_READING_NAMES = frozenset({"aten::item", "aten::is_nonzero", "aten::_local_scalar_dense"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a graph is captured for: inputs of this structure, of these shapes and constants.

    Attributes:
        leaves: per leaf its type, shape and strides, or the constant.
        structure: how they hang together.
    """

    leaves: tuple[Any, ...]
    structure: TreeSpec

    @classmethod
    def of(cls, inputs: Sequence[Any], kwargs: Mapping[str, Any]) -> Signature | None:
        """Describe inputs; None where one is neither a plain tensor nor a constant."""
        leaves, structure = tree_flatten((tuple(inputs), dict(kwargs)))
        if not all(is_plain(leaf) for leaf in leaves):
            return None
        return cls(leaves=tuple(_describe(leaf) for leaf in leaves), structure=structure)


def is_plain(leaf: Any) -> bool:
    """Tell whether a leaf of inputs or outputs is a plain tensor or a constant."""
    if type(leaf) in (torch.Tensor, torch.nn.Parameter):
        return bool(leaf.layout == torch.strided)
    return isinstance(leaf, _CONSTANTS)


def reads_values(func: Any) -> bool:
    """Tell whether an operator's caller learns values from the device, and so waits for it."""
    return not _READING_TAGS.isdisjoint(func.tags) or func._schema.name in _READING_NAMES


def written_by(func: Any, args: Any, kwargs: Mapping[str, Any]) -> list[torch.Tensor]:
    """Return the tensors that an operator writes into."""
    schema = func._schema
    if not schema.is_mutable:
        return []
    named = {
        argument.name: value for argument, value in zip(schema.arguments, args, strict=False)
    } | dict(kwargs)
    return tensors_in(
        [
            named.get(argument.name)
            for argument in schema.arguments
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
    )


class CaptureWatch(OperatorMode):
    """Sees the operators of one inference. See [Note: what is frozen].

    Attributes:
        reason: why it cannot be captured; empty where nothing was seen that speaks against it.
    """

    def __init__(self, device: torch.device, inputs: Any) -> None:
        """Watch for one inference.

        Args:
            device: that the network runs on.
            inputs: of the network, on the device.
        """
        super().__init__(passed=TiledWeight)
        self.reason = ""
        self._device = device
        self._inputs = {_address(leaf) for leaf in tensors_in(inputs) if leaf.numel()}

    def run(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """Run an operator, and look at it."""
        result = func(*args, **kwargs)
        if not self.reason:
            self.reason = self._look_at(func, tensors_in((args, kwargs)), tensors_in(result))
        if not self.reason and any(
            _address(tensor) in self._inputs for tensor in written_by(func, args, kwargs)
        ):
            self.reason = f"it writes into its inputs ({func})"
        return result

    def _look_at(
        self, func: Any, given: Sequence[torch.Tensor], made: Sequence[torch.Tensor]
    ) -> str:
        is_there = [tensor.device.type == self._device.type for tensor in given]
        if any(is_there) and reads_values(func):
            return f"it reads values from the device ({func})"
        if crosses(given, made, self._device):
            return f"it copies between host and device ({func})"
        return ""


def crosses(
    given: Sequence[torch.Tensor], made: Sequence[torch.Tensor], device: torch.device
) -> bool:
    """Tell whether an operator brings tensors from the host to the device, or back.

    A single number of the host beside tensors of the device goes with the kernel.
    """

    def is_there(tensor: torch.Tensor) -> bool:
        return tensor.device.type == device.type

    if any(is_there(tensor) for tensor in given):
        with_bytes = [tensor for tensor in (*given, *made) if tensor.dim() and tensor.numel()]
        return not all(is_there(tensor) for tensor in (*with_bytes, *made))
    return bool(given) and any(is_there(tensor) for tensor in made)


def tensors_in(values: Any) -> list[torch.Tensor]:
    """Return the tensors in a structure of torch's pytrees."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def _describe(leaf: Any) -> Any:
    if isinstance(leaf, torch.Tensor):
        return (leaf.dtype, tuple(leaf.shape), leaf.stride())
    return (type(leaf), leaf)


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
