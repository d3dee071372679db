"""What lies behind the road: sky, clouds and two ranges of hills that turn with the heading."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from swapnet_ros.evaluation.road_scene.camera import RoadCamera, road_heading
from swapnet_ros.evaluation.road_scene.ground import HAZE

Image = npt.NDArray[np.uint8]

_ZENITH = np.array([92.0, 148.0, 212.0])
_SKYLINE = np.array([206.0, 222.0, 234.0])
_CLOUD = np.array([250.0, 250.0, 252.0])
_MARGIN = 0.35  # share of the width that is painted on each side for turning
_MIST = 0.03  # share of the height over which the hills fade into the far meadow
_RANGES = (
    # height as a share of the image, colour, seed of the shape
    (0.11, (150.0, 170.0, 186.0), 0.7),
    (0.055, (112.0, 140.0, 112.0), 2.9),
)


class Backdrop:
    """Paints a wide picture once and shows the part of it that the car looks at."""

    def __init__(self, camera: RoadCamera, rng: np.random.Generator) -> None:
        self._camera = camera
        self._margin = int(_MARGIN * camera.width)
        self._picture = self._paint(rng)

    def draw(self, frame: Image, distance_m: float) -> None:
        """Fill the rows above the horizon.

        Args:
            frame: uint8 [H, W, 3], RGB, written in place.
            distance_m: distance travelled, which gives the heading.
        """
        turn = road_heading(distance_m) * self._camera.focal_px
        shift = float(np.clip(self._margin + turn, 0, 2 * self._margin))
        move = np.array([[1.0, 0.0, -shift], [0.0, 1.0, 0.0]])
        size = (self._camera.width, self._picture.shape[0])
        frame[: self._picture.shape[0]] = cv2.warpAffine(self._picture, move, size)

    def _paint(self, rng: np.random.Generator) -> Image:
        height = int(self._camera.horizon_px) + 1
        width = self._camera.width + 2 * self._margin
        share = np.linspace(0, 1, height)[:, None, None] ** 1.3
        sky = np.broadcast_to(_ZENITH * (1 - share) + _SKYLINE * share, (height, width, 3)).copy()
        clouds = _clouds(rng, height, width)[..., None]
        sky = sky * (1 - clouds) + _CLOUD * clouds
        rows = np.arange(height)[:, None]
        for share_of_height, colour, seed in _RANGES:
            rise = share_of_height * self._camera.height * _ridge(width, seed)
            cover = np.clip(rows - (height - rise)[None, :], 0, 1)[..., None]
            sky = sky * (1 - cover) + np.array(colour) * cover
        mist = np.clip(1 - (height - 1 - rows) / (_MIST * self._camera.height), 0, 1)[..., None]
        return np.asarray(sky * (1 - mist) + HAZE * mist, dtype=np.uint8)


def _clouds(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float64]:
    total = np.zeros((height, width))
    for size, weight in ((160, 1.0), (70, 0.5), (28, 0.25), (10, 0.12)):
        grid = rng.standard_normal((height // size + 3, width // (2 * size) + 3))
        grid = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        total += weight * grid
    thinning = np.linspace(1.0, 0.35, height)[:, None]
    return np.asarray(np.clip((total - 0.35) * 0.8, 0, 0.85) * thinning)


def _ridge(width: int, seed: float) -> npt.NDArray[np.float64]:
    """Return a skyline between 0.35 and 1 of its height."""
    angle = np.linspace(0, 2 * math.pi, width)
    waves = sum(
        np.sin(angle * turns + seed * turns * 1.7) / turns**0.8 for turns in (2, 3, 5, 11, 23, 47)
    )
    return np.asarray(0.35 + 0.65 * (waves - np.min(waves)) / np.ptp(waves))
