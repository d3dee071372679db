"""Tensors as bytes, and back."""

from __future__ import annotations

import math

import torch

from swapnet_core.errors import NetworkError
from swapnet_core.specs import WeightSpec

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def describe_weight(name: str, aliases: tuple[str, ...], tensor: torch.Tensor) -> WeightSpec:
    """Describe a parameter as it will be stored.

    Raises:
        NetworkError: its element type or layout cannot be stored.
    """
    if tensor.dtype not in _NAMES or tensor.layout != torch.strided:
        raise NetworkError(
            f"parameter {name!r} has dtype {tensor.dtype} and layout {tensor.layout}, which the "
            "block file cannot hold"
        )
    dense = torch.empty_like(tensor, device="meta")  # keeps strides where they are dense
    return WeightSpec(
        name=name,
        aliases=aliases,
        dtype=_NAMES[tensor.dtype],
        shape=tuple(tensor.shape),
        stride=tuple(dense.stride()),
        size_bytes=tensor.numel() * tensor.element_size(),
        requires_grad=tensor.requires_grad,
    )


def element_type(weight: WeightSpec) -> torch.dtype:
    """Return the torch dtype of a stored weight."""
    return _DTYPES[weight.dtype]


def view_bytes(data: torch.Tensor, weight: WeightSpec) -> torch.Tensor:
    """Read stored bytes as the weight's tensor, without copying.

    Args:
        data: uint8 [size_bytes], 64-byte aligned.
        weight: what the bytes are.
    """
    return data.view(element_type(weight)).as_strided(weight.shape, weight.stride)


def as_parameter(tensor: torch.Tensor, weight: WeightSpec) -> torch.nn.Parameter:
    """Make a tensor the network's parameter, as its operators know it."""
    return torch.nn.Parameter(tensor, requires_grad=weight.requires_grad)


def to_bytes(tensor: torch.Tensor, weight: WeightSpec) -> memoryview:
    """Return a weight's bytes in storage order; copied only where the layout differs.

    Args:
        tensor: on the CPU, with the weight's shape and dtype.
        weight: how to store it.
    """
    tensor = tensor.detach()
    if tensor.numel() == 0:
        return memoryview(b"")
    if tensor.stride() != weight.stride:
        stored = torch.empty_strided(weight.shape, weight.stride, dtype=tensor.dtype)
        tensor = stored.copy_(tensor)
    flat = tensor.as_strided((math.prod(weight.shape),), (1,))
    return flat.view(torch.uint8).numpy().data
