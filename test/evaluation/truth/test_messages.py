from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from swapnet_ros.evaluation.truth.errors import TruthError
from swapnet_ros.evaluation.truth.messages import read_label_names, read_truth


def _corners(box) -> tuple[float, ...]:
    return box.x_min, box.y_min, box.x_max, box.y_max


@pytest.fixture
def timing(messages):
    return messages.FrameTiming(
        **dict.fromkeys(("queue_s", "decode_s", "inference_s", "publish_s", "total_s"), 0.0),
        **dict.fromkeys(("stall_s", "compute_s"), 0.0),
    )


@pytest.fixture
def answer(messages, timing):
    """Header and the fields that all our own results have."""
    return {
        "header": messages.header,
        "network": "labels",
        "width": 100,
        "height": 50,
        "timing": timing,
    }


def test_own_detections(messages, answer):
    places = {"x_min": 1.0, "y_min": 2.0, "x_max": 3.0, "y_max": 4.0}
    found = [
        messages.Detection(class_id=7, label="car", score=1.0, **places),
        messages.Detection(class_id=1, label="", score=1.0, **places),
    ]

    boxes = read_truth(messages.DetectionArray(detections=found, **answer), ["car", "bus"]).boxes

    assert [box.label for box in boxes.boxes] == ["car", "bus"]
    assert _corners(boxes.boxes[0]) == (1, 2, 3, 4)
    assert (boxes.width, boxes.height, boxes.labels) == (100, 50, ("car", "bus"))
    with pytest.raises(TruthError, match="class number 1, but there are 0 names"):
        read_truth(messages.DetectionArray(detections=found, **answer))


def _vision(messages, *hypotheses, theta=0.0):
    place = messages.Point2D(x=5.0, y=6.0)
    box = messages.BoundingBox2D(
        center=messages.Pose2D(position=place, theta=theta), size_x=4.0, size_y=2.0
    )
    results = [
        messages.ObjectHypothesisWithPose(
            hypothesis=messages.ObjectHypothesis(class_id=class_id, score=score)
        )
        for class_id, score in hypotheses
    ]
    found = messages.Detection2D(header=messages.header, results=results, bbox=box, id="")
    return messages.Detection2DArray(header=messages.header, detections=[found])


def test_vision_detections(messages):
    message = _vision(messages, ("bus", 0.2), ("1", 0.8))

    (box,) = read_truth(message, ["car", "tram"]).boxes.boxes
    (unnamed,) = read_truth(message).boxes.boxes

    assert (box.label, _corners(box)) == ("tram", (3, 5, 7, 7))
    assert unnamed.label == "1"


def test_vision_detections_before_humble():
    hypothesis = SimpleNamespace(id="car", score=1.0)
    box = SimpleNamespace(center=SimpleNamespace(x=5, y=6, theta=0), size_x=4, size_y=2)
    found = SimpleNamespace(results=[hypothesis], bbox=box)
    message = SimpleNamespace(__msgtype__="vision_msgs/msg/Detection2DArray", detections=[found])

    (read,) = read_truth(message).boxes.boxes

    assert (read.label, _corners(read)) == ("car", (3, 5, 7, 7))


def test_vision_detections_that_cannot_be_compared(messages):
    with pytest.raises(TruthError, match=r"turned by 0\.5 rad"):
        read_truth(_vision(messages, ("car", 1.0), theta=0.5))
    with pytest.raises(TruthError, match="no hypothesis"):
        read_truth(_vision(messages))


def _classified(messages, answer, *regions):
    made = [
        messages.ClassifiedRegion(
            x_min=float(x_min),
            y_min=0.0,
            x_max=float(x_max),
            y_max=50.0,
            classes=[messages.ScoredClass(class_id=0, label=label, score=1.0)],
        )
        for label, x_min, x_max in regions
    ]
    return messages.ClassificationArray(regions=made, **answer)


def test_classes_of_images_and_of_regions(messages, answer):
    whole = read_truth(_classified(messages, answer, ("sea", 0, 100)))
    either = _classified(messages, answer, ("sea", 0, 100))
    either.regions[0].classes.append(messages.ScoredClass(class_id=0, label="lake", score=1.0))
    part = read_truth(_classified(messages, answer, ("red", 10, 20)))
    parts = read_truth(_classified(messages, answer, ("red", 0, 100), ("green", 30, 40)))

    assert (whole.classes.names, whole.boxes) == (("sea",), None)
    assert read_truth(either).classes.names == ("sea", "lake")
    assert part.classes is None
    assert [box.label for box in part.boxes.boxes] == ["red"]
    assert [_corners(box) for box in parts.boxes.boxes] == [(0, 0, 100, 50), (30, 0, 40, 50)]


def test_vision_classification(messages):
    hypotheses = [messages.ObjectHypothesis(class_id="sea", score=0.5)]
    message = messages.Classification(header=messages.header, results=hypotheses)

    assert read_truth(message).classes.names == ("sea",)


def test_lanes(messages, answer):
    points = [messages.LanePoint(x=x, y=y) for x, y in ((30.0, 50.0), (40.0, 20.0))]
    lane = messages.Lane(points=points, score=1.0, is_ego=True)

    lanes = read_truth(messages.LaneArray(lanes=[lane], **answer)).lanes

    assert lanes.rows[0] == pytest.approx(160 * 50 / 720)
    assert np.isnan(lanes.columns[0, 0])
    np.testing.assert_allclose(
        lanes.columns[0][lanes.rows >= 20], 30 + (50 - lanes.rows[lanes.rows >= 20]) / 3
    )
    assert read_truth(messages.LaneArray(lanes=[], **answer)).lanes.columns.shape == (0, 56)
    with pytest.raises(TruthError, match="need the image's size"):
        read_truth(messages.LaneArray(lanes=[], **{**answer, "width": 0}))


@pytest.mark.parametrize(
    ("encoding", "kind"), [("mono8", "u1"), ("16UC1", "<u2"), ("mono16", ">u2")]
)
def test_class_maps(messages, encoding, kind):
    numbers = np.array([[0, 1, 2], [3, 4, 250]], dtype=kind)
    padded = np.zeros((2, numbers.itemsize * 3 + 2), np.uint8)
    padded[:, :-2] = numbers.view(np.uint8).reshape(2, -1)
    message = messages.Image(
        header=messages.header,
        height=2,
        width=3,
        encoding=encoding,
        is_bigendian=int(">" in kind),
        step=padded.shape[1],
        data=padded.ravel(),
    )

    mask = read_truth(message, ["road", "car"]).mask

    np.testing.assert_array_equal(mask.class_map, numbers)
    assert mask.labels == ("road", "car")
    with pytest.raises(TruthError, match="needs the names of its classes"):
        read_truth(message)
    message.data = message.data[:-1]
    with pytest.raises(TruthError, match="do not fit its size"):
        read_truth(message, ["road"])
    message.encoding = "rgb8"
    with pytest.raises(TruthError, match="the encoding 'rgb8'"):
        read_truth(message, ["road"])


def test_compressed_class_maps(messages):
    numbers = np.array([[0, 1], [2, 250]], np.uint8)

    def compressed(how: str, data: np.ndarray):
        return messages.CompressedImage(header=messages.header, format=how, data=data)

    png = cv2.imencode(".png", numbers)[1].ravel()
    mask = read_truth(compressed("mono8; png compressed", png), ["road"]).mask

    np.testing.assert_array_equal(mask.class_map, numbers)
    with pytest.raises(TruthError, match="changes class numbers"):
        read_truth(compressed("mono8; jpeg compressed", png), ["road"])
    with pytest.raises(TruthError, match="is no PNG"):
        read_truth(compressed("png", png[:20]), ["road"])


def test_names_of_classes(messages, answer):
    info = messages.SegmentationInfo(labels=["road", "car"], shares=np.zeros(2, "f4"), **answer)
    vision = messages.LabelInfo(
        header=messages.header,
        class_map=[messages.VisionClass(class_id=2, class_name="car")],
        threshold=0.0,
    )

    assert read_label_names(info) == ("road", "car")
    assert read_label_names(vision) == ("class_0", "class_1", "car")
    with pytest.raises(TruthError, match="have no names"):
        read_label_names(messages.header)


def test_other_messages_are_refused(messages):
    with pytest.raises(TruthError, match="messages of std_msgs/msg/Header cannot be read"):
        read_truth(messages.header)
