"""A node that plays a bag's images as they are stored, in bag time, and publishes `/clock`.

Messages are passed on byte by byte: nothing is decoded, and stamps stay. Times are those of
recording, as for `ros2 bag play`. What comes late is published at once, and nothing is skipped.
Its last line of output says what was played, as JSON.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from collections import Counter
from pathlib import Path

import rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from rclpy.signals import SignalHandlerOptions
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosReliability
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from swapnet_core.errors import InputError, SwapNetError
from swapnet_ros.evaluation.bags.message_types import COMPRESSED_IMAGE, IMAGE
from swapnet_ros.evaluation.bags.raw_message import uncompressed
from swapnet_ros.evaluation.bags.reader import BagReader
from swapnet_ros.evaluation.direct.stop_request import StopRequest

EXIT_USAGE = 2
CLOCK_HZ = 100.0
# Nodes that have been found from here may not have found this one yet, and would miss its first
# images; and what is sent last must have arrived before the process takes its memory away.
LEAD_S, LEAD_OUT_S = 1.0, 0.5
_POLL_S = 0.05
_NS_PER_S = 1e9
_TYPES = {IMAGE: Image, COMPRESSED_IMAGE: CompressedImage}
CLOCK_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class BagPlayer(Node):
    """Plays one bag once. Use from one thread, which need not spin it."""

    def __init__(self, stop: StopRequest) -> None:
        """Open the bag that parameter `bag` names.

        Args:
            stop: ends the play once it is made.

        Raises:
            BagError: the bag cannot be read, or has no such topic.
            InputError: a parameter cannot be used.
        """
        super().__init__("bag_player")
        self._stop = stop
        self._rate = float(self.declare_parameter("rate", 1.0).value)
        wanted = [topic for topic in self.declare_parameter("topics", [""]).value if topic]
        path = self.declare_parameter("bag", "").value
        if not (self._rate > 0 and math.isfinite(self._rate)):
            raise InputError(f"rate is how many bag seconds pass in one, not {self._rate}")
        self._bag = BagReader(Path(path))
        topics = wanted or list(self._bag.image_topics)
        self._messages = self._bag.stored_messages(topics)
        self._images = {topic: self._publisher(topic) for topic in topics}
        self._time = self.create_publisher(Clock, "/clock", CLOCK_QOS)
        self._played: Counter[str] = Counter(dict.fromkeys(self._images, 0))
        self._latest_s = 0.0
        self._first_ns = 0

    def _publisher(self, topic: str) -> Publisher:
        kind = _TYPES.get(self._bag.topics[topic])
        if kind is None:
            raise InputError(f"{topic} has {self._bag.topics[topic]}, and only images are played")
        return self.create_publisher(kind, topic, publisher_qos(self._bag.offered_qos(topic)))

    def wait_for_subscribers(self) -> None:
        """Return when someone subscribes to each topic, or when a stop is asked for."""
        while not self._stop.is_made and any(
            images.get_subscription_count() == 0 for images in self._images.values()
        ):
            time.sleep(_POLL_S)

    def play(self) -> None:
        """Publish every message when it is due, until the bag's end or a stop."""
        first = next(self._messages, None)
        if first is None:
            return
        self._first_ns = first.time_ns
        begin_s = time.monotonic() + LEAD_S
        for message in itertools.chain((first,), self._messages):
            due_s = begin_s + (message.time_ns - first.time_ns) / _NS_PER_S / self._rate
            self._wait_until(due_s, message.time_ns)
            if self._stop.is_made:
                break
            self._latest_s = max(self._latest_s, time.monotonic() - due_s)
            self._show_time(message.time_ns)
            self._images[message.topic].publish(bytes(uncompressed(message.data)))
            self._played[message.topic] += 1
        time.sleep(LEAD_OUT_S)

    def summary(self) -> str:
        """What was played: images by topic, and how late the latest one was; JSON on one line."""
        return json.dumps({"played": dict(self._played), "latest_s": round(self._latest_s, 6)})

    def close(self) -> None:
        """Close the bag and the topics."""
        self._bag.close()
        self.destroy_node()

    def _wait_until(self, due_s: float, bag_ns: int) -> None:
        """Let `/clock` run until the time at which it shows `bag_ns`, or a stop is asked for."""
        while (left_s := due_s - time.monotonic()) > 0 and not self._stop.is_made:
            self._show_time(max(self._first_ns, bag_ns - round(left_s * self._rate * _NS_PER_S)))
            time.sleep(min(left_s, 1 / CLOCK_HZ))

    def _show_time(self, bag_ns: int) -> None:
        clock = Clock()
        clock.clock.sec, clock.clock.nanosec = divmod(bag_ns, 1_000_000_000)
        self._time.publish(clock)


def publisher_qos(offered: tuple[Qos, ...]) -> QoSProfile:
    """Return the QoS to publish with: what was offered when the bag was recorded.

    Where several publishers offered different ones, the weaker of each pair, which all of the
    recorded subscribers took. Where the bag has none, that of sensor data.

    Args:
        offered: of the topic's publishers.
    """
    if not offered:
        return qos_profile_sensor_data
    is_reliable = all(each.reliability is QosReliability.RELIABLE for each in offered)
    is_kept = all(each.durability is QosDurability.TRANSIENT_LOCAL for each in offered)
    keeps_all = all(each.history is QosHistory.KEEP_ALL for each in offered)
    return QoSProfile(
        history=HistoryPolicy.KEEP_ALL if keeps_all else HistoryPolicy.KEEP_LAST,
        depth=max(1, *(each.depth for each in offered)),
        reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if is_kept else DurabilityPolicy.VOLATILE,
    )


def main() -> int:
    """Play one bag; exit code 2 where it cannot be read."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    player = None
    try:
        with StopRequest() as stop:
            player = BagPlayer(stop)
            player.wait_for_subscribers()
            player.play()
            print(player.summary(), flush=True)
    except SwapNetError as error:
        print(f"bag_player: {error}", file=sys.stderr)
        return EXIT_USAGE
    finally:
        if player is not None:
            player.close()
        rclpy.try_shutdown()
    return 0
