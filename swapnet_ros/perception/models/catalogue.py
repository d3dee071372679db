"""Detection networks by name or by file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from swapnet_ros.perception.errors import (
    InputSizeError,
    NetworkDefinitionError,
    UnknownNetworkError,
)
from swapnet_ros.perception.models.checkpoints import check_checkpoint
from swapnet_ros.perception.models.darknet.decode import YoloDecoder
from swapnet_ros.perception.models.darknet.definition import read_definition
from swapnet_ros.perception.models.darknet.layers import NetworkDefinition
from swapnet_ros.perception.models.darknet.network import DarknetNetwork
from swapnet_ros.perception.models.darknet.random_weights import seeded_darknet_weights
from swapnet_ros.perception.models.darknet.weights import DarknetWeights
from swapnet_ros.perception.models.detection import DetectionNetwork, example_image
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.labels import default_labels, read_labels
from swapnet_ros.perception.models.own_detection import own_detection_network
from swapnet_ros.perception.models.own_network import is_own_network
from swapnet_ros.perception.models.torchvision_detection import (
    torchvision_names,
    torchvision_network,
)
from swapnet_ros.perception.tasks.preprocessing import BatchOfOne, Letterbox, Squash

__all__ = ["DetectionNetwork", "detection_network", "detection_network_names"]

_SHIPPED = Path(__file__).parent / "cfg"


def detection_network_names() -> tuple[str, ...]:
    """All names that `detection_network` knows without a file."""
    shipped = sorted(path.stem for path in _SHIPPED.glob("*.cfg"))
    return (*shipped, *torchvision_names())


def detection_network(
    network: str | Path,
    *,
    weights: Path | None = None,
    labels: Path | None = None,
    input_size: int | tuple[int, int] | None = None,
    seed: int = 0,
) -> DetectionNetwork:
    """Find a detection network; nothing is loaded but its definition.

    Args:
        network: `yolov3`, `yolov3-tiny`, `yolov4`; the path of a Darknet `.cfg` file; the name of a
            `.cfg` file without the ending, where that file lies beside `weights`; a name of
            `torchvision.models.detection`; or a user's own, `package.module:factory` or the path of
            a `.pt2` file, as `own_detection_network` takes it.
        weights: for Darknet networks a `.weights` file, for all a `.safetensors`,
            `.pth`, `.pt` or `.th` file with the network's state dict; None for random weights.
        labels: class names, one per line, without a background; None for the network's own.
        input_size: pixels, one number for a square or height and width; None for the network's own.
        seed: chooses random weights.

    Returns:
        The network.

    Raises:
        UnknownNetworkError: there is no such network.
        OwnNetworkError: a user's own network cannot be found or read.
        NetworkDefinitionError: the cfg file cannot be read, cannot be built, or detects nothing.
        InputSizeError: the network cannot take images of that size.
        WeightsError: the weights file cannot be read or belongs to another network.
        LabelsError: the labels file cannot be read or has the wrong number of names.
    """
    name = str(network)
    size = _height_and_width(input_size)
    if is_own_network(name):
        changes = InputChanges(size=size)
        return own_detection_network(name, weights=weights, labels=labels, changes=changes)
    path = _definition_path(name, weights)
    if path is not None:
        definition = read_definition(path, input_size=size)
        return _darknet_network(definition, weights=weights, labels=labels, seed=seed)
    if name in torchvision_names():
        return torchvision_network(name, weights=weights, labels=labels, input_size=size, seed=seed)
    raise UnknownNetworkError.among(
        "detection",
        name,
        detection_network_names(),
        "the path of a Darknet .cfg file",
        "the name of a .cfg file that lies beside the weights file",
    )


def _height_and_width(input_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if input_size is None:
        return None
    height, width = (input_size, input_size) if isinstance(input_size, int) else input_size
    if min(height, width) < 1:
        raise InputSizeError(f"an input of {height}x{width} pixels has no pixels")
    return height, width


def _definition_path(network: str, weights: Path | None) -> Path | None:
    """The cfg file that is meant, or None where the network is no Darknet one."""
    if network.endswith(".cfg"):
        return Path(network)
    shipped = _SHIPPED / f"{network}.cfg"
    if shipped.parent == _SHIPPED and shipped.is_file():
        return shipped
    if weights is None:
        return None
    beside = weights.parent / f"{network}.cfg"
    return beside if beside.is_file() else None


def _darknet_network(
    definition: NetworkDefinition, *, weights: Path | None, labels: Path | None, seed: int
) -> DetectionNetwork:
    shape = definition.input_shape
    _check_takes_rgb(definition)
    classes = _class_count(definition)
    fit_type = Letterbox if definition.is_letterboxed else Squash
    return DetectionNetwork(
        name=definition.path.stem,
        build=partial(DarknetNetwork, definition),
        weights=_darknet_weights(definition, weights, seed),
        is_random=weights is None,
        example_inputs=(example_image(height=shape.height, width=shape.width)[None],),
        labels=default_labels(classes) if labels is None else read_labels(labels, count=classes),
        preprocess=BatchOfOne(fit=fit_type(height=shape.height, width=shape.width)),
        decode=YoloDecoder(heads=definition.heads, input_shape=shape),
    )


def _check_takes_rgb(definition: NetworkDefinition) -> None:
    channels = definition.input_shape.channels
    if channels != 3:
        message = f"takes {channels} channels, but images have 3"
        raise NetworkDefinitionError(message, path=definition.path)


def _class_count(definition: NetworkDefinition) -> int:
    path = definition.path
    counts = {head.classes for head in definition.heads}
    if not counts:
        raise NetworkDefinitionError("has no [yolo] section, so it detects nothing", path=path)
    if len(counts) > 1:
        message = f"its [yolo] sections differ in classes: {sorted(counts)}"
        raise NetworkDefinitionError(message, path=path)
    return counts.pop()


def _darknet_weights(
    definition: NetworkDefinition, weights: Path | None, seed: int
) -> Mapping[str, Tensor] | Path:
    if weights is None:
        return seeded_darknet_weights(definition, seed=seed)
    if weights.suffix == ".weights":
        return DarknetWeights(weights, definition)
    return check_checkpoint(weights)
