"""Hears what the nodes of a drill say: results, diagnostics, status.

As a process, `python -m drill.listener PARAMETER_FILE`, it is an audience for a measurement of the
nodes alone: it takes their results until SIGINT or SIGTERM.
"""

from __future__ import annotations

import importlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions

from drill.record import CoreFigures, Heard
from drill.scenario import ResultTopic, hosted_nodes, result_topics
from swapnet_ros.msg import SwapStatus
from swapnet_ros.nodes.diagnostics import HARDWARE_ID, TOPIC

# Every result counts: reliable, and more room than a slow moment of this process needs.
_EVERY_ONE = QoSProfile(depth=200)
_ANSWER_S = 60.0  # the frame in hand is finished first
_TRIES = 2


class Listener:
    """Listens on a thread of its own. Use it as a context manager, from one thread.

    Lists and tables grow on the listener's thread; others may read them at any time.

    Attributes:
        heard: results in order of arrival.
        values: newest diagnostics values by node.
        errors: messages of diagnostics at level ERROR, with the node's name.
        silences_s: longest silence that diagnostics told, by node and camera.
        core: the core's figures, one per second.
    """

    def __init__(self, topics: Sequence[ResultTopic]) -> None:
        """Begin to listen to the results of some nodes, and to all diagnostics."""
        self.heard: list[Heard] = []
        self.values: dict[str, dict[str, str]] = {}
        self.errors: list[str] = []
        self.silences_s: dict[tuple[str, str], float] = {}
        self.core: list[CoreFigures] = []
        self._is_over = threading.Event()
        with ExitStack() as stack:
            context = Context()
            rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
            stack.callback(context.try_shutdown)
            self._node = Node("drill_listener", context=context, enable_rosout=False)
            stack.callback(self._node.destroy_node)
            self._executor = SingleThreadedExecutor(context=context)
            self._executor.add_node(self._node)
            stack.callback(self._executor.shutdown)
            self._subscribe(topics)
            self._thread = threading.Thread(target=self._spin, name="drill-listener")
            self._thread.start()
            stack.callback(self._end_thread)
            self._closing = stack.pop_all()

    def __repr__(self) -> str:
        return f"<Listener {len(self.heard)} results, {len(self.values)} nodes>"

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def state(self, node: str) -> str:
        """The lifecycle state that a node reported last; empty before the first report."""
        return self.values.get(node, {}).get("state", "")

    def deactivate(self, node: str) -> bool:
        """Deactivate a node; True when it says that it has done so."""
        client = self._node.create_client(ChangeState, f"/{node}/change_state")
        request = ChangeState.Request()
        request.transition.label = "deactivate"
        try:
            for _ in range(_TRIES):  # a service that has not discovered us yet loses its answer
                if not client.wait_for_service(_ANSWER_S):
                    continue
                future = client.call_async(request)
                if _wait(future.done, _ANSWER_S):
                    return bool(future.result().success)
                if self.state(node) == "inactive":
                    return True
            return False
        finally:
            self._node.destroy_client(client)

    def _subscribe(self, topics: Sequence[ResultTopic]) -> None:
        node = self._node
        for topic in topics:
            package, _, name = topic.type.partition("/")
            kind = getattr(importlib.import_module(f"{package}.msg"), name)
            on_result = partial(self._on_result, topic)
            node.create_subscription(kind, topic.topic, on_result, _EVERY_ONE)
        node.create_subscription(DiagnosticArray, TOPIC, self._on_diagnostics, 100)
        node.create_subscription(SwapStatus, "/swapnet/status", self._on_status, 100)

    def _spin(self) -> None:
        while not self._is_over.is_set():
            self._executor.spin_once()

    def _end_thread(self) -> None:
        self._is_over.set()
        self._executor.create_task(lambda: None)  # it ends the `spin_once` in progress
        self._thread.join()
        self._executor.remove_node(self._node)

    def _on_result(self, topic: ResultTopic, message: Any, info: Mapping[str, Any]) -> None:
        """Note a result; its time is that of being sent, which a busy computer does not put off."""
        sent_ns = info["source_timestamp"]
        timing = getattr(message, "timing", None)
        worked_s = None if timing is None else timing.total_s - timing.queue_s
        stamp = message.header.stamp
        found = Heard(
            node=topic.node,
            topic=topic.topic,
            camera=message.header.frame_id,
            stamp_ns=stamp.sec * 10**9 + stamp.nanosec,
            began_ns=None if worked_s is None else sent_ns - round(worked_s * 1e9),
        )
        self.heard.append(found)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.hardware_id != HARDWARE_ID:
                continue
            node = status.name.strip("/")
            values = {pair.key: pair.value for pair in status.values}
            self.values[node] = values
            if status.level == DiagnosticStatus.ERROR:
                self.errors.append(f"{node}: {status.message}")
            for key, value in values.items():
                if key.endswith(" age_s"):
                    seen = (node, key.removesuffix(" age_s").strip("/"))
                    self.silences_s[seen] = max(self.silences_s.get(seen, 0.0), float(value))

    def _on_status(self, message: SwapStatus) -> None:
        figures = CoreFigures(
            budget_bytes=message.budget_bytes,
            leased_bytes=message.leased_bytes,
            peak_bytes=message.peak_bytes,
        )
        self.core.append(figures)


def _wait(is_so: Callable[[], bool], patience_s: float) -> bool:
    end_s = time.monotonic() + patience_s
    while not is_so() and time.monotonic() < end_s:
        time.sleep(0.05)
    return is_so()


def main() -> None:
    """Listen to the nodes of a parameter file until a signal comes."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Listener(result_topics(hosted_nodes(Path(sys.argv[1])))):
        stop.wait()


if __name__ == "__main__":
    main()
