"""Listens to a drive: what was played, what was found, what the core holds."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from swapnet_ros.evaluation.drive_figures import CoreFigures, CoreState, ModelFigures
from swapnet_ros.evaluation.drive_record import DriveRecord, FramePlayed, FrameResult, kept
from swapnet_ros.evaluation.task_results import TaskOutput
from swapnet_ros.msg import FrameTiming, PlayedFrame, SwapStatus
from swapnet_ros.nodes.hosted_nodes import CORE_NODE, HostedNode
from swapnet_ros.nodes.result_messages import RESULT_TOPICS, ResultTopics
from swapnet_ros.nodes.video_player import PLAYED_QOS

_BEST_EFFORT = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
# A result of two messages is lost with either of them, and one of them is large.
_RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_HALF_RESULTS = 8
_NS_PER_S = 1e9


class DriveMonitor(Node):
    """Fills a `DriveRecord` from the topics. Use from the thread that spins it.

    Attributes:
        record: what has arrived so far.
        problems: what task nodes report as an error at present, by their names.
        diagnostics: the newest values from each task node's diagnostics, by its name.
    """

    def __init__(self, nodes: Sequence[HostedNode]) -> None:
        """Subscribe to everything.

        Args:
            nodes: the task nodes of the process that is listened to.
        """
        super().__init__("drive_monitor")
        self.record = DriveRecord(node.name for node in nodes)
        self.problems: dict[str, str] = {}
        self.diagnostics: dict[str, Mapping[str, str]] = {}
        self.create_subscription(PlayedFrame, "video_player/played", self._on_played, PLAYED_QOS)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        self.create_subscription(SwapStatus, f"{CORE_NODE}/status", self._on_status, _BEST_EFFORT)
        for node in nodes:
            self._subscribe(node)

    @property
    def is_ready(self) -> bool:
        """Whether all networks are loaded and their nodes take images."""
        return not self.waiting_for and bool(self.record.states)

    @property
    def waiting_for(self) -> Sequence[str]:
        """The task nodes that do not take images yet."""
        loaded = self.record.states[-1].models if self.record.states else {}
        return [
            name
            for name in self.record.tasks
            if name not in loaded or self.diagnostics.get(name, {}).get("state") != "active"
        ]

    def _subscribe(self, node: HostedNode) -> None:
        source = RESULT_TOPICS[node.task]
        parts = _Parts(len(source.topics))
        for number, (topic, kind) in enumerate(source.topics.items()):
            take = partial(self._on_part, node.name, source, parts, number)
            qos = _BEST_EFFORT if len(source.topics) == 1 else _RELIABLE
            self.create_subscription(kind, f"{node.name}/{topic}", take, qos)

    def _on_part(
        self, task: str, source: ResultTopics, parts: _Parts, number: int, message: Any
    ) -> None:
        received_ns = time.time_ns()
        whole = parts.put(number, message)
        if whole is not None:
            output = source.read(*whole)
            result = frame_result(whole[0], output, received_ns=received_ns)
            self.record.add_result(task, result)

    def _on_played(self, message: PlayedFrame) -> None:
        stamp_ns = _nanoseconds(message.header.stamp)
        self.record.add_played(FramePlayed(stamp_ns=stamp_ns, index=message.index))

    def _on_status(self, message: SwapStatus) -> None:
        if message.models:
            self.record.add_state(core_state(message, received_ns=time.time_ns()))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = status.name.strip("/")
            if name in self.record.tasks:
                self._take_health(name, status)

    def _take_health(self, name: str, status: DiagnosticStatus) -> None:
        values = {pair.key: pair.value for pair in status.values}
        self.diagnostics[name] = values
        self.problems.pop(name, None)
        if status.level == DiagnosticStatus.ERROR:
            self.problems[name] = status.message
        if network := values.get("network"):
            self.record.add_network(name, network, is_random=values.get("weights") == "random")


class _Parts:
    """Brings the messages of one result together by their stamps. For one thread."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._waiting: OrderedDict[int, dict[int, Any]] = OrderedDict()

    def put(self, number: int, message: Any) -> tuple[Any, ...] | None:
        """Take one message; return all of its result's when it was the last of them."""
        stamp_ns = _nanoseconds(message.header.stamp)
        found = self._waiting.setdefault(stamp_ns, {})
        found[number] = message
        if len(found) == self._count:
            del self._waiting[stamp_ns]
            return tuple(found[index] for index in range(self._count))
        if len(self._waiting) > _HALF_RESULTS:
            self._waiting.popitem(last=False)
        return None


def frame_result(message: Any, output: TaskOutput, *, received_ns: int) -> FrameResult:
    """Turn a result's message into what is kept of it.

    Args:
        message: with a header and a timing.
        output: what it says.
        received_ns: when it arrived, on the clock of its stamp.
    """
    timing: FrameTiming = message.timing
    after_s = timing.total_s - timing.queue_s - timing.decode_s - timing.inference_s
    return FrameResult(
        stamp_ns=_nanoseconds(message.header.stamp),
        received_ns=received_ns,
        inferred_ns=received_ns - round(max(0.0, after_s) * _NS_PER_S),
        in_node_s=timing.total_s,
        inference_s=timing.inference_s,
        compute_s=timing.compute_s,
        stall_s=timing.stall_s,
        kept=kept(output),
    )


def core_state(message: SwapStatus, *, received_ns: int) -> CoreState:
    """Turn a status message into figures.

    Args:
        message: the message.
        received_ns: when it arrived, on the clock of the images' stamps.
    """
    core = CoreFigures(
        budget_bytes=message.budget_bytes,
        leased_bytes=message.leased_bytes,
        peak_bytes=message.peak_bytes,
        read_bandwidth_bytes_per_s=message.read_bandwidth_bytes_per_s,
        is_direct_io=message.direct_io,
    )
    models = {
        model.name.strip("/"): ModelFigures(
            demand_bytes=model.demand_bytes,
            weight_bytes=model.weight_bytes,
            activation_bytes=model.activation_bytes,
            resident_bytes=model.resident_bytes,
            streamed_bytes=model.streamed_bytes,
            planned_peak_bytes=model.planned_peak_bytes,
            predicted_latency_s=model.predicted_latency_s,
            inferences=model.inferences,
            bytes_read=model.bytes_read,
            faults=model.faults,
        )
        for model in message.models
    }
    return CoreState(received_ns=received_ns, core=core, models=models)


def _nanoseconds(stamp: Time) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
