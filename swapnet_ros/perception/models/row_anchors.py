"""From the logits of Ultra Fast Lane Detection to points in its input image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from swapnet_ros.perception.errors import NetworkOutputError
from swapnet_ros.perception.models.lanes import LaneCandidate, LaneCandidates


@dataclass(frozen=True, slots=True, kw_only=True)
class RowAnchorDecoder:
    """Turns the choices of columns, one for each lane and row, into lines.

    A row holds a point of a lane where "no lane" is not the likeliest choice. The point lies at the
    cells' mean, weighted by their softmax without "no lane", so that it is finer than the cells.

    Attributes:
        row_anchors: pixel rows of the network's input, from far to near.
        columns: cells across the input; one more choice stands for "no lane in this row".
        input_width: pixels.

    Source:
        Qin, Wang, Li: Ultra Fast Structure-aware Deep Lane Detection, ECCV 2020, equations 5 and 6;
        the width of a cell, `input_width / (columns - 1)`, and a point's place at its centre are
        those of the reference implementation (evaluation/eval_wrapper.py).
    """

    row_anchors: tuple[int, ...]
    columns: int
    input_width: int

    def __call__(self, logits: Tensor, score_threshold: float) -> LaneCandidates:
        """Find the lines.

        Args:
            logits: float [1, columns + 1, rows, lanes], on any device; the last choice is "no
                lane". Values that are not finite stand for "no lane".
            score_threshold: smallest probability that there is a lane in a row, 0..1. Up to 0.5 it
                changes nothing: "no lane" is the likeliest choice there in any case.

        Returns:
            The lanes that have a point; a score is the mean over the points of the probability
            that there is a lane.

        Raises:
            NetworkOutputError: the logits have another shape.
        """
        choices = self._checked(logits)[0].float()
        presence = 1.0 - choices.softmax(0)[-1]
        cells = torch.arange(self.columns, dtype=torch.float32, device=choices.device)
        column = (choices[:-1].softmax(0) * cells[:, None, None]).sum(0)
        x = (column + 0.5) * self.input_width / (self.columns - 1)
        is_lane = (choices.argmax(0) != self.columns) & (presence >= score_threshold)
        is_lane &= torch.isfinite(choices).all(0)
        return LaneCandidates(lanes=self._lines(x, presence, is_lane))

    def _lines(self, x: Tensor, presence: Tensor, is_lane: Tensor) -> tuple[LaneCandidate, ...]:
        """Lines from float [rows, lanes], the rows from far to near."""
        columns, scores, found = (values.cpu().numpy() for values in (x, presence, is_lane))
        anchors = np.asarray(self.row_anchors, dtype=np.float32)
        lines = []
        for lane in np.flatnonzero(found.any(0)):
            rows = np.flatnonzero(found[:, lane])[::-1]
            points = np.stack([columns[rows, lane], anchors[rows]], axis=1)
            lines.append(LaneCandidate(points=points, score=float(scores[rows, lane].mean())))
        return tuple(lines)

    def _checked(self, logits: object) -> Tensor:
        shape = (1, self.columns + 1, len(self.row_anchors))
        if isinstance(logits, Tensor) and logits.ndim == 4 and logits.shape[:3] == shape:
            return logits
        found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        expected = ", ".join(map(str, shape))
        raise NetworkOutputError(
            f"the lane network gave {found} instead of logits [{expected}, lanes]; weights and "
            "grid (TuSimple, CULane) must belong together"
        )
