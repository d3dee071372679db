"""The topic on which a task node tells what the core knows of its network."""

from __future__ import annotations

import json

from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import String

from swapnet_core import SwapNetError, SwappedModel, SwapRuntime
from swapnet_ros.evaluation.network_account import NetworkAccount

ACCOUNT_TOPIC = "account"  # below the node's name
ACCOUNT_QOS = QoSProfile(depth=1)


class AccountPublisher:
    """Publishes accounts while someone listens, since one takes milliseconds to write down.

    For the node's executor thread.
    """

    def __init__(self, node: Node, runtime: SwapRuntime) -> None:
        """Open the topic.

        Args:
            node: the task node.
            runtime: that runs its network.
        """
        self._runtime = runtime
        self._publisher = node.create_publisher(String, f"~/{ACCOUNT_TOPIC}", ACCOUNT_QOS)

    def __repr__(self) -> str:
        return f"<AccountPublisher {self._publisher.topic_name}>"

    def publish(self, model: SwappedModel) -> None:
        """Tell of a network, if someone listens; nothing where it has no plan at present."""
        if self._publisher.get_subscription_count() == 0:
            return
        try:
            account = NetworkAccount.of(model, self._runtime.device_profile)
        except SwapNetError:  # its next frame says why, in the log and the diagnostics
            return
        self._publisher.publish(String(data=json.dumps(account.to_json())))
