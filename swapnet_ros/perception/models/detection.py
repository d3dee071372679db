"""What a detection network is made of, whatever its family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from swapnet_ros.perception.models.in_memory import build_with_weights
from swapnet_ros.perception.tasks.preprocessing import PreparedImage


def example_image(*, height: int, width: int) -> Tensor:
    """Noise of a network's input size, float32 [3, height, width] in 0..1, the same every time.

    Noise rather than one colour: it makes networks whose work depends on the image work.
    """
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Boxes that a network proposes for one image, before the overlapping ones are sorted out.

    Attributes:
        boxes: float32 [N, 4], x_min, y_min, x_max, y_max in network pixels.
        scores: float32 [N], 0..1.
        class_ids: int64 [N], indices into the network's labels.
    """

    boxes: Tensor
    scores: Tensor
    class_ids: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionNetwork:
    """A detection network with all that is needed to run it; the weights are not loaded.

    Attributes:
        name: as it was asked for; for a cfg file, its name without the ending.
        build: makes the network in eval mode, with initial weights; works under
            `torch.device("meta")` too, as long as only shapes matter.
        weights: what belongs into it: path of a checkpoint that the core reads, a mapping from
            state-dict names to tensors that reads or draws one at a time, or None where `build`
            brings them along.
        is_random: the weights are random ones; the boxes mean nothing.
        example_inputs: positional arguments of the real size.
        labels: class names by class id.
        preprocess: image uint8 [H, W, 3] in RGB to the network's arguments.
        decode: the network's outputs for one image, and the smallest score, to candidates.
    """

    name: str
    build: Callable[[], nn.Module]
    weights: Path | Mapping[str, Tensor] | None
    is_random: bool
    example_inputs: tuple[Any, ...]
    labels: tuple[str, ...]
    preprocess: Callable[[NDArray[np.uint8]], PreparedImage]
    decode: Callable[[Any, float], Candidates]

    def build_in_memory(self) -> nn.Module:
        """The network with its weights, all of it in memory: what a swapped one is compared with.

        Raises:
            WeightsError: the weights belong to another network, or a Darknet file has changed.
            WeightsMismatchError: a checkpoint is damaged or holds no state dict.
        """
        return build_with_weights(self.name, self.build, self.weights)
