"""Labels in the form of results, to be recorded as topics or drawn."""

from __future__ import annotations

import numpy as np

from swapnet_ros.evaluation.task_results import TaskOutput
from swapnet_ros.evaluation.truth.frame import (
    TruthBoxes,
    TruthClasses,
    TruthFrame,
    TruthLanes,
    TruthMask,
)
from swapnet_ros.perception.tasks.image_classification import (
    ClassificationResult,
    ClassifiedRegion,
    ScoredClass,
)
from swapnet_ros.perception.tasks.lane_detection import Lane, LaneResult
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult
from swapnet_ros.perception.tasks.semantic_segmentation import SegmentationResult

VOID = 255
"""Stands in a class map of a result for pixels that do not count."""


def results_of(truth: TruthFrame, *, width: int, height: int) -> tuple[TaskOutput, ...]:
    """Make a result of each kind that is labelled: what a perfect network would answer.

    Boxes that do not count (ignored ones and crowds) are left out, since results have no word for
    them. All scores are 1.

    Args:
        truth: the labels of one frame.
        width: pixels of the frame.
        height: pixels of the frame.
    """
    results: list[TaskOutput] = []
    if truth.boxes is not None:
        results.append(_detections(truth.boxes, width, height))
    if truth.mask is not None:
        results.append(_segmentation(truth.mask))
    if truth.classes is not None:
        results.append(_classification(truth.classes, width, height))
    if truth.lanes is not None:
        results.append(_lanes(truth.lanes, width, height))
    return tuple(results)


def _detections(truth: TruthBoxes, width: int, height: int) -> DetectionResult:
    numbers = {label: number for number, label in enumerate(truth.labels)}
    found = tuple(
        Detection(
            class_id=numbers.get(box.label, 0),
            label=box.label,
            score=1.0,
            x_min=box.x_min,
            y_min=box.y_min,
            x_max=box.x_max,
            y_max=box.y_max,
        )
        for box in truth.in_pixels(width, height)
        if not (box.is_ignored or box.is_crowd)
    )
    return DetectionResult(detections=found, width=width, height=height)


def _segmentation(truth: TruthMask) -> SegmentationResult:
    height, width = truth.class_map.shape
    is_known = truth.class_map < len(truth.labels)
    class_map = np.where(is_known, truth.class_map, VOID).astype(np.uint8)
    counts = np.bincount(class_map[is_known], minlength=len(truth.labels))
    return SegmentationResult(
        class_map=class_map,
        labels=truth.labels,
        shares=tuple((counts / class_map.size).tolist()),
        width=width,
        height=height,
    )


def _classification(truth: TruthClasses, width: int, height: int) -> ClassificationResult:
    numbers = {label: number for number, label in enumerate(truth.labels)}
    classes = tuple(
        ScoredClass(class_id=numbers.get(name, 0), label=name, score=1.0) for name in truth.names
    )
    region = ClassifiedRegion(
        x_min=0.0, y_min=0.0, x_max=float(width), y_max=float(height), classes=classes
    )
    return ClassificationResult(regions=(region,), width=width, height=height)


def _lanes(truth: TruthLanes, width: int, height: int) -> LaneResult:
    scale = np.array([width / truth.width, height / truth.height])
    lanes = []
    for columns in truth.columns:
        is_there = ~np.isnan(columns)
        points = np.stack([columns[is_there], truth.rows[is_there]], axis=1)[::-1] * scale
        lanes.append(Lane(points=points.astype(np.float32), score=1.0, is_ego=False))
    return LaneResult(lanes=tuple(lanes), width=width, height=height)
