"""Networks as they are named on the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from swapnet_core.errors import InputError
from swapnet_core.sources import Weights
from swapnet_ros.perception.models.catalogue import detection_network, detection_network_names
from swapnet_ros.perception.models.lane_catalogue import lane_network, lane_network_names
from swapnet_ros.perception.models.ufld import INPUT_HEIGHT, INPUT_WIDTH

_DETECTION_PREFIXES = ("fasterrcnn", "fcos", "keypointrcnn", "maskrcnn", "retinanet", "ssd")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedNetwork:
    """A network with seeded random weights, and an input for it.

    Attributes:
        build: makes the network in eval mode; equal at every call.
        inputs: positional inputs; images are float32 [B, 3, H, W] in 0..1.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannableNetwork:
    """A network as `profile_network` takes it, and how often it is wanted.

    Attributes:
        name: of the task, or of the network where it stands alone.
        network: its own name.
        rate_hz: inferences per second; None: as often as there is time.
        build: makes the network in eval mode.
        inputs: positional inputs of the example.
        weights: a file or a mapping for a skeleton; None where `build` makes them.
    """

    name: str
    network: str
    rate_hz: float | None
    build: Callable[[], nn.Module]
    inputs: tuple[Any, ...]
    weights: Path | Weights | None


def named_network(name: str, shape: tuple[int, ...] | None, seed: int = 0) -> NamedNetwork:
    """Find a network by name.

    Args:
        name: any torchvision network, a Darknet network (`yolov3`), a lane network
            (`ufld_resnet18`), or a `.cfg` file.
        shape: of the input image, [B, 3, H, W]; None for the network's own size.
        seed: of weights and input.

    Raises:
        InputError: there is no such network, or the shape is not one for it.
        NetworkDefinitionError: the cfg file cannot be read.
    """
    if name in torchvision.models.list_models() and not name.startswith(_DETECTION_PREFIXES):
        return _torchvision_network(name, shape or (1, 3, 224, 224), seed)
    if name in lane_network_names():
        return _lane_network(name, shape, seed)
    if name not in torchvision.models.list_models() and not _is_detection(name):
        darknet = (n for n in detection_network_names() if n.startswith("yolo"))
        raise InputError(
            f"there is no network {name!r}; use a name of torchvision.models.list_models(), one of "
            f"{', '.join((*darknet, *lane_network_names()))}, or a .cfg file"
        )
    return _detection_network(name, shape, seed)


def parse_shape(text: str) -> tuple[int, ...]:
    """Read `1x3x224x224`.

    Raises:
        InputError: not four positive numbers, three channels.
    """
    try:
        shape = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        shape = ()
    if len(shape) != 4 or min(shape) < 1 or shape[1] != 3:
        raise InputError(f"{text!r} is not an input shape; write BATCHx3xHEIGHTxWIDTH: 1x3x224x224")
    return shape


def _is_detection(name: str) -> bool:
    return name in detection_network_names() or name.endswith(".cfg")


def _torchvision_network(name: str, shape: tuple[int, ...], seed: int) -> NamedNetwork:
    options: dict[str, Any] = {"weights": None}
    if name.startswith(("fcn", "deeplab", "lraspp")):
        options["weights_backbone"] = None
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = True

    def build() -> nn.Module:
        torch.manual_seed(seed)
        return torchvision.models.get_model(name, **options).eval()

    return NamedNetwork(name=name, build=build, inputs=(_image(shape, seed),))


def _detection_network(name: str, shape: tuple[int, ...] | None, seed: int) -> NamedNetwork:
    if shape is not None and shape[0] != 1:
        raise InputError(f"detection networks take one image, not a batch of {shape[0]}")
    size = None if shape is None else (shape[2], shape[3])
    spec = detection_network(name, input_size=size, seed=seed)
    weights = spec.weights
    if not isinstance(weights, dict) and not hasattr(weights, "keys"):
        raise InputError(f"{name} has no random weights")

    def build() -> nn.Module:
        network = spec.build().eval()
        network.load_state_dict({key: weights[key] for key in weights}, strict=False)
        return network

    generator = torch.Generator().manual_seed(seed)
    inputs = _map_images(spec.example_inputs, generator)
    return NamedNetwork(name=name, build=build, inputs=inputs)


def _lane_network(name: str, shape: tuple[int, ...] | None, seed: int) -> NamedNetwork:
    shape = shape or (1, 3, INPUT_HEIGHT, INPUT_WIDTH)
    if shape[2:] != (INPUT_HEIGHT, INPUT_WIDTH):
        raise InputError(f"{name} takes images of {INPUT_HEIGHT}x{INPUT_WIDTH} pixels only")
    spec = lane_network(name, seed=seed)

    def build() -> nn.Module:
        network = spec.build()
        network.load_state_dict({key: spec.weights[key] for key in spec.weights})
        return network

    return NamedNetwork(name=name, build=build, inputs=(_image(shape, seed),))


def _map_images(structure: Any, generator: torch.Generator) -> Any:
    """Fill every image of the example with noise."""
    return torch.utils._pytree.tree_map_only(
        torch.Tensor, lambda leaf: torch.rand(leaf.shape, generator=generator), structure
    )


def _image(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))
