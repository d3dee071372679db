from __future__ import annotations

import numpy as np
import pytest

from swapnet_ros.perception.drawing import class_colour, draw_detections, draw_lanes
from swapnet_ros.perception.errors import ImageError
from swapnet_ros.perception.tasks.lane_detection import Lane, LaneResult
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


def _lane(*points: tuple[float, float], is_ego: bool = True) -> Lane:
    return Lane(points=np.array(points, np.float32), score=0.9, is_ego=is_ego)


def _lanes(*lanes: Lane, area: np.ndarray | None = None) -> LaneResult:
    return LaneResult(lanes=lanes, width=200, height=100, area=area)


def test_lanes_are_drawn_through_their_points_with_the_lane_between_them():
    image = np.zeros((100, 200, 3), np.uint8)
    left, right = _lane((40, 90), (80, 20)), _lane((160, 90), (120, 20))

    drawn = draw_lanes(image, _lanes(left, right))

    assert not image.any()
    assert (drawn.shape, drawn.dtype) == (image.shape, image.dtype)
    assert tuple(drawn[90, 40]) == tuple(drawn[55, 60]) == class_colour(0)
    assert tuple(drawn[90, 160]) == tuple(drawn[55, 140]) == class_colour(1)
    red, green, blue = drawn[55, 100].tolist()
    assert green > max(red, blue)
    assert not drawn[:, :30].any()
    assert not drawn[:15].any()


@pytest.mark.parametrize(
    "lanes",
    [
        (_lane((40, 90), (80, 20)),),
        (_lane((40, 90), (80, 20)), _lane((160, 90), (120, 20), is_ego=False)),
    ],
)
def test_between_other_lines_nothing_is_tinted(lanes):
    drawn = draw_lanes(np.zeros((100, 200, 3), np.uint8), _lanes(*lanes))

    assert not drawn[30:80, 90:110].any()


def test_an_area_is_tinted_as_it_is():
    image = np.full((100, 200, 3), 100, np.uint8)
    area = np.zeros((100, 200), bool)
    area[50:60, 70:90] = True

    drawn = draw_lanes(image, _lanes(area=area))

    np.testing.assert_array_equal((drawn != image).any(axis=2), area)


def test_lanes_at_the_border():
    drawn = draw_lanes(
        np.zeros((100, 200, 3), np.uint8),
        _lanes(_lane((0, 100), (0, 0)), _lane((200, 100), (200, 0))),
    )

    assert drawn.any()


def test_no_lanes_is_the_image():
    image = np.random.default_rng(0).integers(0, 255, (100, 200, 3), dtype=np.uint8)

    np.testing.assert_array_equal(draw_lanes(image[:, ::-1], _lanes()), image[:, ::-1])


def test_lanes_of_an_image_of_another_size_are_refused():
    with pytest.raises(ImageError, match=r"200x100 pixels, but this one has 100x200"):
        draw_lanes(np.zeros((200, 100, 3), np.uint8), _lanes())
