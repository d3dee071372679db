"""What is written is read back, by our reader and by rosbags' own."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader

from swapnet_ros.evaluation.bags.formats import BagStorage, ImageCompression
from swapnet_ros.evaluation.bags.problems import BagError
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.bags.writer import BagWriter
from swapnet_ros.nodes.topic_tables import TOPICS
from swapnet_ros.perception.tasks.image_classification import (
    ClassificationResult,
    ClassifiedRegion,
    ScoredClass,
)
from swapnet_ros.perception.tasks.lane_detection import Lane, LaneResult
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult
from swapnet_ros.perception.tasks.semantic_segmentation import SegmentationResult

from .conftest import HEIGHT, WIDTH, only_file, picture

SIZE = {"width": WIDTH, "height": HEIGHT}
BOX = {"x_min": 10.0, "y_min": 20.0, "x_max": 50.0, "y_max": 40.0}
STAMP = {"stamp_ns": 3_000_000_007, "frame_id": "lens"}
CAR = DetectionResult(detections=(Detection(class_id=2, label="car", score=0.5, **BOX),), **SIZE)
LANE = Lane(points=np.array([[1.5, 90], [3, 60]], np.float32), score=0.9, is_ego=True)


@pytest.mark.parametrize("storage", list(BagStorage))
def test_images_are_read_back(tmp_path, storage):
    with BagWriter(tmp_path / "bag", storage=storage) as writer:
        writer.write_image("/raw", picture(0), **STAMP)
        writer.write_compressed_image("/png", picture(1), ImageCompression.PNG, **STAMP)
        grey = np.full((8, 8, 3), 90, np.uint8)
        writer.write_compressed_image("/jpeg", grey, ImageCompression.JPEG, **STAMP)
    with BagReader(tmp_path / "bag") as reader:
        frames = {frame.topic: frame for frame in reader.frames()}
        assert reader.problems == ()
        assert reader.image_format("/raw") == "rgb8 160x120"
    np.testing.assert_array_equal(frames["/raw"].image, picture(0))
    np.testing.assert_array_equal(frames["/png"].image, picture(1))
    assert np.abs(frames["/jpeg"].image.astype(int) - 90).max() <= 1
    assert {(frame.stamp_ns, frame.frame_id) for frame in frames.values()} == {
        (3_000_000_007, "lens")
    }


def test_equal_input_makes_equal_files(tmp_path):
    for name in ("one", "two"):
        with BagWriter(tmp_path / name / "bag") as writer:
            writer.write_image("/raw", picture(0), **STAMP)
            writer.write_result("object_detection", CAR, network="net", **STAMP)
    one, two = (only_file(tmp_path / name / "bag").read_bytes() for name in ("one", "two"))
    assert one == two


def results():
    region = ClassifiedRegion(classes=(ScoredClass(class_id=3, label="stop", score=0.7),), **BOX)
    class_map = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) % 2
    return {
        "object_detection": CAR,
        "lane_detection": LaneResult(lanes=(LANE,), area=class_map.astype(bool), **SIZE),
        "semantic_segmentation": SegmentationResult(
            class_map=class_map, labels=("road", "sky"), shares=(0.5, 0.5), **SIZE
        ),
        "traffic_sign_classification": ClassificationResult(regions=(region,), **SIZE),
        "natural_scene_classification": ClassificationResult(regions=(), **SIZE),
    }


def write_results(folder):
    with BagWriter(folder) as writer:
        for node, result in results().items():
            writer.write_result(node, result, network="net", **STAMP)
            writer.write_overlay(node, picture(0), result, **STAMP)
    return folder


def test_results_have_the_topics_and_types_of_the_nodes(tmp_path):
    with BagReader(write_results(tmp_path / "bag")) as reader:
        topics = dict(reader.topics)
    names = {topic.split("/", 2)[2] for topic in topics}
    for name in names - {"debug_image/compressed"}:
        kinds = {kind for topic, kind in topics.items() if topic.split("/", 2)[2] == name}
        documented = {
            spec.type.replace("/", "/msg/")
            for node in results()
            for spec in TOPICS[node]
            if spec.name == f"~/{name}"
        }
        assert kinds <= documented, name
    assert topics["/object_detection/debug_image/compressed"].endswith("CompressedImage")


def test_results_are_read_back(tmp_path):
    with BagReader(write_results(tmp_path / "bag")) as reader:
        first = {topic: next(reader.messages(topic))[1] for topic in reader.topics}
    (box,) = first["/object_detection/detections"].detections
    assert (box.label, box.class_id, box.score, box.x_max) == ("car", 2, 0.5, 50.0)
    (box,) = first["/object_detection/vision/detections"].detections
    assert (box.bbox.center.position.x, box.bbox.size_y) == (30.0, 20.0)
    assert box.results[0].hypothesis.class_id == "car"
    (lane,) = first["/lane_detection/lanes"].lanes
    assert [(point.x, point.y) for point in lane.points] == [(1.5, 90.0), (3.0, 60.0)]
    assert set(first["/lane_detection/ego_lane"].data) == {0, 255}
    info = first["/semantic_segmentation/segmentation_info"]
    assert (info.labels, info.timing.total_s) == (["road", "sky"], 0.0)
    class_map = first["/semantic_segmentation/class_map"]
    assert (class_map.encoding, class_map.step, set(class_map.data)) == ("mono8", WIDTH, {0, 1})
    (region,) = first["/traffic_sign_classification/classifications"].regions
    assert region.classes[0].label == "stop"
    assert first["/natural_scene_classification/vision/classification"].results == []


def test_rosbags_own_reader_takes_the_bag_with_its_definitions(tmp_path):
    with AnyReader([write_results(tmp_path / "bag")]) as reader:
        kinds = {connection.msgtype for connection in reader.connections}
        for connection, _, data in reader.messages():
            reader.deserialize(data, connection.msgtype)
    assert "vision_msgs/msg/Detection2DArray" in kinds
    metadata = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())
    facts = metadata["rosbag2_bagfile_information"]
    assert facts["version"] == 8, "ROS 2 Humble reads no newer one"
    assert facts["custom_data"] == {"made_by": "swapnet"}


def test_an_error_while_writing_leaves_a_whole_bag(tmp_path):
    def fail():
        with BagWriter(tmp_path / "bag") as writer:
            writer.write_image("/image", picture(0), **STAMP)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with BagReader(tmp_path / "bag") as reader:
        assert len(list(reader.frames())) == 1
        assert reader.problems == ()


def test_a_bag_that_exists_is_not_written_over(tmp_path):
    with pytest.raises(BagError, match="exists already; name another folder"):
        BagWriter(tmp_path)


def test_a_place_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BagError, match="no bag can be made at"):
        BagWriter(tmp_path / "file" / "bag")


def test_a_closed_bag_takes_no_more(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_image("/image", picture(0), **STAMP)
    writer.close()
    with pytest.raises(BagError, match="is closed"):
        writer.write_image("/image", picture(0), **STAMP)
