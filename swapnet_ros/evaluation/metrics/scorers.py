"""The scorer of each task's results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from swapnet_ros.evaluation.metrics.box_scorer import BoxScorer
from swapnet_ros.evaluation.metrics.class_scorer import ClassScorer
from swapnet_ros.evaluation.metrics.label_map import LabelMap
from swapnet_ros.evaluation.metrics.lane_scorer import LaneScorer
from swapnet_ros.evaluation.metrics.mask_scorer import MaskScorer
from swapnet_ros.evaluation.task_results import TaskOutput
from swapnet_ros.evaluation.truth.frame import TruthFrame

_BOXES = ("object_detection", "fire_detection", "wild_animal_recognition")
_CLASSES = (
    "traffic_sign_classification",
    "traffic_light_classification",
    "natural_scene_classification",
)


class Scorer(Protocol):
    """Compares the results of one task with labels, frame by frame. Use from one thread."""

    def add(self, result: TaskOutput, truth: TruthFrame) -> bool:
        """Take one frame; False, and nothing else, where it is not labelled for this task."""

    def summary(self) -> dict[str, Any]:
        """The figures, for JSON; None where there is nothing to make one of."""

    def state(self) -> dict[str, Any]:
        """What was added, for JSON; settings are the caller's."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; what was added before is lost."""


def make_scorer(
    task: str,
    network_labels: Sequence[str],
    label_map: LabelMap | None = None,
    *,
    min_score: float = 0.3,
) -> Scorer:
    """Make the scorer of a task.

    Args:
        task: its name, such as `object_detection`.
        network_labels: names of all classes that the network knows; none for lanes.
        label_map: which names mean the same to the network and to the labels.
        min_score: of boxes: smallest score that precision and recall count.

    Raises:
        ValueError: there is no such task.
    """
    if task in _BOXES:
        return BoxScorer(network_labels, label_map, min_score=min_score)
    if task in _CLASSES:
        return ClassScorer(network_labels, label_map)
    if task == "semantic_segmentation":
        return MaskScorer(network_labels, label_map)
    if task == "lane_detection":
        return LaneScorer()
    raise ValueError(f"there is no task '{task}'")
