"""What networks of every kind have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from swapnet_core.assembly import build_skeleton
from swapnet_ros.perception.models.image_input import ImageInput
from swapnet_ros.perception.models.in_memory import build_with_weights
from swapnet_ros.perception.tasks.preprocessing import PreparedImage


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNetwork:
    """A network for images with all that is needed to run it; the weights are not loaded.

    Attributes:
        name: as it was asked for.
        build: makes the network in eval mode, with initial weights.
        weights: what belongs into it: path of a checkpoint that the core reads, a mapping from
            state-dict names to tensors that reads or draws one at a time, or None where `build`
            brings them along.
        is_random: the weights are random ones; the answers mean nothing.
        example_inputs: positional arguments of the real size.
        labels: class names by class id; empty for a user's own network that declares none.
        preprocess: image uint8 [H, W, 3] in RGB to the network's arguments.
    """

    name: str
    build: Callable[[], nn.Module]
    weights: Path | Mapping[str, Tensor] | None
    is_random: bool
    example_inputs: tuple[Any, ...]
    labels: tuple[str, ...]
    preprocess: Callable[[NDArray[np.uint8]], PreparedImage]

    def build_in_memory(self) -> nn.Module:
        """The network with its weights, all of it in memory: what a swapped one is compared with.

        Raises:
            WeightsError: the weights belong to another network.
            WeightsMismatchError: a checkpoint is damaged or holds no state dict.
        """
        return build_with_weights(self.name, self.build, self.weights)

    def label(self, class_id: int) -> str:
        """A class's name, `class_7` where the network declares none."""
        return self.labels[class_id] if self.labels else f"class_{class_id}"


def example_input(image_input: ImageInput) -> Tensor:
    """Prepared noise, float32 [1, 3, height, width], the same every time.

    Noise rather than one colour: it makes networks whose work depends on the image work.
    """
    shape = (image_input.height, image_input.width, 3)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    prepared: Tensor = image_input(noise.numpy()).inputs[0]
    return prepared


def skeleton_of(build: Callable[[], nn.Module]) -> nn.Module:
    """A network's modules and the shapes of its parameters, for the least work that shows them."""
    try:
        with torch.device("meta"):
            return build()
    except (NotImplementedError, RuntimeError):  # RegNet and Swin compute with numbers in tensors
        return build_skeleton(build)
