"""Fires, wild animals and other things to be found, with a detector or with a classifier."""

from __future__ import annotations

from collections.abc import Collection

from swapnet_ros.perception.models.classification import HeatMapNetwork
from swapnet_ros.perception.models.detection import DetectionNetwork
from swapnet_ros.perception.models.task_classes import animal_classes, fire_classes
from swapnet_ros.perception.tasks.heat_map_detection import HeatMapDetection
from swapnet_ros.perception.tasks.object_detection import ObjectDetection

Finder = ObjectDetection | HeatMapDetection
"""Both have `preprocess(image)` and `decode(outputs, prepared, *, score_threshold, iou_threshold,
max_detections)`, and give a `DetectionResult`."""


def fire_detection(network: DetectionNetwork | HeatMapNetwork) -> Finder:
    """Find fire and smoke with any network of `finder_network`."""
    return _finder(network, fire_classes(network.labels))


def wild_animal_recognition(network: DetectionNetwork | HeatMapNetwork) -> Finder:
    """Find animals with any network of `finder_network`."""
    return _finder(network, animal_classes(network.labels))


def _finder(network: DetectionNetwork | HeatMapNetwork, class_ids: Collection[int]) -> Finder:
    wanted = class_ids if network.labels else None
    if isinstance(network, HeatMapNetwork):
        return HeatMapDetection(network, class_ids=wanted)
    return ObjectDetection(network, class_ids=wanted)
