"""From the raw outputs of YOLO heads to candidate boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from swapnet_ros.perception.models.darknet.layers import Shape, YoloHead
from swapnet_ros.perception.models.detection import Candidates

_LARGEST_SIZE_LOGIT = 10.0
"""exp(10) is 22026 anchors: wider than any image, and far from overflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloDecoder:
    """Decodes all heads of one network.

    Attributes:
        heads: in the order of the network's outputs.
        input_shape: of the network.
    """

    heads: tuple[YoloHead, ...]
    input_shape: Shape

    def __call__(self, outputs: Sequence[Tensor], score_threshold: float) -> Candidates:
        """Find the boxes whose score is above a threshold.

        A cell gives one candidate for each class whose probability times the objectness is above
        the threshold, as in Darknet. Everything but the comparison of the objectness happens on
        the cells that pass it.

        Args:
            outputs: for each head float32 [1, anchors * (5 + classes), H, W].
            score_threshold: 0..1.

        Returns:
            The candidates in network pixels, not clipped, in no particular order.

        Source:
            AlexeyAB/darknet, src/yolo_layer.c `forward_yolo_layer`, `get_yolo_box` and
            `get_yolo_detections`.
        """
        found = [
            self._decode_head(head, output, score_threshold)
            for head, output in zip(self.heads, outputs, strict=True)
        ]
        return Candidates(
            boxes=torch.cat([candidates.boxes for candidates in found]),
            scores=torch.cat([candidates.scores for candidates in found]),
            class_ids=torch.cat([candidates.class_ids for candidates in found]),
        )

    def _decode_head(self, head: YoloHead, output: Tensor, score_threshold: float) -> Candidates:
        rows, columns = output.shape[-2:]
        raw = output.reshape(len(head.anchors), 5 + head.classes, rows * columns)
        smallest = score_threshold if head.has_new_coords else _logit(score_threshold)
        anchor, cell = (raw[:, 4] > smallest).nonzero(as_tuple=True)
        values = raw[anchor, :, cell]
        confidences = values[:, 4:] if head.has_new_coords else values[:, 4:].sigmoid()
        scores = confidences[:, :1] * confidences[:, 1:]
        chosen, class_ids = (scores > score_threshold).nonzero(as_tuple=True)
        centres, sizes = _centres_and_sizes(head, values[:, :4])
        cells = torch.stack((cell % columns, cell // columns), dim=1)
        pixels = centres.new_tensor((self.input_shape.width, self.input_shape.height))
        centres = (centres + cells) * (pixels / pixels.new_tensor((columns, rows)))
        sizes = sizes * sizes.new_tensor(head.anchors)[anchor]
        boxes = torch.cat((centres - sizes / 2, centres + sizes / 2), dim=1)
        return Candidates(
            boxes=boxes[chosen], scores=scores[chosen, class_ids], class_ids=class_ids
        )


def _centres_and_sizes(head: YoloHead, values: Tensor) -> tuple[Tensor, Tensor]:
    """Centres relative to the cell's corner in cells, sizes in anchors; both [K, 2]."""
    if head.has_new_coords:
        centres, sizes = values[:, :2], 4 * values[:, 2:].square()
    else:
        centres = values[:, :2].sigmoid()
        sizes = values[:, 2:].clamp(max=_LARGEST_SIZE_LOGIT).exp()
    return centres * head.scale_x_y - 0.5 * (head.scale_x_y - 1), sizes


def _logit(probability: float) -> float:
    """The number whose sigmoid is `probability`; infinite at 0 and 1."""
    if probability <= 0:
        return -math.inf
    return math.inf if probability >= 1 else math.log(probability / (1 - probability))
