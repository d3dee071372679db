"""A user's own detection network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from swapnet_ros.perception.errors import NetworkOutputError, OwnNetworkError
from swapnet_ros.perception.models.detection import Candidates, DetectionNetwork
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.labels import read_labels
from swapnet_ros.perception.models.own_network import own_network

_KEYS = ("boxes", "scores", "labels")


def own_detection_network(
    network: str,
    *,
    weights: Path | None = None,
    labels: Path | None = None,
    default_labels: Sequence[str] | None = None,
    changes: InputChanges | None = None,
) -> DetectionNetwork:
    """Find a user's own detection network.

    Args:
        network: `package.module:factory`, or path of a `.pt2` file; see `own_network`. It returns
            what torchvision's detection networks return for one image: a dict, or a list with one,
            of `boxes` [N, 4] (x_min, y_min, x_max, y_max in pixels of its input), `scores` [N] and
            `labels` [N] (class ids).
        weights: as for `own_network`.
        labels: class names, one per line; None for those that the network declares.
        default_labels: the names where neither has any.
        changes: preprocessing that goes before what the network declares.

    Raises:
        OwnNetworkError: it cannot be found or read, or has no labels.
        PreprocessingError: the preprocessing is not possible.
        WeightsError: the weights file cannot be opened.
        LabelsError: the labels file cannot be read.
    """
    own = own_network(network, weights=weights, changes=changes)
    names = read_labels(labels) if labels is not None else own.labels or tuple(default_labels or ())
    if not names:
        raise OwnNetworkError(
            f"network {network} declares no labels; set the parameter labels to a file, or give "
            "the module an attribute labels"
        )
    return DetectionNetwork(
        **own.facts(labels=names),
        decode=BoxDecoder(network=own.name, classes=len(names)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxDecoder:
    """Reads boxes, scores and labels out of a user's network's outputs.

    Attributes:
        network: its name, for messages.
        classes: how many it may tell.
    """

    network: str
    classes: int

    def __call__(self, outputs: Any, score_threshold: float) -> Candidates:
        """Take the boxes above a threshold; see `own_detection_network` for the outputs.

        Raises:
            NetworkOutputError: the outputs are something else, or a label has no name.
        """
        found = outputs[0] if isinstance(outputs, (list, tuple)) and outputs else outputs
        if not isinstance(found, dict) or not all(isinstance(found.get(k), Tensor) for k in _KEYS):
            raise NetworkOutputError(
                f"{self.network} must return a dict of tensors {', '.join(_KEYS)}, not "
                f"{type(found).__name__}"
            )
        boxes, scores, class_ids = (found[key] for key in _KEYS)
        if boxes.ndim != 2 or boxes.shape != (len(scores), 4) or len(class_ids) != len(scores):
            shapes = ", ".join(f"{key} {list(found[key].shape)}" for key in _KEYS)
            raise NetworkOutputError(f"{self.network} returned {shapes}; not one row per box")
        chosen = scores > score_threshold
        class_ids = class_ids[chosen].long()
        if len(class_ids) and not 0 <= int(class_ids.min()) <= int(class_ids.max()) < self.classes:
            raise NetworkOutputError(
                f"{self.network} returned class {int(class_ids.max())}, but there are "
                f"{self.classes} labels"
            )
        return Candidates(
            boxes=boxes[chosen].float(), scores=scores[chosen].float(), class_ids=class_ids
        )
