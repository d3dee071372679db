from __future__ import annotations

import numpy as np
import pytest
import torch

from swapnet_ros.perception.drawing import draw_classification
from swapnet_ros.perception.errors import ImageError, ThresholdError
from swapnet_ros.perception.models.classification import classification_network
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.tasks.image_classification import (
    ClassificationResult,
    ImageClassification,
    Region,
)

_LOGITS = torch.tensor([[0.0, 3.0, 1.0]])


@pytest.fixture(scope="module")
def task() -> ImageClassification:
    network = classification_network(
        "resnet18",
        default_labels=("red", "green", "yellow"),
        changes=InputChanges(size=(32, 16), fit="squash", mean=(0, 0, 0), std=(1, 1, 1)),
    )
    return ImageClassification(network)


def _image() -> np.ndarray:
    image = np.zeros((60, 80, 3), np.uint8)
    image[10:30, 40:50] = 255
    return image


def test_the_whole_image_is_one_region(task):
    prepared = task.preprocess(_image())

    found = task.decode(_LOGITS, prepared)

    assert (found.x_min, found.y_min, found.x_max, found.y_max) == (0, 0, 80, 60)
    assert [scored.label for scored in found.classes] == ["green", "yellow", "red"]
    assert sum(scored.score for scored in found.classes) == pytest.approx(1)
    assert prepared.inputs[0].shape == task.network.example_inputs[0].shape


def test_a_region_is_all_that_the_network_sees(task):
    prepared = task.preprocess(_image(), Region(x_min=40, y_min=10, x_max=50, y_max=30))

    assert prepared.inputs[0].eq(1.0).all()


def test_a_region_is_widened_to_pixels_and_cut_off_at_borders(task):
    prepared = task.preprocess(_image(), Region(x_min=-5, y_min=3.7, x_max=10.2, y_max=99))

    assert prepared.region == Region(x_min=0, y_min=3, x_max=11, y_max=60)


@pytest.mark.parametrize("corners", [(90, 0, 95, 10), (5, 5, 5, 9), (9, 5, 5, 9)])
def test_a_region_without_pixels_is_refused(task, corners):
    region = Region(**dict(zip(("x_min", "y_min", "x_max", "y_max"), corners, strict=True)))

    with pytest.raises(ImageError, match="has no pixels of an image of 80x60"):
        task.preprocess(_image(), region)


def test_limits(task):
    prepared = task.preprocess(_image())

    assert len(task.decode(_LOGITS, prepared, max_classes=2).classes) == 2
    assert len(task.decode(_LOGITS, prepared, score_threshold=0.5).classes) == 1
    assert task.decode(_LOGITS, prepared, score_threshold=1.0).classes == ()
    with pytest.raises(ThresholdError, match="score_threshold must lie in"):
        task.decode(_LOGITS, prepared, score_threshold=1.5)
    with pytest.raises(ThresholdError, match="max_classes must be at least 1"):
        task.decode(_LOGITS, prepared, max_classes=0)


def test_drawing_frames_the_region_and_leaves_the_rest(task):
    image = np.full((200, 300, 3), 90, np.uint8)
    prepared = task.preprocess(image, Region(x_min=150, y_min=100, x_max=250, y_max=180))
    result = ClassificationResult(regions=(task.decode(_LOGITS, prepared),), width=300, height=200)

    drawn = draw_classification(image, result)

    assert (drawn[140, 150] != 90).any()
    np.testing.assert_array_equal(drawn[110:170, 160:240], image[110:170, 160:240])
    with pytest.raises(ImageError, match="belongs to an image of 300x200"):
        draw_classification(image[:100], result)
