"""The drive: who is where at a moment, drawn from far to near."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from swapnet_ros.evaluation.road_scene.backdrop import Backdrop
from swapnet_ros.evaluation.road_scene.camera import LANE_WIDTH_M, RoadCamera
from swapnet_ros.evaluation.road_scene.ground import Ground
from swapnet_ros.evaluation.road_scene.roadside import Roadside, Upright
from swapnet_ros.evaluation.road_scene.vehicles import (
    Colour,
    Kind,
    VehiclePose,
    draw_vehicle,
)

Image = npt.NDArray[np.uint8]

_SEED = 20260117
_SPEED_M_PER_S = 15.0
_NEAR_M, _FAR_M = 1.5, 320.0
_SCENERY_LENGTH_M = 1200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traveller:
    """A vehicle that keeps its speed but for a slow swing.

    Attributes:
        start_m: nearest face at the beginning, from where the camera begins.
        speed_m_per_s: along the camera's way; negative for oncoming vehicles.
        swing_m: how far it falls back and catches up.
    """

    kind: Kind
    paint: Colour
    start_m: float
    speed_m_per_s: float
    swing_m: float = 0.0

    def pose(self, time_s: float) -> VehiclePose:
        """Say where it is, `_SPEED_M_PER_S` being the camera's own speed."""
        relative = (self.speed_m_per_s - _SPEED_M_PER_S) * time_s
        oncoming = self.speed_m_per_s < 0
        return VehiclePose(
            kind=self.kind,
            paint=self.paint,
            right_m=-LANE_WIDTH_M / 2 if oncoming else LANE_WIDTH_M / 2,
            ahead_m=self.start_m + relative + self.swing_m * math.sin(0.55 * time_s),
            is_oncoming=oncoming,
        )


_TRAFFIC = (
    _Traveller(kind="car", paint=(178, 34, 40), start_m=17.0, speed_m_per_s=15.0, swing_m=6.0),
    _Traveller(kind="lorry", paint=(226, 228, 230), start_m=52.0, speed_m_per_s=15.2, swing_m=5.0),
    _Traveller(kind="car", paint=(44, 82, 140), start_m=95.0, speed_m_per_s=15.4),
    _Traveller(kind="car", paint=(236, 238, 240), start_m=60.0, speed_m_per_s=-14.0),
    _Traveller(kind="car", paint=(48, 50, 54), start_m=118.0, speed_m_per_s=-15.0),
    _Traveller(kind="lorry", paint=(236, 206, 92), start_m=205.0, speed_m_per_s=-13.5),
    _Traveller(kind="car", paint=(60, 124, 92), start_m=262.0, speed_m_per_s=-14.0),
    _Traveller(kind="car", paint=(196, 200, 206), start_m=330.0, speed_m_per_s=-15.5),
    _Traveller(kind="car", paint=(210, 120, 36), start_m=420.0, speed_m_per_s=-14.5),
    _Traveller(kind="car", paint=(90, 40, 96), start_m=490.0, speed_m_per_s=-15.0),
)


class RoadScene:
    """Renders a drive frame by frame; equal arguments give equal frames.

    Use from one thread at a time.
    """

    def __init__(
        self,
        *,
        width: int = 1280,
        height: int = 720,
        frame_rate_hz: float = 15.0,
        duration_s: float = 16.0,
    ) -> None:
        self.width, self.height, self.frame_rate_hz = width, height, frame_rate_hz
        self.frame_count = round(duration_s * frame_rate_hz)
        rng = np.random.default_rng(_SEED)
        self._camera = RoadCamera(width=width, height=height)
        self._backdrop = Backdrop(self._camera, rng)
        self._ground = Ground(self._camera, rng)
        self._roadside = Roadside(self._camera, rng)
        self._scenery = _plant(rng)

    def frames(self) -> Iterator[Image]:
        """Yield every frame in turn: uint8 [height, width, 3], RGB."""
        return (self.frame(index) for index in range(self.frame_count))

    def frame(self, index: int) -> Image:
        """Render one frame.

        Args:
            index: from 0; the drive goes on past `frame_count` for about a minute.

        Returns:
            uint8 [height, width, 3], RGB.
        """
        time_s = index / self.frame_rate_hz
        distance_m = _SPEED_M_PER_S * time_s
        image = np.zeros((self.height, self.width, 3), np.uint8)
        self._backdrop.draw(image, distance_m)
        self._ground.draw(image, distance_m)
        for _, draw in sorted(self._visible(image, time_s), key=lambda item: -item[0]):
            draw()
        _draw_bonnet(image)
        return image

    def _visible(self, image: Image, time_s: float) -> Iterator[tuple[float, Callable[[], None]]]:
        """Yield (metres ahead, how to draw it) for everything in sight."""
        distance_m = _SPEED_M_PER_S * time_s
        for thing in self._scenery:
            ahead = thing.along_m - distance_m
            if _NEAR_M < ahead < _FAR_M:
                yield ahead, lambda thing=thing: self._roadside.draw(image, thing, distance_m)
        for traveller in _TRAFFIC:
            pose = traveller.pose(time_s)
            if _NEAR_M < pose.ahead_m < _FAR_M:
                yield (
                    pose.ahead_m,
                    lambda pose=pose: draw_vehicle(image, self._camera, pose, distance_m),
                )


def _plant(rng: np.random.Generator) -> list[Upright]:
    """Place trees, bushes, posts and signs along the road."""
    scenery = []
    for along in np.arange(4.0, _SCENERY_LENGTH_M, 5.0):
        side = float(rng.choice([-1.0, 1.0]))
        name = f"tree{rng.integers(5)}" if rng.uniform() < 0.72 else "bush"
        height = rng.uniform(6.0, 11.0) if name != "bush" else rng.uniform(1.2, 2.4)
        right = side * (8.5 + rng.gamma(1.6, 5.0))
        place = float(along + rng.uniform(-2, 2))
        scenery.append(
            Upright(picture=name, right_m=float(right), along_m=place, height_m=float(height))
        )
    for along in np.arange(6.0, _SCENERY_LENGTH_M, 25.0):
        scenery += [
            Upright(picture="post", right_m=right, along_m=float(along), height_m=1.0)
            for right in (-5.4, 5.4)
        ]
    for turn, along in enumerate(np.arange(46.0, _SCENERY_LENGTH_M, 62.0)):
        name = ("limit", "warning", "priority", "direction")[turn % 4]
        scenery.append(Upright(picture=name, right_m=5.9, along_m=float(along), height_m=2.5))
    return scenery


def _draw_bonnet(image: Image) -> None:
    """Draw the front of the own car at the lower edge."""
    height, width = image.shape[:2]
    centre = (width // 2, round(1.1 * height))
    for share, colour in ((1.0, (34, 40, 52)), (0.97, (52, 60, 76)), (0.9, (44, 51, 66))):
        axes = (round(0.52 * share * width), round(0.165 * share * height))
        cv2.ellipse(image, centre, axes, 0, 180, 360, colour, -1, cv2.LINE_AA)
