"""Labels of a bag's own topics, and the names of their classes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.bags.formats import ImageCompression
from swapnet_ros.evaluation.bags.message_types import known_types
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.bags.writer import BagWriter
from swapnet_ros.evaluation.direct.direct_task import DirectTask
from swapnet_ros.evaluation.direct.engines import InferenceCost
from swapnet_ros.evaluation.direct.frame_analyst import TaskAnswer
from swapnet_ros.evaluation.direct.label_spec import LabelSource, LabelSpec
from swapnet_ros.evaluation.direct.label_truth import make_scoring
from swapnet_ros.perception.tasks.semantic_segmentation import SegmentationResult

_STAMP = {"stamp_ns": 1_000_000_000, "frame_id": "camera"}
_LABELS = ("sky", "road")  # the network has them the other way round


@pytest.fixture
def bag(tmp_path):
    """One image, its upper half labelled as sky and its lower one as road."""
    class_map = np.zeros((8, 8), np.uint8)
    class_map[4:] = 1
    truth = SegmentationResult(
        class_map=class_map, labels=_LABELS, shares=(0.5, 0.5), width=8, height=8
    )
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_image("/image", np.zeros((8, 8, 3), np.uint8), **_STAMP)
        writer.write_result("/image/labels", truth, network="labels", **_STAMP)
        pixels = np.repeat(class_map[..., None], 3, axis=2)
        writer.write_compressed_image("/bare/map", pixels, ImageCompression.PNG, **_STAMP)
        text = known_types().types["std_msgs/msg/String"](data="")
        writer.write("/note", text, stamp_ns=0)
    with BagReader(tmp_path / "bag") as reader:
        yield reader


def _task(kind, labels):
    return DirectTask(
        name="task",
        task=kind,
        topics=("/image",),
        detector="",
        values={},
        network=SimpleNamespace(labels=labels),
    )


def _score(bag, topic, **options):
    """Score a result that takes the first row of road for sky."""
    task = _task("semantic_segmentation", _LABELS[::-1])
    spec = LabelSpec(sources=(LabelSource(labels=topic, **options),))
    scoring = make_scoring(spec, [task], bag)
    found = np.zeros((8, 8), np.uint8)
    found[:5] = 1
    result = SegmentationResult(
        class_map=found, labels=task.network.labels, shares=(3 / 8, 5 / 8), width=8, height=8
    )
    answer = TaskAnswer(
        task=task.name, result=result, refusal="", cost=InferenceCost(), answer_s=0.0
    )
    (frame,) = bag.frames(["/image"])
    scoring.add(frame, [answer])
    return scoring.summary()[task.name]


def test_class_maps_get_their_names_from_the_topic_beside_them(bag):
    figures = _score(bag, "/image/labels/class_map")
    assert figures["pixel_accuracy"] == 7 / 8
    ious = {name: each["iou"] for name, each in figures["classes"].items()}
    assert ious == {"road": 24 / 32, "sky": 32 / 40}


def test_names_that_are_given_go_before_those_of_the_bag(bag):
    figures = _score(bag, "/image/labels/class_map", names=("road", "sky"))
    assert figures["pixel_accuracy"] == 1 / 8


def test_class_maps_without_names_are_refused_before_anything_is_loaded(bag):
    with pytest.raises(
        InputError, match=r"has none on /bare/segmentation_info or /bare/label_info"
    ):
        _score(bag, "/bare/map")


def test_a_topic_without_labels_is_refused(bag):
    with pytest.raises(InputError, match="messages of std_msgs/msg/String are no labels;"):
        _score(bag, "/note")


@pytest.fixture
def made_bag(tmp_path):
    """Five frames that `swapnet bag` made of two images, over and over."""
    images = [f"{name}.jpg" for name in "abaab"]
    with BagWriter(tmp_path / "made") as writer:
        for number in range(5):
            facts = {"stamp_ns": 1_000_000_000 + number * 100_000_000, "frame_id": "camera"}
            writer.write_image("/image", np.zeros((8, 8, 3), np.uint8), **facts)
    rows = [f"{1_000_000_000 + n * 100_000_000},{name}" for n, name in enumerate(images)]
    (tmp_path / "made/images.csv").write_text("stamp_ns,file\n" + "\n".join(rows))
    with BagReader(tmp_path / "made") as reader:
        yield reader


def _labelled_frames(bag, folder, images, **options):
    """How many frames have labels, where these images lie beside their table of classes."""
    folder.mkdir()
    for name in images:
        (folder / name).touch()
    (folder / "classes.csv").write_text(
        "file,label\n" + "".join(f"{name},{_LABELS[0]}\n" for name in images)
    )
    task = _task("natural_scene_classification", _LABELS)
    sources = (LabelSource(labels=str(folder / "classes.csv"), **options),)
    scoring = make_scoring(LabelSpec(sources=sources), [task], bag)
    for frame in bag.frames(["/image"]):
        scoring.add(frame, [])
    (met,) = scoring.meetings()["/image"]
    return met["matched"]


@pytest.mark.parametrize(("images", "count"), [(("a.jpg",), 3), (("b.jpg", "x.jpg"), 2)])
def test_a_bag_that_was_made_of_images_says_itself_which_frame_is_which(
    made_bag, tmp_path, images, count
):
    assert _labelled_frames(made_bag, tmp_path / "labels", images) == count


def test_labels_of_other_images_are_not_taken_for_those_of_a_made_bag(made_bag, tmp_path):
    with pytest.raises(InputError, match=r"none of their names, and there are 2 of them for 5"):
        _labelled_frames(made_bag, tmp_path / "labels", ("x.jpg", "y.jpg"))
    words = {"order": str(tmp_path / "labels2")}
    assert _labelled_frames(made_bag, tmp_path / "labels2", ("x.jpg", "y.jpg"), **words) == 2


def test_images_with_other_names_are_found_by_number_where_they_are_as_many(made_bag, tmp_path):
    images = [f"frame_{number}.jpg" for number in range(5)]
    assert _labelled_frames(made_bag, tmp_path / "labels", images) == 5
