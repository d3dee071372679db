"""Segmentation networks: torchvision's by name, and users' own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from swapnet_ros.perception.errors import NetworkOutputError, UnknownNetworkError
from swapnet_ros.perception.models.checkpoints import check_checkpoint, holds_names
from swapnet_ros.perception.models.image_input import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageInput,
    InputChanges,
)
from swapnet_ros.perception.models.labels import read_labels, torchvision_labels
from swapnet_ros.perception.models.network import ImageNetwork, example_input, skeleton_of
from swapnet_ros.perception.models.own_network import is_own_network, own_network
from swapnet_ros.perception.models.seeded import SeededWeights

MAX_CLASSES = 256
"""A class map has one byte per pixel."""

_HEIGHT, _WIDTH = 360, 640
_AUXILIARY = "aux_classifier"
_BRANCH_GAIN = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationNetwork(ImageNetwork):
    """A network that tells the class of every pixel.

    Attributes:
        input_height: pixels of the network's input.
        input_width: pixels of the network's input.
    """

    input_height: int
    input_width: int

    def decode(self, outputs: Any) -> Tensor:
        """Find the best class of every pixel of the network's input.

        Args:
            outputs: scores [1, classes, h, w] or class ids (integers) [1, h, w]; or a dict with
                them as `out`, or a sequence that begins with them. Where h and w are smaller than
                the input, scores are interpolated.

        Returns:
            uint8 [input_height, input_width], class ids.

        Raises:
            NetworkOutputError: the outputs are something else, or of another number of classes.
        """
        maps = outputs.get("out") if isinstance(outputs, dict) else outputs
        maps = maps[0] if isinstance(maps, (tuple, list)) and maps else maps
        if not isinstance(maps, Tensor):
            raise self._unexpected(type(maps).__name__)
        size = (self.input_height, self.input_width)
        if maps.is_floating_point():
            return self._best(maps, size)
        if maps.ndim != 3 or len(maps) != 1 or maps.dtype == torch.bool:
            raise self._unexpected(f"{maps.dtype} {list(maps.shape)}")
        if maps.numel() and not 0 <= int(maps.min()) <= int(maps.max()) < self._class_limit:
            largest = int(maps.max())
            raise NetworkOutputError(f"{self.name} returned class {largest}, which has no label")
        return functional.interpolate(maps[None].to(torch.uint8), size=size, mode="nearest")[0, 0]

    @property
    def _class_limit(self) -> int:
        return len(self.labels) or MAX_CLASSES

    def _best(self, scores: Tensor, size: tuple[int, int]) -> Tensor:
        if scores.ndim != 4 or len(scores) != 1 or scores.shape[1] < 2:
            raise self._unexpected(list(scores.shape))
        classes = scores.shape[1]
        if classes > MAX_CLASSES or (self.labels and classes != len(self.labels)):
            limit = len(self.labels) or MAX_CLASSES
            raise NetworkOutputError(
                f"{self.name} returned scores of {classes} classes, but there are {limit} labels; "
                "give one label per class"
            )
        if tuple(scores.shape[2:]) != size:
            scores = functional.interpolate(
                scores.float(), size=size, mode="bilinear", align_corners=False
            )
        return scores[0].argmax(0).to(torch.uint8)

    def _unexpected(self, found: object) -> NetworkOutputError:
        return NetworkOutputError(
            f"{self.name} must return scores [1, classes, h, w] or class ids [1, h, w], not {found}"
        )


def segmentation_network_names() -> tuple[str, ...]:
    """Names of torchvision's segmentation networks."""
    return tuple(models.list_models(module=models.segmentation))


def segmentation_network(
    network: str,
    *,
    weights: Path | None = None,
    labels: Path | None = None,
    default_labels: Sequence[str] | None = None,
    changes: InputChanges | None = None,
    seed: int = 0,
) -> SegmentationNetwork:
    """Find a segmentation network; nothing is loaded but its definition.

    Args:
        network: a name of `torchvision.models.segmentation`; or a user's own,
            `package.module:factory` or the path of a `.pt2` file (see `own_network`), with outputs
            as `SegmentationNetwork.decode` takes them.
        weights: a `.safetensors`, `.pth`, `.pt` or `.th` file; None for random weights, for a
            user's own network for those that it brings along.
        labels: names of all classes, one per line, with the background where there is one;
            torchvision's networks are built with as many classes. None for the network's own.
        default_labels: the names where neither the file nor a user's network has any; None for
            those of Pascal VOC.
        changes: preprocessing that differs from the network's own, which is 360x640 pixels with
            proportions kept for torchvision's.
        seed: chooses random weights.

    Returns:
        The network.

    Raises:
        UnknownNetworkError: there is no such network.
        OwnNetworkError: a user's own network cannot be found or read.
        PreprocessingError: the preprocessing is not possible.
        WeightsError: the weights file cannot be opened.
        LabelsError: the labels file cannot be read.
    """
    names = read_labels(labels) if labels is not None else None
    if is_own_network(network):
        own = own_network(network, weights=weights, changes=changes)
        own_names = names or own.labels or tuple(default_labels or ())
        return SegmentationNetwork(
            **own.facts(labels=own_names),
            input_height=own.image_input.height,
            input_width=own.image_input.width,
        )
    if network not in segmentation_network_names():
        raise UnknownNetworkError.among("segmentation", network, segmentation_network_names())
    names = names or tuple(default_labels or torchvision_labels(network))
    return _torchvision_network(network, weights, names, changes or InputChanges(), seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterBuilder:
    """Makes one of torchvision's segmentation networks.

    Attributes:
        name: as in torchvision.
        classes: with the background.
        has_auxiliary: with the second head that helps in training; published checkpoints have it.
    """

    name: str
    classes: int
    has_auxiliary: bool

    def __call__(self) -> nn.Module:
        """The network in eval mode with torch's initial weights."""
        options = {} if self.name.startswith("lraspp") else {"aux_loss": self.has_auxiliary}
        network: nn.Module = models.get_model(
            self.name, weights=None, weights_backbone=None, num_classes=self.classes, **options
        )
        return MainHead(network).eval() if self.has_auxiliary else network.eval()


class MainHead(nn.Module):
    """A torchvision segmentation network that does not run its second head.

    Its parts, and so the names of its parameters, are those of the network it is made of.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for name, child in network.named_children():
            self.add_module(name, child)

    def forward(self, input: Tensor) -> dict[str, Tensor]:
        """[B, 3, H, W] to `out`: scores [B, classes, H, W]."""
        scores = self.classifier(self.backbone(input)["out"])
        size = input.shape[-2:]
        return {
            "out": functional.interpolate(scores, size=size, mode="bilinear", align_corners=False)
        }


def _torchvision_network(
    name: str, weights: Path | None, labels: tuple[str, ...], changes: InputChanges, seed: int
) -> SegmentationNetwork:
    published = ImageInput(
        height=_HEIGHT, width=_WIDTH, fit="letterbox", mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    image_input = changes.applied_to(published)
    build = SegmenterBuilder(
        name=name,
        classes=len(labels),
        has_auxiliary=weights is not None and holds_names(check_checkpoint(weights), _AUXILIARY),
    )
    return SegmentationNetwork(
        name=name,
        build=build,
        weights=_random_weights(build, seed) if weights is None else weights,
        is_random=weights is None,
        example_inputs=(example_input(image_input),),
        labels=labels,
        preprocess=image_input,
        input_height=image_input.height,
        input_width=image_input.width,
    )


def _random_weights(build: SegmenterBuilder, seed: int) -> SeededWeights:
    skeleton = skeleton_of(build)
    gains = {
        f"{name}.bn3.weight": _BRANCH_GAIN
        for name, module in skeleton.named_modules()
        if isinstance(module, models.resnet.Bottleneck)
    }
    return SeededWeights(skeleton, seed=seed, gains=gains)
