"""torchvision's detection networks, by their names there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.ops import FrozenBatchNorm2d

from swapnet_ros.perception.errors import InputSizeError
from swapnet_ros.perception.models.checkpoints import check_checkpoint
from swapnet_ros.perception.models.detection import (
    Candidates,
    DetectionNetwork,
    example_image,
)
from swapnet_ros.perception.models.labels import read_labels, torchvision_labels
from swapnet_ros.perception.models.seeded import SeededWeights
from swapnet_ros.perception.tasks.preprocessing import Letterbox, ListOfOne, Squash

_FIXED_SIZES = {"ssd300_vgg16": (300, 300), "ssdlite320_mobilenet_v3_large": (320, 320)}
_DEFAULT_SIZES = {"fasterrcnn_mobilenet_v3_large_320_fpn": (320, 640)}
_DEFAULT_SIZE = (800, 1333)

# [Note: frozen normalisation] torchvision builds these with FrozenBatchNorm2d when they get trained
# weights, and sets this epsilon for the published ones. A checkpoint therefore belongs to such a
# network, and not to the one that the same function builds without weights.
_FROZEN_EPSILON = {
    "fasterrcnn_resnet50_fpn": 0.0,
    "maskrcnn_resnet50_fpn": 0.0,
    "keypointrcnn_resnet50_fpn": 0.0,
    "retinanet_resnet50_fpn": 0.0,
    "fcos_resnet50_fpn": 1e-5,
    "fasterrcnn_mobilenet_v3_large_fpn": 1e-5,
    "fasterrcnn_mobilenet_v3_large_320_fpn": 1e-5,
}

_BRANCH_GAIN = 0.3
_HEAD_GAIN = 0.01
_RARE_LOGIT = -4.6
_BACKGROUND_LOGIT = 12.0


def torchvision_names() -> tuple[str, ...]:
    """Names of torchvision's detection networks."""
    return tuple(models.list_models(module=models.detection))


def torchvision_network(
    name: str,
    *,
    weights: Path | None,
    labels: Path | None,
    input_size: tuple[int, int] | None,
    seed: int,
) -> DetectionNetwork:
    """One of torchvision's detection networks with its own preprocessing and labels.

    The network resizes its images itself; here every image is brought to one size before, at which
    the network's own resizing does nothing, so that its memory does not depend on the camera.

    Args:
        name: as in torchvision, one of `torchvision_names()`.
        weights: a `.safetensors`, `.pth`, `.pt` or `.th` file; None for random weights.
        labels: names of the classes without the background, one per line; the network then has one
            class more than names. None for those of COCO as torchvision counts them.
        input_size: height and width in pixels; None for the network's own.
        seed: chooses random weights.

    Returns:
        The network; outputs are torchvision's list of dicts.

    Raises:
        InputSizeError: the network's size is fixed and another one was asked for.
        WeightsError: the weights file cannot be opened.
        LabelsError: the labels file cannot be read.
    """
    height, width = _input_size(name, input_size)
    names = torchvision_labels(name)
    if labels is not None:
        names = ("__background__", *read_labels(labels))
    build = TorchvisionBuilder(
        name=name, classes=len(names), height=height, width=width, is_trained=weights is not None
    )
    fit_type = Squash if name in _FIXED_SIZES else Letterbox
    return DetectionNetwork(
        name=name,
        build=build,
        weights=_random_weights(build, seed) if weights is None else check_checkpoint(weights),
        is_random=weights is None,
        example_inputs=([example_image(height=height, width=width)],),
        labels=names,
        preprocess=ListOfOne(fit=fit_type(height=height, width=width)),
        decode=decode_torchvision,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchvisionBuilder:
    """Makes one of torchvision's detection networks for images of one size.

    Attributes:
        name: as in torchvision.
        classes: with the background.
        height: of the images, in pixels.
        width: of the images, in pixels.
        is_trained: build the network that published checkpoints belong to.
    """

    name: str
    classes: int
    height: int
    width: int
    is_trained: bool

    def __call__(self) -> nn.Module:
        """The network in eval mode with torch's initial weights."""
        options: dict[str, Any] = {}
        if self.name not in _FIXED_SIZES:
            options["min_size"], options["max_size"] = sorted((self.height, self.width))
        if self.name.startswith("ssdlite"):
            options["norm_layer"] = partial(ShapeTolerantNorm, eps=0.001, momentum=0.03)
        network: nn.Module = models.get_model(
            self.name, weights=None, weights_backbone=None, num_classes=self.classes, **options
        )
        if self.is_trained and self.name in _FROZEN_EPSILON:
            _freeze_norms(network, _FROZEN_EPSILON[self.name])
        return network.eval()


class ShapeTolerantNorm(nn.BatchNorm2d):
    """Batch normalisation that lets images without values through.

    While ssdlite is built, torchvision runs its backbone once to learn the shapes. A skeleton's
    parameters have no storage then, but its statistics have: torch refuses that mixture.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] to the same shape."""
        return input if input.is_meta else super().forward(input)


def decode_torchvision(outputs: Sequence[dict[str, Tensor]], score_threshold: float) -> Candidates:
    """Take the boxes above a threshold from torchvision's outputs.

    Args:
        outputs: one dict with `boxes`, `scores` and `labels`. The networks themselves drop scores
            below 0.001 (ssdlite), 0.01 (ssd300), 0.05 (R-CNN, RetinaNet) or 0.2 (FCOS).
        score_threshold: 0..1.

    Returns:
        The candidates in network pixels.
    """
    found = outputs[0]
    chosen = found["scores"] > score_threshold
    return Candidates(
        boxes=found["boxes"][chosen],
        scores=found["scores"][chosen],
        class_ids=found["labels"][chosen],
    )


def _input_size(name: str, input_size: tuple[int, int] | None) -> tuple[int, int]:
    fixed = _FIXED_SIZES.get(name)
    if fixed is None:
        return input_size or _DEFAULT_SIZES.get(name, _DEFAULT_SIZE)
    if input_size not in (None, fixed):
        raise InputSizeError(f"{name} takes images of {fixed[0]}x{fixed[1]} only, not {input_size}")
    return fixed


def _freeze_norms(module: nn.Module, epsilon: float) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=epsilon))
        else:
            _freeze_norms(child, epsilon)


def _random_weights(build: TorchvisionBuilder, seed: int) -> SeededWeights:
    with torch.device("meta"):
        skeleton = build()
    gains: dict[str, float] = {}
    constants: dict[str, Tensor] = {}
    for name, module in skeleton.named_modules():
        if isinstance(module, models.resnet.Bottleneck):
            gains[f"{name}.bn3.weight"] = _BRANCH_GAIN
    for name, size in _class_heads(skeleton):
        gains[f"{name}.weight"] = _HEAD_GAIN
        constants[f"{name}.bias"] = _quiet_bias(name, size, build.classes)
    return SeededWeights(skeleton, seed=seed, gains=gains, constants=constants)


def _class_heads(skeleton: nn.Module) -> Iterator[tuple[str, int]]:
    """Name and number of outputs of each layer whose outputs are the logits of classes."""
    for name, module in skeleton.named_modules():
        is_in_ssd = "classification_head.module_list" in name
        if not (is_in_ssd or name.endswith(("cls_logits", "cls_score"))):
            continue
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            yield name, len(module.bias)


def _quiet_bias(name: str, size: int, classes: int) -> Tensor:
    """A bias under which no class is likely: with a softmax, the background is."""
    if name.endswith("cls_logits"):
        return torch.full((size,), _RARE_LOGIT)
    bias = torch.zeros(size // classes, classes)
    bias[:, 0] = _BACKGROUND_LOGIT
    return bias.flatten()
