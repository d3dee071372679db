from __future__ import annotations

import pytest

from swapnet_ros.perception.errors import LabelsError, PerceptionError
from swapnet_ros.perception.models.classification import HeatMapNetwork
from swapnet_ros.perception.models.task_networks import open_task_network, task_names

_CLASSES = {
    "lane_detection": 0,
    "object_detection": 80,
    "semantic_segmentation": 19,
    "traffic_sign_classification": 43,
    "traffic_light_classification": 4,
    "natural_scene_classification": 6,
    "fire_detection": 2,
    "wild_animal_recognition": 1000,
}


@pytest.mark.parametrize("task", task_names())
def test_every_task_has_a_full_size_network(task):
    network = open_task_network(task)

    assert network.is_random
    assert len(network.labels) == _CLASSES[task]


def test_fire_is_found_by_detectors_and_by_classifiers():
    assert isinstance(open_task_network("fire_detection", "resnet18"), HeatMapNetwork)
    assert open_task_network("fire_detection", "yolov3-tiny").name == "yolov3-tiny"


@pytest.mark.parametrize("task", task_names())
def test_what_there_is_not_is_refused(task):
    with pytest.raises(PerceptionError, match=r"there is no .* network 'absent'"):
        open_task_network(task, "absent")


def test_lanes_have_no_labels(tmp_path):
    with pytest.raises(LabelsError, match="has no classes"):
        open_task_network("lane_detection", labels=tmp_path / "lanes.txt")
