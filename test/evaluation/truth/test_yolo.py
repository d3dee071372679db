from __future__ import annotations

import pytest

from swapnet_ros.evaluation.truth.yolo import read_yolo_labels
from swapnet_ros.perception.errors import LabelsError


def test_yolo_labels(tmp_path):
    path = tmp_path / "image.txt"
    path.write_text("1 0.5 0.25 0.2 0.1\n\n0 0.1 0.1 0.2 0.2\n")

    first, second = read_yolo_labels(path, names=["bike", "bus"], width=200, height=100)

    box = (first.x_min, first.y_min, first.x_max, first.y_max)
    assert (first.label, second.label) == ("bus", "bike")
    assert box == pytest.approx((80, 20, 120, 30))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 0.5 0.5 0.1\n", ":1: '0 0.5 0.5 0.1' is not"),
        ("0 .5 .5 .1 .1\nx .5 .5 .1 .1\n", ":2: "),
        ("2 .5 .5 .1 .1\n", "there are only 2 classes"),
        ("-1 .5 .5 .1 .1\n", "there are only 2 classes"),
    ],
)
def test_broken_yolo_labels_are_named(tmp_path, text, words):
    path = tmp_path / "image.txt"
    path.write_text(text)

    with pytest.raises(LabelsError) as caught:
        read_yolo_labels(path, names=["bike", "bus"], width=200, height=100)

    assert words in str(caught.value)


def test_missing_yolo_labels(tmp_path):
    with pytest.raises(LabelsError, match="cannot be read"):
        read_yolo_labels(tmp_path / "absent.txt", names=[], width=1, height=1)
