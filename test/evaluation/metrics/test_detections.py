from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapnet_ros.evaluation.metrics.detections import MatchCounts, count_matches, merge_labels
from swapnet_ros.evaluation.metrics.matching import corners, match_boxes
from swapnet_ros.evaluation.truth.frame import LabelledBox
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult


def _detection(x: float, score: float, label: str = "car", width: float = 10) -> Detection:
    return Detection(
        class_id=0, label=label, score=score, x_min=x, y_min=0, x_max=x + width, y_max=10
    )


def _box(x: float, label: str = "car") -> LabelledBox:
    return LabelledBox(label=label, x_min=x, y_min=0, x_max=x + 10, y_max=10)


def _counts(hits: int, false_positives: int, missed: int) -> MatchCounts:
    return MatchCounts(true_positives=hits, false_positives=false_positives, false_negatives=missed)


def _match(detections, labelled) -> MatchCounts:
    scores = [each.score for each in detections]
    return count_matches(match_boxes(scores, corners(detections), labelled), labelled)


@pytest.mark.parametrize(
    ("detections", "labelled", "expected"),
    [
        ([], [], (0, 0, 0)),
        ([_detection(0, 0.9)], [], (0, 1, 0)),
        ([], [_box(0)], (0, 0, 1)),
        ([_detection(3, 0.9)], [_box(0)], (1, 0, 0)),
        ([_detection(4, 0.9)], [_box(0)], (0, 1, 1)),
        ([_detection(0, 0.9), _detection(1, 0.8)], [_box(0)], (1, 1, 0)),
        # the better score comes first and takes the box that it overlaps most
        ([_detection(1, 0.8), _detection(2, 0.9)], [_box(0), _box(3)], (2, 0, 0)),
        ([_detection(0, 0.9), _detection(1, 0.8)], [_box(0), _box(2)], (2, 0, 0)),
    ],
)
def test_matching(detections, labelled, expected):
    assert _match(detections, labelled) == _counts(*expected)


def test_an_overlap_of_exactly_the_threshold_hits():
    assert _match([_detection(0, 0.9, width=5)], [_box(0)]) == _counts(1, 0, 0)


@given(
    detections=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), max_size=8),
    boxes=st.lists(st.floats(0, 100), max_size=8),
)
def test_every_detection_and_every_box_is_counted_once(detections, boxes):
    counts = _match([_detection(x, score) for x, score in detections], [_box(x) for x in boxes])

    assert counts.true_positives + counts.false_positives == len(detections)
    assert counts.true_positives + counts.false_negatives == len(boxes)
    assert 0 <= counts.precision <= 1
    assert 0 <= counts.recall <= 1


def test_counts_add_up():
    total = _counts(1, 2, 3) + _counts(3, 0, 1)

    assert total == _counts(4, 2, 4)
    assert total.precision == pytest.approx(4 / 6)
    assert total.recall == pytest.approx(4 / 8)
    assert (MatchCounts().precision, MatchCounts().recall) == (1.0, 1.0)


def test_merging_counts_one_object_once():
    result = DetectionResult(
        detections=(
            _detection(0, 0.9, "truck"),
            _detection(1, 0.8, "car"),
            _detection(1, 0.7, "dog"),
            _detection(30, 0.6, "car"),
        ),
        width=100,
        height=10,
    )

    merged = merge_labels(result, {"car", "truck"}, merged="vehicle")

    assert [(found.label, found.score) for found in merged.detections] == [
        ("vehicle", 0.9),
        ("vehicle", 0.6),
    ]
    assert (merged.width, merged.height) == (100, 10)
    assert merge_labels(result, {"cat"}, merged="animal").detections == ()
