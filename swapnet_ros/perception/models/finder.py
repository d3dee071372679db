"""Networks that tell what there is and where: detectors, or classifiers with class maps."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from swapnet_ros.perception.errors import OwnNetworkError, PreprocessingError, UnknownNetworkError
from swapnet_ros.perception.models.catalogue import detection_network
from swapnet_ros.perception.models.classification import (
    HeatMapNetwork,
    classification_network_names,
    heat_map_network,
)
from swapnet_ros.perception.models.detection import DetectionNetwork
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.own_detection import own_detection_network
from swapnet_ros.perception.models.own_network import is_own_network, own_network

BOXES, LOGITS = "boxes", "logits"


def finder_network(
    network: str,
    *,
    weights: Path | None = None,
    labels: Path | None = None,
    default_labels: Sequence[str] | None = None,
    changes: InputChanges | None = None,
    seed: int = 0,
) -> DetectionNetwork | HeatMapNetwork:
    """Find a detector, or a classifier that tells where.

    Args:
        network: a name or path as for `detection_network`, or a name as for `heat_map_network`; or
            a user's own, whose attribute `outputs` says which of the two it is: `boxes` (a
            detector, also without the attribute) or `logits` (a classifier).
        weights: as for these.
        labels: as for these.
        default_labels: class names of classifiers and users' networks where nothing else tells
            them; detectors by name have their own.
        changes: preprocessing; of detectors by name only the size can be changed.
        seed: chooses random weights.

    Raises:
        UnknownNetworkError: there is no such network.
        PerceptionError: as for `detection_network` and `heat_map_network`.
    """
    changes = changes or InputChanges()
    if is_own_network(network):
        outputs = own_network(network, weights=weights, changes=changes).outputs or BOXES
        if outputs not in (BOXES, LOGITS):
            raise OwnNetworkError(f"outputs of {network} is '{outputs}', not {BOXES} or {LOGITS}")
        if outputs == BOXES:
            return own_detection_network(
                network,
                weights=weights,
                labels=labels,
                default_labels=default_labels,
                changes=changes,
            )
    elif network not in classification_network_names():
        return _detector(network, weights, labels, changes, seed)
    return heat_map_network(
        network,
        weights=weights,
        labels=labels,
        default_labels=default_labels,
        changes=changes,
        seed=seed,
    )


def detector_network(
    network: str,
    *,
    weights: Path | None = None,
    labels: Path | None = None,
    changes: InputChanges | None = None,
    seed: int = 0,
) -> DetectionNetwork:
    """Find a detector; its preprocessing can be changed where it is a user's own.

    Args:
        network: as for `detection_network`, as are the others.
        weights: see there.
        labels: see there.
        changes: preprocessing; of detectors by name only the size can be changed.
        seed: chooses random weights.

    Raises:
        PreprocessingError: more than the size should be changed.
        PerceptionError: as for `detection_network`.
    """
    changes = changes or InputChanges()
    if is_own_network(network):
        return own_detection_network(network, weights=weights, labels=labels, changes=changes)
    if changes != InputChanges(size=changes.size):
        raise PreprocessingError(
            f"{network} is a detection network and prepares its images in its own way; only "
            "input_size can be set"
        )
    return detection_network(
        network, weights=weights, labels=labels, input_size=changes.size, seed=seed
    )


def _detector(
    network: str, weights: Path | None, labels: Path | None, changes: InputChanges, seed: int
) -> DetectionNetwork:
    try:
        return detector_network(network, weights=weights, labels=labels, changes=changes, seed=seed)
    except UnknownNetworkError as error:
        close = difflib.get_close_matches(network, classification_network_names(), n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise UnknownNetworkError(
            f"{error} One of torchvision's classification networks will do as well, such as "
            f"resnet101 or wide_resnet101_2.{hint}"
        ) from error
