from __future__ import annotations

import numpy as np
import pytest
import torch

from swapnet_ros.perception.errors import ThresholdError
from swapnet_ros.perception.models.catalogue import detection_network
from swapnet_ros.perception.models.classification import heat_map_network
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.labels import torchvision_labels
from swapnet_ros.perception.models.task_classes import FIRE, animal_classes, fire_classes
from swapnet_ros.perception.tasks.finding import fire_detection, wild_animal_recognition
from swapnet_ros.perception.tasks.heat_map_detection import HeatMapDetection
from swapnet_ros.perception.tasks.object_detection import ObjectDetection


@pytest.fixture(scope="module")
def task() -> HeatMapDetection:
    changes = InputChanges(size=64, fit="squash")
    network = heat_map_network("resnet18", default_labels=FIRE, changes=changes)
    made = fire_detection(network)
    assert isinstance(made, HeatMapDetection)
    return made


def _outputs(*hot: tuple[int, int], logit: float = 4.0) -> tuple[torch.Tensor, torch.Tensor]:
    maps = torch.zeros(1, 2, 16, 16)
    for number, (row, column) in enumerate(hot):
        maps[0, 0, row : row + 4, column : column + 4] = 1.0 - 0.4 * number
    return torch.tensor([[logit, 0.0]]), maps


def test_boxes_lie_around_what_is_hot(task):
    prepared = task.preprocess(np.zeros((128, 256, 3), np.uint8))

    result = task.decode(_outputs((2, 2), (9, 10)), prepared)

    first, second = result.detections
    assert (result.width, result.height) == (256, 128)
    assert first.label == "fire"
    # a cell is 16x8 pixels; interpolation lets the heat spread over its borders
    found = (first.x_min, first.y_min, first.x_max, first.y_max)
    np.testing.assert_allclose(found, (32, 16, 96, 48), atol=10)
    assert first.score == pytest.approx(torch.tensor([4.0, 0]).softmax(0)[0])
    assert second.score == pytest.approx(0.6 * first.score)


def test_no_fire_is_not_a_finding(task):
    prepared = task.preprocess(np.zeros((128, 256, 3), np.uint8))

    assert task.decode(_outputs((2, 2), logit=-4.0), prepared).detections == ()


def test_limits(task):
    prepared = task.preprocess(np.zeros((128, 256, 3), np.uint8))
    outputs = _outputs((2, 2), (9, 10))

    assert len(task.decode(outputs, prepared, score_threshold=0.7).detections) == 1
    assert len(task.decode(outputs, prepared, max_detections=1).detections) == 1
    with pytest.raises(ThresholdError, match="iou_threshold"):
        task.decode(outputs, prepared, iou_threshold=2)


def test_a_map_of_one_temperature_finds_nothing(task):
    prepared = task.preprocess(np.zeros((8, 8, 3), np.uint8))

    assert (
        task.decode((torch.tensor([[4.0, 0.0]]), torch.zeros(1, 2, 2, 2)), prepared).detections
        == ()
    )


def test_which_classes_are_fire():
    assert fire_classes(("fire", "no fire")) == (0,)
    assert fire_classes(("__background__", "Flame", "smoke", "Normal")) == (1, 2)


def test_which_classes_are_animals():
    coco = torchvision_labels("fasterrcnn_resnet50_fpn")
    imagenet = torchvision_labels("resnet18")

    assert [coco[number] for number in animal_classes(coco)][:3] == ["bird", "cat", "dog"]
    assert len(animal_classes(coco)) == 10
    assert (imagenet[animal_classes(imagenet)[-1]], imagenet[398]) == ("puffer", "abacus")
    assert animal_classes(("__background__", "lynx", "boar")) == (1, 2)


def test_a_detector_looks_for_animals_only():
    network = detection_network("yolov3-tiny")

    assert isinstance(wild_animal_recognition(network), ObjectDetection)
