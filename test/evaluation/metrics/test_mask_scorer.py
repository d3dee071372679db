from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from swapnet_ros.evaluation.metrics.label_map import LabelMap
from swapnet_ros.evaluation.metrics.mask_scorer import MaskScorer
from swapnet_ros.evaluation.truth.frame import TruthFrame, TruthMask
from swapnet_ros.perception.tasks.semantic_segmentation import SegmentationResult

_LABELS = ("road", "car", "sky")
_maps = hnp.arrays(np.uint8, (4, 6), elements=st.integers(0, 2))


def _result(class_map, labels=_LABELS) -> SegmentationResult:
    pixels = np.array(class_map, dtype=np.uint8)
    height, width = pixels.shape
    return SegmentationResult(
        class_map=pixels, labels=labels, shares=(), width=width, height=height
    )


def _truth(class_map, labels=_LABELS, dtype=np.uint8) -> TruthFrame:
    return TruthFrame(mask=TruthMask(class_map=np.array(class_map, dtype), labels=labels))


def test_a_case_by_hand():
    scorer = MaskScorer(_LABELS)

    scorer.add(_result([[0, 0, 1, 1]]), _truth([[0, 1, 1, 255]]))

    summary = scorer.summary()
    assert summary["classes"] == {
        "car": {"iou": 0.5, "labelled_pixels": 2},  # one right, one missed; the void one is none
        "road": {"iou": 0.5, "labelled_pixels": 1},  # one right, one too many
    }
    assert summary["miou"] == 0.5
    assert summary["pixel_accuracy"] == pytest.approx(2 / 3)
    assert summary["labelled_pixels"] == 3


@given(st.lists(st.tuples(_maps, _maps), min_size=1, max_size=3))
def test_it_is_the_intersection_over_the_union_of_all_pixels(frames):
    scorer = MaskScorer(_LABELS)
    for found, labelled in frames:
        scorer.add(_result(found), _truth(labelled))
    found, labelled = (np.concatenate(side) for side in zip(*frames, strict=True))

    summary = scorer.summary()

    for number, label in enumerate(_LABELS):
        shared = np.sum((found == number) & (labelled == number))
        union = np.sum((found == number) | (labelled == number))
        if not np.any(labelled == number):
            assert label not in summary["classes"]
        else:
            assert summary["classes"][label]["iou"] == pytest.approx(shared / union)
    assert summary["pixel_accuracy"] == pytest.approx(np.mean(found == labelled))


def test_classes_are_compared_by_name_and_merged():
    label_map = LabelMap({"vehicle": ["car", "bus"]}, ignored=["egg"])
    scorer = MaskScorer(["bus", "car", "tree", "egg"], label_map)

    scorer.add(
        _result([[0, 1, 2, 3, 3]], ("bus", "car", "tree", "egg")),
        _truth([[1, 1, 1, 1, 0]], ("egg", "Vehicle", "house"), np.uint16),
    )

    summary = scorer.summary()
    assert summary["classes"]["vehicle"] == {"iou": 0.5, "labelled_pixels": 4}
    assert summary["only_in_labels"] == {"house": 0}
    assert summary["only_found"] == ["tree"]


def test_labels_of_another_size_are_brought_to_the_images():
    scorer = MaskScorer(_LABELS)

    scorer.add(_result([[0, 0, 1, 1], [0, 0, 1, 1]]), _truth([[0, 1]]))

    assert scorer.summary()["miou"] == 1.0


def test_frames_without_labels_are_left_out():
    scorer = MaskScorer(_LABELS)

    assert not scorer.add(_result([[0]]), TruthFrame())
    assert scorer.summary()["miou"] is None


def test_a_state_goes_through_json():
    first, restored, both = (MaskScorer(_LABELS) for _ in range(3))
    frames = [(_result([found]), _truth([[0, 2]])) for found in ([0, 1], [2, 2])]
    first.add(*frames[0])
    for frame in frames:
        both.add(*frame)

    restored.restore(json.loads(json.dumps(first.state())))
    restored.add(*frames[1])

    assert restored.summary() == both.summary()
    assert restored.state() == both.state()
