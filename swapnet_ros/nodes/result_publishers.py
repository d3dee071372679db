"""The topics on which a task node publishes: results, `vision_msgs` beside them, debug images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image

from swapnet_ros.nodes import vision_messages

RESULT_QOS = QoSProfile(depth=10)
DEBUG_QOS = QoSProfile(depth=1)
# who comes late gets the labels, too
LABELS_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
DEBUG_TOPIC = "~/debug_image"
LABELS_TOPIC = "~/vision/label_info"


class ResultPublishers:
    """Publishers of one configured task node. For the node's threads, one at a time."""

    def __init__(
        self,
        node: LifecycleNode,
        results: Mapping[str, type],
        vision: Mapping[str, str],
        *,
        labels: Sequence[str],
    ) -> None:
        """Open the topics.

        Args:
            node: the node that publishes.
            results: message types by topic.
            vision: names of `vision_msgs` types by topic; without that package nothing is opened.
            labels: class names by class id, for `LabelInfo`; empty for networks without classes.
        """
        self._node = node
        self._labels = labels
        self._results = self._open_all(results)
        self._vision: dict[str, LifecyclePublisher] = {}
        self._label_info: LifecyclePublisher | None = None
        self._debug = node.create_lifecycle_publisher(Image, DEBUG_TOPIC, DEBUG_QOS)
        if vision_messages.IS_INSTALLED:
            types = {topic: vision_messages.message_type(name) for topic, name in vision.items()}
            self._vision = self._open_all(types)
            if labels:
                self._label_info = node.create_lifecycle_publisher(
                    vision_messages.message_type("LabelInfo"), LABELS_TOPIC, LABELS_QOS
                )

    def __repr__(self) -> str:
        return f"<ResultPublishers {', '.join((*self._results, *self._vision))}>"

    def announce_labels(self) -> None:
        """Publish the labels, where `vision_msgs` has a message for them; once per activation."""
        if self._label_info is not None:
            info = vision_messages.label_info(self._labels)
            info.header.stamp = self._node.get_clock().now().to_msg()
            self._label_info.publish(info)

    def publish(self, messages: Mapping[str, Any]) -> None:
        """Publish a result: its messages by topic."""
        for topic, message in messages.items():
            self._results[topic].publish(message)

    def has_vision_listeners(self) -> bool:
        """Whether somebody listens to a `vision_msgs` topic."""
        return any(each.get_subscription_count() > 0 for each in self._vision.values())

    def publish_vision(self, messages: Mapping[str, Any]) -> None:
        """Publish a result in the words of `vision_msgs`."""
        for topic, message in messages.items():
            self._vision[topic].publish(message)

    def has_debug_listeners(self) -> bool:
        """Whether somebody looks at the debug images."""
        return self._debug.get_subscription_count() > 0

    def publish_debug(self, image: Image) -> None:
        """Publish an image with the result drawn in."""
        self._debug.publish(image)

    def close(self) -> None:
        """Close the topics."""
        last = [self._debug] if self._label_info is None else [self._debug, self._label_info]
        for publisher in (*self._results.values(), *self._vision.values(), *last):
            self._node.destroy_lifecycle_publisher(publisher)

    def _open_all(self, types: Mapping[str, type]) -> dict[str, LifecyclePublisher]:
        return {
            topic: self._node.create_lifecycle_publisher(kind, topic, RESULT_QOS)
            for topic, kind in types.items()
        }
