"""The ground: one tile of road and meadow, looked up for every pixel below the horizon.

The tile repeats along the road. Far away one pixel covers metres of road, so the tile is kept
averaged over 1, 2, 4, ... texels along the road, and each row of the image uses the one that fits.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from swapnet_ros.evaluation.road_scene.camera import LANE_WIDTH_M, RoadCamera, road_offset_m

Image = npt.NDArray[np.uint8]

HAZE = np.array([206.0, 216.0, 224.0])
HAZE_DISTANCE_M = 260.0

_TEXEL_M = 0.04
_TILE_LENGTH_M = 48.0
_HALF_WIDTH_M = 36.0
_LEVELS = 8
_ASPHALT = (92.0, 93.0, 96.0)
_GRASS = (92.0, 124.0, 58.0)
_GRAVEL = (150.0, 141.0, 122.0)
_PAINT = (232.0, 232.0, 226.0)
_SHOULDER_M = 0.6


class Ground:
    """Draws the ground below the horizon; holds the tile, nothing that changes."""

    def __init__(self, camera: RoadCamera, rng: np.random.Generator) -> None:
        self._camera = camera
        self._levels = _averaged_along_road(_make_tile(rng))
        first_row = int(camera.horizon_px) + 1
        self._rows = np.arange(first_row, camera.height, dtype=np.float64)
        self._ahead_m = camera.focal_px * camera.eye_m / (self._rows + 0.5 - camera.horizon_px)
        columns = np.arange(camera.width) + 0.5 - camera.width / 2
        self._right_m = columns[None, :] * self._ahead_m[:, None] / camera.focal_px
        self._haze = np.exp(-self._ahead_m / HAZE_DISTANCE_M)[:, None, None]
        self._level_of_row = self._choose_levels()

    def draw(self, frame: Image, distance_m: float) -> None:
        """Fill the rows below the horizon.

        Args:
            frame: uint8 [H, W, 3], RGB, written in place.
            distance_m: distance travelled.
        """
        offset = road_offset_m(distance_m, self._ahead_m)[:, None]
        across = self._right_m + self._camera.lateral_m - offset
        columns = ((_fold(across) + _HALF_WIDTH_M) / _TEXEL_M).astype(np.float32)
        along = np.mod(distance_m + self._ahead_m, _TILE_LENGTH_M) / _TEXEL_M
        top = int(self._rows[0])
        for level, tile in enumerate(self._levels):
            rows = np.flatnonzero(self._level_of_row == level)
            if rows.size:
                ground = _look_up(tile, columns[rows], along[rows] / 2**level)
                haze = self._haze[rows]
                frame[top + rows] = (ground * haze + HAZE * (1 - haze)).astype(np.uint8)

    def _choose_levels(self) -> npt.NDArray[np.int64]:
        camera = self._camera
        metres_per_row = self._ahead_m**2 / (camera.focal_px * camera.eye_m)
        texels = np.maximum(metres_per_row / _TEXEL_M, 1.0)
        return np.minimum(np.log2(texels).round().astype(np.int64), _LEVELS - 1)


def _look_up(
    tile: Image, columns: npt.NDArray[np.float32], along: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    rows = np.broadcast_to(along[:, None], columns.shape).astype(np.float32)
    found = cv2.remap(tile, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, dtype=np.uint8)


def _fold(across_m: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mirror the meadow outwards, so that a tile of finite width reaches to the horizon."""
    inner = 8.0
    span = _HALF_WIDTH_M - inner
    beyond = np.maximum(np.abs(across_m) - inner, 0.0)
    mirrored = span - np.abs(np.mod(beyond, 2 * span) - span)
    return np.sign(across_m) * (np.minimum(np.abs(across_m), inner) + mirrored)


def _averaged_along_road(tile: npt.NDArray[np.float32]) -> list[Image]:
    levels = []
    for _ in range(_LEVELS):
        wrapped = np.concatenate([tile, tile[:1]])  # the look-up interpolates past the last row
        levels.append(wrapped.astype(np.uint8))
        even = tile[: len(tile) // 2 * 2]
        tile = (even[0::2] + even[1::2]) / 2
    return levels


def _make_tile(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Paint one tile: float32 [along, across, 3], RGB 0..255."""
    length, width = round(_TILE_LENGTH_M / _TEXEL_M), round(2 * _HALF_WIDTH_M / _TEXEL_M)
    across = (np.arange(width) + 0.5) * _TEXEL_M - _HALF_WIDTH_M
    along = (np.arange(length) + 0.5) * _TEXEL_M
    grain = _noise(rng, (length, width), blur=1.2) * 0.6 + _noise(rng, (length, width), blur=5.0)
    patches = _noise(rng, (length, width), blur=60.0)
    tile = np.empty((length, width, 3), np.float32)
    tile[:] = _GRASS
    tile *= (1 + 0.10 * patches + 0.13 * grain)[..., None]
    tile[..., 0] *= 1 + 0.10 * patches
    road = np.abs(across) < LANE_WIDTH_M + _SHOULDER_M
    gravel = (np.abs(across) < LANE_WIDTH_M + 2 * _SHOULDER_M) & ~road
    tile[:, gravel] = np.array(_GRAVEL) * (1 + 0.10 * grain[:, gravel])[..., None]
    wear = 1 - 0.10 * np.exp(-(((np.abs(np.abs(across) - LANE_WIDTH_M / 2) - 0.8) / 0.35) ** 2))
    asphalt = np.array(_ASPHALT) * ((1 + 0.05 * grain + 0.03 * patches) * wear)[..., None]
    tile[:, road] = asphalt[:, road]
    _paint_lines(tile, across, along)
    return np.clip(tile, 0, 255)


def _paint_lines(
    tile: npt.NDArray[np.float32], across: npt.NDArray[np.float64], along: npt.NDArray[np.float64]
) -> None:
    edge = np.abs(np.abs(across) - LANE_WIDTH_M) < 0.075
    centre = np.abs(across) < 0.075
    tile[:, edge] = 0.15 * tile[:, edge] + 0.85 * np.array(_PAINT)
    dashes = np.ix_(np.mod(along, 12.0) < 4.0, centre)
    tile[dashes] = 0.1 * tile[dashes] + 0.9 * np.array(_PAINT)


def _noise(
    rng: np.random.Generator, shape: tuple[int, int], *, blur: float
) -> npt.NDArray[np.float32]:
    """Return smooth noise of unit deviation that repeats along the road."""
    margin = int(3 * blur) + 1
    white = rng.standard_normal(shape, dtype=np.float32)
    padded = np.pad(white, ((margin, margin), (0, 0)), mode="wrap")
    smooth = cv2.GaussianBlur(padded, (0, 0), blur)[margin:-margin]
    return np.asarray(smooth / smooth.std(), dtype=np.float32)
