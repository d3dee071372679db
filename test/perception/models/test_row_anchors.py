from __future__ import annotations

import numpy as np
import pytest
import torch

from swapnet_ros.perception.errors import NetworkOutputError
from swapnet_ros.perception.models.row_anchors import RowAnchorDecoder

_SURE = 50.0
_ANCHORS = (10, 14, 18, 22)
_DECODER = RowAnchorDecoder(row_anchors=_ANCHORS, columns=5, input_width=80)


def _logits(*choices: tuple[int, int, int, float], lanes: int = 2) -> torch.Tensor:
    """No lane anywhere but for the given logits: cell, row, lane, value."""
    logits = torch.zeros(1, 6, 4, lanes)
    logits[:, 5] = _SURE
    for cell, row, lane, value in choices:
        logits[0, cell, row, lane] = value
    return logits


def test_a_point_lies_in_the_middle_of_its_cell():
    chosen = [(3, row, 1, 2 * _SURE) for row in (1, 2, 3)]

    (lane,) = _DECODER(_logits(*chosen), 0.3).lanes

    # cells are 80 / (5 - 1) pixels wide; near rows come first
    np.testing.assert_allclose(lane.points, [(70, 22), (70, 18), (70, 14)])
    assert lane.points.dtype == np.float32
    assert lane.score == pytest.approx(1.0)


def test_a_point_between_two_cells():
    chosen = [(2, 0, 0, 2 * _SURE), (3, 0, 0, 2 * _SURE + np.log(3))]

    (lane,) = _DECODER(_logits(*chosen), 0.3).lanes

    np.testing.assert_allclose(lane.points, [((2.75 + 0.5) * 20, 10)], rtol=1e-6)


def test_it_is_the_reference_implementations_formula():
    """generate_tusimple_lines of cfzd/Ultra-Fast-Lane-Detection, at the width of its images."""
    logits = torch.randn(1, 101, 56, 4, generator=torch.Generator().manual_seed(0)) * 4
    decoder = RowAnchorDecoder(row_anchors=tuple(range(56)), columns=100, input_width=1280)

    found = decoder(logits, 0.5).lanes

    values = logits[0].double().numpy()
    cells = np.exp(values[:-1]) / np.exp(values[:-1]).sum(axis=0)
    place = (cells * np.arange(100)[:, None, None]).sum(axis=0)
    is_lane = values.argmax(axis=0) != 100
    assert len(found) == 4
    for number, lane in enumerate(found):
        rows = np.flatnonzero(is_lane[:, number])[::-1]
        np.testing.assert_array_equal(lane.points[:, 1], rows)
        expected = (place[rows, number] + 0.5) * 1280 / 99
        np.testing.assert_allclose(lane.points[:, 0], expected, rtol=1e-5)


def test_the_likeliest_choice_decides_and_the_threshold_beyond_a_half():
    # no lane: 0.4, two cells: 0.3 each; a lane is there with 0.6, but "no lane" is the likeliest
    spread = _logits((1, 0, 0, _SURE + np.log(0.75)), (2, 0, 0, _SURE + np.log(0.75)))
    # no lane: 0.4, one cell 0.6
    clear = _logits((1, 0, 0, _SURE + np.log(1.5)))

    assert _DECODER(spread, 0.0).lanes == ()
    assert len(_DECODER(clear, 0.5).lanes) == 1
    assert _DECODER(clear, 0.7).lanes == ()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_values_that_are_not_finite_are_no_lane(value):
    logits = _logits(*[(3, row, 0, 2 * _SURE) for row in range(4)])
    logits[0, 2, 1, 0] = value

    (lane,) = _DECODER(logits, 0.3).lanes

    np.testing.assert_array_equal(lane.points[:, 1], [22, 18, 10])
    assert _DECODER(torch.full((1, 6, 4, 2), value), 0.3).lanes == ()


def test_no_lanes():
    assert _DECODER(_logits(), 0.0).lanes == ()
    assert _DECODER(_logits(lanes=0), 0.0).lanes == ()


def test_half_precision():
    logits = _logits(*[(3, row, 1, 2 * _SURE) for row in (1, 2, 3)])

    (lane,) = _DECODER(logits.bfloat16(), 0.3).lanes

    np.testing.assert_allclose(lane.points[:, 0], 70)


@pytest.mark.parametrize("shape", [(6, 4, 2), (2, 6, 4, 2), (1, 5, 4, 2), (1, 6, 5, 2)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(NetworkOutputError, match=r"instead of logits \[1, 6, 4, lanes\]"):
        _DECODER(torch.zeros(shape), 0.3)


def test_other_outputs_are_refused():
    with pytest.raises(NetworkOutputError, match="gave tuple instead"):
        _DECODER((torch.zeros(1, 6, 4, 2),), 0.3)
