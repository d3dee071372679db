"""Networks with all their weights in memory: what swapped ones are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from swapnet_core.sources import open_weights
from swapnet_ros.perception.errors import WeightsError


def build_with_weights(
    name: str, build: Callable[[], nn.Module], weights: Path | Mapping[str, Tensor] | None
) -> nn.Module:
    """Build a network and fill it with its weights.

    Args:
        name: of the network, for messages.
        build: makes the network in eval mode, with initial weights.
        weights: path of a checkpoint, a mapping from state-dict names to tensors, or None where
            `build` brings them along.

    Raises:
        WeightsError: the weights belong to another network, or a Darknet file has changed.
        WeightsMismatchError: a checkpoint is damaged or holds no state dict.
    """
    network = build()
    if weights is None:
        return network
    opened = open_weights(weights)
    state = network.state_dict()
    different = sorted(
        # batch normalisation's count of steps has no effect, and many files lack it
        key
        for key in state.keys() ^ opened.keys()
        if not key.endswith("num_batches_tracked")
    )
    if different:
        message = f"{len(different)} names differ, the first is {different[0]}"
        raise _mismatch(name, weights, message)
    with torch.no_grad():
        for key in state.keys() & opened.keys():
            value = opened[key]
            if value.shape != state[key].shape:
                shapes = f"{list(value.shape)} instead of {list(state[key].shape)}"
                raise _mismatch(name, weights, f"{key} is {shapes}")
            state[key].copy_(value)
    return network


def _mismatch(name: str, weights: Path | Mapping[str, Tensor], difference: str) -> WeightsError:
    path = weights if isinstance(weights, Path) else Path(name)
    message = f"the weights {path} do not belong to {name}: {difference}"
    return WeightsError(message, path=path)
