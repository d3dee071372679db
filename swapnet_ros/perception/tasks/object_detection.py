"""Object detection: an image in, labelled boxes in the image's own pixels out."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from swapnet_ros.perception.errors import ThresholdError
from swapnet_ros.perception.models.detection import Candidates, DetectionNetwork
from swapnet_ros.perception.tasks.preprocessing import ImageGeometry, PreparedImage

MAX_CANDIDATES = 8192
"""The best-scored candidates that are looked at: keeps a threshold near 0 from taking seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """One object in an image.

    Attributes:
        class_id: index into the network's labels.
        label: the class's name.
        score: 0..1.
        x_min: left edge in pixels of the source image, 0 at its left border.
        y_min: upper edge in pixels of the source image, 0 at its upper border.
        x_max: right edge, at most the image's width.
        y_max: lower edge, at most the image's height.
    """

    class_id: int
    label: str
    score: float
    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionResult:
    """All objects found in one image, best score first.

    Attributes:
        detections: the objects.
        width: pixels of the source image.
        height: pixels of the source image.
    """

    detections: tuple[Detection, ...]
    width: int
    height: int


class ObjectDetection:
    """The two halves around a detection network: before it and after it.

    Threads: any thread may call any method; the object never changes.

    Args:
        network: the network that runs between `preprocess` and `decode`.
        class_ids: the classes that are looked for; None for all.
    """

    def __init__(
        self, network: DetectionNetwork, *, class_ids: Collection[int] | None = None
    ) -> None:
        self.network = network
        self._class_ids = None if class_ids is None else torch.tensor(sorted(class_ids))

    def preprocess(self, image: NDArray[np.uint8]) -> PreparedImage:
        """Turn an image into the network's inputs.

        Args:
            image: uint8 [H, W, 3], RGB, with any strides; it is not changed.

        Returns:
            The inputs, float32 in 0..1 on the CPU, and the geometry that `decode` needs.

        Raises:
            ImageError: the image has another type or shape, or no pixels.
        """
        return self.network.preprocess(image)

    def decode(
        self,
        outputs: Any,
        prepared: PreparedImage,
        *,
        score_threshold: float = 0.3,
        iou_threshold: float = 0.45,
        max_detections: int = 300,
    ) -> DetectionResult:
        """Turn the network's outputs into objects.

        Args:
            outputs: what the network returned for `prepared.inputs`.
            prepared: what `preprocess` returned.
            score_threshold: smallest score, 0..1.
            iou_threshold: of two boxes of one class that overlap by more, the better stays; 0..1.
            max_detections: the best ones that are returned.

        Returns:
            The objects, in pixels of the source image and within it.

        Raises:
            ThresholdError: a threshold is outside of 0..1, or `max_detections` below 1.
        """
        check_box_thresholds(score_threshold, iou_threshold, max_detections)
        candidates = _best(self._wanted(self.network.decode(outputs, score_threshold)))
        return best_detections(
            candidates,
            prepared.geometry,
            self.network.labels.__getitem__,
            iou_threshold=iou_threshold,
            max_detections=max_detections,
        )

    def _wanted(self, candidates: Candidates) -> Candidates:
        if self._class_ids is None:
            return candidates
        chosen = torch.isin(candidates.class_ids, self._class_ids)
        return Candidates(
            boxes=candidates.boxes[chosen],
            scores=candidates.scores[chosen],
            class_ids=candidates.class_ids[chosen],
        )


def best_detections(
    candidates: Candidates,
    geometry: ImageGeometry,
    label: Callable[[int], str],
    *,
    iou_threshold: float,
    max_detections: int,
) -> DetectionResult:
    """Leave out boxes that overlap better ones of their class; give the rest in source pixels.

    Args:
        candidates: what a network proposes.
        geometry: from the image to the network's pixels.
        label: the name of a class.
        iou_threshold: of two boxes of one class that overlap by more, the better stays; 0..1.
        max_detections: the best ones that are returned.

    Returns:
        The objects, in pixels of the source image and within it.
    """
    # its import takes seconds, and results are also made and drawn without networks
    from torchvision.ops import batched_nms

    kept = batched_nms(candidates.boxes, candidates.scores, candidates.class_ids, iou_threshold)
    boxes = geometry.clip(geometry.to_source(candidates.boxes[kept]))
    rows = zip(
        candidates.class_ids[kept].tolist(),
        candidates.scores[kept].tolist(),
        boxes.tolist(),
        strict=True,
    )
    detections = [
        Detection(
            class_id=class_id,
            label=label(class_id),
            score=score,
            x_min=x_min,
            y_min=y_min,
            x_max=x_max,
            y_max=y_max,
        )
        for class_id, score, (x_min, y_min, x_max, y_max) in rows
        if x_max > x_min and y_max > y_min
    ]
    return DetectionResult(
        detections=tuple(detections[:max_detections]),
        width=geometry.source_width,
        height=geometry.source_height,
    )


def _best(candidates: Candidates) -> Candidates:
    """The `MAX_CANDIDATES` candidates with the highest scores."""
    if len(candidates.scores) <= MAX_CANDIDATES:
        return candidates
    best = candidates.scores.topk(MAX_CANDIDATES).indices
    return Candidates(
        boxes=candidates.boxes[best],
        scores=candidates.scores[best],
        class_ids=candidates.class_ids[best],
    )


def check_box_thresholds(score_threshold: float, iou_threshold: float, max_detections: int) -> None:
    """Make sure that thresholds of boxes are possible.

    Raises:
        ThresholdError: one is outside of 0..1, or `max_detections` below 1.
    """
    for name, value in (("score_threshold", score_threshold), ("iou_threshold", iou_threshold)):
        if not 0 <= value <= 1:
            raise ThresholdError(f"{name} must lie in 0..1, but is {value}")
    if max_detections < 1:
        raise ThresholdError(f"max_detections must be at least 1, but is {max_detections}")
