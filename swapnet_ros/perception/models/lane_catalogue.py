"""Lane networks by name or by a user's factory."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from swapnet_ros.perception.errors import (
    InputSizeError,
    NetworkDeclarationError,
    UnknownNetworkError,
)
from swapnet_ros.perception.models.checkpoints import check_checkpoint
from swapnet_ros.perception.models.lane_masks import AreaMaskDecoder, LineMaskDecoder
from swapnet_ros.perception.models.lanes import LaneNetwork
from swapnet_ros.perception.models.seeded import SeededWeights
from swapnet_ros.perception.models.ufld import (
    INPUT_HEIGHT,
    INPUT_WIDTH,
    ufld_names,
    ufld_network,
)
from swapnet_ros.perception.models.user_network import is_user_network, user_network

_DECODERS: dict[str, Callable[..., LineMaskDecoder | AreaMaskDecoder]] = {
    "lines": LineMaskDecoder,
    "area": AreaMaskDecoder,
}


def lane_network_names() -> tuple[str, ...]:
    """All names that `lane_network` knows; those without `_culane` are for TuSimple's rows."""
    return ufld_names()


def lane_network(
    network: str,
    *,
    weights: Path | None = None,
    input_size: tuple[int, int] | None = None,
    seed: int = 0,
) -> LaneNetwork:
    """Find a lane network; nothing is loaded but its definition.

    A user's network returns a mask: float [1, 1, h, w] or [1, h, w], for each part of its input a
    probability 0..1. It says by the attribute `lane_output` of what: `lines` (of the lane lines) or
    `area` (of the lane that the camera is in). Its input is declared as `user_network` tells.

    Args:
        network: one of `lane_network_names()`, or `package.module:factory`.
        weights: a `.safetensors`, `.pth`, `.pt` or `.th` file with the network's state dict; None
            for random weights.
        input_size: height and width in pixels; None for the network's own.
        seed: chooses random weights.

    Returns:
        The network.

    Raises:
        UnknownNetworkError: there is no such network.
        InputSizeError: the network cannot take images of that size.
        NetworkDeclarationError: a user's network does not say what goes in and comes out.
        WeightsError: the weights file cannot be opened.
        WeightsMismatchError: the weights file holds no state dict.
    """
    if network in ufld_names():
        _check_ufld_size(network, input_size)
        return ufld_network(network, weights=weights, seed=seed)
    if is_user_network(network):
        return _mask_network(network, weights=weights, input_size=input_size, seed=seed)
    close = difflib.get_close_matches(network, lane_network_names(), n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise UnknownNetworkError(
        f"there is no lane network '{network}'.{hint} Known are {', '.join(lane_network_names())}, "
        "and a network of your own as package.module:factory."
    )


def _check_ufld_size(network: str, input_size: tuple[int, int] | None) -> None:
    if input_size not in (None, (INPUT_HEIGHT, INPUT_WIDTH)):
        height, width = input_size
        raise InputSizeError(
            f"{network} takes images of {INPUT_HEIGHT}x{INPUT_WIDTH} pixels only, not "
            f"{height}x{width}; leave input_size out"
        )


def _mask_network(
    reference: str, *, weights: Path | None, input_size: tuple[int, int] | None, seed: int
) -> LaneNetwork:
    found = user_network(reference, input_size=input_size)
    output = getattr(found.skeleton, "lane_output", None)
    if output not in _DECODERS:
        raise NetworkDeclarationError(
            f"{reference}: what its mask shows is not known; set lane_output = 'lines' or 'area' "
            f"on the module's class, not {output!r}"
        )
    random = SeededWeights(found.skeleton, seed=seed)
    return LaneNetwork(
        name=found.name,
        build=found.build,
        weights=random if weights is None else check_checkpoint(weights),
        is_random=weights is None,
        example_inputs=found.example_inputs,
        input_height=found.height,
        input_width=found.width,
        preprocess=found.preprocess,
        decode=_DECODERS[output](input_height=found.height, input_width=found.width),
    )
