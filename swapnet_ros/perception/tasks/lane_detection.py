"""Lane detection: an image in, lane lines in the image's own pixels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from swapnet_ros.perception.errors import ThresholdError
from swapnet_ros.perception.models.lanes import LaneCandidate, LaneNetwork
from swapnet_ros.perception.tasks.preprocessing import ImageGeometry, PreparedImage

_FOOT_POINTS = 8  # the near end of a lane: what tells where it meets the image's lower border


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lane:
    """One lane line in an image.

    Attributes:
        points: float32 [N, 2], x and y in pixels of the source image, 0 at its left and its upper
            border; from near (the lowest) to far, y falling; read-only.
        score: 0..1, how sure the network is of it.
        is_ego: it bounds the lane that the camera is in; there are at most two such lines.
    """

    points: NDArray[np.float32]
    score: float
    is_ego: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LaneResult:
    """All lane lines found in one image, from left to right where they meet its lower border.

    Attributes:
        lanes: the lines.
        width: pixels of the source image.
        height: pixels of the source image.
        area: bool [height, width], read-only: pixels of the lane that the camera is in; None for
            networks that do not tell.
    """

    lanes: tuple[Lane, ...]
    width: int
    height: int
    area: NDArray[np.bool_] | None = None


class LaneDetection:
    """The two halves around a lane network: before it and after it.

    Threads: any thread may call any method; the object never changes.

    Args:
        network: the network that runs between `preprocess` and `decode`.
    """

    def __init__(self, network: LaneNetwork) -> None:
        self.network = network

    def preprocess(self, image: NDArray[np.uint8]) -> PreparedImage:
        """Turn an image into the network's inputs.

        Args:
            image: uint8 [H, W, 3], RGB, with any strides; it is not changed.

        Returns:
            The inputs as the network takes them, on the CPU, and the geometry that `decode` needs.

        Raises:
            ImageError: the image has another type or shape, or no pixels.
        """
        return self.network.preprocess(image)

    def decode(
        self,
        outputs: Any,
        prepared: PreparedImage,
        *,
        score_threshold: float = 0.3,
        min_points: int = 3,
        max_lanes: int = 8,
    ) -> LaneResult:
        """Turn the network's outputs into lane lines.

        Args:
            outputs: what the network returned for `prepared.inputs`.
            prepared: what `preprocess` returned.
            score_threshold: smallest probability of a point (row anchors) or of a pixel (masks),
                0..1.
            min_points: smallest number of points of a line within the image: row anchors, or rows
                of the mask.
            max_lanes: the best ones that are returned.

        Returns:
            The lines, in pixels of the source image and within it. Unless the network tells, the
            lines of the camera's lane are the nearest on either side of the image's middle at its
            lower border, as for a camera that looks ahead.

        Raises:
            ThresholdError: the threshold is outside of 0..1, `min_points` below 2 or `max_lanes`
                below 1.
            NetworkOutputError: the outputs are not what such a network returns.
        """
        _check_thresholds(score_threshold, min_points, max_lanes)
        candidates = self.network.decode(outputs, score_threshold)
        geometry = prepared.geometry
        lines = [_in_source(lane, geometry) for lane in candidates.lanes]
        lines = [line for line in lines if len(line.points) >= min_points]
        lines = sorted(lines, key=lambda line: -line.score)[:max_lanes]
        area = candidates.area
        return LaneResult(
            lanes=_typed(lines, geometry),
            width=geometry.source_width,
            height=geometry.source_height,
            area=None if area is None else self._area(area, geometry, score_threshold),
        )

    def _area(
        self, area: NDArray[np.float32], geometry: ImageGeometry, threshold: float
    ) -> NDArray[np.bool_]:
        """The area's pixels in the source image, as far as the network saw it: bool [H, W]."""
        input_size = self.network.input_width, self.network.input_height
        x_share, y_share = area.shape[1] / input_size[0], area.shape[0] / input_size[1]
        scale_x, offset_x = geometry.scale_x * x_share, geometry.offset_x * x_share
        scale_y, offset_y = geometry.scale_y * y_share, geometry.offset_y * y_share
        # to cv2 the centre of the first pixel is 0, here it is 0.5
        to_area = np.array(
            [
                [scale_x, 0.0, offset_x + 0.5 * (scale_x - 1)],
                [0.0, scale_y, offset_y + 0.5 * (scale_y - 1)],
            ]
        )
        probability = cv2.warpAffine(
            area,
            to_area,
            (geometry.source_width, geometry.source_height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        corners = np.array([(0, 0), input_size], dtype=np.float32)
        (left, top), (right, bottom) = np.rint(geometry.points_to_source(corners)).astype(int)
        seen = (slice(max(0, top), bottom), slice(max(0, left), right))
        found = np.zeros(probability.shape, dtype=bool)
        found[seen] = (probability[seen] >= threshold) & (probability[seen] > 0)
        found.setflags(write=False)
        return found


def _in_source(lane: LaneCandidate, geometry: ImageGeometry) -> LaneCandidate:
    """A candidate in source pixels, without the points beside the source image."""
    points = geometry.points_to_source(lane.points)
    x, y = points.T
    is_inside = (x >= 0) & (x <= geometry.source_width)
    is_inside &= (y >= 0) & (y <= geometry.source_height)
    inside = points[is_inside]
    inside.setflags(write=False)
    return replace(lane, points=inside)


def _typed(lines: Sequence[LaneCandidate], geometry: ImageGeometry) -> tuple[Lane, ...]:
    """Lanes from left to right, those of the camera's own lane marked."""
    feet = [_foot(line.points, geometry.source_height) for line in lines]
    order = sorted(range(len(lines)), key=feet.__getitem__)
    middle = geometry.source_width / 2
    left = [index for index in order if feet[index] <= middle]
    right = [index for index in order if feet[index] > middle]
    nearest = {*left[-1:], *right[:1]}
    lanes = []
    for index in order:
        line = lines[index]
        is_ego = index in nearest if line.is_ego is None else line.is_ego
        lanes.append(Lane(points=line.points, score=line.score, is_ego=is_ego))
    return tuple(lanes)


def _foot(points: NDArray[np.float32], height: int) -> float:
    """The column in which a line, drawn on straight from its near end, meets the lower border."""
    x, y = points[:_FOOT_POINTS].astype(np.float64).T
    aside = y - y.mean()
    slope = (aside @ x) / (aside @ aside) if aside.any() else 0.0
    return float(x.mean() + slope * (height - y.mean()))


def _check_thresholds(score_threshold: float, min_points: int, max_lanes: int) -> None:
    if not 0 <= score_threshold <= 1:
        raise ThresholdError(f"score_threshold must lie in 0..1, but is {score_threshold}")
    if min_points < 2:
        raise ThresholdError(f"min_points must be at least 2, but is {min_points}")
    if max_lanes < 1:
        raise ThresholdError(f"max_lanes must be at least 1, but is {max_lanes}")
