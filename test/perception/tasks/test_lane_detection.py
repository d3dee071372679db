from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from torch import nn

from swapnet_ros.perception.errors import ImageError, NetworkOutputError, ThresholdError
from swapnet_ros.perception.models.image_input import ImageInput
from swapnet_ros.perception.models.lane_catalogue import lane_network
from swapnet_ros.perception.models.lane_masks import AreaMaskDecoder, LineMaskDecoder
from swapnet_ros.perception.models.lanes import LaneNetwork
from swapnet_ros.perception.models.network import example_input
from swapnet_ros.perception.tasks.lane_detection import LaneDetection

_SURE = 50.0


@pytest.fixture(scope="module")
def ufld() -> LaneNetwork:
    return lane_network("ufld_resnet18")


def _mask_network(decoder: type[LineMaskDecoder | AreaMaskDecoder], fit: str) -> LaneNetwork:
    image_input = ImageInput(height=32, width=64, fit=fit)
    return LaneNetwork(
        name="mask",
        build=nn.Identity,
        weights={},
        is_random=False,
        example_inputs=(example_input(image_input),),
        labels=(),
        preprocess=image_input,
        input_height=32,
        input_width=64,
        decode=decoder(input_height=32, input_width=64),
    )


def _line_network(fit: str = "squash") -> LaneNetwork:
    return _mask_network(LineMaskDecoder, fit)


def _area_network(fit: str = "squash") -> LaneNetwork:
    return _mask_network(AreaMaskDecoder, fit)


def _image(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def _logits(cells: dict[int, list[tuple[int, int]]]) -> torch.Tensor:
    """For each lane, rows and cells: logits of TuSimple's grid with nothing else."""
    logits = torch.zeros(1, 101, 56, 4)
    logits[:, 100] = _SURE
    for lane, places in cells.items():
        for row, cell in places:
            logits[0, cell, row, lane] = 2 * _SURE
    return logits


def test_row_anchors_become_pixels_of_tusimples_images(ufld):
    task = LaneDetection(ufld)
    prepared = task.preprocess(_image(720, 1280))

    result = task.decode(_logits({0: [(row, 33) for row in range(56)]}), prepared)

    (lane,) = result.lanes
    assert (result.width, result.height, result.area) == (1280, 720, None)
    np.testing.assert_allclose(lane.points[:, 1], np.arange(710, 150, -10), rtol=1e-6)
    np.testing.assert_allclose(lane.points[:, 0], 33.5 * 1280 / 99, rtol=1e-6)
    assert lane.score == pytest.approx(1.0)
    assert lane.points.dtype == np.float32


def test_lanes_come_from_left_to_right_and_the_nearest_are_the_cameras(ufld):
    task = LaneDetection(ufld)
    places = {
        lane: [(row, cell) for row in range(20, 56)] for lane, cell in enumerate((70, 10, 40))
    }
    # it ends left of the lane at cell 70, but leaves the image to the right of it
    places[3] = [(row, 40 + row) for row in range(10, 26)]

    result = task.decode(_logits(places), task.preprocess(_image(720, 1280)))

    cells = [round(lane.points[0, 0] * 99 / 1280 - 0.5) for lane in result.lanes]
    assert cells == [10, 40, 70, 65]
    assert [lane.is_ego for lane in result.lanes] == [False, True, True, False]


def test_few_points_are_no_lane(ufld):
    task = LaneDetection(ufld)
    prepared = task.preprocess(_image(288, 800))
    logits = _logits({0: [(50, 20), (51, 20)], 1: [(50, 60), (51, 60), (52, 60)]})

    assert len(task.decode(logits, prepared).lanes) == 1
    assert len(task.decode(logits, prepared, min_points=2).lanes) == 2
    assert task.decode(logits, prepared, min_points=4).lanes == ()


def test_the_best_lanes_stay(ufld):
    task = LaneDetection(ufld)
    logits = _logits({0: [(row, 20) for row in range(56)]})
    for row in range(56):
        logits[0, 60, row, 1] = _SURE + 1.0

    (lane,) = task.decode(logits, task.preprocess(_image(288, 800)), max_lanes=1).lanes

    assert lane.score == pytest.approx(1.0)


def test_no_lanes(ufld):
    task = LaneDetection(ufld)

    result = task.decode(_logits({}), task.preprocess(_image(100, 200)))

    assert result.lanes == ()
    assert (result.width, result.height) == (200, 100)


def test_the_whole_path_runs_on_random_weights(ufld):
    task = LaneDetection(ufld)
    image = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)

    prepared = task.preprocess(image)
    with torch.inference_mode():
        outputs = ufld.build_in_memory()(*prepared.inputs)
    result = task.decode(outputs, prepared)

    assert prepared.inputs[0].shape == ufld.example_inputs[0].shape
    for lane in result.lanes:
        assert (lane.points >= 0).all()
        assert (lane.points <= (200, 120)).all()


def test_images_are_normalised_as_for_imagenet(ufld):
    (white,) = ufld.preprocess(np.full((50, 90, 3), 255, np.uint8)).inputs

    expected = [(1 - mean) / std for mean, std in zip(
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True
    )]  # fmt: skip
    torch.testing.assert_close(white[0, :, 7, 7], torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_a_mask_of_lines():
    task = LaneDetection(_line_network())
    mask = torch.zeros(1, 1, 32, 64)
    mask[..., 20:22] = 0.9

    result = task.decode(mask, task.preprocess(_image(320, 320)))

    (lane,) = result.lanes
    np.testing.assert_allclose(lane.points[:, 0], 21 * 320 / 64, rtol=1e-6)
    np.testing.assert_allclose(lane.points[:, 1], np.arange(315, 0, -10), rtol=1e-6)
    assert lane.is_ego
    assert result.area is None


def test_an_area_comes_with_its_mask_in_source_pixels():
    task = LaneDetection(_area_network())
    mask = torch.zeros(1, 1, 32, 64)
    mask[..., 16:, 16:48] = 1.0

    result = task.decode(mask, task.preprocess(_image(64, 256)), score_threshold=0.4)

    expected = np.zeros((64, 256), bool)
    expected[32:, 64:192] = True
    np.testing.assert_array_equal(result.area, expected)
    assert [round(float(lane.points[0, 0])) for lane in result.lanes] == [64, 192]
    assert [lane.is_ego for lane in result.lanes] == [True, True]


def test_letterbox_borders_are_left_out():
    task = LaneDetection(_area_network(fit="letterbox"))
    mask = torch.ones(1, 1, 32, 64)

    result = task.decode(mask, task.preprocess(_image(64, 64)))

    assert result.area.shape == (64, 64)
    assert result.area.all()
    assert result.lanes == ()
    line = torch.zeros(1, 1, 32, 64)
    line[..., 4:6] = 1.0  # in the grey
    task = LaneDetection(_line_network(fit="letterbox"))
    assert task.decode(line, task.preprocess(_image(64, 64))).lanes == ()


def test_what_was_cut_off_is_no_area():
    task = LaneDetection(_area_network(fit="crop"))

    result = task.decode(torch.ones(1, 1, 32, 64), task.preprocess(_image(64, 64)))

    expected = np.zeros((64, 64), bool)
    expected[16:48] = True
    np.testing.assert_array_equal(result.area, expected)


def test_both_borders_are_the_cameras_wherever_they_are():
    task = LaneDetection(_area_network())
    mask = torch.zeros(1, 1, 32, 64)
    mask[..., 40:60] = 1.0

    result = task.decode(mask, task.preprocess(_image(32, 64)))

    assert [lane.is_ego for lane in result.lanes] == [True, True]


@pytest.mark.parametrize("value", [0.0, torch.nan])
def test_an_empty_area(value):
    task = LaneDetection(_area_network())

    result = task.decode(torch.full((1, 1, 32, 64), value), task.preprocess(_image(10, 20)))

    assert result.lanes == ()
    assert not result.area.any()
    assert result.area.shape == (10, 20)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_thresholds_at_their_ends(threshold):
    task = LaneDetection(_area_network())
    mask = torch.zeros(1, 1, 32, 64)
    mask[..., 16:48] = 1.0

    result = task.decode(mask, task.preprocess(_image(32, 64)), score_threshold=threshold)

    assert [lane.points.shape[0] for lane in result.lanes] == [32, 32]


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        ({"score_threshold": -0.1}, "score_threshold must lie in 0..1"),
        ({"score_threshold": float("nan")}, "score_threshold must lie in 0..1"),
        ({"min_points": 1}, "min_points must be at least 2"),
        ({"max_lanes": 0}, "max_lanes must be at least 1"),
    ],
)
def test_thresholds_are_checked(ufld, thresholds, words):
    task = LaneDetection(ufld)

    with pytest.raises(ThresholdError, match=words):
        task.decode(_logits({}), task.preprocess(_image(10, 10)), **thresholds)


def test_wrong_images_and_outputs_are_named(ufld):
    task = LaneDetection(ufld)

    with pytest.raises(ImageError, match="grey"):
        task.preprocess(np.zeros((4, 4), np.uint8))
    with pytest.raises(NetworkOutputError, match=r"\[1, 101, 56, lanes\]"):
        task.decode(torch.zeros(1, 201, 18, 4), task.preprocess(_image(10, 10)))


def test_results_do_not_change(ufld):
    task = LaneDetection(ufld)
    logits = _logits({0: [(row, 33) for row in range(56)]})

    result = task.decode(logits, task.preprocess(_image(720, 1280)))

    with pytest.raises(FrozenInstanceError):
        result.width = 3
    with pytest.raises(ValueError, match="read-only"):
        result.lanes[0].points[0, 0] = 1.0
