"""How far the outputs of two networks lie apart."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.utils._pytree import tree_leaves


def largest_difference(output: Any, expected: Any) -> float:
    """Return the largest difference, relative to the largest expected value of the same tensor.

    Args:
        output: any structure of tensors and plain values.
        expected: of the same structure.

    Returns:
        0 where all is equal bit for bit; infinity where shapes, types or plain values differ.
    """
    pairs = zip(tree_leaves(output), tree_leaves(expected), strict=True)
    return max((_difference(one, other) for one, other in pairs), default=0.0)


def _difference(one: Any, other: Any) -> float:
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return 0.0 if one == other else math.inf
    if one.shape != other.shape or one.dtype != other.dtype:
        return math.inf
    if torch.equal(one, other):
        return 0.0
    if not one.is_floating_point():
        return math.inf
    largest = other.abs().max().item()
    apart = (one.double() - other.double()).abs().max().item()
    relative = apart / largest if largest > 0.0 else math.inf
    return math.inf if math.isnan(relative) else relative
