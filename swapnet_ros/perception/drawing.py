"""Results drawn over the images that they were found in."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from swapnet_ros.perception.errors import ImageError
from swapnet_ros.perception.tasks.lane_detection import Lane, LaneResult
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult
from swapnet_ros.perception.tasks.preprocessing import check_rgb_image

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GOLDEN_RATIO = 0.618034
_TINT = (0, 200, 80)
_TINT_SHARE = 0.35


def draw_detections(image: NDArray[np.uint8], result: DetectionResult) -> NDArray[np.uint8]:
    """Draw each object's box, class and score.

    Args:
        image: uint8 [H, W, 3], RGB, the one that the result belongs to; it is not changed.
        result: what was found in it.

    Returns:
        A new image of the same size, uint8 [H, W, 3], RGB.

    Raises:
        ImageError: the image has another type, shape or size than the result's.
    """
    canvas = _canvas(image, result.width, result.height)
    for detection in reversed(result.detections):
        _draw_box(canvas, detection)
    for detection in reversed(result.detections):
        _draw_caption(canvas, detection)
    return canvas


def draw_lanes(image: NDArray[np.uint8], result: LaneResult) -> NDArray[np.uint8]:
    """Draw each lane line with its points, and tint the lane that the camera is in.

    The lane's own area is tinted where the network tells it, else what lies between its two lines.
    Lines have colours of their own from left to right; those of the camera's lane are thicker.

    Args:
        image: uint8 [H, W, 3], RGB, the one that the result belongs to; it is not changed.
        result: what was found in it.

    Returns:
        A new image of the same size, uint8 [H, W, 3], RGB.

    Raises:
        ImageError: the image has another type, shape or size than the result's.
    """
    canvas = _canvas(image, result.width, result.height)
    _tint(canvas, _between_ego_lines(result) if result.area is None else result.area)
    for number, lane in enumerate(result.lanes):
        _draw_lane(canvas, lane, class_colour(number))
    return canvas


def class_colour(class_id: int) -> tuple[int, int, int]:
    """A class's colour as red, green, blue in 0..255: the same everywhere, neighbours far apart."""
    hue = (class_id * _GOLDEN_RATIO) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _canvas(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """A copy of the image to draw on, once it is sure that the result is of its size."""
    check_rgb_image(image)
    if image.shape[:2] != (height, width):
        raise ImageError(
            f"the result belongs to an image of {width}x{height} pixels, but this one has "
            f"{image.shape[1]}x{image.shape[0]}; pass the image that was given to preprocess"
        )
    return np.array(image, order="C")


def _draw_box(canvas: NDArray[np.uint8], detection: Detection) -> None:
    start = round(detection.x_min), round(detection.y_min)
    end = round(detection.x_max) - 1, round(detection.y_max) - 1
    cv2.rectangle(canvas, start, end, class_colour(detection.class_id), _line_width(canvas))


def _draw_caption(canvas: NDArray[np.uint8], detection: Detection) -> None:
    """Write class and score above the box, or inside of it where there is no room above."""
    text = f"{detection.label} {detection.score:.2f}"
    scale = max(0.4, canvas.shape[0] / 1440)
    (width, height), below = cv2.getTextSize(text, _FONT, scale, 1)
    left = max(0, min(round(detection.x_min), canvas.shape[1] - width))
    base = round(detection.y_min) - below
    if base - height < 0:
        base = round(detection.y_min) + height + below
    corners = (left, base - height - below), (left + width, base + below)
    cv2.rectangle(canvas, *corners, class_colour(detection.class_id), cv2.FILLED)
    cv2.putText(canvas, text, (left, base), _FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)


def _between_ego_lines(result: LaneResult) -> NDArray[np.bool_]:
    """Pixels between the two lines of the camera's lane; none where one is missing."""
    mask = np.zeros((result.height, result.width), np.uint8)
    ego = [lane.points for lane in result.lanes if lane.is_ego]
    if len(ego) == 2:
        outline = np.concatenate([ego[0], ego[1][::-1]])
        cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 1)
    return mask.astype(bool)


def _tint(canvas: NDArray[np.uint8], area: NDArray[np.bool_]) -> None:
    canvas[area] = canvas[area] * (1 - _TINT_SHARE) + np.array(_TINT) * _TINT_SHARE


def _draw_lane(canvas: NDArray[np.uint8], lane: Lane, colour: tuple[int, int, int]) -> None:
    """Draw a line through the points, and each point as a dot."""
    width = _line_width(canvas)
    points = np.rint(lane.points).astype(np.int32)
    cv2.polylines(canvas, [points], False, colour, width * 2 if lane.is_ego else width, cv2.LINE_AA)
    for x, y in points.tolist():
        cv2.circle(canvas, (x, y), 2 * width, colour, cv2.FILLED, cv2.LINE_AA)


def _line_width(canvas: NDArray[np.uint8]) -> int:
    height: int = canvas.shape[0]
    return max(1, round(height / 360))
