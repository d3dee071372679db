"""Mistakes in what a task node's parameters say of its network, told by file, line and key.

No rclpy in here: `swapnet plan` tells them in the same words.

[Note: which mistakes end the start]
A name that no network goes by is a mistake in the file whatever the computer has, and is told
before any network loads, as an unknown key is. Files that are missing, weights of another network
and code of a user that fails may be put right while the process runs: they leave their own node
unconfigured, and `configure` tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from swapnet_core.errors import NetworkError, SwapNetError, WeightsMismatchError
from swapnet_ros.nodes.errors import ParameterSourceError
from swapnet_ros.nodes.task_networks import TASK_NETWORKS
from swapnet_ros.perception.errors import (
    InputSizeError,
    LabelsError,
    PerceptionError,
    UnknownNetworkError,
    WeightsError,
)
from swapnet_ros.perception.models.catalogue import detection_network_names
from swapnet_ros.perception.models.classification import classification_network_names
from swapnet_ros.perception.models.lane_catalogue import lane_network_names
from swapnet_ros.perception.models.own_network import is_own_network
from swapnet_ros.perception.models.segmentation import segmentation_network_names

# The parameter that an error is about; of an error's classes the first one here decides.
_TO_BLAME: Mapping[type[SwapNetError], str] = {
    InputSizeError: "input_size",
    LabelsError: "labels",
    WeightsError: "weights",
    WeightsMismatchError: "weights",
    PerceptionError: "network",
    NetworkError: "network",
}


def _finder_names() -> tuple[str, ...]:
    return (*detection_network_names(), *classification_network_names())


_NAMES: Mapping[str, Callable[[], Collection[str]]] = {
    "object_detection": detection_network_names,
    "lane_detection": lane_network_names,
    "semantic_segmentation": segmentation_network_names,
    "traffic_sign_classification": classification_network_names,
    "traffic_light_classification": classification_network_names,
    "natural_scene_classification": classification_network_names,
    "fire_detection": _finder_names,
    "wild_animal_recognition": _finder_names,
}


def unknown_network(task: str, values: Mapping[str, Any]) -> str | None:
    """Say why there is no network of the name that a task is given; None where there may be one.

    Args:
        task: the task.
        values: the parameters of its node.
    """
    network = values["network"]
    if is_own_network(network) or network in _NAMES[task]():
        return None  # found when the node is configured; to build it here would take seconds
    try:
        TASK_NETWORKS[task](values)
    except UnknownNetworkError as error:
        return str(error)
    except SwapNetError:
        return None  # told when the node is configured: see the note
    return None


@contextmanager
def told_by_place(place_of: Callable[[str], str]) -> Iterator[None]:
    """Let errors about a network and its files say which parameter is meant, and where it stands.

    Args:
        place_of: gives the place of a parameter by its name.

    Raises:
        ParameterSourceError: in place of errors that some parameter is to blame for.
    """
    try:
        yield
    except SwapNetError as error:
        key = next((key for kind, key in _TO_BLAME.items() if isinstance(error, kind)), None)
        if key is None:
            raise
        raise ParameterSourceError((f"{place_of(key)}: {key}: {error}",)) from error
