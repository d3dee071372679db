"""The bag player over real DDS, as a process of its own."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from swapnet_ros.evaluation.bags.formats import ImageCompression
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.bags.writer import BagWriter
from swapnet_ros.nodes.child_process import ChildProcess

rclpy = pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

_BEGIN_NS, _STEP_NS, _IMAGES = 1_700_000_000_000_000_000, 50_000_000, 8
_RAW, _JPEG = "/left", "/right/compressed"


@pytest.fixture
def bag(tmp_path):
    """Two cameras in turn, one raw, one in JPEG."""
    path = tmp_path / "bag"
    with BagWriter(path) as writer:
        for number in range(_IMAGES):
            image = np.full((24, 32, 3), 10 * number, np.uint8)
            facts = {"stamp_ns": _BEGIN_NS + number * _STEP_NS, "frame_id": f"camera{number % 2}"}
            if number % 2:
                writer.write_compressed_image(_JPEG, image, ImageCompression.JPEG, **facts)
            else:
                writer.write_image(_RAW, image, **facts)
    return path


@pytest.fixture
def audience(ros):
    """What comes on the two topics, serialized as it is, and on `/clock`."""
    from rclpy.node import Node
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import CompressedImage, Image

    from swapnet_ros.nodes.cameras import IMAGE_QOS
    from swapnet_ros.replay.bag_player import CLOCK_QOS

    node = Node("audience")
    heard = {_RAW: [], _JPEG: [], "/clock": []}
    for topic, kind in ((_RAW, Image), (_JPEG, CompressedImage)):
        node.create_subscription(kind, topic, heard[topic].append, IMAGE_QOS, raw=True)
    node.create_subscription(Clock, "/clock", heard["/clock"].append, CLOCK_QOS)
    ros.add_node(node)
    yield heard
    node.destroy_node()


def _player(tmp_path, **parameters):
    from ament_index_python.packages import get_package_prefix

    program = Path(get_package_prefix("swapnet_ros"), "lib", "swapnet_ros", "bag_player")
    pairs = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    command = [str(program), "--ros-args", *pairs]
    return ChildProcess("bag_player", command, log=tmp_path / "player.log")


def test_messages_are_passed_on_as_they_are_stored_and_the_clock_is_the_bags(
    ros, audience, tmp_path, bag
):
    from swapnet_ros.replay.player_command import read_summary

    with _player(tmp_path, bag=bag, rate=0.5) as player:
        deadline_s = time.monotonic() + 90.0
        while player.exit_code is None:
            assert time.monotonic() < deadline_s
            ros.spin_once(timeout_sec=0.05)
        assert player.exit_code == 0, player.last_lines()
        assert read_summary(player.last_lines(1)) == {_RAW: 4, _JPEG: 4}

    with BagReader(bag) as reader:
        for topic in (_RAW, _JPEG):
            stored = [_unpadded(each.data) for each in reader.stored_messages([topic])]
            assert [_unpadded(each) for each in audience[topic]] == stored
    times_ns = [each.clock.sec * 10**9 + each.clock.nanosec for each in audience["/clock"]]
    assert times_ns == sorted(times_ns)
    assert times_ns[0] == _BEGIN_NS
    assert times_ns[-1] == _BEGIN_NS + (_IMAGES - 1) * _STEP_NS


def _unpadded(message):
    """A serialized message without its end of zeros: DDS fills up to four bytes."""
    return bytes(message).rstrip(b"\0")


@pytest.mark.slow  # seconds for the imports of one more process
def test_a_bag_that_cannot_be_played_is_bad_input(domain_id, tmp_path, bag):
    with _player(tmp_path, bag=bag, topics="[/front]") as player:
        assert player.wait() == 2
        assert f"bag_player: {bag} has no topic /front" in player.last_lines()


def test_it_publishes_with_the_qos_that_was_offered():
    from rclpy.qos import DurabilityPolicy, ReliabilityPolicy, qos_profile_sensor_data
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    from swapnet_ros.replay.bag_player import publisher_qos

    never = QosTime(0, 0)
    reliable = Qos(
        *(QosHistory.KEEP_LAST, 7, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL),
        *(never, never, QosLiveliness.AUTOMATIC, never, False),
    )
    weaker = reliable._replace(
        reliability=QosReliability.BEST_EFFORT, durability=QosDurability.VOLATILE, depth=2
    )
    assert publisher_qos(()) == qos_profile_sensor_data
    alone = publisher_qos((reliable,))
    assert (alone.depth, alone.reliability) == (7, ReliabilityPolicy.RELIABLE)
    assert alone.durability is DurabilityPolicy.TRANSIENT_LOCAL
    both = publisher_qos((reliable, weaker))
    assert (both.depth, both.reliability) == (7, ReliabilityPolicy.BEST_EFFORT)
    assert both.durability is DurabilityPolicy.VOLATILE
