"""Results of any task: drawn, fitted to another size of their image, and packed to be kept."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from swapnet_ros.perception.drawing import (
    draw_classification,
    draw_detections,
    draw_lanes,
    draw_segmentation,
)
from swapnet_ros.perception.tasks.image_classification import ClassificationResult, ClassifiedRegion
from swapnet_ros.perception.tasks.lane_detection import Lane, LaneResult
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult
from swapnet_ros.perception.tasks.semantic_segmentation import SegmentationResult

Image = NDArray[np.uint8]
TaskOutput = DetectionResult | LaneResult | SegmentationResult | ClassificationResult

_Boxed = TypeVar("_Boxed", Detection, ClassifiedRegion)
_FAST = 1  # zlib's level: a class map is mostly runs of one value


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedSegmentation:
    """A segmentation that takes some kilobytes: a drive keeps one for every frame.

    Attributes:
        packed: the class map, compressed.
        labels: class names.
        shares: part of the pixels that each class has, 0..1.
        width: pixels of the source image.
        height: pixels of the source image.
    """

    packed: bytes
    labels: tuple[str, ...]
    shares: tuple[float, ...]
    width: int
    height: int

    @classmethod
    def of(cls, result: SegmentationResult) -> PackedSegmentation:
        """Pack a result."""
        return cls(
            packed=zlib.compress(np.ascontiguousarray(result.class_map), _FAST),
            labels=result.labels,
            shares=result.shares,
            width=result.width,
            height=result.height,
        )

    def unpack(self) -> SegmentationResult:
        """Return the result as it was."""
        pixels = np.frombuffer(zlib.decompress(self.packed), np.uint8)
        return SegmentationResult(
            class_map=pixels.reshape(self.height, self.width),
            labels=self.labels,
            shares=self.shares,
            width=self.width,
            height=self.height,
        )


def draw_result(image: Image, output: TaskOutput) -> Image:
    """Draw a result of any task over its image.

    Args:
        image: uint8 [H, W, 3], RGB, the one that the result belongs to; it is not changed.
        output: the result.

    Returns:
        A new image of the same size, uint8 [H, W, 3], RGB.

    Raises:
        ImageError: the image has another type, shape or size than the result's.
    """
    if isinstance(output, DetectionResult):
        return draw_detections(image, output)
    if isinstance(output, LaneResult):
        return draw_lanes(image, output)
    if isinstance(output, SegmentationResult):
        return draw_segmentation(image, output)
    return draw_classification(image, output)


def resize_result(output: TaskOutput, *, width: int, height: int) -> TaskOutput:
    """Return a result as that of the same image in another size.

    Args:
        output: the result.
        width: pixels of the resized image.
        height: pixels of the resized image.
    """
    scale = np.array([width / output.width, height / output.height])
    size = {"width": width, "height": height}
    if isinstance(output, DetectionResult):
        found = tuple(_scaled_box(each, scale) for each in output.detections)
        return replace(output, detections=found, **size)
    if isinstance(output, LaneResult):
        lanes = tuple(_scaled_lane(lane, scale) for lane in output.lanes)
        area = None if output.area is None else _nearest(output.area, width, height)
        return replace(output, lanes=lanes, area=area, **size)
    if isinstance(output, SegmentationResult):
        return replace(output, class_map=_nearest(output.class_map, width, height), **size)
    regions = tuple(_scaled_box(each, scale) for each in output.regions)
    return replace(output, regions=regions, **size)


def _scaled_box(box: _Boxed, scale: NDArray[np.float64]) -> _Boxed:
    x_scale, y_scale = scale.tolist()
    return replace(
        box,
        x_min=box.x_min * x_scale,
        y_min=box.y_min * y_scale,
        x_max=box.x_max * x_scale,
        y_max=box.y_max * y_scale,
    )


def _scaled_lane(lane: Lane, scale: NDArray[np.float64]) -> Lane:
    return replace(lane, points=(lane.points * scale).astype(np.float32))


def _nearest(pixels: NDArray[np.generic], width: int, height: int) -> NDArray[np.generic]:
    resized = cv2.resize(pixels.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized).view(pixels.dtype)
