"""Labels that go through a bag's topics are the labels that were in the files."""

from __future__ import annotations

import numpy as np
import pytest

from swapnet_ros.evaluation.bags.label_messages import label_results
from swapnet_ros.evaluation.bags.problems import BagError
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.bags.writer import BagWriter
from swapnet_ros.evaluation.truth.frame import (
    LabelledBox,
    TruthBoxes,
    TruthClasses,
    TruthFrame,
    TruthLanes,
    TruthMask,
)
from swapnet_ros.evaluation.truth.lane_columns import TUSIMPLE_ROWS
from swapnet_ros.evaluation.truth.messages import read_truth

WIDTH, HEIGHT = 1280, 720


def through_a_bag(folder, truth, topic, labels=()):
    """Write labels to a bag, and read those of one topic as ground truth."""
    with BagWriter(folder) as writer:
        for result in label_results(truth, width=WIDTH, height=HEIGHT).results:
            writer.write_result("labels", result, network="labels", stamp_ns=9, frame_id="")
    with BagReader(folder) as reader:
        ((_, message),) = reader.messages(f"/labels/{topic}")
    return read_truth(message, labels)


@pytest.mark.parametrize("topic", ["detections", "vision/detections"])
def test_boxes(tmp_path, topic):
    box = LabelledBox(label="car", x_min=0.25, y_min=0.5, x_max=0.5, y_max=0.75)
    ignored = LabelledBox(label="car", x_min=0, y_min=0, x_max=1, y_max=1, is_ignored=True)
    truth = TruthFrame(boxes=TruthBoxes(boxes=(box, ignored), width=1, height=1))
    assert label_results(truth, width=WIDTH, height=HEIGHT).ignored_boxes == 1
    (read,) = through_a_bag(tmp_path / "bag", truth, topic).boxes.boxes
    assert read == LabelledBox(label="car", x_min=320, y_min=360, x_max=640, y_max=540)


def test_an_image_in_which_nothing_is(tmp_path):
    truth = TruthFrame(boxes=TruthBoxes(boxes=()))
    assert through_a_bag(tmp_path / "bag", truth, "detections").boxes.boxes == ()


def test_lanes(tmp_path):
    rows = np.array(TUSIMPLE_ROWS, np.float64)
    columns = np.stack([rows * 0.5 + 100, 900 - rows * 0.25])
    columns[0, :9] = np.nan
    truth = TruthFrame(
        lanes=TruthLanes(
            rows=rows, columns=columns, scored=np.arange(len(rows)), width=WIDTH, height=HEIGHT
        )
    )
    read = through_a_bag(tmp_path / "bag", truth, "lanes").lanes
    np.testing.assert_allclose(read.rows, rows)
    np.testing.assert_allclose(read.columns, columns, atol=1e-3)


def test_a_class_map(tmp_path):
    class_map = np.array([[0, 1], [2, 700]], np.uint16)
    truth = TruthFrame(mask=TruthMask(class_map=class_map, labels=("road", "sky")))
    read = through_a_bag(tmp_path / "bag", truth, "class_map", ("road", "sky")).mask
    np.testing.assert_array_equal(read.class_map, [[0, 1], [2, 255]])  # both are void


def test_too_many_classes_for_a_class_map():
    truth = TruthFrame(mask=TruthMask(class_map=np.zeros((2, 2), np.uint16), labels=("x",) * 256))
    with pytest.raises(BagError, match="256 classes"):
        label_results(truth, width=2, height=2)


@pytest.mark.parametrize("topic", ["classifications", "vision/classification"])
def test_the_class_of_an_image(tmp_path, topic):
    truth = TruthFrame(classes=TruthClasses(names=("forest",)))
    assert through_a_bag(tmp_path / "bag", truth, topic).classes.names == ("forest",)
