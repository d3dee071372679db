"""Lane lines against labelled ones: TuSimple's figures, and the overlap of the camera's lane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swapnet_ros.evaluation.metrics.lanes import mask_iou, tusimple_score
from swapnet_ros.evaluation.metrics.shares import share
from swapnet_ros.evaluation.truth.frame import TruthFrame, TruthLanes
from swapnet_ros.evaluation.truth.lane_columns import Columns, area_between, columns_at
from swapnet_ros.perception.tasks.lane_detection import LaneResult

_TUSIMPLE_SIZE = 1280, 720
_FOOT_ROWS = 8  # the near end of a line: what tells where it meets the image's lower border


class LaneScorer:
    """Compares lane lines with labelled ones. Use from one thread.

    TuSimple's distances are pixels of its images, so that both sides are brought to 1280x720.
    """

    def __init__(self) -> None:
        """Begin without frames."""
        self._frames = self._ego_frames = 0
        self._accuracy = self._false_positives = self._false_negatives = self._iou = 0.0

    def add(self, result: LaneResult, truth: TruthFrame) -> bool:
        """Take one frame; False, and nothing else, where its lanes are not labelled."""
        if truth.lanes is None:
            return False
        score = tusimple_score(*_in_tusimple(result, truth.lanes))
        self._frames += 1
        self._accuracy += score.accuracy
        self._false_positives += score.false_positive_rate
        self._false_negatives += score.false_negative_rate
        iou = ego_lane_iou(result, truth.lanes)
        if iou is not None:
            self._ego_frames += 1
            self._iou += iou
        return True

    def summary(self) -> dict[str, Any]:
        """The figures as means over the frames, None where there are none."""
        return {
            "frames": self._frames,
            "accuracy": share(self._accuracy, self._frames),
            "false_positive_rate": share(self._false_positives, self._frames),
            "false_negative_rate": share(self._false_negatives, self._frames),
            "ego_lane_frames": self._ego_frames,
            "ego_lane_iou": share(self._iou, self._ego_frames),
        }

    def state(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "frames": self._frames,
            "ego_frames": self._ego_frames,
            "accuracy": self._accuracy,
            "false_positives": self._false_positives,
            "false_negatives": self._false_negatives,
            "iou": self._iou,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; what was added before is lost."""
        self._frames, self._ego_frames = state["frames"], state["ego_frames"]
        self._accuracy, self._iou = state["accuracy"], state["iou"]
        self._false_positives = state["false_positives"]
        self._false_negatives = state["false_negatives"]


def ego_lane_iou(result: LaneResult, truth: TruthLanes) -> float | None:
    """How much the lane that the camera is in overlaps the labelled one.

    The labelled one lies between the nearest lines on either side of the image's middle, where
    they, drawn on straight, meet its lower border. Compared are the rows in which both are
    labelled.

    Args:
        result: its area where the network tells one, else what lies between its two ego lines.
        truth: labelled lines.

    Returns:
        Intersection over union, 0..1; None where no row has both lines.
    """
    lines = _ego_lines(truth)
    if lines is None:
        return None
    y_scale, x_scale = truth.height / result.height, result.width / truth.width
    rows = (np.arange(result.height) + 0.5) * y_scale
    left, right = (
        np.interp(rows, truth.rows, line, left=np.nan, right=np.nan) * x_scale for line in lines
    )
    labelled = area_between(left, right, width=result.width)
    seen = labelled.any(axis=1)
    if not seen.any():
        return None
    return mask_iou(_found_area(result)[seen], labelled[seen])


def _in_tusimple(
    result: LaneResult, truth: TruthLanes
) -> tuple[list[Columns], list[Columns], list[float]]:
    """Lines found and labelled, and the rows in which they are compared, all in 1280x720."""
    width, height = _TUSIMPLE_SIZE
    rows = truth.rows[truth.scored] * (height / truth.height)
    scale = np.array([width / result.width, height / result.height])
    found = [columns_at(lane.points * scale, rows.tolist()) for lane in result.lanes]
    labelled = truth.columns[:, truth.scored] * (width / truth.width)
    return found, list(labelled), rows.tolist()


def _found_area(result: LaneResult) -> NDArray[np.bool_]:
    if result.area is not None:
        return result.area
    rows = (np.arange(result.height) + 0.5).tolist()
    ego = [columns_at(lane.points, rows) for lane in result.lanes if lane.is_ego]
    if len(ego) != 2:
        return np.zeros((result.height, result.width), dtype=bool)
    return area_between(*ego, width=result.width)


def _ego_lines(truth: TruthLanes) -> tuple[Columns, Columns] | None:
    feet = [(_foot(line, truth), line) for line in truth.columns if not np.isnan(line).all()]
    middle = truth.width / 2
    left = [each for each in feet if each[0] <= middle]
    right = [each for each in feet if each[0] > middle]
    if not left or not right:
        return None
    nearest_left = max(left, key=lambda each: each[0])
    nearest_right = min(right, key=lambda each: each[0])
    return nearest_left[1], nearest_right[1]


def _foot(line: Columns, truth: TruthLanes) -> float:
    """The column in which a line, drawn on straight from its near end, meets the lower border."""
    known = np.flatnonzero(~np.isnan(line))
    near = [place for place in known if place in truth.scored][-_FOOT_ROWS:] or known[-1:]
    x, y = line[near], truth.rows[near]
    aside = y - y.mean()
    slope = (aside @ x) / (aside @ aside) if aside.any() else 0.0
    return float(x.mean() + slope * (truth.height - y.mean()))
