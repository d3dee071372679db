"""Listens to all perception processes of a DDS domain: their status and their diagnostics."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from swapnet_ros.msg import SwapStatus
from swapnet_ros.nodes.diagnostics import HARDWARE_ID, TOPIC

STATUS_TYPE = "swapnet_ros/msg/SwapStatus"
DISCOVERY_PERIOD_S = 0.5
RATE_WINDOW_S = 10.0
FORGET_S = 5.0  # both come once per second
_FEW, _LONG_S = 2, 0.8 * RATE_WINDOW_S  # fewer of them in less time tell no rate
_BEST_EFFORT = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
_LEVELS = {
    DiagnosticStatus.OK: "OK",
    DiagnosticStatus.WARN: "WARN",
    DiagnosticStatus.ERROR: "ERROR",
    DiagnosticStatus.STALE: "STALE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """What one node told on `/diagnostics`.

    Attributes:
        level: OK, WARN, ERROR or STALE.
        message: the state in words.
        values: figures as they came.
        rate_hz: images processed per second, over the last ten seconds; None while not known.
        received_s: `time.monotonic()` at its arrival.
    """

    level: str
    message: str
    values: Mapping[str, str]
    rate_hz: float | None
    received_s: float


class StatusListener:
    """Hears every perception process of the domain. For one thread; use it as a context manager.

    Attributes:
        cores: newest status by the name of the node that sent it; gone some seconds after the last.
        nodes: newest report by the name of the node; gone likewise.
    """

    def __init__(self, *, domain_id: int | None = None) -> None:
        """Begin to listen.

        Args:
            domain_id: DDS domain, None for the environment's.
        """
        self.cores: dict[str, SwapStatus] = {}
        self.nodes: dict[str, NodeReport] = {}
        self._processed: dict[str, deque[tuple[float, int]]] = {}
        self._core_heard_s: dict[str, float] = {}
        self._subscribed: set[str] = set()
        with ExitStack() as stack:
            context = Context()
            rclpy.init(
                context=context,
                domain_id=domain_id,
                signal_handler_options=SignalHandlerOptions.NO,
            )
            stack.callback(context.try_shutdown)
            self._node = Node(
                "swapnet_top", context=context, use_global_arguments=False, enable_rosout=False
            )
            stack.callback(self._node.destroy_node)
            self._executor = SingleThreadedExecutor(context=context)
            self._executor.add_node(self._node)
            stack.callback(self._executor.shutdown)
            self._node.create_subscription(
                DiagnosticArray, TOPIC, self._on_diagnostics, _BEST_EFFORT
            )
            self._closing = stack.pop_all()

    def __repr__(self) -> str:
        return f"<StatusListener of {', '.join(self.cores) or 'nobody'}>"

    def __enter__(self) -> StatusListener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self._closing.close()

    def listen(self, duration_s: float, *, is_enough: Callable[[], bool] = lambda: False) -> None:
        """Serve what comes, for a time or until it is enough."""
        end_s = time.monotonic() + duration_s
        while (left_s := end_s - time.monotonic()) > 0 and not is_enough():
            self._subscribe_to_new_cores()
            self._executor.spin_once(timeout_sec=min(left_s, DISCOVERY_PERIOD_S))
        self._forget_silent()

    def _subscribe_to_new_cores(self) -> None:
        for topic, types in self._node.get_topic_names_and_types():
            if STATUS_TYPE in types and topic not in self._subscribed:
                self._subscribed.add(topic)
                name = topic.rpartition("/")[0]
                self._node.create_subscription(
                    SwapStatus, topic, partial(self._on_status, name), _BEST_EFFORT
                )

    def _on_status(self, name: str, status: SwapStatus) -> None:
        self.cores[name] = status
        self._core_heard_s[name] = time.monotonic()

    def _forget_silent(self) -> None:
        earliest_s = time.monotonic() - FORGET_S
        self.cores = {n: c for n, c in self.cores.items() if self._core_heard_s[n] >= earliest_s}
        self.nodes = {n: r for n, r in self.nodes.items() if r.received_s >= earliest_s}

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.hardware_id == HARDWARE_ID:
                self.nodes[status.name] = self._report(status)

    def _report(self, status: DiagnosticStatus) -> NodeReport:
        values = {pair.key: pair.value for pair in status.values}
        now_s = time.monotonic()
        return NodeReport(
            level=_LEVELS.get(status.level, "STALE"),
            message=status.message,
            values=values,
            rate_hz=self._rate_hz(status.name, values, now_s),
            received_s=now_s,
        )

    def _rate_hz(self, name: str, values: Mapping[str, str], now_s: float) -> float | None:
        """Images processed per second of late; None while not known, and for no task."""
        if "processed" not in values:
            return None
        seen = self._processed.setdefault(name, deque())
        seen.append((now_s, int(values["processed"])))
        while now_s - seen[0][0] > RATE_WINDOW_S:
            seen.popleft()
        return rate_hz(seen)


def rate_hz(seen: Sequence[tuple[float, int]]) -> float | None:
    """Tell a rate from counts.

    Args:
        seen: times in seconds and counts, the oldest first.

    Returns:
        What came per second; None after a time too short to tell.
    """
    (first_s, first), (last_s, last) = seen[0], seen[-1]
    # a process that was started again counts from 0
    came, passed_s = max(0, last - first), last_s - first_s
    if came < _FEW and passed_s < _LONG_S:
        return None
    return came / passed_s
