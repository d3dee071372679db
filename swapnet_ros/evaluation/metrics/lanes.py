"""How well lanes agree with labelled ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swapnet_ros.evaluation.truth.lane_columns import Columns

_CLOSE_PIXELS = 20.0
_HIT_SHARE = 0.85
_COUNTED_LANES = 4
_EXTRA_LANES = 2
_ABSENT_COLUMN = -100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneScore:
    """TuSimple's three figures of one image.

    Attributes:
        accuracy: share of the labelled points that were hit, 0..1.
        false_positive_rate: share of the lanes found that hit no labelled one, at most 1; below 0
            where one lane is the best for two labelled ones, as in the benchmark.
        false_negative_rate: share of the labelled lanes that were not hit, 0..1.
    """

    accuracy: float
    false_positive_rate: float
    false_negative_rate: float


def tusimple_score(
    found: Sequence[ArrayLike], labelled: Sequence[ArrayLike], rows: Sequence[float]
) -> LaneScore:
    """Score one image's lanes by the rules of the TuSimple benchmark.

    A point is hit within 20 pixels, measured across the labelled lane: sideways a slanted lane has
    `20 / cos(angle)`. A row in which both lanes are absent is a hit, too. A labelled lane has the
    hits of the lane found that hits most, and is found with 85 % of its rows. Of more than four
    labelled lanes the worst does not count. With more than two lanes too many all is wrong.

    Args:
        found: for each lane its columns in pixels at the rows; NaN or negative where it has none.
        labelled: likewise.
        rows: of the image, in pixels.

    Returns:
        The score. The benchmark's limit of running time is left out; it labels at most five lanes.

    Raises:
        ValueError: a lane has another number of columns than there are rows.

    Source:
        TuSimple benchmark, evaluate/lane.py, `LaneEval.bench`.
    """
    heights = np.asarray(rows, dtype=np.float64)
    lanes, labels = _checked(found, len(heights)), _checked(labelled, len(heights))
    if len(lanes) > len(labels) + _EXTRA_LANES:
        return LaneScore(accuracy=0.0, false_positive_rate=0.0, false_negative_rate=1.0)
    shares = [_best_share(label, lanes, heights) for label in labels]
    missed = sum(share < _HIT_SHARE for share in shares)
    hits = len(labels) - missed
    if len(labels) > _COUNTED_LANES:
        shares.remove(min(shares))
        missed = max(0, missed - 1)
    counted = max(1, len(shares))
    return LaneScore(
        accuracy=sum(shares) / counted,
        false_positive_rate=(len(lanes) - hits) / len(lanes) if lanes else 0.0,
        false_negative_rate=missed / counted,
    )


def mask_iou(found: NDArray[np.bool_], labelled: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks, bool [H, W]; 1 where both are empty.

    Raises:
        ValueError: the masks differ in size.
    """
    if found.shape != labelled.shape:
        raise ValueError(f"masks of {found.shape} and {labelled.shape} cannot be compared")
    union = int(np.count_nonzero(found | labelled))
    return int(np.count_nonzero(found & labelled)) / union if union else 1.0


def _checked(lanes: Sequence[ArrayLike], count: int) -> list[Columns]:
    """Columns as the benchmark compares them: far off the image where a lane is absent."""
    checked = []
    for lane in lanes:
        columns = np.asarray(lane, dtype=np.float64)
        if columns.shape != (count,):
            raise ValueError(f"a lane has columns {columns.shape}, but there are {count} rows")
        checked.append(np.where(columns >= 0, columns, _ABSENT_COLUMN))
    return checked


def _best_share(label: Columns, lanes: Sequence[Columns], rows: Columns) -> float:
    limit = _CLOSE_PIXELS / np.cos(_angle(label, rows))
    return max((float(np.mean(np.abs(lane - label) < limit)) for lane in lanes), default=0.0)


def _angle(label: Columns, rows: Columns) -> float:
    """Of a labelled lane to the image's columns, in radians."""
    is_there = label >= 0
    if np.count_nonzero(is_there) < 2:
        return 0.0
    slope = np.polyfit(rows[is_there], label[is_there], 1)[0]
    return float(np.arctan(slope))
