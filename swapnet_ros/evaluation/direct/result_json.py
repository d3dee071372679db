"""What stands in `results.json`: all that was found, digests of what is too large to write out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.direct.direct_task import DirectTask
from swapnet_ros.perception.tasks.analysis import TaskResult
from swapnet_ros.perception.tasks.image_classification import ClassificationResult, ClassifiedRegion
from swapnet_ros.perception.tasks.lane_detection import Lane, LaneResult
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult

_FORMAT = "swapnet results 1"


def header_json(tasks: Sequence[DirectTask]) -> dict[str, Any]:
    """What stands before the frames: nothing of budgets, so that results can be compared."""
    return {"format": _FORMAT, "tasks": {task.name: task.describe() for task in tasks}}


def frame_json(number: int, frame: SourceFrame, results: Mapping[str, Any]) -> dict[str, Any]:
    """Return one frame.

    Args:
        number: position in the evaluation.
        frame: the image.
        results: by task, of JSON types.
    """
    height, width = frame.image.shape[:2]
    return {
        "frame": number,
        "topic": frame.topic,
        "index": frame.index,
        "stamp_ns": frame.stamp_ns,
        "frame_id": frame.frame_id,
        "width": width,
        "height": height,
        "results": dict(results),
    }


def result_json(result: TaskResult) -> dict[str, Any]:
    """Return a result as dicts, lists, numbers and strings; numbers are exact.

    Equal results give equal JSON, and results that differ in any bit differ in it: of class maps
    and of the camera's lane a SHA-256 of all pixels stands for them.
    """
    if isinstance(result, DetectionResult):
        return {"detections": [_detection(each) for each in result.detections]}
    if isinstance(result, ClassificationResult):
        return {"regions": [_region(each) for each in result.regions]}
    if isinstance(result, LaneResult):
        lanes: dict[str, Any] = {"lanes": [_lane(each) for each in result.lanes]}
        if result.area is not None:
            lanes["ego_lane"] = {
                "share": float(result.area.mean()),
                "sha256": _digest(result.area),
            }
        return lanes
    shares = zip(result.labels, result.shares, strict=True)
    return {
        "shares": {label: share for label, share in shares if share > 0},
        "class_map_sha256": _digest(result.class_map),
    }


def _detection(found: Detection) -> dict[str, Any]:
    return {
        "label": found.label,
        "class_id": found.class_id,
        "score": found.score,
        "box": [found.x_min, found.y_min, found.x_max, found.y_max],
    }


def _region(region: ClassifiedRegion) -> dict[str, Any]:
    classes = [
        {"label": each.label, "class_id": each.class_id, "score": each.score}
        for each in region.classes
    ]
    return {"box": _numbers(region), "classes": classes}


def _numbers(region: ClassifiedRegion) -> Sequence[float]:
    """Edges as floats: an image's own borders come as whole numbers."""
    return [float(edge) for edge in (region.x_min, region.y_min, region.x_max, region.y_max)]


def _lane(lane: Lane) -> dict[str, Any]:
    return {
        "score": float(lane.score),
        "is_ego": bool(lane.is_ego),
        "points": lane.points.tolist(),
    }


def _digest(pixels: NDArray[np.generic]) -> str:
    shape = "x".join(str(side) for side in pixels.shape)
    return hashlib.sha256(shape.encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
