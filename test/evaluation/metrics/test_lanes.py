from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapnet_ros.evaluation.metrics.lanes import LaneScore, mask_iou, tusimple_score

_ROWS = tuple(range(0, 200, 10))  # 20 of them: one row is 5 %


def _lane(column: float, *, absent: int = 0) -> np.ndarray:
    """An upright lane that is absent in the first rows."""
    columns = np.full(len(_ROWS), float(column))
    columns[:absent] = np.nan
    return columns


def _figures(score: LaneScore) -> tuple[float, float, float]:
    return score.accuracy, score.false_positive_rate, score.false_negative_rate


@pytest.mark.parametrize(
    ("found", "labelled", "expected"),
    [
        ([_lane(100)], [_lane(100)], (1, 0, 0)),
        ([_lane(119.9)], [_lane(100)], (1, 0, 0)),
        ([_lane(120)], [_lane(100)], (0, 1, 1)),  # 20 pixels are too far
        ([], [_lane(100)], (0, 0, 1)),
        ([_lane(100)], [], (0, 1, 0)),
        ([], [], (0, 0, 0)),
        # 85 % of the rows make a lane found; the accuracy counts all rows
        ([_lane(100, absent=3)], [_lane(100)], (0.85, 0, 0)),
        ([_lane(100, absent=4)], [_lane(100)], (0.8, 1, 1)),
        # where both are absent they agree
        ([_lane(100, absent=5)], [_lane(100, absent=5)], (1, 0, 0)),
        ([_lane(100), _lane(300)], [_lane(100)], (1, 0.5, 0)),
        ([_lane(100)], [_lane(100), _lane(300)], (0.5, 0, 0.5)),
        # one lane may be the best for two labelled ones, as in the benchmark
        ([_lane(100)], [_lane(95), _lane(105)], (1, -1, 0)),
        # more than two too many
        ([_lane(x) for x in (100, 200, 300)], [_lane(100)], (1, 2 / 3, 0)),
        ([_lane(x) for x in (100, 200, 300, 400)], [_lane(100)], (0, 0, 1)),
        # of five labelled lanes the worst is not counted
        ([_lane(x) for x in (0, 100, 200, 300)], [_lane(x) for x in (0, 100, 200, 300, 400)],
         (1, 0, 0)),
        ([_lane(x) for x in (0, 100, 200)], [_lane(x) for x in (0, 100, 200, 300, 400)],
         (0.75, 0, 0.25)),
    ],
)  # fmt: skip
def test_tusimple_rules(found, labelled, expected):
    assert _figures(tusimple_score(found, labelled, _ROWS)) == pytest.approx(expected)


def test_slanted_lanes_are_allowed_more_sideways():
    label = 50 + np.arange(20) * 10.0 * np.sqrt(3)  # 60 degrees: 20 / cos is 40 pixels

    assert tusimple_score([label + 39.9], [label], _ROWS).accuracy == 1.0
    assert tusimple_score([label + 40.1], [label], _ROWS).accuracy == 0.0


def test_the_benchmarks_minus_two_is_absent():
    found = np.where(np.isnan(_lane(100, absent=5)), -2, 100)

    assert tusimple_score([found.tolist()], [_lane(100, absent=5)], _ROWS).accuracy == 1.0


def test_lanes_of_another_number_of_rows_are_refused():
    with pytest.raises(ValueError, match=r"columns \(3,\), but there are 20 rows"):
        tusimple_score([[1, 2, 3]], [_lane(100)], _ROWS)


@given(st.lists(st.tuples(st.floats(0, 1280), st.integers(0, 20)), max_size=6))
def test_a_lane_agrees_with_itself(lanes):
    columns = [_lane(x, absent=absent) for x, absent in lanes]

    score = tusimple_score(columns, columns, _ROWS)

    assert score.accuracy == pytest.approx(1.0 if lanes else 0.0)
    assert score.false_negative_rate == 0.0


def test_mask_iou():
    first = np.zeros((4, 4), bool)
    first[:2] = True
    second = np.zeros((4, 4), bool)
    second[1:3] = True

    assert mask_iou(first, second) == pytest.approx(1 / 3)
    assert mask_iou(first, first) == 1.0
    assert mask_iou(first, ~first) == 0.0
    assert mask_iou(np.zeros((4, 4), bool), np.zeros((4, 4), bool)) == 1.0
    with pytest.raises(ValueError, match="cannot be compared"):
        mask_iou(first, second[:2])
