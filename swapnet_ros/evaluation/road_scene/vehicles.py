"""Cars and lorries: outlines in metres, projected and filled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from swapnet_ros.evaluation.road_scene.camera import Points, RoadCamera
from swapnet_ros.evaluation.road_scene.ground import HAZE, HAZE_DISTANCE_M

Image = npt.NDArray[np.uint8]
Colour = tuple[float, float, float]
Outline = Sequence[tuple[float, float]]
Kind = Literal["car", "lorry"]

_SUBPIXEL_BITS = 4
_GLASS = (46.0, 58.0, 70.0)
_REFLECTION = (86.0, 102.0, 118.0)
_TYRE = (26.0, 26.0, 28.0)
_TRIM = (52.0, 54.0, 58.0)
_PLATE = (236.0, 236.0, 228.0)
_TAIL_LIGHT = (206.0, 28.0, 30.0)
_HEADLIGHT = (255.0, 250.0, 226.0)
_SIDE_SHADE = 0.72


@dataclass(frozen=True, slots=True, kw_only=True)
class VehiclePose:
    """A vehicle as the camera sees it at one moment.

    Attributes:
        kind: which outline.
        paint: RGB 0..255.
        right_m: middle of the vehicle, right of the road's centre line.
        ahead_m: nearest face, ahead of the camera.
        is_oncoming: whether it shows its front.
    """

    kind: Kind
    paint: Colour
    right_m: float
    ahead_m: float
    is_oncoming: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """Half width, length, height where the cabin begins to lean in, and how far it leans."""

    half_width_m: float
    length_m: float
    waist_m: float
    lean: float


_SHAPES: dict[Kind, _Shape] = {
    "car": _Shape(half_width_m=0.9, length_m=4.3, waist_m=0.95, lean=0.5),
    "lorry": _Shape(half_width_m=1.25, length_m=9.0, waist_m=4.0, lean=0.0),
}


def draw_vehicle(frame: Image, camera: RoadCamera, pose: VehiclePose, distance_m: float) -> None:
    """Draw shadow, visible side and near face of one vehicle.

    Args:
        frame: uint8 [H, W, 3], RGB, written in place.
        camera: the camera.
        pose: which vehicle, and where.
        distance_m: distance travelled by the camera.
    """
    pen = _Pen(frame, camera, pose, distance_m)
    pen.shadow()
    (_draw_car if pose.kind == "car" else _draw_lorry)(pen, pose)


class _Pen:
    """Fills outlines given on the near face or on the visible side of one vehicle."""

    def __init__(
        self, frame: Image, camera: RoadCamera, pose: VehiclePose, distance_m: float
    ) -> None:
        self._frame, self._camera, self._pose = frame, camera, pose
        self._distance_m = distance_m
        self._shape = _SHAPES[pose.kind]
        self._clear = math.exp(-pose.ahead_m / HAZE_DISTANCE_M)
        self._side = 1.0 if pose.right_m < camera.lateral_m else -1.0

    def face(
        self, outline: Outline, colour: Colour, *, behind_m: float = 0.0, slope: float = 0.0
    ) -> None:
        """Fill an outline of (right, up) on the near face, or on a pane that leans away behind it.

        Args:
            outline: metres.
            colour: RGB 0..255.
            behind_m: how far behind the near face the pane's foot is, at the waist's height.
            slope: metres that the pane leans away per metre above the waist.
        """
        waist_m = self._shape.waist_m
        points = [(x, y, behind_m + slope * (y - waist_m)) for x, y in outline]
        self._fill(np.array(points), colour)

    def bonnet(self, half_width_m: float, edges: Outline, colour: Colour) -> None:
        """Fill a panel across the vehicle between two edges of (behind the near face, up)."""
        (near, low), (far, high) = edges
        corners = [
            (-half_width_m, low, near),
            (half_width_m, low, near),
            (half_width_m, high, far),
            (-half_width_m, high, far),
        ]
        self._fill(np.array(corners), colour)

    def pair(self, outline: Outline, colour: Colour) -> None:
        """Fill an outline and its mirror image on the near face."""
        self.face(outline, colour)
        self.face([(-x, y) for x, y in outline], colour)

    def side(self, outline: Outline, colour: Colour) -> None:
        """Fill an outline of (from the rear, up) on the side that the camera sees."""
        shape = self._shape
        points = []
        for z, y in outline:
            x = self._side * (shape.half_width_m - shape.lean * max(0.0, y - shape.waist_m))
            points.append((x, y, shape.length_m - z if self._pose.is_oncoming else z))
        self._fill(np.array(points), tuple(_SIDE_SHADE * part for part in colour))

    def wheel(self, z: float, radius: float) -> None:
        """Fill a wheel on the visible side."""
        turns = np.linspace(0, 2 * math.pi, 20, endpoint=False)
        for share, colour in ((1.0, _TYRE), (0.55, (120.0, 122.0, 126.0))):
            rim = share * radius
            self.side([(z + rim * math.cos(a), radius + rim * math.sin(a)) for a in turns], colour)

    def shadow(self) -> None:
        """Darken the road below."""
        half, length = self._shape.half_width_m + 0.15, self._shape.length_m
        corners = [(-half, 0, -0.3), (half, 0, -0.3), (half, 0, length), (-half, 0, length)]
        corners_px = self._pixels(np.array(corners, dtype=np.float64))
        left, top = np.maximum(np.floor(corners_px.min(axis=0)).astype(int) - 2, 0)
        right, bottom = np.ceil(corners_px.max(axis=0)).astype(int) + 3
        patch = self._frame[top:bottom, left:right]
        if patch.size:
            dark = patch.copy()
            cv2.fillPoly(dark, [_fixed_point(corners_px - (left, top))], (30, 31, 34), *_SMOOTH)
            patch[:] = cv2.addWeighted(dark, 0.6, patch, 0.4, 0.0)

    def _fill(self, local: Points, colour: Colour) -> None:
        shade = np.array(colour) * self._clear + HAZE * (1 - self._clear)
        outline = _fixed_point(self._pixels(local))
        cv2.fillPoly(self._frame, [outline], tuple(float(part) for part in shade), *_SMOOTH)

    def _pixels(self, local: Points) -> Points:
        place = np.array([self._pose.right_m, 0.0, self._pose.ahead_m])
        return self._camera.project(local + place, self._distance_m)


_SMOOTH = (cv2.LINE_AA, _SUBPIXEL_BITS)


def _fixed_point(points_px: Points) -> npt.NDArray[np.int32]:
    limit = 2.0**14  # far outside of any image; keeps the fixed-point numbers in range
    return np.round(np.clip(points_px, -limit, limit) * 2**_SUBPIXEL_BITS).astype(np.int32)


def _draw_car(pen: _Pen, pose: VehiclePose) -> None:
    paint = pose.paint
    pen.side([(0, 0.28), (0, 0.95), (3.2, 0.93), (4.25, 0.8), (4.3, 0.28)], paint)
    pen.side([(0.1, 0.95), (0.6, 1.46), (2.3, 1.46), (3.2, 0.93)], paint)
    pen.side([(0.35, 0.98), (0.72, 1.38), (1.45, 1.4), (1.45, 0.98)], _GLASS)
    pen.side([(1.55, 0.98), (1.55, 1.4), (2.25, 1.38), (2.9, 0.96)], _GLASS)
    pen.wheel(0.85, 0.32)
    pen.wheel(3.45, 0.32)
    pen.pair([(0.58, 0.0), (0.84, 0.0), (0.84, 0.4), (0.58, 0.4)], _TYRE)
    (_draw_car_front if pose.is_oncoming else _draw_car_rear)(pen, paint)


def _draw_car_rear(pen: _Pen, paint: Colour) -> None:
    _draw_cabin(pen, paint, behind_m=0.1, slope=0.98)
    pen.face([(-0.2, 1.33), (-0.2, 1.37), (0.2, 1.37), (0.2, 1.33)], _TAIL_LIGHT, slope=0.98)
    body = [(-0.9, 0.36), (-0.88, 0.92), (-0.8, 0.98), (0.8, 0.98), (0.88, 0.92), (0.9, 0.36)]
    pen.face(body, paint)
    pen.face([(-0.87, 0.9), (-0.8, 0.96), (0.8, 0.96), (0.87, 0.9)], _lighter(paint))
    pen.face([(-0.9, 0.25), (-0.9, 0.44), (0.9, 0.44), (0.9, 0.25)], _TRIM)
    pen.face([(-0.26, 0.5), (-0.26, 0.62), (0.26, 0.62), (0.26, 0.5)], _PLATE)
    pen.pair([(0.56, 0.68), (0.56, 0.82), (0.87, 0.86), (0.88, 0.66)], _TAIL_LIGHT)


def _draw_car_front(pen: _Pen, paint: Colour) -> None:
    _draw_cabin(pen, paint, behind_m=1.1, slope=1.75)
    pen.bonnet(0.9, [(0.05, 0.8), (1.1, 0.95)], _lighter(paint))
    body = [(-0.9, 0.36), (-0.88, 0.76), (-0.8, 0.82), (0.8, 0.82), (0.88, 0.76), (0.9, 0.36)]
    pen.face(body, paint)
    pen.face([(-0.9, 0.25), (-0.9, 0.42), (0.9, 0.42), (0.9, 0.25)], _TRIM)
    pen.face([(-0.45, 0.58), (-0.48, 0.72), (0.48, 0.72), (0.45, 0.58)], _TRIM)
    pen.face([(-0.26, 0.45), (-0.26, 0.56), (0.26, 0.56), (0.26, 0.45)], _PLATE)
    pen.pair([(0.54, 0.58), (0.54, 0.73), (0.86, 0.77), (0.86, 0.6)], _HEADLIGHT)


def _draw_cabin(pen: _Pen, paint: Colour, *, behind_m: float, slope: float) -> None:
    pane = partial(pen.face, behind_m=behind_m, slope=slope)
    pane([(-0.9, 0.94), (-0.645, 1.46), (0.645, 1.46), (0.9, 0.94)], paint)
    pane([(-0.76, 0.98), (-0.56, 1.39), (0.56, 1.39), (0.76, 0.98)], _GLASS)
    pane([(-0.64, 1.24), (-0.57, 1.38), (0.1, 1.38), (-0.05, 1.24)], _REFLECTION)


def _draw_lorry(pen: _Pen, pose: VehiclePose) -> None:
    pen.side([(0, 0.9), (0, 3.6), (6.6, 3.6), (6.6, 0.9)], pose.paint)
    pen.side([(0, 0.6), (0, 0.95), (6.6, 0.95), (6.6, 0.6)], _TRIM)
    pen.side([(6.7, 0.5), (6.7, 3.0), (8.6, 3.0), (9.0, 1.7), (9.0, 0.5)], (190, 60, 48))
    pen.side([(7.3, 1.8), (7.3, 2.6), (8.4, 2.6), (8.75, 1.8)], _GLASS)
    for z in (1.0, 2.2, 7.7):
        pen.wheel(z, 0.48)
    pen.pair([(0.75, 0.0), (1.15, 0.0), (1.15, 0.8), (0.75, 0.8)], _TYRE)
    (_draw_lorry_front if pose.is_oncoming else _draw_lorry_rear)(pen, pose)


def _draw_lorry_rear(pen: _Pen, pose: VehiclePose) -> None:
    pen.face([(-1.25, 0.9), (-1.25, 3.6), (1.25, 3.6), (1.25, 0.9)], pose.paint)
    pen.face([(-1.25, 3.45), (-1.25, 3.6), (1.25, 3.6), (1.25, 3.45)], _lighter(pose.paint))
    pen.face([(-0.015, 1.0), (-0.015, 3.45), (0.015, 3.45), (0.015, 1.0)], _TRIM)
    for hinge in (0.45, 0.95):
        pen.pair([(hinge, 1.0), (hinge, 3.4), (hinge + 0.03, 3.4), (hinge + 0.03, 1.0)], _TRIM)
    pen.face([(-1.25, 0.6), (-1.25, 0.95), (1.25, 0.95), (1.25, 0.6)], _TRIM)
    pen.pair([(0.8, 0.68), (0.8, 0.88), (1.2, 0.88), (1.2, 0.68)], _TAIL_LIGHT)
    pen.face([(-0.26, 0.7), (-0.26, 0.84), (0.26, 0.84), (0.26, 0.7)], _PLATE)


def _draw_lorry_front(pen: _Pen, pose: VehiclePose) -> None:
    cab = (190.0, 60.0, 48.0)
    pen.face([(-1.25, 2.9), (-1.25, 3.6), (1.25, 3.6), (1.25, 2.9)], pose.paint)
    pen.face([(-1.22, 0.5), (-1.22, 3.0), (1.22, 3.0), (1.22, 0.5)], cab)
    pen.face([(-1.1, 1.75), (-1.05, 2.65), (1.05, 2.65), (1.1, 1.75)], _GLASS)
    pen.face([(-0.8, 1.0), (-0.85, 1.6), (0.85, 1.6), (0.8, 1.0)], _TRIM)
    pen.face([(-1.22, 0.45), (-1.22, 0.85), (1.22, 0.85), (1.22, 0.45)], _TRIM)
    pen.pair([(0.8, 0.6), (0.8, 0.8), (1.15, 0.8), (1.15, 0.6)], _HEADLIGHT)


def _lighter(colour: Colour) -> Colour:
    red, green, blue = (part + 0.35 * (255 - part) for part in colour)
    return (red, green, blue)
