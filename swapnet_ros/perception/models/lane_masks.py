"""From masks of lane lines, or of the lane's area, to lines in the network's input."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from swapnet_ros.perception.errors import NetworkOutputError
from swapnet_ros.perception.models.curve_fitting import Curve, fit_curve
from swapnet_ros.perception.models.lanes import LaneCandidate, LaneCandidates
from swapnet_ros.perception.models.mask_runs import find_runs, link_runs

_DEGREE = 3
_TOLERANCE_SHARE = 0.01  # of the mask's width, across the line
_FEWEST_ROWS = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineMaskDecoder:
    """Fits a curve to each line in a mask of lane lines.

    Attributes:
        input_height: of the network's input, in pixels.
        input_width: of the network's input, in pixels.
    """

    input_height: int
    input_width: int

    def __call__(self, outputs: object, score_threshold: float) -> LaneCandidates:
        """Find the lines.

        Args:
            outputs: float [1, 1, h, w] or [1, h, w], for each part of the input the probability
                0..1 that it belongs to a line; what is not finite counts as 0.
            score_threshold: smallest probability of a line's pixel, 0..1.

        Returns:
            A cubic for each line, one point for each row of the mask between the line's ends; a
            score is the mean probability of the line's pixels. No area.

        Raises:
            NetworkOutputError: the outputs are no mask.
        """
        probability = read_mask(outputs)
        height, width = probability.shape
        runs = find_runs(probability, score_threshold)
        lanes = []
        for line in link_runs(runs):
            rows, weights = runs.rows[line] + 0.5, runs.weights[line]
            curve = _fit(rows, runs.centres[line], weights, width)
            if curve is None:
                continue
            inliers = curve.is_inlier
            pixels = (runs.ends[line] - runs.starts[line])[inliers].sum()
            points = _points(curve, rows[inliers], (height, width), self)
            lanes.append(LaneCandidate(points=points, score=float(weights[inliers].sum() / pixels)))
        return LaneCandidates(lanes=tuple(lanes))


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaMaskDecoder:
    """Takes the left and the right border of the area of the camera's lane as its lines.

    Attributes:
        input_height: of the network's input, in pixels.
        input_width: of the network's input, in pixels.
    """

    input_height: int
    input_width: int

    def __call__(self, outputs: object, score_threshold: float) -> LaneCandidates:
        """Find the area and its two borders.

        Args:
            outputs: float [1, 1, h, w] or [1, h, w], for each part of the input the probability
                0..1 that it belongs to the camera's lane; what is not finite counts as 0.
            score_threshold: smallest probability of the area's pixels, 0..1.

        Returns:
            The largest connected part of the area, with the probabilities of other parts set to 0,
            and up to two cubics along it. Rows in which it touches the image's border tell
            nothing of the line there, so they do not count; with less than 3 other rows there is no
            line on that side. A score is the mean probability of the area's pixels.

        Raises:
            NetworkOutputError: the outputs are no mask.
        """
        probability = read_mask(outputs)
        inside = _largest_part(probability, score_threshold)
        area = np.where(inside | (probability < score_threshold), probability, np.float32(0))
        if not inside.any():
            return LaneCandidates(lanes=(), area=area)
        score = min(1.0, float(probability[inside].mean()))
        lanes = []
        for rows, columns in _borders(area, inside, score_threshold):
            curve = _fit(rows, columns, np.ones(len(rows)), inside.shape[1])
            if curve is not None:
                points = _points(curve, rows[curve.is_inlier], inside.shape, self)
                lanes.append(LaneCandidate(points=points, score=score, is_ego=True))
        return LaneCandidates(lanes=tuple(lanes), area=area)


def read_mask(outputs: object) -> NDArray[np.float32]:
    """Take a probability map out of a network's outputs.

    Args:
        outputs: float [1, 1, h, w] or [1, h, w], on any device.

    Returns:
        float32 [h, w] in 0..1; what was not finite is 0.

    Raises:
        NetworkOutputError: the outputs are something else.
    """
    is_mask = isinstance(outputs, Tensor) and outputs.is_floating_point()
    if not is_mask or outputs.ndim not in (3, 4) or any(n != 1 for n in outputs.shape[:-2]):
        found = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise NetworkOutputError(
            f"the lane network gave {found} instead of one probability map, float [1, 1, h, w]; "
            "give the network a last layer that makes one, such as a sigmoid"
        )
    values = outputs.detach().float().cpu().numpy().reshape(outputs.shape[-2:])
    return np.where(np.isfinite(values), values.clip(0, 1), np.float32(0))


def _largest_part(probability: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    inside = ((probability >= threshold) & (probability > 0)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    if len(stats) < 2:
        return np.zeros(inside.shape, dtype=bool)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    part: NDArray[np.bool_] = labels == largest
    return part


def _borders(
    area: NDArray[np.float32], inside: NDArray[np.bool_], threshold: float
) -> list[tuple[Floats, Floats]]:
    """Rows and columns of the left and the right border, in mask pixels.

    A border lies where the probability, interpolated between the centres of two pixels, passes the
    threshold.
    """
    width = inside.shape[1]
    rows = np.flatnonzero(inside.any(axis=1))
    borders = []
    for side, flipped in ((area, inside), (area[:, ::-1], inside[:, ::-1])):
        first = flipped[rows].argmax(axis=1)
        within = first > 0
        row, column = rows[within], first[within]
        outer, inner = side[row, column - 1].astype(np.float64), side[row, column]
        share = (threshold - outer) / np.maximum(inner - outer, 1e-6)
        borders.append((row + 0.5, column - 0.5 + share.clip(0, 1)))
    (left_rows, left), (right_rows, right) = borders
    return [(left_rows, left), (right_rows, width - right)]


def _fit(rows: Floats, columns: Floats, weights: Floats, width: int) -> Curve | None:
    if len(rows) < _FEWEST_ROWS:
        return None
    slope = np.ptp(columns) / max(1.0, np.ptp(rows))
    tolerance = max(1.0, _TOLERANCE_SHARE * width) * float(np.hypot(1.0, slope))
    return fit_curve(rows, columns, weights, degree=_DEGREE, tolerance=tolerance)


def _points(
    curve: Curve,
    rows: Floats,
    mask_size: tuple[int, ...],
    network: LineMaskDecoder | AreaMaskDecoder,
) -> NDArray[np.float32]:
    """Points of a curve from near to far, in network pixels, one for each row of the mask."""
    height, width = mask_size
    sampled = np.arange(rows.max(), rows.min() - 0.5, -1.0)
    columns = curve.columns_at(sampled)
    scale = network.input_width / width, network.input_height / height
    return (np.stack([columns, sampled], axis=1) * scale).astype(np.float32)
