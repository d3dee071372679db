from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from swapnet_ros.perception.errors import ImageError, ThresholdError
from swapnet_ros.perception.models.catalogue import detection_network
from swapnet_ros.perception.tasks import object_detection
from swapnet_ros.perception.tasks.object_detection import ObjectDetection

_CFG = (
    "[net]\nwidth=64\nheight=64\n[maxpool]\nstride=8\n[convolutional]\nfilters=7\n"
    "activation=linear\n[yolo]\nclasses=2\nnum=1\nanchors=16,16\n"
)
_LOGIT_OF_HALF = 0.0
_SURE = 20.0


@pytest.fixture
def task(tmp_path) -> ObjectDetection:
    path = tmp_path / "net.cfg"
    path.write_text(_CFG)
    return ObjectDetection(detection_network(str(path)))


def _outputs(*cells: tuple[int, int, dict[int, float]]) -> tuple[torch.Tensor]:
    """One head of 8x8 cells with nothing but the given cells: row, column, channel to logit."""
    output = torch.full((1, 7, 8, 8), -_SURE)
    output[:, :4] = _LOGIT_OF_HALF
    for row, column, values in cells:
        for channel, value in values.items():
            output[0, channel, row, column] = value
    return (output,)


def _image(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def test_boxes_are_in_source_pixels(task):
    prepared = task.preprocess(_image(128, 320))

    result = task.decode(_outputs((2, 4, {4: _SURE, 6: 1.0})), prepared)

    (detection,) = result.detections
    assert (result.width, result.height) == (320, 128)
    assert (detection.class_id, detection.label) == (1, "class_1")
    assert detection.score == pytest.approx(1 / (1 + np.exp(-1.0)), rel=1e-5)
    # the centre of cell (2, 4) is at 36, 20 of 64, and the anchor 16 wide and high
    box = (detection.x_min, detection.y_min, detection.x_max, detection.y_max)
    assert box == pytest.approx((28 * 5, 12 * 2, 44 * 5, 28 * 2), rel=1e-5)
    assert all(type(value) is float for value in box)


def test_boxes_are_clipped_to_the_image(task):
    prepared = task.preprocess(_image(64, 64))

    result = task.decode(_outputs((0, 7, {4: _SURE, 5: _SURE})), prepared)

    (detection,) = result.detections
    box = (detection.x_min, detection.y_min, detection.x_max, detection.y_max)
    assert box == pytest.approx((52, 0, 64, 12))


def test_boxes_outside_of_the_image_are_none(tmp_path):
    path = tmp_path / "net.cfg"
    path.write_text(_CFG.replace("[net]", "[net]\nletter_box=1"))
    task = ObjectDetection(detection_network(str(path)))
    prepared = task.preprocess(_image(8, 64))

    small = {2: -3.0, 3: -3.0, 4: _SURE, 5: _SURE}
    result = task.decode(_outputs((0, 0, small), (3, 3, small)), prepared)

    assert len(result.detections) == 1


def test_of_overlapping_boxes_the_best_of_each_class_stays(task):
    prepared = task.preprocess(_image(64, 64))
    outputs = _outputs(
        (3, 3, {4: _SURE, 5: 2.0}),
        (3, 4, {0: -2.0, 4: _SURE, 5: 3.0}),
        (4, 3, {1: -2.0, 4: _SURE, 6: 1.0}),
    )

    result = task.decode(outputs, prepared)

    assert [detection.class_id for detection in result.detections] == [0, 1]
    assert result.detections[0].score == pytest.approx(1 / (1 + np.exp(-3.0)))
    assert len(task.decode(outputs, prepared, iou_threshold=1.0).detections) == 3


def test_one_cell_may_hold_two_classes(task):
    prepared = task.preprocess(_image(64, 64))

    result = task.decode(_outputs((3, 3, {4: _SURE, 5: 1.0, 6: 2.0})), prepared)

    assert [detection.label for detection in result.detections] == ["class_1", "class_0"]


def test_thresholds_and_limits(task):
    prepared = task.preprocess(_image(64, 64))
    cells = [(row, 3, {2: -2.0, 3: -2.0, 4: _SURE, 5: 0.5 * row - 2}) for row in range(8)]
    outputs = _outputs(*cells)

    scores = [d.score for d in task.decode(outputs, prepared, score_threshold=0.5).detections]
    best = task.decode(outputs, prepared, score_threshold=0.0, max_detections=2).detections

    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3
    assert [detection.score for detection in best] == scores[:2]


def test_nothing_found(task):
    prepared = task.preprocess(_image(64, 64))

    assert task.decode(_outputs(), prepared).detections == ()


def test_a_threshold_of_zero_on_noise_is_bounded(task, monkeypatch):
    monkeypatch.setattr(object_detection, "MAX_CANDIDATES", 10)
    prepared = task.preprocess(_image(64, 64))
    outputs = (torch.randn(1, 7, 8, 8, generator=torch.Generator().manual_seed(0)),)

    result = task.decode(outputs, prepared, score_threshold=0.0, iou_threshold=1.0)

    every = task.network.decode(outputs, 0.0).scores
    scores = [detection.score for detection in result.detections]
    assert scores == pytest.approx(every.sort(descending=True).values[:10].tolist())


@pytest.mark.parametrize(
    "thresholds",
    [
        {"score_threshold": -0.1},
        {"score_threshold": 1.5},
        {"score_threshold": float("nan")},
        {"iou_threshold": 2.0},
        {"max_detections": 0},
    ],
)
def test_thresholds_out_of_range_are_refused(task, thresholds):
    prepared = task.preprocess(_image(64, 64))

    with pytest.raises(ThresholdError, match=next(iter(thresholds))):
        task.decode(_outputs(), prepared, **thresholds)


def test_bad_images_are_refused(task):
    with pytest.raises(ImageError):
        task.preprocess(np.zeros((4, 4), np.uint8))


def test_results_do_not_change(task):
    result = task.decode(_outputs(), task.preprocess(_image(64, 64)))

    with pytest.raises(FrozenInstanceError):
        result.width = 3
