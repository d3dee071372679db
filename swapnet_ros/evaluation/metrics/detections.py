"""How well detections agree with labelled boxes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torchvision.ops import nms

from swapnet_ros.evaluation.metrics.matching import Matches, corners
from swapnet_ros.evaluation.truth.frame import LabelledBox
from swapnet_ros.perception.tasks.object_detection import DetectionResult


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchCounts:
    """How many detections hit a labelled box; counts of several images add up.

    Attributes:
        true_positives: detections that hit a labelled box.
        false_positives: detections that hit none.
        false_negatives: labelled boxes that no detection hit.
    """

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    def __add__(self, other: MatchCounts) -> MatchCounts:
        return MatchCounts(
            true_positives=self.true_positives + other.true_positives,
            false_positives=self.false_positives + other.false_positives,
            false_negatives=self.false_negatives + other.false_negatives,
        )

    @property
    def precision(self) -> float:
        """Share of the detections that hit; 1 where there are none."""
        detected = self.true_positives + self.false_positives
        return self.true_positives / detected if detected else 1.0

    @property
    def recall(self) -> float:
        """Share of the labelled boxes that were hit; 1 where there are none."""
        labelled = self.true_positives + self.false_negatives
        return self.true_positives / labelled if labelled else 1.0


def merge_labels(
    result: DetectionResult, labels: Collection[str], *, merged: str, iou_threshold: float = 0.5
) -> DetectionResult:
    """Keep only some classes and count them as one.

    A truck that was also taken for a car is one vehicle: of the merged detections that overlap by
    more than the threshold, the one with the best score stays.

    Args:
        result: detections, best first.
        labels: classes to keep.
        merged: the one class that they become.
        iou_threshold: 0..1.

    Returns:
        The merged detections, best first.
    """
    chosen = [detection for detection in result.detections if detection.label in labels]
    scores = torch.tensor([detection.score for detection in chosen], dtype=torch.float64)
    kept = nms(torch.from_numpy(corners(chosen)), scores, iou_threshold).tolist()
    detections = tuple(replace(chosen[index], label=merged) for index in kept)
    return replace(result, detections=detections)


def count_matches(
    matches: Matches, labelled: Sequence[LabelledBox], *, min_score: float = 0.0
) -> MatchCounts:
    """Count what became of the detections of one class, at the first threshold.

    Args:
        matches: what `match_boxes` returned.
        labelled: the boxes that it was given.
        min_score: detections with a smaller one do not count.
    """
    is_sure = matches.scores >= min_score
    hits = int(np.count_nonzero(matches.hits[0] & is_sure))
    ignored = int(np.count_nonzero(matches.ignored[0] & is_sure))
    return MatchCounts(
        true_positives=hits,
        false_positives=int(np.count_nonzero(is_sure)) - hits - ignored,
        false_negatives=count_labelled(labelled) - hits,
    )


def count_labelled(labelled: Sequence[LabelledBox]) -> int:
    """How many boxes are to be found: those that are neither ignored nor crowds."""
    return sum(not (box.is_ignored or box.is_crowd) for box in labelled)
