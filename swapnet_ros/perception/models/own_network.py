"""A user's own network: a factory in Python, or a file of `torch.export`."""

from __future__ import annotations

import importlib
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from swapnet_core.assembly import build_skeleton
from swapnet_ros.perception.errors import OwnNetworkError
from swapnet_ros.perception.models.checkpoints import (
    TORCHSCRIPT_ADVICE,
    check_checkpoint,
    is_torchscript,
)
from swapnet_ros.perception.models.image_input import ImageInput, InputChanges, declared_changes
from swapnet_ros.perception.models.network import example_input

_EXPORTED = ".pt2"
_TORCHSCRIPT = (".pt", ".pth")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnNetwork:
    """A user's network as far as every task needs it.

    Attributes:
        name: as it was asked for.
        build: makes the network in eval mode.
        weights: path of its checkpoint; None where `build` brings the weights along.
        image_input: how images are prepared.
        labels: class names that it declares; empty where it declares none.
        outputs: what it says that it returns, in the attribute `outputs`; empty where it does not.
    """

    name: str
    build: Callable[[], nn.Module]
    weights: Path | None
    image_input: ImageInput
    labels: tuple[str, ...]
    outputs: str

    def facts(self, *, labels: tuple[str, ...]) -> dict[str, Any]:
        """What an `ImageNetwork` of any kind is made with, by the names of its fields."""
        return {
            "name": self.name,
            "build": self.build,
            "weights": self.weights,
            "is_random": False,
            "example_inputs": (example_input(self.image_input),),
            "labels": labels,
            "preprocess": self.image_input,
        }


def is_own_network(network: str) -> bool:
    """Whether a name means a factory (`package.module:factory`) or an exported file."""
    return ":" in network or network.endswith((_EXPORTED, *_TORCHSCRIPT))


def own_network(
    network: str, *, weights: Path | None, changes: InputChanges | None = None
) -> OwnNetwork:
    """Find a user's own network.

    A factory is called without arguments and returns an `nn.Module`. The module may have
    `image_input`, a dict with any of the fields of `InputChanges`; `labels`, a sequence of class
    names; and `outputs`. Without `weights` the factory brings the weights along; it is then whole
    in memory while it is loaded, as an exported file is, too.

    Args:
        network: `package.module:factory`, or path of a `.pt2` file of `torch.export.save`.
        weights: a `.safetensors`, `.pth`, `.pt` or `.th` file; None for the factory's own.
        changes: preprocessing that goes before what the network declares.

    Raises:
        OwnNetworkError: it cannot be imported or read, is a TorchScript file, or no input size is
            declared.
        NetworkError: the factory fails, or makes something else than a module.
        PreprocessingError: the preprocessing is not possible.
        WeightsError: the weights file cannot be opened.
    """
    if network.endswith(_EXPORTED):
        build: Callable[[], nn.Module] = partial(_load_exported, Path(network))
        declared = _ExportDeclares(Path(network))
    elif ":" in network:
        build = partial(_call, _import(network))
        declared = build_skeleton(build)
    else:
        raise _not_a_program(Path(network))
    return OwnNetwork(
        name=network if ":" in network else Path(network).stem,
        build=build,
        weights=None if weights is None else check_checkpoint(weights),
        image_input=_image_input(network, declared, changes or InputChanges()),
        labels=_labels(network, declared),
        outputs=str(getattr(declared, "outputs", "")),
    )


class _ExportDeclares:
    """What an exported file tells of its input: the size of its example."""

    def __init__(self, path: Path) -> None:
        example = _open_exported(path).example_inputs
        tensor = example[0][0] if example and example[0] else None
        self.image_input: dict[str, Any] = {}
        if isinstance(tensor, Tensor) and tensor.ndim == 4:
            self.image_input["size"] = tuple(tensor.shape[2:])


def _import(network: str) -> Callable[[], Any]:
    module_name, _, name = network.partition(":")
    try:
        module = importlib.import_module(module_name)
    # a user's module may fail with anything while it is imported
    except Exception as error:
        raise OwnNetworkError(
            f"network {network}: cannot import {module_name}: {error}; its folder must be on "
            "PYTHONPATH, or its package installed"
        ) from error
    factory = getattr(module, name, None)
    if not callable(factory):
        found = "has no" if factory is None else "cannot call its"
        raise OwnNetworkError(f"network {network}: {module_name} {found} '{name}'")
    made: Callable[[], Any] = factory
    return made


def _call(factory: Callable[[], Any]) -> Any:
    made = factory()
    return made.eval() if isinstance(made, nn.Module) else made


def _image_input(network: str, declared: Any, changes: InputChanges) -> ImageInput:
    declaration = getattr(declared, "image_input", {})
    if not isinstance(declaration, Mapping):
        found = type(declaration).__name__
        raise OwnNetworkError(f"image_input of {network} must be a dict, but is {found}")
    own = declared_changes(declaration, owner=network)
    if own.size is None and changes.size is None:
        raise OwnNetworkError(
            f"network {network} declares no input size; set the parameter input_size, or give the "
            "module an attribute image_input = {'size': (height, width)}"
        )
    # the size is one of the two changes'; this one never stays
    return changes.applied_to(own.applied_to(ImageInput(height=1, width=1)))


def _labels(network: str, declared: Any) -> tuple[str, ...]:
    labels = getattr(declared, "labels", ())
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        raise OwnNetworkError(f"labels of {network} must be a sequence of names")
    return tuple(str(label) for label in labels)


def _not_a_program(path: Path) -> OwnNetworkError:
    try:
        if is_torchscript(path):
            return OwnNetworkError(TORCHSCRIPT_ADVICE.format(path=path))
    except OSError as error:
        return OwnNetworkError(f"network file {path} cannot be read: {error.strerror}")
    return OwnNetworkError(
        f"{path} holds weights and no network; give it as weights, and as network the name or "
        "package.module:factory that it belongs to"
    )


def _open_exported(path: Path) -> Any:
    try:
        return torch.export.load(path)
    except (OSError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise OwnNetworkError(f"network file {path} cannot be read: {error}") from error
    except pickle.UnpicklingError as error:
        raise OwnNetworkError(f"network file {path} cannot be read: {error}") from error


def _load_exported(path: Path) -> nn.Module:
    """The exported network as a module that reads each weight where it uses it.

    As exported, the program reads all weights first and uses them afterwards, so that all of them
    would have to be in memory together.
    """
    module = _open_exported(path).module()
    graph = module.graph
    for node in list(graph.nodes):
        if node.op == "get_attr" and node.users:
            next(other for other in graph.nodes if other in node.users).prepend(node)
    return torch.fx.GraphModule(module, graph).eval()
