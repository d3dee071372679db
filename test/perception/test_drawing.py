from __future__ import annotations

import numpy as np
import pytest

from swapnet_ros.perception.drawing import class_colour, draw_detections
from swapnet_ros.perception.errors import ImageError
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult


def _result(*boxes: tuple[float, float, float, float], width=200, height=100) -> DetectionResult:
    detections = tuple(
        Detection(
            class_id=2,
            label="a rather long name of a class",
            score=0.5,
            x_min=box[0],
            y_min=box[1],
            x_max=box[2],
            y_max=box[3],
        )
        for box in boxes
    )
    return DetectionResult(detections=detections, width=width, height=height)


def test_it_draws_on_a_copy():
    image = np.zeros((100, 200, 3), np.uint8)

    drawn = draw_detections(image, _result((50, 40, 150, 90)))

    assert not image.any()
    assert (drawn.shape, drawn.dtype) == (image.shape, image.dtype)
    for y, x in ((89, 100), (70, 50), (70, 149)):
        assert tuple(drawn[y, x]) == class_colour(2)
    assert not drawn[60:85, 55:145].any()


@pytest.mark.parametrize(
    "box", [(0, 0, 200, 100), (190, 90, 200, 100), (0, 0, 1, 1), (199.7, 99.7, 200, 100)]
)
def test_boxes_at_the_border(box):
    drawn = draw_detections(np.zeros((100, 200, 3), np.uint8), _result(box))

    assert drawn.any()


def test_nothing_found_is_the_image():
    image = np.random.default_rng(0).integers(0, 255, (100, 200, 3), dtype=np.uint8)

    drawn = draw_detections(image[:, ::-1], _result())

    np.testing.assert_array_equal(drawn, image[:, ::-1])
    assert not np.shares_memory(drawn, image)


def test_an_image_of_another_size_is_refused():
    with pytest.raises(ImageError, match=r"200x100 pixels, but this one has 100x200"):
        draw_detections(np.zeros((200, 100, 3), np.uint8), _result())


def test_colours_differ():
    assert len({class_colour(number) for number in range(80)}) == 80
