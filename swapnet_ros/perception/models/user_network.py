"""A user's own network: `package.module:factory`, and what it says of its input."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from swapnet_ros.perception.errors import NetworkDeclarationError, UnknownNetworkError
from swapnet_ros.perception.models.detection import example_image
from swapnet_ros.perception.tasks.preprocessing import (
    BatchOfOne,
    Letterbox,
    PixelValues,
    Squash,
)

_FITS = {"squash": Squash, "letterbox": Letterbox}
_ORDERS = ("RGB", "BGR")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserNetwork:
    """A network that a user's factory makes.

    Attributes:
        name: the factory's reference, `package.module:factory`.
        build: makes the network in eval mode.
        skeleton: the network on the meta device: it has names, shapes and what it declares.
        height: of the images that it takes, in pixels.
        width: of the images that it takes, in pixels.
        preprocess: image uint8 [H, W, 3] in RGB to the network's arguments.
        example_inputs: positional arguments of the real size.
    """

    name: str
    build: Callable[[], nn.Module]
    skeleton: nn.Module
    height: int
    width: int
    preprocess: BatchOfOne
    example_inputs: tuple[Tensor]


def is_user_network(network: str) -> bool:
    """Whether a name is a factory's reference."""
    return ":" in network


def user_network(reference: str, *, input_size: tuple[int, int] | None = None) -> UserNetwork:
    """Import a factory and read what its network declares.

    The factory takes no arguments and returns an `nn.Module` that takes one batch of images,
    float32 [1, 3, height, width]. It is called more than once, also under `torch.device("meta")`,
    so it should not load weights. What the network wants is said by attributes of the module or of
    its class:

    - `input_size`: height and width in pixels, needed unless it is given here;
    - `input_fit`: `squash` (default; stretch) or `letterbox` (keep proportions, grey borders);
    - `input_order`: `RGB` (default) or `BGR`;
    - `input_scale`: value of white, 1.0 (default) or 255.0;
    - `input_mean`, `input_std`: three numbers each, in the network's order and scale.

    Args:
        reference: `package.module:factory`, importable by the node's process.
        input_size: height and width in pixels instead of the declared ones.

    Raises:
        UnknownNetworkError: the module cannot be imported, or has no such callable.
        NetworkDeclarationError: the factory fails or returns something else than a module, or a
            declared value is missing or of the wrong kind.
    """
    factory = _imported(reference)
    with torch.device("meta"):
        skeleton = _built(reference, factory)
    declared = _Declaration(reference=reference, network=skeleton)
    height, width = declared.input_size(input_size)
    fit = _FITS[declared.choice("input_fit", tuple(_FITS))]
    values = PixelValues(
        order=declared.choice("input_order", _ORDERS),
        scale=declared.numbers("input_scale", (1.0,))[0],
        mean=declared.numbers("input_mean", (0.0, 0.0, 0.0)),
        std=declared.numbers("input_std", (1.0, 1.0, 1.0)),
    )
    if 0 in (values.scale, *values.std):
        raise declared.error("input_scale and input_std must not be 0")
    return UserNetwork(
        name=reference,
        build=partial(_built, reference, factory),
        skeleton=skeleton,
        height=height,
        width=width,
        preprocess=BatchOfOne(fit=fit(height=height, width=width), values=values),
        example_inputs=(values.apply(example_image(height=height, width=width)[None]),),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declaration:
    """What a network says of itself in attributes; a wrong value is named with its remedy."""

    reference: str
    network: nn.Module

    def error(self, message: str) -> NetworkDeclarationError:
        return NetworkDeclarationError(f"{self.reference}: {message}")

    def input_size(self, given: tuple[int, int] | None) -> tuple[int, int]:
        declared = getattr(self.network, "input_size", None) if given is None else given
        if declared is None:
            raise self.error(
                "the size of its images is not known; set input_size = (height, width) on the "
                "module's class, or give the parameter input_size"
            )
        is_pair = isinstance(declared, Sequence) and len(declared) == 2
        if not is_pair or not all(isinstance(side, int) and side > 0 for side in declared):
            raise self.error(
                f"input_size must be (height, width) in pixels, above 0, but is {declared!r}"
            )
        return declared[0], declared[1]

    def choice(self, attribute: str, known: tuple[str, ...]) -> str:
        """One of a few words, the first where none is declared."""
        word = getattr(self.network, attribute, known[0])
        if word not in known:
            raise self.error(f"{attribute} must be one of {', '.join(known)}, but is {word!r}")
        return str(word)

    def numbers(self, attribute: str, default: tuple[float, ...]) -> Any:
        """As many numbers as the default has; one alone need not be in a tuple."""
        declared = getattr(self.network, attribute, default)
        values = declared if isinstance(declared, Sequence) else (declared,)
        is_number = all(isinstance(value, (int, float)) for value in values)
        if not is_number or len(values) != len(default) or not all(map(math.isfinite, values)):
            raise self.error(
                f"{attribute} must be {len(default)} finite number(s), but is {declared!r}"
            )
        return tuple(float(value) for value in values)


def _imported(reference: str) -> Callable[[], object]:
    module_name, _, attribute = reference.partition(":")
    remedy = "; give package.module:factory, with the package on the node's PYTHONPATH"
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        message = f"cannot import {module_name!r} of network '{reference}': {error}{remedy}"
        raise UnknownNetworkError(message) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise UnknownNetworkError(
            f"module {module_name} has no callable {attribute!r} for network '{reference}'{remedy}"
        )
    return factory


def _built(reference: str, factory: Callable[[], object]) -> nn.Module:
    try:
        network = factory()
    except Exception as error:  # a user's code may raise anything; it is passed on as the cause
        message = f"{reference}: the factory failed: {type(error).__name__}: {error}"
        raise NetworkDeclarationError(message) from error
    if not isinstance(network, nn.Module):
        raise NetworkDeclarationError(
            f"{reference}: the factory must return a torch.nn.Module, but returned "
            f"{type(network).__name__}"
        )
    return network.eval()
