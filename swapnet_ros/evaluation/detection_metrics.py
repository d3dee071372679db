"""How well detections agree with labelled boxes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision.ops import box_iou, nms

from swapnet_ros.perception.errors import LabelsError
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledBox:
    """One object that a person has marked, in pixels of the image."""

    label: str
    x_min: float
    y_min: float
    x_max: float
    y_max: float


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


def read_yolo_labels(
    path: Path, *, names: Sequence[str], width: int, height: int
) -> tuple[LabelledBox, ...]:
    """Read one image's boxes from a YOLO text file.

    Args:
        path: lines of `class x y width height`, centre and size as shares of the image's.
        names: class names by the file's class numbers.
        width: pixels of the image.
        height: pixels of the image.

    Returns:
        The boxes in the order of the file; an empty file has none.

    Raises:
        LabelsError: the file cannot be read, or a line is not of that form; the message names it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"labels file {path} cannot be read: {error}", path=path) from error
    boxes = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            class_id, *shares = line.split()
            x, y, w, h = (float(share) for share in shares)
            label = names[_class_number(class_id, len(names))]
        except ValueError as error:
            message = f"{path}:{number}: '{line}' is not 'class x y width height': {error}"
            raise LabelsError(message, path=path) from error
        boxes.append(
            LabelledBox(
                label=label,
                x_min=(x - w / 2) * width,
                y_min=(y - h / 2) * height,
                x_max=(x + w / 2) * width,
                y_max=(y + h / 2) * height,
            )
        )
    return tuple(boxes)


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
    kept = nms(_corners(chosen), scores, iou_threshold).tolist()
    detections = tuple(replace(chosen[index], label=merged) for index in kept)
    return replace(result, detections=detections)


def match_detections(
    detections: Sequence[Detection],
    labelled: Sequence[LabelledBox],
    *,
    iou_threshold: float = 0.5,
) -> MatchCounts:
    """Match one image's detections with its labelled boxes of the same class.

    In order of falling score, each detection takes the box it overlaps most among those that are
    left and that it overlaps by at least the threshold; a box is hit once.

    Args:
        detections: in any order.
        labelled: in any order.
        iou_threshold: 0..1.

    Returns:
        The counts.

    Source:
        Everingham et al., The PASCAL Visual Object Classes Challenge, IJCV 2010, section 4.2; but a
        detection whose best box is taken may have the next one, as in COCO's evaluation.
    """
    ordered = sorted(detections, key=lambda detection: -detection.score)
    overlaps = box_iou(_corners(ordered), _corners(labelled))
    free = torch.tensor(
        [[one.label == other.label for other in labelled] for one in ordered], dtype=torch.bool
    ).reshape(overlaps.shape)
    hits = 0
    for row in range(len(ordered)):
        candidates = overlaps[row].masked_fill(~free[row], -1.0)
        if not len(labelled) or candidates.max() < iou_threshold:
            continue
        free[:, candidates.argmax()] = False
        hits += 1
    return MatchCounts(
        true_positives=hits,
        false_positives=len(ordered) - hits,
        false_negatives=len(labelled) - hits,
    )


def _class_number(text: str, count: int) -> int:
    number = int(text)
    if not 0 <= number < count:
        raise ValueError(f"there are only {count} classes")
    return number


def _corners(boxes: Sequence[Detection] | Sequence[LabelledBox]) -> Tensor:
    """Float64 [N, 4] as x_min, y_min, x_max, y_max."""
    rows = [(box.x_min, box.y_min, box.x_max, box.y_max) for box in boxes]
    return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), 4)
