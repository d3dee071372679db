"""Classification networks: torchvision's by name, and users' own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision import models

from swapnet_ros.perception.errors import NetworkOutputError, UnknownNetworkError
from swapnet_ros.perception.models.checkpoints import check_checkpoint
from swapnet_ros.perception.models.class_maps import with_class_maps
from swapnet_ros.perception.models.image_input import ImageInput, InputChanges
from swapnet_ros.perception.models.labels import read_labels, torchvision_labels
from swapnet_ros.perception.models.network import ImageNetwork, example_input, skeleton_of
from swapnet_ros.perception.models.own_network import is_own_network, own_network
from swapnet_ros.perception.models.seeded import SeededWeights

# torchvision builds these with branches for training, and with preprocessing of their own, when
# they get trained weights; published checkpoints have the branches.
_WITH_BRANCHES = ("googlenet", "inception_v3")

_BRANCH_GAIN = 0.3
_HEAD_GAIN = 1e-4  # every class is about as likely: the scores of random weights mean nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationNetwork(ImageNetwork):
    """A network that tells what an image shows; its outputs are the classes' logits."""

    def decode(self, outputs: Any) -> Tensor:
        """Make probabilities of the outputs.

        Args:
            outputs: logits [1, classes] or [classes], or a sequence or dict that begins with them.

        Returns:
            float32 [classes], 0..1, with a sum of 1.

        Raises:
            NetworkOutputError: the outputs are something else, or of another number of classes.
        """
        return _probabilities(self, _first(outputs))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMapNetwork(ImageNetwork):
    """A classification network that also tells where; it returns logits and class maps."""

    def decode(self, outputs: Any) -> tuple[Tensor, Tensor]:
        """Make probabilities of the outputs, and take the maps.

        Args:
            outputs: logits [1, classes] and maps [1, classes, h, w].

        Returns:
            float32 [classes], 0..1, with a sum of 1; float32 [classes, h, w].

        Raises:
            NetworkOutputError: the outputs are something else, or of another number of classes.
        """
        is_pair = isinstance(outputs, (tuple, list)) and len(outputs) == 2
        if not is_pair or not all(isinstance(part, Tensor) for part in outputs):
            raise NetworkOutputError(f"{self.name} must return scores and maps [1, classes, h, w]")
        probabilities, maps = _probabilities(self, outputs[0]), outputs[1]
        if maps.ndim != 4 or maps.shape[:2] != (1, len(probabilities)):
            shape = list(maps.shape)
            raise NetworkOutputError(f"{self.name} returned maps {shape}, not [1, classes, h, w]")
        return probabilities, maps[0].float()


def classification_network_names() -> tuple[str, ...]:
    """Names of torchvision's classification networks."""
    return tuple(models.list_models(module=models))


def classification_network(
    network: str,
    *,
    weights: Path | None = None,
    labels: Path | None = None,
    default_labels: Sequence[str] | None = None,
    changes: InputChanges | None = None,
    seed: int = 0,
) -> ClassificationNetwork:
    """Find a classification network; nothing is loaded but its definition.

    Args:
        network: a name of `torchvision.models`; or a user's own, `package.module:factory` or the
            path of a `.pt2` file (see `own_network`), that returns logits [1, classes].
        weights: a `.safetensors`, `.pth`, `.pt` or `.th` file; None for random weights, for a
            user's own network for those that it brings along.
        labels: class names, one per line; torchvision's networks are built with as many classes.
            None for the network's own.
        default_labels: the names where neither the file nor a user's network has any; None for
            ImageNet's.
        changes: preprocessing that differs from the network's own.
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
        return ClassificationNetwork(**own.facts(labels=own_names))
    facts = _torchvision_facts(network, weights, names or default_labels, changes, seed)
    return ClassificationNetwork(**facts)


def heat_map_network(
    network: str,
    *,
    weights: Path | None = None,
    labels: Path | None = None,
    default_labels: Sequence[str] | None = None,
    changes: InputChanges | None = None,
    seed: int = 0,
) -> HeatMapNetwork:
    """Find a classification network and let it tell where it sees what it says.

    Args:
        network: as for `classification_network`; see `with_class_maps` for the ones that can.
        weights: as there; the same files fit.
        labels: as there.
        default_labels: as there.
        changes: as there.
        seed: as there.

    Raises:
        NoClassMapError: the network cannot tell where.
        PerceptionError: as for `classification_network`.
    """
    found = classification_network(
        network,
        weights=weights,
        labels=labels,
        default_labels=default_labels,
        changes=changes,
        seed=seed,
    )
    build = partial(_build_with_maps, found.build, found.name)
    skeleton_of(build)  # tells now whether it can
    return HeatMapNetwork(
        name=found.name,
        build=build,
        weights=found.weights,
        is_random=found.is_random,
        example_inputs=found.example_inputs,
        labels=found.labels,
        preprocess=found.preprocess,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierBuilder:
    """Makes one of torchvision's classification networks.

    Attributes:
        name: as in torchvision.
        classes: how many.
        side: of its images in pixels; transformers are built for one size.
        is_trained: build the network that published checkpoints belong to.
    """

    name: str
    classes: int
    side: int
    is_trained: bool

    def __call__(self) -> nn.Module:
        """The network in eval mode with torch's initial weights."""
        options: dict[str, Any] = {}
        if self.name in _WITH_BRANCHES:
            options = {
                "aux_logits": self.is_trained,
                "transform_input": self.is_trained,
                "init_weights": False,
            }
        if self.name.startswith("vit_"):
            options["image_size"] = self.side
        if self.name.startswith("maxvit_"):
            options["input_size"] = (self.side, self.side)
        network: nn.Module = models.get_model(
            self.name, weights=None, num_classes=self.classes, **options
        )
        return network.eval()


def _torchvision_facts(
    name: str,
    weights: Path | None,
    labels: Sequence[str] | None,
    changes: InputChanges | None,
    seed: int,
) -> dict[str, Any]:
    if name not in classification_network_names():
        raise UnknownNetworkError.among("classification", name, classification_network_names())
    image_input = (changes or InputChanges()).applied_to(_published_input(name))
    names = tuple(labels) if labels else torchvision_labels(name)
    build = ClassifierBuilder(
        name=name, classes=len(names), side=image_input.height, is_trained=weights is not None
    )
    return {
        "name": name,
        "build": build,
        "weights": _random_weights(build, seed) if weights is None else check_checkpoint(weights),
        "is_random": weights is None,
        "example_inputs": (example_input(image_input),),
        "labels": names,
        "preprocess": image_input,
    }


def _published_input(name: str) -> ImageInput:
    """How the images of torchvision's own weights are prepared."""
    published = models.get_model_weights(name).DEFAULT.transforms()
    side, outer = published.crop_size[0], published.resize_size[0]
    return ImageInput(
        height=side,
        width=side,
        fit="crop",
        crop_share=min(1.0, side / outer),
        mean=tuple(published.mean),
        std=tuple(published.std),
    )


def _random_weights(build: Callable[[], nn.Module], seed: int) -> SeededWeights:
    skeleton = skeleton_of(build)
    gains = {}
    head = ""
    for name, module in skeleton.named_modules():
        if isinstance(module, models.resnet.Bottleneck):
            gains[f"{name}.bn3.weight"] = _BRANCH_GAIN
        if isinstance(module, models.resnet.BasicBlock):
            gains[f"{name}.bn2.weight"] = _BRANCH_GAIN
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            head = name
    return SeededWeights(skeleton, seed=seed, gains={**gains, f"{head}.weight": _HEAD_GAIN})


def _build_with_maps(build: Callable[[], nn.Module], name: str) -> nn.Module:
    return with_class_maps(build(), name)


def _first(outputs: Any) -> Any:
    if isinstance(outputs, dict):
        outputs = tuple(outputs.values())
    return outputs[0] if isinstance(outputs, (tuple, list)) and outputs else outputs


def _probabilities(network: ImageNetwork, logits: Any) -> Tensor:
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        found = type(logits).__name__
        raise NetworkOutputError(f"{network.name} must return logits [1, classes], not {found}")
    flat = logits[0] if logits.ndim == 2 and len(logits) == 1 else logits
    if flat.ndim != 1:
        shape = list(logits.shape)
        raise NetworkOutputError(f"{network.name} must return logits [1, classes], not {shape}")
    if network.labels and len(network.labels) != len(flat):
        raise NetworkOutputError(
            f"{network.name} returned scores of {len(flat)} classes, but there are "
            f"{len(network.labels)} labels; give one label per class"
        )
    return flat.float().softmax(0)
