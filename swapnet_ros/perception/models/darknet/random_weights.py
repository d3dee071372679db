"""Random weights under which a full-size Darknet network behaves: finite, and quiet."""

from __future__ import annotations

import torch
from torch import Tensor

from swapnet_ros.perception.models.darknet.layers import (
    Convolution,
    NetworkDefinition,
    Shortcut,
    YoloHead,
)
from swapnet_ros.perception.models.darknet.network import DarknetNetwork
from swapnet_ros.perception.models.seeded import SeededWeights

_BRANCH_GAIN = 0.1
"""Scale of the branch that a shortcut adds: without it the variance doubles at each of them."""
_HEAD_GAIN = 0.2
_QUIET_LOGIT = -4.0


def seeded_darknet_weights(definition: NetworkDefinition, *, seed: int) -> SeededWeights:
    """Random weights for a network that nobody has trained.

    The objectness of every cell is low, so that decoding does not drown in boxes.

    Args:
        definition: the network.
        seed: chooses the weights.

    Returns:
        A mapping under the state-dict names of `DarknetNetwork`.
    """
    with torch.device("meta"):
        skeleton = DarknetNetwork(definition)
    gains: dict[str, float] = {}
    constants: dict[str, Tensor] = {}
    for layer in definition.layers:
        if not isinstance(layer, (Shortcut, YoloHead)):
            continue
        source = definition.layers[layer.inputs[0]] if layer.inputs[0] >= 0 else None
        if not isinstance(source, Convolution):
            continue
        prefix = f"layers.{source.index}"
        if isinstance(layer, YoloHead):
            gains[f"{prefix}.conv.weight"] = _HEAD_GAIN
            if not source.has_norm:
                constants[f"{prefix}.conv.bias"] = _quiet_bias(layer)
        elif source.has_norm:
            gains[f"{prefix}.norm.weight"] = _BRANCH_GAIN
    return SeededWeights(skeleton, seed=seed, gains=gains, constants=constants)


def _quiet_bias(head: YoloHead) -> Tensor:
    bias = torch.zeros(len(head.anchors), 5 + head.classes)
    bias[:, 4] = _QUIET_LOGIT
    return bias.flatten()
