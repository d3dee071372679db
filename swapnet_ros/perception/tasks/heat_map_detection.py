"""Detection with a classifier: its class maps tell where it sees what it says."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from swapnet_ros.perception.models.classification import HeatMapNetwork
from swapnet_ros.perception.models.detection import Candidates
from swapnet_ros.perception.tasks.object_detection import (
    DetectionResult,
    best_detections,
    check_box_thresholds,
)
from swapnet_ros.perception.tasks.preprocessing import PreparedImage

HEAT_THRESHOLD = 0.125
"""Part of the hottest place's heat from which on a place belongs to a box.

Zhou et al. take 0.2. On the evaluation data's 18 lions, with SqueezeNet, the first box has a mean
IoU of 0.64 at 0.2 and of 0.68 at 0.125, and 16 instead of 13 of them have one above 0.5.
"""

_MOST_CLASSES = 5


class HeatMapDetection:
    """The two halves around a classification network that tells where.

    Threads: any thread may call any method; the object never changes.

    Args:
        network: the network that runs between `preprocess` and `decode`.
        class_ids: the classes that are looked for; None for all.
    """

    def __init__(
        self, network: HeatMapNetwork, *, class_ids: Collection[int] | None = None
    ) -> None:
        self.network = network
        self._class_ids = None if class_ids is None else frozenset(class_ids)

    def preprocess(self, image: NDArray[np.uint8]) -> PreparedImage:
        """Turn an image into the network's inputs.

        Args:
            image: uint8 [H, W, 3], RGB, with any strides; it is not changed.

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
        """Turn the network's outputs into boxes around what is hot in its maps.

        A box's score is its class's probability, times the box's greatest heat by the map's.

        Args:
            outputs: what the network returned for `prepared.inputs`.
            prepared: what `preprocess` returned.
            score_threshold: smallest score, 0..1.
            iou_threshold: of two boxes of one class that overlap by more, the better stays; 0..1.
            max_detections: the best ones that are returned.

        Returns:
            The boxes, in pixels of the source image and within it; none for images of which the
            network says nothing with enough confidence.

        Raises:
            ThresholdError: a threshold is outside of 0..1, or `max_detections` below 1.
            NetworkOutputError: the outputs are no scores and maps.

        Source:
            Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016.
        """
        check_box_thresholds(score_threshold, iou_threshold, max_detections)
        scores, maps = self.network.decode(outputs)
        size = tuple(prepared.inputs[0].shape[-2:])
        found = [
            (class_id, score, box)
            for class_id in self._likely(scores, score_threshold)
            for score, box in _hot_boxes(_heat(maps[class_id], size), float(scores[class_id]))
            if score >= score_threshold
        ]
        return best_detections(
            _candidates(found),
            prepared.geometry,
            self.network.label,
            iou_threshold=iou_threshold,
            max_detections=max_detections,
        )

    def _likely(self, scores: Tensor, score_threshold: float) -> list[int]:
        best = scores.argsort(descending=True).tolist()
        wanted = [c for c in best if self._class_ids is None or c in self._class_ids]
        return [c for c in wanted[:_MOST_CLASSES] if scores[c] >= score_threshold]


def _candidates(found: list[tuple[int, float, list[float]]]) -> Candidates:
    """Classes, scores and boxes in network pixels, as detectors propose them."""
    return Candidates(
        boxes=torch.tensor([box for _, _, box in found]).reshape(-1, 4),
        scores=torch.tensor([score for _, score, _ in found]),
        class_ids=torch.tensor([class_id for class_id, _, _ in found], dtype=torch.int64),
    )


def _heat(class_map: Tensor, size: tuple[int, ...]) -> NDArray[np.float32]:
    """A class's map at the size of the network's input, 0 where it is coldest, 1 where hottest."""
    spread = functional.interpolate(
        class_map[None, None], size=size, mode="bilinear", align_corners=False
    )[0, 0]
    low, high = spread.min(), spread.max()
    heat: NDArray[np.float32] = ((spread - low) / (high - low).clamp(min=1e-12)).numpy()
    return heat


def _hot_boxes(heat: NDArray[np.float32], score: float) -> list[tuple[float, list[float]]]:
    """Boxes around connected hot places, with their scores; x_min, y_min, x_max, y_max."""
    hot = (heat >= HEAT_THRESHOLD).astype(np.uint8)
    count, places, statistics, _ = cv2.connectedComponentsWithStats(hot)
    boxes = []
    for number in range(1, count):
        left, top, width, height, _ = (int(value) for value in statistics[number])
        inside = places[top : top + height, left : left + width] == number
        peak = float(heat[top : top + height, left : left + width][inside].max())
        box = [float(left), float(top), float(left + width), float(top + height)]
        boxes.append((score * peak, box))
    return boxes
