"""The player over real DDS, as a process of its own."""

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from swapnet_ros.evaluation.video_file import write_video
from swapnet_ros.nodes.child_process import ChildProcess

rclpy = pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

_WIDTH, _HEIGHT, _FRAMES, _RATE_HZ = 320, 240, 12, 15.0


@pytest.fixture
def video(tmp_path):
    """Twelve grey frames, whose brightness tells their index."""
    path = tmp_path / "ramp.mp4"
    frames = [np.full((_HEIGHT, _WIDTH, 3), 20 * i, np.uint8) for i in range(_FRAMES)]
    write_video(path, frames, width=_WIDTH, height=_HEIGHT, frame_rate_hz=_RATE_HZ)
    return path


class _Audience:
    """A subscriber to what the player publishes."""

    def __init__(self):
        from rclpy.node import Node
        from sensor_msgs.msg import Image

        from swapnet_ros.msg import PlayedFrame
        from swapnet_ros.nodes.video_player import CAMERA_QOS, PLAYED_QOS

        self.node = Node("audience")
        self.images, self.played = [], []
        self.node.create_subscription(Image, "image", self.images.append, CAMERA_QOS)
        self.node.create_subscription(
            PlayedFrame, "video_player/played", self.played.append, PLAYED_QOS
        )


@pytest.fixture
def audience(ros):
    audience = _Audience()
    ros.add_node(audience.node)
    yield audience
    audience.node.destroy_node()


def _player(tmp_path, **parameters):
    from ament_index_python.packages import get_package_prefix

    program = Path(get_package_prefix("swapnet_ros"), "lib", "swapnet_ros", "video_player")
    pairs = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    command = [str(program), "--ros-args", *pairs]
    return ChildProcess("video_player", command, log=tmp_path / "player.log")


def _listen_until(ros, is_done, timeout_s=60.0):
    deadline_s = time.monotonic() + timeout_s
    while not is_done():
        assert time.monotonic() < deadline_s
        ros.spin_once(timeout_sec=0.05)


def _stamp(message):
    return (message.header.stamp.sec, message.header.stamp.nanosec)


def test_a_video_is_played_once_at_its_rate(ros, audience, tmp_path, video):
    with _player(tmp_path, video=video) as player:
        _listen_until(ros, lambda: player.exit_code is not None)
        assert player.exit_code == 0, player.last_lines()
    _listen_until(ros, lambda: audience.played and audience.played[-1].index == _FRAMES - 1)

    indices = [note.index for note in audience.played]
    assert indices == sorted(set(indices))
    index_of = {_stamp(note): note.index for note in audience.played}
    assert audience.images
    for image in audience.images:
        assert (image.width, image.height, image.encoding) == (_WIDTH, _HEIGHT, "rgb8")
        assert image.header.frame_id == "camera"
        assert round(float(np.mean(image.data)) / 20) == index_of[_stamp(image)]


def test_a_longer_time_than_the_video_starts_it_again(ros, audience, tmp_path, video):
    with _player(tmp_path, video=video, duration_s=1.2) as player:
        _listen_until(ros, lambda: player.exit_code is not None)
        assert player.exit_code == 0, player.last_lines()
    ros.spin_once(timeout_sec=0.2)
    indices = [note.index for note in audience.played]
    assert any(after < before for before, after in pairwise(indices))


def test_it_waits_for_a_subscriber_and_leaves_at_a_signal(ros, tmp_path, video):
    observer = rclpy.create_node("observer")
    ros.add_node(observer)
    with _player(tmp_path, video=video) as player:
        _listen_until(ros, lambda: observer.count_publishers("video_player/played"))
        ros.spin_once(timeout_sec=1.0)
        assert player.exit_code is None
    observer.destroy_node()
    assert player.exit_code == 0, player.last_lines()


def test_a_missing_video_is_bad_input(domain_id, tmp_path):
    with _player(tmp_path, video=tmp_path / "absent.mp4") as player:
        assert player.wait() == 2
        assert "no video file at" in player.last_lines()
