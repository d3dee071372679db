"""A node that plays a video file into an image topic, as a camera would: in real time.

Publishes `image` (sensor_msgs/Image, best effort, depth 1) and `~/played` (which frame that was).
It waits for the first subscriber, plays, and exits.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import rclpy
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from swapnet_ros.evaluation.video_file import VideoError, VideoReader
from swapnet_ros.msg import PlayedFrame
from swapnet_ros.nodes.images import encode_image

_FRAME_ID = "camera"
_POLL_S = 0.05
_ACKNOWLEDGE_S = 5.0
CAMERA_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
# Whoever keeps count wants every one of them, also those from before it came.
PLAYED_QOS = QoSProfile(
    depth=4096,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class VideoPlayer(Node):
    """Publishes the frames of one video when they are due; late frames are skipped.

    Use from one thread.
    """

    def __init__(self) -> None:
        """Open the video that parameter `video` names.

        Raises:
            VideoError: it cannot be read.
        """
        super().__init__("video_player")
        path = Path(self.declare_parameter("video", "").value)
        self._duration_s = float(self.declare_parameter("duration_s", 0.0).value)
        self._images = self.create_publisher(Image, "image", CAMERA_QOS)
        self._played = self.create_publisher(PlayedFrame, "~/played", PLAYED_QOS)
        self._reader = VideoReader(path)
        self._next_index = 0
        self.skipped_count = 0

    @property
    def play_time_s(self) -> float:
        """How long to play: as asked for, else the video once."""
        return self._duration_s or self._reader.facts.duration_s

    def wait_for_subscriber(self) -> None:
        """Return when someone subscribes to the images, or when ROS shuts down."""
        while rclpy.ok() and self._images.get_subscription_count() == 0:
            time.sleep(_POLL_S)

    def play(self) -> None:
        """Publish frames until the time is up, or ROS shuts down."""
        period_s = 1.0 / self._reader.facts.frame_rate_hz
        start_s = time.monotonic()
        turn = 0
        while rclpy.ok() and turn * period_s < self.play_time_s:
            time.sleep(max(0.0, start_s + turn * period_s - time.monotonic()))
            if not self._publish_next():
                return
            due = int((time.monotonic() - start_s) / period_s)
            turn += 1
            while turn < due:
                self._skip_next()
                turn += 1

    def close(self) -> None:
        """Let subscribers take the last messages, and close the video."""
        if rclpy.ok():
            self._played.wait_for_all_acked(Duration(seconds=_ACKNOWLEDGE_S))
        self._reader.close()
        self.destroy_node()

    def _publish_next(self) -> bool:
        """Publish one frame; False when the video is over and was to be played once."""
        image = self._reader.read()
        if image is None and self._start_again():
            image = self._reader.read()
        if image is None:
            return False
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=_FRAME_ID)
        self._images.publish(encode_image(image, header))
        self._played.publish(PlayedFrame(header=header, index=self._next_index))
        self._next_index += 1
        return True

    def _skip_next(self) -> None:
        if self._reader.skip() or (self._start_again() and self._reader.skip()):
            self._next_index += 1
            self.skipped_count += 1

    def _start_again(self) -> bool:
        """Go back to the beginning, where a time was asked for that is longer than the video."""
        if self._duration_s <= 0:
            return False
        self._reader.rewind()
        self._next_index = 0
        return True


def main() -> int:
    """Play one video; exit code 2 when it cannot be read."""
    rclpy.init()
    player = None
    try:
        player = VideoPlayer()
        player.wait_for_subscriber()
        player.play()
    except VideoError as error:
        print(f"video_player: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0  # whoever stopped it knows
    finally:
        if player is not None:
            player.close()
        rclpy.try_shutdown()
    return 0
