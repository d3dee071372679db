from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from swapnet_ros.evaluation.metrics.lane_scorer import LaneScorer
from swapnet_ros.evaluation.truth.frame import TruthFrame
from swapnet_ros.evaluation.truth.masks import lanes_of_mask
from swapnet_ros.perception.errors import NetworkOutputError
from swapnet_ros.perception.models.lane_masks import AreaMaskDecoder, LineMaskDecoder, read_mask
from swapnet_ros.perception.tasks.lane_detection import Lane, LaneResult

_HEIGHT, _WIDTH = 64, 128
_LINES = LineMaskDecoder(input_height=_HEIGHT, input_width=_WIDTH)
_AREA = AreaMaskDecoder(input_height=_HEIGHT, input_width=_WIDTH)


def _mask(*lines: tuple[int, int, int, int], value: float = 0.9, thickness: int = 3):
    """Straight lines from x, y to x, y in a mask [1, 1, 64, 128]."""
    mask = np.zeros((_HEIGHT, _WIDTH), np.float32)
    for x0, y0, x1, y1 in lines:
        cv2.line(mask, (x0, y0), (x1, y1), value, thickness)
    return torch.from_numpy(mask)[None, None]


def _trapezoid(left: tuple[int, int], right: tuple[int, int], top: int = 24):
    """An area from its corners at the lower border to those at the top row."""
    mask = np.zeros((_HEIGHT, _WIDTH), np.float32)
    corners = [(left[0], _HEIGHT - 1), (left[1], top), (right[1], top), (right[0], _HEIGHT - 1)]
    cv2.fillPoly(mask, [np.array(corners)], 0.8)
    return torch.from_numpy(mask)[None, None]


def _deviation(lane, x0: float, y0: float, x1: float, y1: float) -> float:
    """The largest distance in x to the line through two pixel centres."""
    x, y = lane.points.T
    expected = (x0 + 0.5) + (y - y0 - 0.5) * (x1 - x0) / (y1 - y0)
    return float(np.abs(x - expected).max())


def test_each_line_is_fitted():
    lines = [(20, 63, 55, 10), (100, 63, 70, 10)]

    found = _LINES(_mask(*lines), 0.5).lanes

    assert len(found) == 2
    for lane, line in zip(found, lines, strict=True):
        assert _deviation(lane, *line) < 0.7
        assert np.all(np.diff(lane.points[:, 1]) == -1)  # from near to far, a point for each row
        assert lane.points.dtype == np.float32
        assert lane.score == pytest.approx(0.9)
        assert lane.is_ego is None


def test_a_dashed_line_is_one():
    lines = [(20, 63, 34, 50), (42, 42, 50, 34), (57, 27, 62, 22)]

    (lane,) = _LINES(_mask(*lines), 0.5).lanes

    assert lane.points[:, 1].max() == 63.5
    assert lane.points[:, 1].min() < 22


def test_lines_that_meet_far_away_stay_two():
    lines = [(10, 63, 64, 8), (118, 63, 64, 8)]

    found = _LINES(_mask(*lines), 0.5).lanes

    assert len(found) == 2
    for lane, line in zip(found, lines, strict=True):
        assert _deviation(lane, *line) < 2.5


def test_a_curved_line_is_followed():
    rows = np.arange(10, 64)
    mask = np.zeros((1, 1, _HEIGHT, _WIDTH), np.float32)
    columns = 90 - 0.015 * (63 - rows) ** 2
    for row, column in zip(rows, columns, strict=True):
        mask[0, 0, row, round(column) - 1 : round(column) + 2] = 1.0

    (lane,) = _LINES(torch.from_numpy(mask), 0.5).lanes

    np.testing.assert_allclose(lane.points[:, 0], columns[::-1] + 0.5, atol=0.7)


def test_points_are_in_pixels_of_the_input_whatever_the_masks_size():
    decoder = LineMaskDecoder(input_height=4 * _HEIGHT, input_width=8 * _WIDTH)

    (fine,) = _LINES(_mask((20, 63, 55, 10)), 0.5).lanes
    (coarse,) = decoder(_mask((20, 63, 55, 10)), 0.5).lanes

    np.testing.assert_allclose(coarse.points, fine.points * (8, 4), rtol=1e-6)


def test_specks_and_holes_do_no_harm():
    mask = _mask((20, 63, 55, 10), thickness=5)
    noise = torch.rand(mask.shape, generator=torch.Generator().manual_seed(0))
    mask[noise < 0.01] = 1.0
    mask[noise > 0.98] = 0.0

    (lane,) = _LINES(mask, 0.5).lanes

    assert _deviation(lane, 20, 63, 55, 10) < 1.5


@pytest.mark.parametrize(
    "mask",
    [
        torch.zeros(1, 1, _HEIGHT, _WIDTH),
        torch.ones(1, 1, _HEIGHT, _WIDTH),
        torch.full((1, 1, _HEIGHT, _WIDTH), torch.nan),
        torch.full((1, 1, _HEIGHT, _WIDTH), -torch.inf),
        torch.full((1, 1, _HEIGHT, _WIDTH), 0.4),
        torch.ones(1, 1, 1, 1),
        torch.ones(1, 1, 1, _WIDTH),
        torch.eye(2)[None],
        _mask((0, 30, 127, 30)),
        _mask((64, 30, 64, 31), thickness=1),
        (torch.arange(_WIDTH) % 2).expand(1, 1, _HEIGHT, _WIDTH).float(),
    ],
    ids=[
        "empty", "full", "nan", "infinite", "unsure", "pixel", "row", "tiny", "across", "short",
        "stripes",
    ],
)  # fmt: skip
@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_masks_without_lines(mask, threshold):
    assert _LINES(mask, threshold).lanes == ()


@pytest.mark.parametrize("threshold", [0.0, 0.5])
@pytest.mark.parametrize("decoder", [_LINES, _AREA])
def test_noise_is_survived(decoder, threshold):
    noise = torch.rand(1, 1, 200, 300, generator=torch.Generator().manual_seed(0))

    for lane in decoder(noise, threshold).lanes:
        assert np.isfinite(lane.points).all()


def test_a_lane_along_the_images_border():
    (lane,) = _LINES(_mask((0, 63, 0, 10)), 0.5).lanes

    assert _deviation(lane, 0, 63, 0, 10) <= 1.5


def test_an_area_has_two_borders():
    found = _AREA(_trapezoid((10, 55), (110, 70)), 0.4)

    left, right = found.lanes
    assert _deviation(left, 9.5, 63, 54.5, 24) < 0.7
    assert _deviation(right, 110.5, 63, 70.5, 24) < 0.7
    assert left.is_ego
    assert right.is_ego
    assert left.score == pytest.approx(0.8)
    assert found.area.shape == (_HEIGHT, _WIDTH)
    assert found.area.max() == pytest.approx(0.8)


def test_borders_lie_where_the_probability_passes_the_threshold():
    ramp = torch.linspace(0, 1, 11).repeat(1, 1, 20, 1)

    (left,) = _AREA(torch.cat([ramp, ramp.new_ones(1, 1, 20, 5)], dim=3), 0.45).lanes

    # centres of pixels 4 and 5 have 0.4 and 0.5
    np.testing.assert_allclose(left.points[:, 0] * 16 / _WIDTH, 5.0, atol=1e-4)


def test_where_an_area_touches_the_images_border_there_is_no_line():
    found = _AREA(_trapezoid((-60, 55), (110, 70)), 0.5)

    left, right = found.lanes
    assert left.points[:, 1].max() < 45
    assert right.points[:, 1].max() == 63.5
    assert _deviation(left, -60.5, 63, 54.5, 24) < 1.5


def test_an_area_over_the_whole_image_has_no_lines():
    found = _AREA(torch.ones(1, 1, _HEIGHT, _WIDTH), 0.5)

    assert found.lanes == ()
    assert found.area.min() == 1.0


def test_only_the_largest_part_is_the_lane():
    mask = _trapezoid((10, 55), (90, 70))
    mask[0, 0, 0:6, 100:120] = 1.0

    found = _AREA(mask, 0.5)

    assert not found.area[0:6, 100:120].any()
    assert len(found.lanes) == 2


@pytest.mark.parametrize("value", [0.0, 0.2, torch.nan])
def test_no_area(value):
    found = _AREA(torch.full((1, 1, _HEIGHT, _WIDTH), value), 0.3)

    assert found.lanes == ()
    assert not (found.area >= 0.3).any()


@pytest.mark.parametrize("shape", [(8, 9), (2, 8, 9), (1, 2, 8, 9), (2, 1, 8, 9), (1, 1, 1, 8, 9)])
def test_what_is_no_mask_is_refused(shape):
    with pytest.raises(NetworkOutputError, match=r"instead of one probability map.*sigmoid"):
        read_mask(torch.zeros(shape))


def test_other_outputs_are_refused():
    with pytest.raises(NetworkOutputError, match="gave dict instead"):
        read_mask({"out": torch.zeros(1, 1, 8, 9)})
    with pytest.raises(NetworkOutputError, match="probability map"):
        read_mask(torch.zeros(1, 1, 8, 9, dtype=torch.int64))


def test_masks_are_brought_to_0_to_1():
    values = torch.tensor([[-1.0, 0.5], [2.0, torch.nan]], dtype=torch.float16)

    np.testing.assert_array_equal(read_mask(values[None]), [[0, 0.5], [1, 0]])


def test_marked_lanes_of_real_roads_come_back(data_dir):
    decoder = LineMaskDecoder(input_height=720, input_width=1280)
    scorer = LaneScorer()
    for number in range(6):
        name = f"tusimple_000{number}_gt"
        lines, instances = (
            cv2.imread(str(data_dir / "road_lane" / f"{name}_{kind}.png"), cv2.IMREAD_GRAYSCALE)
            for kind in ("binary", "instance")
        )
        mask = cv2.resize(lines / np.float32(255), (512, 256), interpolation=cv2.INTER_AREA)
        found = decoder(torch.from_numpy(mask)[None], 0.3).lanes
        lanes = tuple(Lane(points=each.points, score=1.0, is_ego=False) for each in found)
        scorer.add(
            LaneResult(lanes=lanes, width=1280, height=720),
            TruthFrame(lanes=lanes_of_mask(instances)),
        )

    score = scorer.summary()
    assert score["frames"] == 6
    assert score["accuracy"] > 0.99
    assert (score["false_positive_rate"], score["false_negative_rate"]) == (0.0, 0.0)


def test_a_mask_of_blots_is_cut_short():
    blots = torch.rand(1, 1, 32, 64, generator=torch.Generator().manual_seed(1))

    found = _LINES(torch.nn.functional.interpolate(blots, size=(256, 512)), 0.7).lanes

    assert len(found) <= 64
