"""The network that a task node's parameters name. No rclpy: `swapnet plan` reads it, too."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swapnet_ros.perception.models.catalogue import DetectionNetwork, detection_network


def open_detection_network(values: Mapping[str, Any]) -> DetectionNetwork:
    """Find a detection network by the parameters of an `object_detection` node.

    Raises:
        SwapNetError: there is no such network, or its files cannot be used.
    """
    return detection_network(
        os.path.expanduser(values["network"]),
        weights=_path(values["weights"]),
        labels=_path(values["labels"]),
        input_size=values["input_size"] or None,
    )

open_lane_network = open_segmentation_network = open_classification_network = open_detection_network

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


def _path(text: str) -> Path | None:
    return Path(text).expanduser() if text else None
