"""Listens to a replay: results, the nodes' counters, the core's status, and the bag's time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String

from swapnet_ros.evaluation.network_account import NetworkAccount
from swapnet_ros.evaluation.task_results import TaskOutput
from swapnet_ros.msg import SwapStatus
from swapnet_ros.nodes.account_publisher import ACCOUNT_QOS, ACCOUNT_TOPIC
from swapnet_ros.nodes.hosted_nodes import HostedNode
from swapnet_ros.nodes.perception_monitor import PerceptionMonitor, image_key
from swapnet_ros.replay.bag_clock import BagClock
from swapnet_ros.replay.bag_player import CLOCK_QOS
from swapnet_ros.replay.frame_totals import TaskTotals
from swapnet_ros.replay.latency_parts import split_latency
from swapnet_ros.replay.play_record import PlayRecord

# A result that is lost on its last steps would look like a drop of the node's.
_RELIABLE = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


class ReplayMonitor(PerceptionMonitor):
    """Fills one `PlayRecord` after the other. Use from the thread that spins it.

    Attributes:
        record: of the play in progress.
        totals: each task node's counters, since its process began.
        accounts: what the core knows of each node's network, where that was listened to.
        heard_s: `time.monotonic()` at the arrival of each task node's newest counters.
        clock: the bag's time in this play.
    """

    def __init__(self, nodes: Sequence[HostedNode]) -> None:
        """Subscribe to everything.

        Args:
            nodes: the task nodes of the process that is listened to.
        """
        self._nodes_heard = tuple(node.name for node in nodes)
        self.totals = {name: TaskTotals() for name in self._nodes_heard}
        self.accounts: dict[str, NetworkAccount] = {}
        self.heard_s = dict.fromkeys(self._nodes_heard, float("-inf"))
        self.begin_play()
        super().__init__("replay_monitor", nodes, single_qos=_RELIABLE)
        self.create_subscription(Clock, "/clock", self._on_clock, CLOCK_QOS)
        for node in nodes:
            if node.task == "lane_detection":
                take = partial(self._on_area, node.name)
                self.create_subscription(Image, f"{node.name}/ego_lane", take, _RELIABLE)

    def begin_play(self) -> None:
        """Begin a new record."""
        self.record = PlayRecord(self._nodes_heard)
        self.clock = BagClock()

    def take_result(self, task: str, message: Any, output: TaskOutput) -> None:
        """Note a result."""
        parts = split_latency(message.timing)
        key = image_key(message.header)
        self.record.add_result(task, key, output, parts, heard_s=time.monotonic())

    def take_status(self, status: SwapStatus) -> None:
        """`status` has it."""

    def take_values(self, task: str, values: Mapping[str, str]) -> None:
        """Note a node's counters."""
        self.totals[task] = TaskTotals.of(values)
        self.heard_s[task] = time.monotonic()

    @contextmanager
    def listening_to_accounts(self) -> Iterator[None]:
        """Take every node's account while the context lasts: writing them costs the nodes time."""
        subscriptions = [
            self.create_subscription(
                String, f"{name}/{ACCOUNT_TOPIC}", partial(self._on_account, name), ACCOUNT_QOS
            )
            for name in self._nodes_heard
        ]
        try:
            yield
        finally:
            for subscription in subscriptions:
                self.destroy_subscription(subscription)

    def _on_clock(self, message: Clock) -> None:
        now_ns = message.clock.sec * 1_000_000_000 + message.clock.nanosec
        self.clock.hear(now_ns, time.monotonic())

    def _on_account(self, task: str, message: String) -> None:
        self.accounts[task] = NetworkAccount.from_json(json.loads(message.data))

    def _on_area(self, task: str, message: Image) -> None:
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        self.record.add_area(task, image_key(message.header), rows[:, : message.width] > 0)
