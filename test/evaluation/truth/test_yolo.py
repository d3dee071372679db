from __future__ import annotations

import pytest

from swapnet_ros.evaluation.truth.yolo import YoloFolder, read_yolo_labels
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
        ("1 .5 nan .1 .1\n", "impossible edges"),
        ("1 .5 .5 -.1 .1\n", "impossible edges"),
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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.txt", "bike\nbus\n"),
        ("data.yaml", "names: [bike, bus]\n"),
        ("../data.yaml", "names: {0: bike, 1: bus}\n"),
    ],
)
def test_a_folder(tmp_path, name, content):
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / name).write_text(content)
    (folder / "a.txt").write_text("1 0.5 0.25 0.2 0.1\n")
    (folder / "b.txt").write_text("")

    files = YoloFolder(folder)

    boxes = files.read("a").boxes
    (box,) = boxes.in_pixels(200, 100)
    assert box.label == "bus"
    assert (box.x_min, box.y_min, box.x_max, box.y_max) == pytest.approx((80, 20, 120, 30))
    assert boxes.labels == ("bike", "bus")
    assert files.read("b").boxes.boxes == ()  # looked at, and nothing there
    assert (files.names, files.read("c")) == (("a", "b"), None)


def test_a_folder_without_class_names(tmp_path):
    with pytest.raises(LabelsError, match=r"put a classes\.txt into it"):
        YoloFolder(tmp_path)
    (tmp_path / "data.yaml").write_text("nc: 2\n")
    with pytest.raises(LabelsError, match="has no 'names'"):
        YoloFolder(tmp_path)
