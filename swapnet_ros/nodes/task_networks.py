"""The network that a task node's parameters name. No rclpy: `swapnet plan` reads it, too."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from swapnet_ros.perception.models.catalogue import DetectionNetwork, detection_network
from swapnet_ros.perception.models.classification import classification_network
from swapnet_ros.perception.models.finder import finder_network
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.lane_catalogue import lane_network
from swapnet_ros.perception.models.lanes import LaneNetwork
from swapnet_ros.perception.models.segmentation import segmentation_network
from swapnet_ros.perception.models.task_classes import (
    FIRE,
    NATURAL_SCENES,
    ROAD_SCENE,
    TRAFFIC_LIGHTS,
    TRAFFIC_SIGNS,
)

LabelledNetwork = TypeVar("LabelledNetwork")

OWN = "own"
"""Parameters of this value leave to the network how images are prepared."""


def open_detection_network(values: Mapping[str, Any]) -> DetectionNetwork:
    """Find a detection network by the parameters of an `object_detection` node.

    Raises:
        SwapNetError: there is no such network, or its files cannot be used.
    """
    return detection_network(
        os.path.expanduser(values["network"]),
        weights=_path(values["weights"]),
        labels=_path(values["labels"]),
        input_size=_size(values["input_size"]),
    )


def open_lane_network(values: Mapping[str, Any]) -> LaneNetwork:
    """Find a lane network by the parameters of a `lane_detection` node.

    Raises:
        SwapNetError: there is no such network, or its files cannot be used.
    """
    outputs = values["outputs"]
    return lane_network(
        os.path.expanduser(values["network"]),
        weights=_path(values["weights"]),
        outputs=None if outputs == OWN else outputs,
        changes=_changes(values),
    )


def _open_labelled_network(
    find: Callable[..., LabelledNetwork],
    values: Mapping[str, Any],
    *,
    default_labels: Sequence[str] | None = None,
) -> LabelledNetwork:
    """Find a network by the parameters of a node whose preprocessing and labels can be set.

    Args:
        find: `classification_network`, `segmentation_network` or `finder_network`.
        values: the parameters.
        default_labels: class names where nothing else tells them; None for those that `find`
            takes then.

    Raises:
        SwapNetError: there is no such network, or its files cannot be used.
    """
    return find(
        os.path.expanduser(values["network"]),
        weights=_path(values["weights"]),
        labels=_path(values["labels"]),
        default_labels=default_labels,
        changes=_changes(values),
    )


TASK_NETWORKS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "object_detection": open_detection_network,
    "lane_detection": open_lane_network,
    "semantic_segmentation": partial(
        _open_labelled_network, segmentation_network, default_labels=ROAD_SCENE
    ),
    "traffic_sign_classification": partial(
        _open_labelled_network, classification_network, default_labels=TRAFFIC_SIGNS
    ),
    "traffic_light_classification": partial(
        _open_labelled_network, classification_network, default_labels=TRAFFIC_LIGHTS
    ),
    "natural_scene_classification": partial(
        _open_labelled_network, classification_network, default_labels=NATURAL_SCENES
    ),
    "fire_detection": partial(_open_labelled_network, finder_network, default_labels=FIRE),
    "wild_animal_recognition": partial(_open_labelled_network, finder_network),
}
"""For every task: from a node's parameters to its network, with `name`, `build`,
`example_inputs` and `weights` as `SwapRuntime.load` takes them."""


def _size(pixels: Sequence[int]) -> tuple[int, int] | None:
    """Height and width of `[side]` or `[height, width]`; None of nothing."""
    return (pixels[0], pixels[-1]) if pixels else None


def _changes(values: Mapping[str, Any]) -> InputChanges:
    """The preprocessing that parameters set; what they leave is the network's own."""
    fit, channels = values["input_fit"], values["input_channels"]
    return InputChanges(
        size=_size(values["input_size"]),
        fit=None if fit == OWN else fit,
        crop_share=values["input_crop_share"] or None,
        channel_order=None if channels == OWN else channels,
        scale=values["input_scale"] or None,
        mean=tuple(values["input_mean"]) or None,
        std=tuple(values["input_std"]) or None,
    )


def _path(text: str) -> Path | None:
    return Path(text).expanduser() if text else None
