"""Results as a bag: what is in it, and what a torn one is good for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from swapnet_ros.evaluation.bags.problems import BagError
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.direct.engines import InferenceCost
from swapnet_ros.evaluation.direct.frame_analyst import TaskAnswer
from swapnet_ros.evaluation.direct.results_bag import ResultsBag
from swapnet_ros.perception.tasks.lane_detection import LaneResult
from swapnet_ros.perception.tasks.object_detection import DetectionResult

_NETWORKS = {"near": "net", "lanes": "other_net"}
_SIZE = {"width": 16, "height": 12}
_OWN = {
    "/fire_detection/detections": "swapnet_ros/msg/DetectionArray",
    "/fire_detection/vision/detections": "vision_msgs/msg/Detection2DArray",
    "/lane_detection/ego_lane": "sensor_msgs/msg/Image",
    "/lane_detection/lanes": "swapnet_ros/msg/LaneArray",
    "/semantic_segmentation/class_map": "sensor_msgs/msg/Image",
    "/semantic_segmentation/segmentation_info": "swapnet_ros/msg/SegmentationInfo",
    "/traffic_sign_classification/classifications": "swapnet_ros/msg/ClassificationArray",
    "/traffic_sign_classification/vision/classification": "vision_msgs/msg/Classification",
    "/traffic_sign_classification/vision/detections": "vision_msgs/msg/Detection2DArray",
}


def test_every_frame_has_its_results_and_debug_images_with_its_stamp(whole):
    frames = json.loads((whole / "results.json").read_text())["frames"]
    stamps = [frame["stamp_ns"] for frame in frames]
    with BagReader(whole / "results_bag") as bag:
        topics = dict(bag.topics)
        recorded = {topic: list(bag.messages(topic)) for topic in topics}
        sizes = [frame.image.shape[:2] for frame in bag.frames()]
        assert bag.problems == ()
    debug = {f"/{task}/debug_image/compressed" for task in frames[0]["results"]}
    assert topics == _OWN | dict.fromkeys(debug, "sensor_msgs/msg/CompressedImage")
    for topic, messages in recorded.items():
        assert [stamp_ns for stamp_ns, _ in messages] == stamps, topic
    assert set(sizes) == {(frame["height"], frame["width"]) for frame in frames}
    for frame, (_, message) in zip(frames, recorded["/fire_detection/detections"], strict=True):
        scores = [each["score"] for each in frame["results"]["fire_detection"]["detections"]]
        np.testing.assert_allclose([each.score for each in message.detections], scores)
    with AnyReader([whole / "results_bag"]) as other:  # metadata, index and definitions are valid
        assert other.message_count == len(frames) * len(topics)
        for connection, _, data in other.messages():
            other.deserialize(data, connection.msgtype)


def test_whatever_is_left_of_a_torn_bag_every_frame_is_there_once_in_the_end(tmp_path):
    frames = [_frame(number) for number in range(1, 6)]
    storage = tmp_path / "bag/bag.mcap"
    _record(tmp_path / "bag", frames, frames_before=0)
    whole = storage.read_bytes()
    asked = set()
    for length in range(0, len(whole), 397):
        storage.write_bytes(whole[:length])
        (tmp_path / "bag/metadata.yaml").unlink()
        asked.add(_record(tmp_path / "bag", frames, frames_before=4))
        assert storage.read_bytes() == whole, length
    assert asked == {0, 1, 2, 3, 4}


def test_a_frame_of_the_same_time_and_one_that_was_refused_are_told_apart(tmp_path):
    frames = [_frame(1), _frame(1), _frame(-1), _frame(1)]
    _record(tmp_path / "bag", frames, frames_before=0)
    before = (tmp_path / "bag/bag.mcap").read_bytes()
    assert _record(tmp_path / "bag", frames, frames_before=4) == 0
    assert (tmp_path / "bag/bag.mcap").read_bytes() == before


def test_a_sitting_that_stops_before_all_is_taken_over_loses_nothing(tmp_path):
    frames = [_frame(number) for number in range(1, 4)]
    _record(tmp_path / "bag", frames, frames_before=0)
    before = (tmp_path / "bag/bag.mcap").read_bytes()
    with ResultsBag(tmp_path / "bag", _NETWORKS, frames_before=3) as bag:
        assert bag.take_over(frames[0])
    assert (tmp_path / "bag/bag.mcap").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


def test_what_is_not_ours_is_not_removed(tmp_path):
    _record(tmp_path / "bag", [_frame(1)], frames_before=0)
    (tmp_path / "bag/notes.txt").touch()
    with pytest.raises(BagError, match=r"cannot be removed: .*; move what is yours out of it"):
        ResultsBag(tmp_path / "bag", _NETWORKS, frames_before=0)
    assert (tmp_path / "bag/notes.txt").exists()


def _frame(number):
    image = np.full((12, 16, 3), 40, np.uint8)
    stamp_ns = 1_000_000_000 * number
    return SourceFrame(topic="/image", stamp_ns=stamp_ns, frame_id="", image=image, index=number)


def _answers(frame):
    cost = {"refusal": "", "cost": InferenceCost(), "answer_s": 0.0}
    found = DetectionResult(detections=(), **_SIZE)
    lanes = None if frame.stamp_ns < 0 else LaneResult(lanes=(), **_SIZE)
    return (
        TaskAnswer(task="near", result=found, **cost),
        TaskAnswer(task="lanes", result=lanes, **cost),
    )


def _record(path, frames, *, frames_before):
    """Record all frames; return how many of those before had to be analysed again."""
    again = 0
    with ResultsBag(path, _NETWORKS, frames_before=frames_before) as bag:
        for number, frame in enumerate(frames):
            if number < frames_before and bag.take_over(frame):
                continue
            again += number < frames_before
            bag.add(frame, _answers(frame))
    return again
