"""Detections of one class matched with labelled boxes, by the rules of COCO's evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swapnet_ros.evaluation.truth.frame import LabelledBox
from swapnet_ros.perception.tasks.image_classification import ClassifiedRegion
from swapnet_ros.perception.tasks.object_detection import Detection

Box = LabelledBox | Detection | ClassifiedRegion
"""Anything with x_min, y_min, x_max and y_max."""

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""The overlaps at which COCO asks whether a detection hits a box."""

_RECALLS = np.linspace(0.0, 1.0, 101)
_EPSILON = float(np.spacing(1))
_LOWEST_IOU = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matches:
    """How the detections of one class in one image did; best score first.

    Attributes:
        scores: float64 [D].
        hits: bool [T, D], at each threshold: it hit a labelled box.
        ignored: bool [T, D], at each threshold: it hit a box that does not count.
    """

    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    ignored: NDArray[np.bool_]


def match_boxes(
    scores: Sequence[float],
    boxes: NDArray[np.float64],
    labelled: Sequence[LabelledBox],
    thresholds: NDArray[np.float64] = IOU_THRESHOLDS,
) -> Matches:
    """Match the detections of one class in one image with its labelled boxes.

    In order of falling score, each detection takes the free box it overlaps most, if by at least
    the threshold; only if there is none, one that is ignored. A box is taken once, a crowd ever
    again; the overlap with a crowd is the part of the detection that lies in it.

    Args:
        scores: of the detections, in any order.
        boxes: float64 [D, 4] of them: x_min, y_min, x_max, y_max.
        labelled: of the same class, in the unit of `boxes`.
        thresholds: float64 [T], 0..1.

    Returns:
        What became of each detection.

    Source:
        pycocotools 2.0, `COCOeval.evaluateImg`, with all sizes of objects.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    size = (len(thresholds), len(order))
    hits, ignored = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    is_ignored = np.array([box.is_ignored or box.is_crowd for box in labelled], dtype=bool)
    is_crowd = np.array([box.is_crowd for box in labelled], dtype=bool)
    overlaps = overlaps_of(boxes[order], corners(labelled), is_crowd)
    least = np.minimum(thresholds, 1 - _LOWEST_IOU)
    free = np.ones((len(thresholds), len(labelled)), dtype=bool)
    every = np.arange(len(thresholds))
    for place in range(len(order)):
        for wanted, found in ((~is_ignored, hits), (is_ignored, ignored)):
            allowed = free & wanted & ~hits[:, place, None]
            candidates = np.where(allowed, overlaps[place], -1.0)
            if not candidates.size:
                continue
            # of equal overlaps COCO takes the last
            best = candidates.shape[1] - 1 - candidates[:, ::-1].argmax(axis=1)
            is_enough = candidates[every, best] >= least
            found[:, place] = is_enough
            free[every[is_enough], best[is_enough]] = is_crowd[best[is_enough]]
    return Matches(scores=np.asarray(scores, np.float64)[order], hits=hits, ignored=ignored)


def average_precisions(
    scores: NDArray[np.float64],
    hits: NDArray[np.bool_],
    ignored: NDArray[np.bool_],
    labelled: int,
) -> NDArray[np.float64]:
    """The average precision of one class over all images.

    Args:
        scores: float64 [D], image after image.
        hits: bool [T, D].
        ignored: bool [T, D]; such detections do not count.
        labelled: number of labelled boxes that count, at least 1.

    Returns:
        float64 [T]: the mean over 101 recalls of the best precision at that recall or beyond it.

    Source:
        pycocotools 2.0, `COCOeval.accumulate`.
    """
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(hits[:, order] & ~ignored[:, order], axis=1, dtype=np.float64)
    wrong = np.cumsum(~hits[:, order] & ~ignored[:, order], axis=1, dtype=np.float64)
    recalls = right / labelled
    precisions = right / (wrong + right + _EPSILON)
    beyond = np.maximum.accumulate(precisions[:, ::-1], axis=1)[:, ::-1]
    means = np.zeros(len(hits))
    for number, (recall, precision) in enumerate(zip(recalls, beyond, strict=True)):
        places = np.searchsorted(recall, _RECALLS, side="left")
        means[number] = np.append(precision, 0.0)[places].mean()  # 0 where it is never reached
    return means


def corners(boxes: Sequence[Box]) -> NDArray[np.float64]:
    """Float64 [N, 4] as x_min, y_min, x_max, y_max."""
    rows = [(box.x_min, box.y_min, box.x_max, box.y_max) for box in boxes]
    return np.array(rows, dtype=np.float64).reshape(len(rows), 4)


def overlaps_of(
    found: NDArray[np.float64], labelled: NDArray[np.float64], is_crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How much boxes overlap.

    Args:
        found: float64 [D, 4]: x_min, y_min, x_max, y_max.
        labelled: float64 [G, 4].
        is_crowd: bool [G].

    Returns:
        float64 [D, G]: intersection over union; for crowds over the area of the box found.
    """
    first, second = found[:, None], labelled[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(
        first[..., :2], second[..., :2]
    )
    shared = np.prod(np.maximum(sides, 0.0), axis=-1)
    own = np.prod(found[:, 2:] - found[:, :2], axis=1)[:, None]
    other = np.prod(labelled[:, 2:] - labelled[:, :2], axis=1)[None]
    whole = np.where(is_crowd, own, own + other - shared)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
