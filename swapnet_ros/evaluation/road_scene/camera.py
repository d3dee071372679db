"""The camera behind the windscreen, and the road that bends in front of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

LANE_WIDTH_M = 3.5
_NEAREST_M = 0.6

# The centre line is a sum of two sines of the distance travelled: (amplitude in m, length in m).
_BENDS = ((11.0, 410.0), (2.2, 137.0))


def road_offset_m(distance_m: float, ahead_m: Points) -> Points:
    """Say how far the road has bent away at some distance, seen along its present direction.

    Args:
        distance_m: distance travelled along the road.
        ahead_m: float64 of any shape, distances ahead of the camera.

    Returns:
        Lateral offset of the road's centre in metres, positive to the right; shape of `ahead_m`.
    """
    offset = np.zeros_like(ahead_m)
    for amplitude, length in _BENDS:
        wave = 2 * math.pi / length
        offset += amplitude * np.sin(wave * (distance_m + ahead_m))
        offset -= amplitude * math.sin(wave * distance_m)
        offset -= amplitude * wave * math.cos(wave * distance_m) * ahead_m
    return offset


def road_heading(distance_m: float) -> float:
    """Return the road's direction there, in radians, positive to the right."""
    return sum(
        amplitude * 2 * math.pi / length * math.cos(2 * math.pi / length * distance_m)
        for amplitude, length in _BENDS
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadCamera:
    """A pinhole camera that looks along the road.

    Attributes:
        width: image width in pixels.
        height: image height in pixels.
    """

    width: int
    height: int

    @property
    def focal_px(self) -> float:
        """Focal length: about 70 degrees across."""
        return 0.72 * self.width

    @property
    def horizon_px(self) -> float:
        """Row of the horizon."""
        return 0.46 * self.height

    @property
    def eye_m(self) -> float:
        """Height of the camera above the road."""
        return 1.4

    @property
    def lateral_m(self) -> float:
        """Place of the camera on the road: the middle of the right lane, from the centre line."""
        return LANE_WIDTH_M / 2

    def project(self, points: Points, distance_m: float) -> Points:
        """Project points that stand beside the road.

        Args:
            points: float64 [N, 3]: metres right of the centre line, up from the road, ahead.
            distance_m: distance travelled.

        Returns:
            float64 [N, 2]: column and row in pixels; may lie outside of the image.
        """
        right, up, ahead = points[:, 0], points[:, 1], np.maximum(points[:, 2], _NEAREST_M)
        right = right + road_offset_m(distance_m, ahead) - self.lateral_m
        column = self.width / 2 + self.focal_px * right / ahead
        row = self.horizon_px + self.focal_px * (self.eye_m - up) / ahead
        return np.stack([column, row], axis=1)
