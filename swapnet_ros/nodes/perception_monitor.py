"""Listens to a perception process: results put together, diagnostics, and the core's status."""

from __future__ import annotations

import abc
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from swapnet_ros.evaluation.task_results import TaskOutput
from swapnet_ros.msg import SwapStatus
from swapnet_ros.nodes.hosted_nodes import CORE_NODE, HostedNode
from swapnet_ros.nodes.result_messages import RESULT_TOPICS, ResultTopics

_BEST_EFFORT = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
# A result of two messages is lost with either of them, and one of them is large.
_RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_HALF_RESULTS = 8

ImageKey = tuple[int, str]
"""What tells images apart: stamp in nanoseconds, and `frame_id`."""


class PerceptionMonitor(Node, abc.ABC):
    """Hears everything that the nodes of one process tell. Use from the thread that spins it.

    A subclass says what becomes of results and of the core's status.

    Attributes:
        problems: what task nodes report as an error at present, by their names.
        diagnostics: the newest values from each task node's diagnostics, by its name.
        status: the core's newest one with networks; None before the first.
    """

    def __init__(
        self, name: str, nodes: Sequence[HostedNode], *, single_qos: QoSProfile = _BEST_EFFORT
    ) -> None:
        """Subscribe to everything.

        Args:
            name: of this node.
            nodes: the task nodes of the process that is listened to.
            single_qos: for results that are one message each.
        """
        super().__init__(name)
        self.problems: dict[str, str] = {}
        self.diagnostics: dict[str, Mapping[str, str]] = {}
        self.status: SwapStatus | None = None
        self._task_names = tuple(node.name for node in nodes)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        self.create_subscription(SwapStatus, f"{CORE_NODE}/status", self._on_status, _BEST_EFFORT)
        for node in nodes:
            source = RESULT_TOPICS[node.task]
            parts = _Parts(len(source.topics))
            qos = single_qos if len(source.topics) == 1 else _RELIABLE
            for number, (topic, kind) in enumerate(source.topics.items()):
                take = partial(self._on_part, node.name, source, parts, number)
                self.create_subscription(kind, f"{node.name}/{topic}", take, qos)

    @abc.abstractmethod
    def take_result(self, task: str, message: Any, output: TaskOutput) -> None:
        """Take a result.

        Args:
            task: the node's name.
            message: the one with the timing.
            output: what all messages of the result say together.
        """

    @abc.abstractmethod
    def take_status(self, status: SwapStatus) -> None:
        """Take a status of the core that has networks."""

    @abc.abstractmethod
    def take_values(self, task: str, values: Mapping[str, str]) -> None:
        """Take a task node's diagnostics; they are in `diagnostics` already."""

    @property
    def is_ready(self) -> bool:
        """Whether all networks are loaded and their nodes take images."""
        return not self.waiting_for and self.status is not None

    @property
    def waiting_for(self) -> Sequence[str]:
        """The task nodes that do not take images yet."""
        models = self.status.models if self.status is not None else ()
        loaded = {model.name.strip("/") for model in models}
        return [
            name
            for name in self._task_names
            if name not in loaded or self.diagnostics.get(name, {}).get("state") != "active"
        ]

    def _on_part(
        self, task: str, source: ResultTopics, parts: _Parts, number: int, message: Any
    ) -> None:
        whole = parts.put(number, message)
        if whole is not None:
            self.take_result(task, whole[0], source.read(*whole))

    def _on_status(self, message: SwapStatus) -> None:
        if message.models:
            self.status = message
            self.take_status(message)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = status.name.strip("/")
            if name in self._task_names:
                self._take_health(name, status)

    def _take_health(self, name: str, status: DiagnosticStatus) -> None:
        values = {pair.key: pair.value for pair in status.values}
        self.diagnostics[name] = values
        self.problems.pop(name, None)
        if status.level == DiagnosticStatus.ERROR:
            self.problems[name] = status.message
        self.take_values(name, values)


def image_key(header: Header) -> ImageKey:
    """Return what tells a header's image apart from others."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec), header.frame_id


class _Parts:
    """Brings the messages of one result together by their images. For one thread."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._waiting: OrderedDict[ImageKey, dict[int, Any]] = OrderedDict()

    def put(self, number: int, message: Any) -> tuple[Any, ...] | None:
        """Take one message; return all of its result's when it was the last of them."""
        key = image_key(message.header)
        found = self._waiting.setdefault(key, {})
        found[number] = message
        if len(found) == self._count:
            del self._waiting[key]
            return tuple(found[index] for index in range(self._count))
        if len(self._waiting) > _HALF_RESULTS:
            self._waiting.popitem(last=False)
        return None
