from __future__ import annotations

import numpy as np
import pytest

from swapnet_ros.evaluation.metrics.scorers import make_scorer
from swapnet_ros.evaluation.truth.as_results import VOID, results_of
from swapnet_ros.evaluation.truth.frame import (
    LabelledBox,
    TruthBoxes,
    TruthClasses,
    TruthFrame,
    TruthLanes,
    TruthMask,
)


def _box(label: str, x: float, **flags: bool) -> LabelledBox:
    return LabelledBox(label=label, x_min=x, y_min=0, x_max=x + 0.1, y_max=0.5, **flags)


@pytest.fixture
def truth() -> TruthFrame:
    rows = np.arange(160.0, 720, 10)
    columns = np.stack([np.full(56, 300.0), np.where(rows < 300, np.nan, 1200 - rows / 3)])
    return TruthFrame(
        boxes=TruthBoxes(
            boxes=(_box("bus", 0.1), _box("car", 0.4), _box("car", 0.7, is_crowd=True)),
            labels=("car", "bus"),
            width=1,
            height=1,
        ),
        mask=TruthMask(class_map=np.array([[0, 1], [1, 300]], np.uint16), labels=("road", "sky")),
        classes=TruthClasses(names=("street", "city"), labels=("street", "city", "sea")),
        lanes=TruthLanes(
            rows=rows, columns=columns, scored=np.arange(len(rows)), width=1280, height=720
        ),
    )


def test_labels_as_results_are_scored_as_perfect(truth):
    boxes, mask, classes, lanes = results_of(truth, width=640, height=360)

    scorers = {
        task: make_scorer(task, ())
        for task in (
            "object_detection",
            "semantic_segmentation",
            "natural_scene_classification",
            "lane_detection",
        )
    }
    for scorer, result in zip(scorers.values(), (boxes, mask, classes, lanes), strict=True):
        assert scorer.add(result, truth)
    summaries = {task: scorer.summary() for task, scorer in scorers.items()}

    figures = summaries["object_detection"]
    assert (figures["map_50_95"], figures["precision"], figures["recall"]) == pytest.approx(
        (1, 1, 1)
    )
    assert summaries["semantic_segmentation"]["miou"] == 1.0
    assert summaries["natural_scene_classification"]["top_1"] == 1.0
    assert summaries["lane_detection"]["accuracy"] == 1.0


def test_they_have_the_form_of_results(truth):
    boxes, mask, classes, lanes = results_of(truth, width=640, height=360)

    assert [(each.label, each.class_id) for each in boxes.detections] == [("bus", 1), ("car", 0)]
    assert boxes.detections[0].x_min == pytest.approx(64)
    np.testing.assert_array_equal(mask.class_map, [[0, 1], [1, VOID]])
    assert (mask.class_map.dtype, mask.shares) == (np.uint8, (0.25, 0.5))
    assert [each.label for each in classes.regions[0].classes] == ["street", "city"]
    assert np.all(np.diff(lanes.lanes[1].points[:, 1]) < 0)  # from near to far
    assert results_of(TruthFrame(), width=1, height=1) == ()
