"""The networks of the tasks: which one a task has of its own, and how another one is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from swapnet_ros.perception.errors import LabelsError
from swapnet_ros.perception.models.classification import (
    ClassificationNetwork,
    HeatMapNetwork,
    classification_network,
)
from swapnet_ros.perception.models.detection import DetectionNetwork
from swapnet_ros.perception.models.finder import detector_network, finder_network
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.lane_catalogue import lane_network
from swapnet_ros.perception.models.lanes import LaneNetwork
from swapnet_ros.perception.models.segmentation import SegmentationNetwork, segmentation_network
from swapnet_ros.perception.models.task_classes import (
    FIRE,
    NATURAL_SCENES,
    ROAD_SCENE,
    TRAFFIC_LIGHTS,
    TRAFFIC_SIGNS,
)

TaskNetwork = (
    DetectionNetwork | SegmentationNetwork | ClassificationNetwork | HeatMapNetwork | LaneNetwork
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDefaults:
    """What a task has where nothing is said.

    Attributes:
        network: the name of its network.
        labels: its class names; empty where the network's own are meant.
        find: finds a network for it.
    """

    network: str
    labels: tuple[str, ...]
    find: Callable[..., TaskNetwork]


def _lane_network(
    network: str,
    *,
    weights: Path | None,
    labels: Path | None,
    changes: InputChanges | None,
    seed: int,
) -> LaneNetwork:
    if labels is not None:
        message = f"lane network {network} has no classes; leave labels file {labels} out"
        raise LabelsError(message, path=labels)
    return lane_network(network, weights=weights, changes=changes, seed=seed)


TASK_DEFAULTS = MappingProxyType(
    {
        "lane_detection": TaskDefaults(network="ufld_resnet34", labels=(), find=_lane_network),
        "object_detection": TaskDefaults(network="yolov3", labels=(), find=detector_network),
        "semantic_segmentation": TaskDefaults(
            network="deeplabv3_resnet101", labels=ROAD_SCENE, find=segmentation_network
        ),
        "traffic_sign_classification": TaskDefaults(
            network="resnet101", labels=TRAFFIC_SIGNS, find=classification_network
        ),
        "traffic_light_classification": TaskDefaults(
            network="resnet101", labels=TRAFFIC_LIGHTS, find=classification_network
        ),
        "natural_scene_classification": TaskDefaults(
            network="resnet152", labels=NATURAL_SCENES, find=classification_network
        ),
        "fire_detection": TaskDefaults(
            network="wide_resnet101_2", labels=FIRE, find=finder_network
        ),
        "wild_animal_recognition": TaskDefaults(
            network="regnet_y_32gf", labels=(), find=finder_network
        ),
    }
)


def task_names() -> tuple[str, ...]:
    """The tasks that `open_task_network` knows."""
    return tuple(TASK_DEFAULTS)


def open_task_network(
    task: str,
    network: str = "",
    *,
    weights: Path | None = None,
    labels: Path | None = None,
    changes: InputChanges | None = None,
    seed: int = 0,
) -> TaskNetwork:
    """Find a task's network; nothing is loaded but its definition.

    Args:
        task: one of `task_names()`.
        network: as `detector_network`, `lane_network`, `segmentation_network`,
            `classification_network` or `finder_network` takes it; empty for the task's own.
        weights: see there.
        labels: class names, one per line; None for the task's, or the network's own.
        changes: preprocessing that differs from the network's own.
        seed: chooses random weights.

    Raises:
        PerceptionError: there is no such network, or its files or preprocessing cannot be used.
        NetworkError: a user's factory fails.
    """
    defaults = TASK_DEFAULTS[task]
    named = {"default_labels": defaults.labels} if defaults.labels else {}
    return defaults.find(
        network or defaults.network,
        weights=weights,
        labels=labels,
        changes=changes,
        seed=seed,
        **named,
    )
