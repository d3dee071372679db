"""Labels as results that are certain, so that a bag can have them as topics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swapnet_ros.evaluation.bags.problems import BagError
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

_CERTAIN = 1.0
_VOID = 255  # the largest number that a pixel of a mono8 class map can have


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelResults:
    """The labels of one image.

    Attributes:
        results: one for each kind of label that it has.
        ignored_boxes: boxes that should not count (difficult ones, crowds) and were left out, since
            no message can say that.
    """

    results: tuple[TaskOutput, ...]
    ignored_boxes: int


def label_results(truth: TruthFrame, *, width: int, height: int) -> LabelResults:
    """Turn an image's labels into results, in pixels of the image.

    Args:
        truth: the labels.
        width: pixels of the image.
        height: pixels of the image.

    Raises:
        BagError: a class map has more classes than a message's pixels have values.
    """
    size = {"width": width, "height": height}
    results: list[TaskOutput] = []
    ignored = 0
    if truth.boxes is not None:
        results.append(_boxes(truth.boxes, size))
        ignored = len(truth.boxes.boxes) - len(results[0].detections)
    if truth.lanes is not None:
        results.append(_lanes(truth.lanes, size))
    if truth.mask is not None:
        results.append(_segmentation(truth.mask))
    if truth.classes is not None:
        results.append(_classes(truth.classes, size))
    return LabelResults(results=tuple(results), ignored_boxes=ignored)


def _boxes(boxes: TruthBoxes, size: dict[str, int]) -> DetectionResult:
    x_scale = 1.0 if boxes.width is None else size["width"] / boxes.width
    y_scale = 1.0 if boxes.height is None else size["height"] / boxes.height
    detections = tuple(
        Detection(
            class_id=_number(each.label, boxes.labels),
            label=each.label,
            score=_CERTAIN,
            x_min=each.x_min * x_scale,
            y_min=each.y_min * y_scale,
            x_max=each.x_max * x_scale,
            y_max=each.y_max * y_scale,
        )
        for each in boxes.boxes
        if not each.is_ignored and not each.is_crowd
    )
    return DetectionResult(detections=detections, **size)


def _lanes(lanes: TruthLanes, size: dict[str, int]) -> LaneResult:
    scale = np.array([size["width"] / lanes.width, size["height"] / lanes.height])
    found = []
    for columns in lanes.columns:
        points = np.stack([columns, lanes.rows], axis=1)[np.isfinite(columns)]
        from_near = (points[::-1] * scale).astype(np.float32)
        found.append(Lane(points=from_near, score=_CERTAIN, is_ego=False))
    return LaneResult(lanes=tuple(found), **size)


def _segmentation(mask: TruthMask) -> SegmentationResult:
    if len(mask.labels) > _VOID:
        raise BagError(
            f"a class map has {len(mask.labels)} classes, and a message's pixels tell at most "
            f"{_VOID} apart; evaluate with the label files instead"
        )
    class_map = np.minimum(mask.class_map, _VOID).astype(np.uint8)
    counts = np.bincount(class_map.reshape(-1), minlength=len(mask.labels))[: len(mask.labels)]
    return SegmentationResult(
        class_map=class_map,
        labels=mask.labels,
        shares=tuple((counts / class_map.size).tolist()),
        width=class_map.shape[1],
        height=class_map.shape[0],
    )


def _classes(classes: TruthClasses, size: dict[str, int]) -> ClassificationResult:
    names = tuple(
        ScoredClass(class_id=_number(name, classes.labels), label=name, score=_CERTAIN)
        for name in classes.names
    )
    whole = ClassifiedRegion(
        x_min=0.0,
        y_min=0.0,
        x_max=float(size["width"]),
        y_max=float(size["height"]),
        classes=names,
    )
    return ClassificationResult(regions=(whole,), **size)


def _number(label: str, labels: tuple[str, ...]) -> int:
    """A class's number; 0 where the labels have only names, which is what they are read by."""
    return labels.index(label) if label in labels else 0
