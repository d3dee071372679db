"""Results drawn over the images that they were found in."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from swapnet_ros.perception.errors import ImageError
from swapnet_ros.perception.tasks.image_classification import ClassificationResult
from swapnet_ros.perception.tasks.lane_detection import Lane, LaneResult
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult
from swapnet_ros.perception.tasks.preprocessing import check_rgb_image
from swapnet_ros.perception.tasks.semantic_segmentation import SegmentationResult

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_HUES, _HUE_STEP = 20, 7  # 20 hues in an order that has neighbours far apart
_TINT = (0, 200, 80)
_TINT_SHARE = 0.35
_NAMED_SHARE = 0.01


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
    _check_belongs(image, result)
    canvas = np.array(image, order="C")
    for detection in reversed(result.detections):
        _draw_box(canvas, detection)
    for detection in reversed(result.detections):
        _draw_caption(canvas, detection)
    return canvas


def draw_classification(
    image: NDArray[np.uint8], result: ClassificationResult
) -> NDArray[np.uint8]:
    """Draw each region's frame with its best class and score.

    Args:
        image: uint8 [H, W, 3], RGB, the one that the result belongs to; it is not changed.
        result: what its regions show.

    Returns:
        A new image of the same size, uint8 [H, W, 3], RGB.

    Raises:
        ImageError: the image has another type, shape or size than the result's.
    """
    best = tuple(
        Detection(
            class_id=region.classes[0].class_id,
            label=region.classes[0].label,
            score=region.classes[0].score,
            x_min=region.x_min,
            y_min=region.y_min,
            x_max=region.x_max,
            y_max=region.y_max,
        )
        for region in result.regions
        if region.classes
    )
    boxes = DetectionResult(detections=best, width=result.width, height=result.height)
    return draw_detections(image, boxes)


def draw_segmentation(image: NDArray[np.uint8], result: SegmentationResult) -> NDArray[np.uint8]:
    """Tint each pixel with its class's colour, and name the classes with a share worth seeing.

    Args:
        image: uint8 [H, W, 3], RGB, the one that the result belongs to; it is not changed.
        result: the class of each of its pixels.

    Returns:
        A new image of the same size, uint8 [H, W, 3], RGB.

    Raises:
        ImageError: the image has another type, shape or size than the result's.
    """
    _check_belongs(image, result)
    colours = np.array([class_colour(number) for number in range(256)], np.uint8)
    tinted = cv2.addWeighted(np.array(image, order="C"), 0.5, colours[result.class_map], 0.5, 0)
    canvas = np.asarray(tinted, dtype=np.uint8)
    named = (n for n in np.argsort(result.shares)[::-1] if result.shares[n] >= _NAMED_SHARE)
    base = 0
    for class_id in named:
        text = f"{result.labels[class_id]} {result.shares[class_id]:.0%}"
        base = _draw_line(canvas, text, base, class_colour(int(class_id)))
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
    _check_belongs(image, result)
    canvas = np.array(image, order="C")
    _tint(canvas, _between_ego_lines(result) if result.area is None else result.area)
    for number, lane in enumerate(result.lanes):
        _draw_lane(canvas, lane, class_colour(number))
    return canvas


def class_colour(class_id: int) -> tuple[int, int, int]:
    """A class's colour as red, green, blue in 0..255: the same everywhere, neighbours far apart."""
    turn, number = divmod(class_id, _HUES)
    hue = (number * _HUE_STEP % _HUES) / _HUES
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 1.0 - 0.03 * (turn % 10))
    return round(255 * red), round(255 * green), round(255 * blue)


def _draw_box(canvas: NDArray[np.uint8], detection: Detection) -> None:
    start = round(detection.x_min), round(detection.y_min)
    end = round(detection.x_max) - 1, round(detection.y_max) - 1
    cv2.rectangle(canvas, start, end, class_colour(detection.class_id), _line_width(canvas))


def _check_belongs(
    image: NDArray[np.uint8],
    result: DetectionResult | ClassificationResult | LaneResult | SegmentationResult,
) -> None:
    check_rgb_image(image)
    height, width = image.shape[:2]
    if (result.width, result.height) != (width, height):
        raise ImageError(
            f"the result belongs to an image of {result.width}x{result.height} pixels, but this "
            f"one has {width}x{height}; pass the image that was given to preprocess"
        )


def _draw_line(canvas: NDArray[np.uint8], text: str, top: int, colour: tuple[int, int, int]) -> int:
    """Write a line of the legend below `top`; return where the next one begins."""
    scale = _text_scale(canvas)
    (width, height), below = cv2.getTextSize(text, _FONT, scale, 1)
    base = top + height + below
    cv2.rectangle(canvas, (0, top), (width, base + below), colour, cv2.FILLED)
    cv2.putText(canvas, text, (0, base), _FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return base + below


def _text_scale(canvas: NDArray[np.uint8]) -> float:
    height: int = canvas.shape[0]
    return max(0.5, height / 1080)


def _draw_caption(canvas: NDArray[np.uint8], detection: Detection) -> None:
    """Write class and score above the box, or inside of it where there is no room above."""
    text = f"{detection.label} {detection.score:.2f}"
    scale = _text_scale(canvas)
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
