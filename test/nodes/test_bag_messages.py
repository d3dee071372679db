"""Messages of our bags are ROS 2's: the same bytes, the same types, in both directions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ament_index_python.packages import get_package_share_directory
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from swapnet_ros.evaluation.bags.message_types import known_types
from swapnet_ros.evaluation.bags.result_messages import ResultMessages
from swapnet_ros.msg import DetectionArray, LaneArray
from swapnet_ros.nodes.images import encode_image
from swapnet_ros.nodes.result_messages import read_detections, read_lanes
from swapnet_ros.perception.tasks.lane_detection import Lane, LaneResult
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult

pytestmark = pytest.mark.ros

SIZE = {"width": 64, "height": 48}


def test_our_types_are_those_that_were_built():
    described = Path(get_package_share_directory("swapnet_ros")) / "msg"
    files = sorted(described.glob("*.json"))
    if not files:
        pytest.skip("types have no hashes before ROS 2 Iron")
    for file in files:
        hashes = {each["type_name"]: each["hash_string"] for each in read_hashes(file)}
        name = f"swapnet_ros/msg/{file.stem}"
        assert known_types().hash_rihs01(name) == hashes[name]


def read_hashes(file):
    return json.loads(file.read_text())["type_hashes"]


def test_ros_reads_the_results_of_a_bag():
    types = known_types()
    messages = ResultMessages(types)
    header = messages.header(stamp_ns=3_000_000_007, frame_id="lens")
    box = Detection(class_id=2, label="car", score=0.5, x_min=1.0, y_min=2.0, x_max=3.0, y_max=4.0)
    found = DetectionResult(detections=(box,), **SIZE)
    lane = Lane(points=np.array([[1.5, 40], [3, 20]], np.float32), score=0.5, is_ego=True)
    cases = (
        (found, "detections", DetectionArray, read_detections),
        (LaneResult(lanes=(lane,), **SIZE), "lanes", LaneArray, read_lanes),
    )
    for result, topic, kind, read in cases:
        message = messages.of(result, "net", header)[topic]
        data = bytes(types.serialize_cdr(message, message.__msgtype__))
        received = deserialize_message(data, kind)
        assert (received.header.stamp.sec, received.header.stamp.nanosec) == (3, 7)
        assert (received.header.frame_id, received.network) == ("lens", "net")
        back = read(received)
        assert repr(back) == repr(result)


def test_a_bag_reads_the_images_of_ros():
    pixels = np.arange(48 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(48, 64, 3)
    sent = encode_image(pixels, Header(frame_id="lens"))
    read = known_types().deserialize_cdr(serialize_message(sent), "sensor_msgs/msg/Image")
    assert (read.header.frame_id, read.height, read.encoding) == ("lens", 48, "rgb8")
    np.testing.assert_array_equal(read.data.reshape(48, 64, 3), pixels)
    data = bytes(known_types().serialize_cdr(read, "sensor_msgs/msg/Image"))
    assert deserialize_message(data, Image) == sent
