"""What a lane network is made of, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swapnet_ros.perception.models.network import ImageNetwork


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
class LaneNetwork(ImageNetwork):
    """A network that finds lanes; it has no labels.

    Attributes:
        input_height: of the images that it takes, in pixels.
        input_width: of the images that it takes, in pixels.
        decode: the network's outputs for one image, and the smallest score, to candidates.
    """

    input_height: int
    input_width: int
    decode: Callable[[Any, float], LaneCandidates]
