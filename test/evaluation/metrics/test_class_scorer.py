from __future__ import annotations

import json

from swapnet_ros.evaluation.metrics.class_scorer import ClassScorer
from swapnet_ros.evaluation.metrics.label_map import LabelMap
from swapnet_ros.evaluation.truth.frame import LabelledBox, TruthBoxes, TruthClasses, TruthFrame
from swapnet_ros.perception.tasks.image_classification import (
    ClassificationResult,
    ClassifiedRegion,
    ScoredClass,
)

_LABELS = ("green", "red", "off")


def _region(*labels: str, x: float = 0, width: float = 100) -> ClassifiedRegion:
    classes = tuple(ScoredClass(class_id=0, label=label, score=0.5) for label in labels)
    return ClassifiedRegion(x_min=x, y_min=0, x_max=x + width, y_max=10, classes=classes)


def _result(*regions: ClassifiedRegion) -> ClassificationResult:
    return ClassificationResult(regions=regions, width=100, height=10)


def _image(*names: str) -> TruthFrame:
    return TruthFrame(classes=TruthClasses(names=names))


def _boxes(*boxes: tuple[str, float]) -> TruthFrame:
    labelled = tuple(
        LabelledBox(label=label, x_min=x, y_min=0, x_max=x + 10, y_max=10) for label, x in boxes
    )
    return TruthFrame(boxes=TruthBoxes(boxes=labelled))


def test_the_best_class_of_an_image_counts():
    scorer = ClassScorer(_LABELS)

    scorer.add(_result(_region("green", "red")), _image("Green"))
    scorer.add(_result(_region("green", "red")), _image("red"))
    scorer.add(_result(_region("off")), _image("red", "off"))  # each of them is right
    scorer.add(_result(), _image("red"))
    assert not scorer.add(_result(_region("red")), TruthFrame())

    summary = scorer.summary()
    assert (summary["frames"], summary["right"], summary["top_1"]) == (4, 2, 0.5)
    assert summary["confusion"] == {
        "green": {"green": 1},
        "off": {"off": 1},
        "red": {"": 1, "green": 1},
    }
    assert summary["classes"]["red"] == {"labelled": 2, "right": 0}


def test_regions_answer_for_the_boxes_that_they_overlap():
    scorer = ClassScorer(_LABELS)

    scorer.add(
        _result(
            _region("red", x=2, width=10),  # overlaps the first box
            _region("green", x=21, width=10),  # and this the second one best
            _region("off", x=24, width=10),
            _region("red", x=60, width=10),  # nothing is labelled there
        ),
        _boxes(("red", 0), ("red", 20), ("off", 80), ("car", 60)),
    )

    summary = scorer.summary()
    assert summary["confusion"] == {"red": {"green": 1, "red": 1}}
    assert summary["regions_unlabelled"] == 2
    assert summary["labels_unanswered"] == 1
    assert summary["only_in_labels"] == {"car": 0}


def test_names_are_mapped_and_ignored_classes_left_out():
    label_map = LabelMap({"stop": ["red", "yellow"]}, ignored=["off"])
    scorer = ClassScorer(["red", "green", "off"], label_map)

    scorer.add(_result(_region("red")), _image("yellow"))
    scorer.add(_result(_region("red")), _image("off"))
    scorer.add(_result(_region("off")), _image("blue"))

    summary = scorer.summary()
    assert summary["confusion"] == {"blue": {"": 1}, "stop": {"stop": 1}}
    assert summary["only_in_labels"] == {"blue": 1}


def test_a_state_goes_through_json():
    first, restored, both = (ClassScorer(_LABELS) for _ in range(3))
    result = _result(_region("red", width=10))
    first.add(result, _image("red"))
    for truth in (_image("red"), _boxes(("off", 0))):
        both.add(result, truth)

    restored.restore(json.loads(json.dumps(first.state())))
    restored.add(result, _boxes(("off", 0)))

    assert restored.summary() == both.summary()
    assert restored.state() == both.state()
