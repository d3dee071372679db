"""The network that a task node's parameters name. No rclpy: `swapnet plan` reads it, too."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from swapnet_ros.perception.models.catalogue import DetectionNetwork, detection_network
from swapnet_ros.perception.models.classification import (
    ClassificationNetwork,
    classification_network,
)
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.lane_catalogue import lane_network
from swapnet_ros.perception.models.lanes import LaneNetwork
from swapnet_ros.perception.models.segmentation import (
    SegmentationNetwork,
    segmentation_network,
)

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
    return lane_network(values["network"], weights=_path(values["weights"]))


def open_segmentation_network(values: Mapping[str, Any]) -> SegmentationNetwork:
    """Find a segmentation network by the parameters of a `semantic_segmentation` node.

    Raises:
        SwapNetError: there is no such network, or its files cannot be used.
    """
    return segmentation_network(
        os.path.expanduser(values["network"]),
        weights=_path(values["weights"]),
        labels=_path(values["labels"]),
        changes=_changes(values),
    )


def open_classification_network(values: Mapping[str, Any]) -> ClassificationNetwork:
    """Find a classification network by the parameters of a classification node.

    Raises:
        SwapNetError: there is no such network, or its files cannot be used.
    """
    return classification_network(
        os.path.expanduser(values["network"]),
        weights=_path(values["weights"]),
        labels=_path(values["labels"]),
        changes=_changes(values),
    )


TASK_NETWORKS: dict[str, Callable[[Mapping[str, Any]], DetectionNetwork]] = {
    "object_detection": open_detection_network,
    "lane_detection": open_lane_network,
    "semantic_segmentation": open_segmentation_network,
    "traffic_sign_classification": open_classification_network,
    "traffic_light_classification": open_classification_network,
    "natural_scene_classification": open_classification_network,
    "fire_detection": open_detection_network,
    "wild_animal_recognition": open_detection_network,
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
