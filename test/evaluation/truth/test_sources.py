from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapnet_ros.evaluation.truth.errors import TruthError
from swapnet_ros.evaluation.truth.file_truth import FileTruth
from swapnet_ros.evaluation.truth.frame import TruthBoxes, TruthClasses, TruthFrame
from swapnet_ros.evaluation.truth.image_names import images_in, read_stamps
from swapnet_ros.evaluation.truth.meetings import half_frame_period_ns
from swapnet_ros.evaluation.truth.sources import TruthSource
from swapnet_ros.evaluation.truth.topic_truth import LOOK_AHEAD, TopicTruth
from swapnet_ros.perception.errors import LabelsError


class _Names:
    """Labels of images: each has its own name as its class."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def read(self, name: str) -> TruthFrame | None:
        if name not in self.names:
            return None
        return TruthFrame(classes=TruthClasses(names=(name,)))


@pytest.fixture
def label(messages):
    """Make a message that says which stamp it has."""

    def label(stamp_ns: int):
        hypotheses = [messages.ObjectHypothesis(class_id=str(stamp_ns), score=1.0)]
        return stamp_ns, messages.Classification(header=messages.header, results=hypotheses)

    return label


def _stamp(found: TruthFrame | None) -> int | None:
    return None if found is None else int(found.classes.names[0])


def test_the_nearest_label_within_the_tolerance(label):
    truth = TopicTruth(map(label, (100, 200, 290, 500)), tolerance_ns=50)

    found = [_stamp(truth.find(stamp)) for stamp in (50, 130, 200, 250, 251, 400, 500, 900)]

    assert found == [100, 100, 200, 290, 290, None, 500, None]
    report = truth.report()
    assert (report.frames, report.matched, report.labels_used) == (8, 6, 4)
    assert report.labels_read == 4
    assert report.largest_offset_ns == 50


def test_labels_recorded_out_of_order_are_found(label):
    stamps = list(range(0, 10_000, 100))
    shuffled = sorted(stamps, key=lambda stamp: stamp + random.Random(stamp).randrange(700))
    truth = TopicTruth(map(label, shuffled), tolerance_ns=0)

    assert [_stamp(truth.find(stamp)) for stamp in stamps] == stamps


@pytest.mark.parametrize("step_back", [5, 37, 90])
@pytest.mark.parametrize("labels_lost", [0, 3])
def test_a_clock_that_is_set_back_keeps_its_labels(label, step_back, labels_lost):
    """Each run has the stamps that it has; around the step some labels are missing."""
    first = list(range(1000, 1100))
    runs = [
        first,
        [stamp - step_back for stamp in first],
        [stamp - 2 * step_back for stamp in first],
    ]
    labels = [stamp for run in runs for stamp in run[: len(run) - labels_lost]]
    truth = TopicTruth(map(label, labels), tolerance_ns=0)

    for run in runs:
        found = [_stamp(truth.find(stamp)) for stamp in run]
        assert found[: len(run) - labels_lost] == run[: len(run) - labels_lost]


def test_labels_and_frames_that_came_much_too_late_stop_nothing(label):
    stamps = list(range(100, 400))
    late = [*stamps[:150], 100, 101, *stamps[150:]]
    truth = TopicTruth(map(label, late), tolerance_ns=0)

    found = [_stamp(truth.find(stamp)) for stamp in [*stamps[:200], 110, *stamps[200:]]]

    assert found == [*stamps[:200], None, *stamps[200:]]


def test_a_long_topic_is_not_held(label):
    given_out = []

    def messages():
        for stamp in range(0, 1_000_000, 1000):
            given_out.append(stamp)
            yield label(stamp)

    truth = TopicTruth(messages(), tolerance_ns=500)

    for number, stamp in enumerate(range(0, 1_000_000, 1000)):
        assert _stamp(truth.find(stamp)) == stamp
        assert len(given_out) <= number + 2 + 2 * LOOK_AHEAD


@given(
    labels=st.lists(st.integers(0, 300), max_size=12),
    frames=st.lists(st.integers(0, 300), max_size=12),
    tolerance=st.integers(0, 40),
)
def test_it_finds_what_a_look_at_all_labels_finds(messages, labels, frames, tolerance):
    rising = sorted(labels)
    hypotheses = [messages.ObjectHypothesis(class_id="", score=1.0)]
    made = []
    for stamp in rising:
        message = messages.Classification(header=messages.header, results=[*hypotheses])
        message.results = [messages.ObjectHypothesis(class_id=str(stamp), score=1.0)]
        made.append((stamp, message))
    truth = TopicTruth(made, tolerance_ns=tolerance)

    for frame in sorted(frames):
        near = [stamp for stamp in rising if abs(stamp - frame) <= tolerance]
        expected = min(near, key=lambda stamp: abs(stamp - frame), default=None)
        assert _stamp(truth.find(frame)) == expected


def test_labels_that_cannot_be_used_are_counted(messages, label):
    empty = messages.Classification(header=messages.header, results=[])
    truth = TopicTruth([(0, empty), label(1), (2, empty)], tolerance_ns=0)

    assert [_stamp(truth.find(stamp)) for stamp in (0, 1, 2)] == [None, 1, None]

    ((text, count),) = truth.report().problems.items()
    assert "no hypothesis" in text
    assert count == 2


class _Broken(_Names):
    def read(self, name: str) -> TruthFrame | None:
        raise LabelsError(f"{name}.txt cannot be read", path=Path(name))


def test_files_that_cannot_be_read_are_counted():
    names = [f"image_{number}" for number in range(30)]
    truth = FileTruth(_Broken(*names), tolerance_ns=0, order=names)

    assert {truth.find(0, index=index) for index in range(30)} == {None}

    problems = truth.report().problems
    assert problems["image_0.txt cannot be read"] == 1
    assert (len(problems), sum(problems.values())) == (21, 30)


def test_files_by_name():
    truth = FileTruth(_Names("left/a", "b.v2", "right/c", "left/c"), tolerance_ns=0)

    names = ("left/a.jpg", "a", "a.png", "b.v2", "b.v2.jpg", "c", "right/c", "camera", "")
    found = [truth.find(0, name=name) for name in names]

    assert [each and each.classes.names[0] for each in found] == [
        *("left/a", "left/a", "left/a", "b.v2", "b.v2", None, "right/c", None, None)
    ]
    report = truth.report()
    assert (report.frames, report.matched, report.labels_read, report.labels_used) == (9, 6, 4, 3)


def test_files_by_number_in_the_topic():
    truth = FileTruth(_Names("b", "d"), tolerance_ns=0, order=("a.jpg", "b.jpg", "c.jpg", "d.jpg"))

    found = [truth.find(0, index=index) for index in (0, 1, 2, 3, 4, None)]

    assert [each and each.classes.names[0] for each in found] == [None, "b", None, "d", None, None]


def test_files_by_stamp():
    by_table = FileTruth(_Names("a", "b"), tolerance_ns=10, stamps={100: "a.jpg", 200: "b.jpg"})
    names = "1700000000000000000", "1700000000100000000"
    by_names = FileTruth(_Names(*names), tolerance_ns=1000)

    found = [by_table.find(stamp) for stamp in (89, 90, 110, 111, 195)]
    assert [each and each.classes.names[0] for each in found] == [None, "a", "a", None, "b"]
    assert by_table.report().largest_offset_ns == 10
    assert _stamp(by_names.find(1700000000100000900)) == 1700000000100000000
    assert by_names.find(1700000000050000000) is None


def test_sources_that_cannot_be_meant():
    with pytest.raises(TruthError, match="no label in these files"):
        FileTruth(_Names(), tolerance_ns=0)
    with pytest.raises(TruthError, match="at least 0 ns, but is -1"):
        FileTruth(_Names("a"), tolerance_ns=-1)
    with pytest.raises(TruthError, match="at least 0 ns"):
        TopicTruth([], tolerance_ns=-1)


class _Boxes(_Names):
    def read(self, name: str) -> TruthFrame | None:
        return TruthFrame(boxes=TruthBoxes(boxes=(), labels=self.names))


def test_a_camera_may_have_labels_of_several_kinds():
    classes = FileTruth(_Names("a"), tolerance_ns=0)
    boxes = FileTruth(_Boxes("a", "b"), tolerance_ns=0)
    truth = TruthSource({"/left": [classes, boxes], "/right": []})

    both = truth.find("/left", 0, name="a")
    one = truth.find("/left", 1, name="b")

    assert (both.classes.names, both.boxes.labels) == (("a",), ("a", "b"))
    assert (one.classes, one.boxes.labels) == (None, ("a", "b"))
    assert truth.find("/left", 2, name="c") is None
    assert truth.find("/right", 0, name="a") is truth.find("/rear", 0, name="a") is None
    assert [report.matched for report in truth.reports()["/left"]] == [1, 2]


def test_half_a_frame_period():
    assert half_frame_period_ns([0, 100, 200, 320, 400]) == 50
    assert half_frame_period_ns([300, 0, 100, 100, 1000]) == 100
    assert half_frame_period_ns([5]) == half_frame_period_ns([]) == 0


def test_images_of_a_folder_and_their_stamps(tmp_path):
    for name in ("b.png", "a.jpg", "a.txt", "c.JPEG"):
        (tmp_path / name).touch()
    path = tmp_path / "stamps.csv"
    path.write_text("stamp_ns,file\n100,a.jpg\n200,b.png\n")

    assert images_in(tmp_path) == ("a", "b", "c")
    assert read_stamps(path) == {100: "a.jpg", 200: "b.png"}
    path.write_text("stamp_ns,file\n0.5,a.jpg\n")
    with pytest.raises(LabelsError, match=":2: the stamp is no whole number"):
        read_stamps(path)
