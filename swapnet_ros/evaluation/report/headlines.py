"""The one figure that stands for a task's accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swapnet_ros.evaluation.report.quantities import number

# in the order of preference: a lane network has an accuracy, too
_HEADLINES = {
    "map_50": "mAP at 0.5",
    "miou": "mIoU",
    "top_1": "top-1",
    "ego_lane_iou": "IoU of the camera's lane",
    "accuracy": "TuSimple accuracy",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """A figure and what it is called."""

    name: str
    value: str


def accuracy_headline(figures: Mapping[str, Any]) -> Headline | None:
    """Choose a task's headline; None where there was nothing to make a figure of."""
    for key, name in _HEADLINES.items():
        if figures.get(key) is not None:
            return Headline(name=name, value=number(figures[key]))
    return None
