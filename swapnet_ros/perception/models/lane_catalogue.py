"""Lane networks by name, and users' own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from swapnet_ros.perception.errors import OwnNetworkError, UnknownNetworkError
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.lane_masks import AreaMaskDecoder, LineMaskDecoder
from swapnet_ros.perception.models.lanes import LaneNetwork
from swapnet_ros.perception.models.own_network import OwnNetwork, is_own_network, own_network
from swapnet_ros.perception.models.ufld import ufld_names, ufld_network

_DECODERS: dict[str, Callable[..., LineMaskDecoder | AreaMaskDecoder]] = {
    "line_mask": LineMaskDecoder,
    "area_mask": AreaMaskDecoder,
}

LANE_OUTPUTS = tuple(_DECODERS)
"""What a user's network may return: a mask of the lane lines, or of the lane's area."""


def lane_network_names() -> tuple[str, ...]:
    """All names that `lane_network` knows; those without `_culane` are for TuSimple's rows."""
    return ufld_names()


def lane_network(
    network: str,
    *,
    weights: Path | None = None,
    outputs: str | None = None,
    changes: InputChanges | None = None,
    seed: int = 0,
) -> LaneNetwork:
    """Find a lane network; nothing is loaded but its definition.

    Args:
        network: one of `lane_network_names()`; or a user's own, `package.module:factory` or the
            path of a `.pt2` file (see `own_network`), that returns a mask: float [1, 1, h, w] or
            [1, h, w], for each part of its input a probability 0..1.
        weights: a `.safetensors`, `.pth`, `.pt` or `.th` file; None for random weights, for a
            user's own network for those that it brings along.
        outputs: what the mask of a user's network shows: `line_mask`, the lane lines, or
            `area_mask`, the lane that the camera is in. None for its attribute `outputs`.
        changes: preprocessing that differs from the network's own; `ufld` networks take no other.
        seed: chooses random weights.

    Returns:
        The network.

    Raises:
        UnknownNetworkError: there is no such network.
        OwnNetworkError: a user's own network cannot be found or read, or its outputs are not known.
        InputSizeError: the network takes images of one size only.
        PreprocessingError: the preprocessing is not possible.
        WeightsError: the weights file cannot be opened.
        WeightsMismatchError: the weights file holds no state dict.
    """
    if is_own_network(network):
        return _mask_network(own_network(network, weights=weights, changes=changes), outputs)
    if network not in lane_network_names():
        raise UnknownNetworkError.among("lane", network, lane_network_names())
    return ufld_network(network, weights=weights, changes=changes or InputChanges(), seed=seed)


def _mask_network(own: OwnNetwork, outputs: str | None) -> LaneNetwork:
    shown = outputs or own.outputs
    if shown not in _DECODERS:
        raise OwnNetworkError(
            f"network {own.name}: what its mask shows is not known ('{shown}'); set outputs to one "
            f"of {', '.join(LANE_OUTPUTS)}, as a parameter or an attribute of the module"
        )
    height, width = own.image_input.height, own.image_input.width
    return LaneNetwork(
        **own.facts(labels=()),
        input_height=height,
        input_width=width,
        decode=_DECODERS[shown](input_height=height, input_width=width),
    )
