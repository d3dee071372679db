from __future__ import annotations

import contextlib
import io
import json
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from swapnet_ros.evaluation.metrics.box_scorer import BoxScorer
from swapnet_ros.evaluation.metrics.label_map import LabelMap
from swapnet_ros.evaluation.truth.frame import LabelledBox, TruthBoxes, TruthFrame
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult

_LABELS = ("car", "bus", "dog")
_IGNORED_AREA = 1e11  # COCO ignores objects beyond 1e10

Place = tuple[float, float, float, float]


def _found(label: str, score: float, *box: float) -> Detection:
    x_min, y_min, x_max, y_max = box
    return Detection(
        class_id=0, label=label, score=score, x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max
    )


def _result(*detections: Detection) -> DetectionResult:
    return DetectionResult(detections=detections, width=100, height=100)


def _box(label: str, *box: float, **flags: bool) -> LabelledBox:
    x_min, y_min, x_max, y_max = box
    return LabelledBox(label=label, x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max, **flags)


def _truth(*boxes: LabelledBox, labels: tuple[str, ...] = _LABELS) -> TruthFrame:
    return TruthFrame(boxes=TruthBoxes(boxes=boxes, labels=labels))


_boxes = st.tuples(
    st.integers(0, 3), st.integers(0, 3), st.integers(4, 12), st.integers(4, 12)
).map(lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3])))
_scores = st.integers(0, 8).map(lambda n: n / 8)  # many are equal
_images = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(_LABELS), _scores, _boxes), max_size=6),
        st.lists(
            st.tuples(st.sampled_from(_LABELS), _boxes, st.sampled_from(("", "crowd", "ignored"))),
            max_size=4,
        ),
    ),
    min_size=1,
    max_size=4,
)


def _coco_says(images) -> COCOeval:
    """COCO's own evaluation of the same boxes."""
    numbers = count(1)
    annotations = [
        {
            "id": next(numbers),
            "image_id": image,
            "category_id": _LABELS.index(label),
            "bbox": _sides(box),
            "area": _IGNORED_AREA if flag == "ignored" else 1.0,
            "iscrowd": int(flag == "crowd"),
        }
        for image, (_, labelled) in enumerate(images)
        for label, box, flag in labelled
    ]
    rows = [
        (image, *_sides(box), score, _LABELS.index(label))
        for image, (found, _) in enumerate(images)
        for label, score, box in found
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(len(images))],
            "categories": [{"id": n, "name": label} for n, label in enumerate(_LABELS)],
            "annotations": annotations,
        }
        truth.createIndex()
        found = truth.loadRes(np.array(rows, dtype=np.float64))
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _sides(box: Place) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


@settings(max_examples=150, deadline=None)
@given(_images.filter(lambda images: any(found for found, _ in images)))
def test_it_says_what_cocos_own_evaluation_says(images):
    scorer = BoxScorer(_LABELS)
    for found, labelled in images:
        detections = [_found(label, score, *box) for label, score, box in found]
        boxes = [
            _box(label, *box, is_crowd=flag == "crowd", is_ignored=flag == "ignored")
            for label, box, flag in labelled
        ]
        scorer.add(_result(*detections), _truth(*boxes))

    summary = scorer.summary()
    evaluation = _coco_says(images)

    # [threshold, recall, class, size, most detections]; -1 where a class is not labelled
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    for number, label in enumerate(_LABELS):
        figures, theirs = summary["classes"][label], precision[:, :, number]
        if theirs.max() < 0:
            assert figures["ap_50"] is figures["ap_50_95"] is None
        else:
            assert figures["ap_50"] == theirs[0].mean()
            assert figures["ap_50_95"] == pytest.approx(theirs.mean(), abs=1e-12)
    for ours, theirs in (("map_50_95", 0), ("map_50", 1)):
        expected = evaluation.stats[theirs]
        assert (-1.0 if summary[ours] is None else summary[ours]) == pytest.approx(expected)


def test_a_case_by_hand():
    # by score: right, wrong, right; 3 to be found: precision 1 up to recall 1/3, 2/3 up to 2/3
    scorer = BoxScorer(["car"])
    found = [(0.9, 0), (0.8, 70), (0.7, 20)]

    scorer.add(
        _result(*[_found("car", score, x, 0, x + 10, 10) for score, x in found]),
        _truth(*[_box("car", x, 0, x + 10, 10) for x in (0, 20, 40)], labels=("car",)),
    )

    summary = scorer.summary()
    assert summary["map_50"] == pytest.approx((34 * 1 + 33 * 2 / 3) / 101)
    assert summary["map_50_95"] == pytest.approx(summary["map_50"])
    assert (summary["precision"], summary["recall"]) == (2 / 3, 2 / 3)


def test_precision_and_recall_are_of_detections_with_a_score():
    scorer = BoxScorer(["car"], min_score=0.5)

    scorer.add(
        _result(_found("car", 0.5, 0, 0, 9, 9), _found("car", 0.4, 50, 0, 59, 9)),
        _truth(_box("car", 0, 0, 9, 9), _box("car", 50, 0, 59, 9)),
    )

    summary = scorer.summary()
    assert summary["map_50"] == pytest.approx(1.0)
    assert (summary["precision"], summary["recall"], summary["min_score"]) == (1.0, 0.5, 0.5)


def test_classes_of_one_group_are_one_and_an_object_counts_once():
    label_map = LabelMap({"vehicle": ["car", "truck"]}, ignored=["bike"])
    scorer = BoxScorer(["Car", "truck", "bike"], label_map)

    scorer.add(
        _result(
            _found("Car", 0.9, 0, 0, 10, 10),
            _found("truck", 0.8, 0, 0, 10, 9),
            _found("bike", 0.9, 50, 50, 60, 60),
        ),
        _truth(_box("truck", 0, 0, 10, 10), _box("bike", 80, 80, 90, 90), labels=()),
    )

    summary = scorer.summary()
    assert list(summary["classes"]) == ["vehicle"]
    assert (summary["true_positives"], summary["false_positives"]) == (1, 0)
    assert summary["recall"] == 1.0


def test_names_of_one_side_only_are_reported():
    scorer = BoxScorer(["car", "person"])

    scorer.add(
        _result(_found("person", 0.9, 0, 0, 10, 10)),
        _truth(_box("tram", 0, 0, 10, 10), labels=("car", "tram")),
    )

    summary = scorer.summary()
    assert summary["only_in_labels"] == {"tram": 1}
    assert summary["only_found"] == ["person"]
    # nobody looked for persons, so it is not wrong to find one; trams may be another task's
    assert (summary["precision"], summary["recall"], summary["map_50"]) == (None, None, None)
    assert list(summary["classes"]) == ["car"]


def test_a_network_of_unknown_classes_is_asked_for_all_labels():
    scorer = BoxScorer(())

    scorer.add(_result(), _truth(_box("tram", 0, 0, 10, 10)))

    assert (scorer.summary()["recall"], scorer.summary()["only_in_labels"]) == (0.0, {})


def test_labels_of_another_size_are_scaled():
    scorer = BoxScorer(["car"])
    shares = TruthBoxes(boxes=(_box("car", 0.1, 0.2, 0.5, 0.6),), width=1, height=1)

    scorer.add(_result(_found("car", 0.9, 10, 20, 50, 60)), TruthFrame(boxes=shares))

    assert scorer.summary()["classes"]["car"]["ap_50_95"] == pytest.approx(1.0)


def test_frames_without_labelled_boxes_are_left_out():
    scorer = BoxScorer(["car"])

    assert not scorer.add(_result(_found("car", 0.9, 0, 0, 9, 9)), TruthFrame())
    assert scorer.summary()["frames"] == 0
    assert scorer.summary()["map_50"] is None
    assert scorer.add(_result(_found("car", 0.9, 0, 0, 9, 9)), _truth())
    assert scorer.summary()["precision"] == 0.0


def test_a_state_goes_through_json():
    first, both = BoxScorer(_LABELS), BoxScorer(_LABELS)
    frames = [
        (_result(_found("car", 0.9, 0, 0, 9, 9)), _truth(_box("car", 0, 0, 9, 8))),
        (_result(_found("car", 0.3, 5, 0, 9, 9)), _truth(_box("dog", 0, 0, 9, 8))),
    ]
    first.add(*frames[0])
    for frame in frames:
        both.add(*frame)
    restored = BoxScorer(_LABELS)
    restored.restore(json.loads(json.dumps(first.state())))

    assert restored.summary() == first.summary()
    restored.add(*frames[1])

    assert restored.summary() == both.summary()
    assert restored.state() == both.state()
    assert json.loads(json.dumps(both.summary(), allow_nan=False)) == both.summary()
