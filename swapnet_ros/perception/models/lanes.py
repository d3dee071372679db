"""What a lane network is made of, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from swapnet_ros.perception.models.in_memory import build_with_weights
from swapnet_ros.perception.tasks.preprocessing import PreparedImage


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LaneCandidate:
    """One lane line that a network proposes.

    Attributes:
        points: float32 [N, 2], x and y in network pixels, from near (the lowest) to far.
        score: 0..1, how sure the network is of it.
        is_ego: it bounds the lane that the camera is in; None where the network does not tell.
    """

    points: NDArray[np.float32]
    score: float
    is_ego: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LaneCandidates:
    """What a lane network found in one image.

    Attributes:
        lanes: the lines, in no order.
        area: float32 [h, w], for each part of the network's input the probability 0..1 that it
            belongs to the lane that the camera is in; None for networks that do not tell.
    """

    lanes: tuple[LaneCandidate, ...]
    area: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneNetwork:
    """A lane network with all that is needed to run it; the weights are not loaded.

    Attributes:
        name: as it was asked for.
        build: makes the network in eval mode, with initial weights; works under
            `torch.device("meta")` too, as long as only shapes matter.
        weights: what belongs into it: path of a checkpoint that the core reads, or a mapping from
            state-dict names to tensors that reads or draws one at a time.
        is_random: the weights are random ones; the lanes mean nothing.
        example_inputs: positional arguments of the real size.
        input_height: of the images that it takes, in pixels.
        input_width: of the images that it takes, in pixels.
        preprocess: image uint8 [H, W, 3] in RGB to the network's arguments.
        decode: the network's outputs for one image, and the smallest score, to candidates.
    """

    name: str
    build: Callable[[], nn.Module]
    weights: Path | Mapping[str, Tensor]
    is_random: bool
    example_inputs: tuple[Any, ...]
    input_height: int
    input_width: int
    preprocess: Callable[[NDArray[np.uint8]], PreparedImage]
    decode: Callable[[Any, float], LaneCandidates]

    def build_in_memory(self) -> nn.Module:
        """The network with its weights, all of it in memory: what a swapped one is compared with.

        Raises:
            WeightsError: the weights belong to another network.
            WeightsMismatchError: a checkpoint is damaged or holds no state dict.
        """
        return build_with_weights(self.name, self.build, self.weights)
