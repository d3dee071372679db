from __future__ import annotations

import numpy as np
import pytest
import torch

from swapnet_ros.perception.drawing import class_colour, draw_segmentation
from swapnet_ros.perception.errors import ImageError
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.segmentation import segmentation_network
from swapnet_ros.perception.tasks.semantic_segmentation import SemanticSegmentation


def _task(fit: str) -> SemanticSegmentation:
    changes = InputChanges(size=64, fit=fit, mean=(0, 0, 0), std=(1, 1, 1))
    network = segmentation_network(
        "lraspp_mobilenet_v3_large", default_labels=("dark", "bright"), changes=changes
    )
    return SemanticSegmentation(network)


def _segment(task: SemanticSegmentation, image: np.ndarray):
    """Scores that a network for brightness would give."""
    prepared = task.preprocess(image)
    brightness = prepared.inputs[0].mean(1, keepdim=True)
    return task.decode({"out": torch.cat((1 - brightness, brightness), 1)}, prepared)


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
@pytest.mark.parametrize("shape", [(90, 160), (160, 90), (32, 32)])
def test_classes_come_back_to_their_pixels(fit, shape):
    image = np.zeros((*shape, 3), np.uint8)
    image[shape[0] // 4 : shape[0] // 2, shape[1] // 2 :] = 255

    result = _segment(_task(fit), image)

    assert (result.class_map.shape, result.class_map.dtype) == (shape, np.uint8)
    assert (result.width, result.height) == shape[::-1]
    wrong = result.class_map != (image[:, :, 0] > 0)
    assert wrong.mean() < 0.05
    assert result.shares == pytest.approx((7 / 8, 1 / 8), abs=0.05)
    assert sum(result.shares) == pytest.approx(1)


def test_what_a_crop_leaves_out_gets_the_nearest_class():
    image = np.zeros((64, 128, 3), np.uint8)
    image[:, 64:] = 255

    result = _segment(_task("crop"), image)

    assert result.class_map[:, :60].max() == 0
    assert result.class_map[:, 68:].min() == 1


def test_drawing_tints_and_names():
    image = np.zeros((200, 320, 3), np.uint8)
    image[:, 160:] = 255
    result = _segment(_task("squash"), image)

    drawn = draw_segmentation(image[:, ::-1][:, ::-1], result)

    np.testing.assert_allclose(drawn[150, 40], np.array(class_colour(0)) / 2, atol=1)
    np.testing.assert_allclose(drawn[150, 300], 127.5 + np.array(class_colour(1)) / 2, atol=1)
    with pytest.raises(ImageError, match="belongs to an image of 320x200"):
        draw_segmentation(image[:100], result)
