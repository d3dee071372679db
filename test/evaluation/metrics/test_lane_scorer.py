from __future__ import annotations

import json

import numpy as np
import pytest

from swapnet_ros.evaluation.metrics.lane_scorer import LaneScorer, ego_lane_iou
from swapnet_ros.evaluation.truth.frame import TruthFrame, TruthLanes
from swapnet_ros.evaluation.truth.lane_columns import TUSIMPLE_ROWS
from swapnet_ros.perception.tasks.lane_detection import Lane, LaneResult

_WIDTH, _HEIGHT = 640, 360


def _lane(x: float, *, top: float = 0, is_ego: bool = True) -> Lane:
    points = np.array([(x, _HEIGHT), (x, top)], np.float32)
    return Lane(points=points, score=0.9, is_ego=is_ego)


def _result(*lanes: Lane, area: np.ndarray | None = None) -> LaneResult:
    return LaneResult(lanes=lanes, width=_WIDTH, height=_HEIGHT, area=area)


def _truth(*columns: float, width: float = 1280, height: float = 720) -> TruthLanes:
    rows = np.array(TUSIMPLE_ROWS) * height / 720
    return TruthLanes(
        rows=rows,
        columns=np.tile(np.array(columns, dtype=np.float64)[:, None], (1, len(rows))),
        scored=np.arange(len(rows)),
        width=width,
        height=height,
    )


def _figures(result: LaneResult, truth: TruthLanes) -> tuple[float, ...]:
    scorer = LaneScorer()
    assert scorer.add(result, TruthFrame(lanes=truth))
    summary = scorer.summary()
    names = ("accuracy", "false_positive_rate", "false_negative_rate")
    return tuple(summary[name] for name in names)


@pytest.mark.parametrize(("x", "accuracy"), [(209.9, 1), (210.1, 0)])
def test_distances_are_pixels_of_tusimples_images(x, accuracy):
    # 20 of them are 10 of this image, and 5 of the labels'
    assert _figures(_result(_lane(x)), _truth(400))[0] == accuracy
    assert _figures(_result(_lane(x)), _truth(100, width=320, height=180))[0] == accuracy


def test_missed_and_wrong_lanes():
    assert _figures(_result(_lane(200), _lane(500)), _truth(400)) == (1, 0.5, 0)
    assert _figures(_result(_lane(200)), _truth(400, 1000)) == (0.5, 0, 0.5)
    assert _figures(_result(), _truth()) == (0, 0, 0)


def test_the_ego_lane_is_between_the_lines_next_to_the_middle():
    truth = _truth(100, 400, 800, 1200)

    assert ego_lane_iou(_result(_lane(200), _lane(400)), truth) == 1.0
    assert ego_lane_iou(_result(_lane(200), _lane(300)), truth) == 0.5
    assert ego_lane_iou(_result(_lane(200), _lane(400, is_ego=False)), truth) == 0.0


def test_an_area_goes_before_lines():
    area = np.zeros((_HEIGHT, _WIDTH), bool)
    area[:, 200:250] = True

    assert ego_lane_iou(_result(_lane(200), _lane(400), area=area), _truth(400, 800)) == 0.25


def test_only_rows_in_which_both_lines_are_labelled_count():
    truth = _truth(400, 800)
    truth.columns[1, :30] = np.nan
    found = _result(_lane(200), _lane(400, top=230))

    assert ego_lane_iou(found, truth) == 1.0
    assert ego_lane_iou(found, _truth(400)) is None
    truth.columns[1] = np.nan
    assert ego_lane_iou(found, truth) is None


def test_a_state_goes_through_json():
    first, restored, both = (LaneScorer() for _ in range(3))
    assert not first.add(_result(), TruthFrame())
    assert first.summary()["accuracy"] is None
    truth = TruthFrame(lanes=_truth(400, 800))
    results = [_result(_lane(x), _lane(400)) for x in (200, 300)]
    first.add(results[0], truth)
    for result in results:
        both.add(result, truth)

    restored.restore(json.loads(json.dumps(first.state())))
    restored.add(results[1], truth)

    assert restored.summary() == both.summary()
    assert both.summary()["ego_lane_iou"] == 0.75
