"""What stands beside the road: trees, traffic signs and posts, as upright pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from swapnet_ros.evaluation.road_scene.camera import RoadCamera
from swapnet_ros.evaluation.road_scene.ground import HAZE, HAZE_DISTANCE_M

Image = npt.NDArray[np.uint8]
Layers = npt.NDArray[np.float32]  # [H, W, 4]: RGB 0..255 times cover, cover 0..1

_SMALLEST_PX = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Upright:
    """A picture that stands upright beside the road and faces the camera.

    Attributes:
        picture: its name in the `Roadside` that draws it.
        right_m: its foot, right of the road's centre line.
        along_m: its foot, from where the drive began.
        height_m: its height.
    """

    picture: str
    right_m: float
    along_m: float
    height_m: float


class Roadside:
    """Holds the pictures, each also halved again and again, and draws them at any size."""

    def __init__(self, camera: RoadCamera, rng: np.random.Generator) -> None:
        self._camera = camera
        pictures = {f"tree{index}": _tree(rng) for index in range(5)}
        pictures |= {"bush": _bush(rng), "post": _post()}
        pictures |= {name: _sign(name) for name in ("limit", "warning", "priority", "direction")}
        self._pictures = {name: _halved(picture) for name, picture in pictures.items()}

    def draw(self, frame: Image, thing: Upright, distance_m: float) -> None:
        """Blend one picture into the frame.

        Args:
            frame: uint8 [H, W, 3], RGB, written in place.
            thing: which picture, and where.
            distance_m: distance travelled by the camera.
        """
        ahead = thing.along_m - distance_m
        foot = self._camera.project(np.array([[thing.right_m, 0.0, ahead]]), distance_m)[0]
        height_px = self._camera.focal_px * thing.height_m / ahead
        if height_px < _SMALLEST_PX:
            return
        levels = self._pictures[thing.picture]
        fitting = max(0, math.floor(math.log2(levels[0].shape[0] / height_px)))
        layers = levels[min(fitting, len(levels) - 1)]
        scale = height_px / layers.shape[0]
        corner = foot - (layers.shape[1] * scale / 2, height_px)
        _blend(frame, layers, corner, scale, math.exp(-ahead / HAZE_DISTANCE_M))


def _blend(
    frame: Image, layers: Layers, corner: npt.NDArray[np.float64], scale: float, clear: float
) -> None:
    """Lay a picture over the frame with its top left corner at a fraction of a pixel."""
    height, width = frame.shape[:2]
    left, top = (max(0, math.floor(value)) for value in corner)
    right = min(width, math.ceil(corner[0] + scale * layers.shape[1]) + 1)
    bottom = min(height, math.ceil(corner[1] + scale * layers.shape[0]) + 1)
    if left >= right or top >= bottom:
        return
    move = np.array([[scale, 0.0, corner[0] - left], [0.0, scale, corner[1] - top]])
    placed = cv2.warpAffine(layers, move, (right - left, bottom - top))
    cover = placed[..., 3:]
    colour = placed[..., :3] * clear + HAZE * (1 - clear) * cover
    patch = frame[top:bottom, left:right]
    patch[:] = (patch * (1 - cover) + colour).astype(np.uint8)


def _halved(layers: Layers) -> list[Layers]:
    levels = [layers]
    while min(levels[-1].shape[:2]) > 4:
        height, width = levels[-1].shape[:2]
        size = (max(1, width // 2), max(1, height // 2))
        levels.append(cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA))
    return levels


def _covered(colour: npt.NDArray[np.float32], cover: npt.NDArray[np.float32]) -> Layers:
    return np.concatenate([colour * cover[..., None], cover[..., None]], axis=2)


def _foliage(
    rng: np.random.Generator, colour: npt.NDArray[np.float32], cover: npt.NDArray[np.float32]
) -> None:
    """Dab leaves into an ellipse in the upper part of the picture, lit from the upper left."""
    height, width = cover.shape
    for _ in range(420):
        angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.uniform()) * 0.44
        x = width / 2 + reach * width * math.cos(angle)
        y = height * 0.42 + reach * height * 0.86 * math.sin(angle)
        light = 0.62 + 0.5 * (0.5 - y / height) + 0.22 * (0.5 - x / width) + rng.normal(0, 0.09)
        green = tuple(float(part * light) for part in (84, 128, 58))
        place, radius = (round(x), round(y)), int(rng.integers(9, 22))
        cv2.circle(colour, place, radius, green, -1, cv2.LINE_AA)
        cv2.circle(cover, place, radius, 1.0, -1)


def _tree(rng: np.random.Generator) -> Layers:
    height, width = 400, 280
    colour = np.zeros((height, width, 3), np.float32)
    colour[:] = (84, 66, 48)
    cover = np.zeros((height, width), np.float32)
    trunk = np.array([[132, 200], [148, 200], [154, 399], [126, 399]], np.int32)
    cv2.fillPoly(cover, [trunk], 1.0)
    crown = slice(0, 330)
    _foliage(rng, colour[crown], cover[crown])
    return _covered(colour, cv2.GaussianBlur(cover, (0, 0), 1.0))


def _bush(rng: np.random.Generator) -> Layers:
    colour, cover = np.zeros((200, 320, 3), np.float32), np.zeros((200, 320), np.float32)
    _foliage(rng, colour, cover)
    return _covered(colour, cv2.GaussianBlur(cover, (0, 0), 1.0))[:178]


def _post() -> Layers:
    colour = np.full((200, 30, 3), 238, np.float32)
    colour[30:70] = 30
    colour[42:58, 8:22] = (250, 150, 40)
    cover = np.zeros((200, 30), np.float32)
    cover[:, 6:24] = 1.0
    return _covered(colour, cv2.GaussianBlur(cover, (0, 0), 0.8))


def _sign(name: str) -> Layers:
    colour, cover = np.full((480, 200, 3), 150, np.float32), np.zeros((480, 200), np.float32)
    cover[150:, 95:105] = 1.0
    plate, canvas = np.zeros((200, 200), np.float32), colour[:200]
    _SIGN_FACES[name](canvas, plate)
    cover[:200] = np.maximum(cover[:200], plate)
    return _covered(colour, cv2.GaussianBlur(cover, (0, 0), 0.8))


def _face_limit(canvas: npt.NDArray[np.float32], plate: npt.NDArray[np.float32]) -> None:
    cv2.circle(plate, (100, 100), 94, 1.0, -1)
    cv2.circle(canvas, (100, 100), 95, (200, 24, 32), -1, cv2.LINE_AA)
    cv2.circle(canvas, (100, 100), 72, (248, 248, 244), -1, cv2.LINE_AA)
    seven = np.array([[48, 68], [90, 68], [64, 136]], np.int32)
    cv2.polylines(canvas, [seven], False, (20, 20, 20), 13)
    cv2.ellipse(canvas, (130, 102), (19, 33), 0, 0, 360, (20, 20, 20), 13)


def _face_warning(canvas: npt.NDArray[np.float32], plate: npt.NDArray[np.float32]) -> None:
    outer = np.array([[100, 8], [196, 176], [4, 176]], np.int32)
    inner = np.array([[100, 46], [164, 158], [36, 158]], np.int32)
    cv2.fillPoly(plate, [outer], 1.0)
    cv2.fillPoly(canvas, [outer], (204, 26, 34))
    cv2.fillPoly(canvas, [inner], (248, 248, 244))
    cv2.line(canvas, (100, 84), (100, 124), (20, 20, 20), 14)
    cv2.circle(canvas, (100, 146), 8, (20, 20, 20), -1)


def _face_priority(canvas: npt.NDArray[np.float32], plate: npt.NDArray[np.float32]) -> None:
    for reach, shade in ((94, (246, 246, 242)), (80, (20, 20, 20)), (74, (250, 196, 30))):
        corners = [[100, 100 - reach], [100 + reach, 100], [100, 100 + reach], [100 - reach, 100]]
        cv2.fillPoly(canvas, [np.array(corners, np.int32)], shade)
        cv2.fillPoly(plate, [np.array(corners, np.int32)], 1.0)


def _face_direction(canvas: npt.NDArray[np.float32], plate: npt.NDArray[np.float32]) -> None:
    cv2.circle(plate, (100, 100), 94, 1.0, -1)
    cv2.circle(canvas, (100, 100), 95, (28, 86, 170), -1, cv2.LINE_AA)
    cv2.arrowedLine(canvas, (100, 160), (100, 44), (248, 248, 244), 18, cv2.LINE_AA, 0, 0.35)


_SIGN_FACES = {
    "limit": _face_limit,
    "warning": _face_warning,
    "priority": _face_priority,
    "direction": _face_direction,
}
