"""One process for all nodes: one budget needs one ledger.

[Note: one executor per node]
Every node, and the hub of the cameras, has a thread of its own with a single-threaded executor. A
transition may take seconds (configure traces a network and writes its block file; deactivate waits
for the frame in hand), and must hold up nobody but its own node. It also keeps the wait sets small.
rclpy's events executor would be cheaper, but in Kilted (9.1.2) it deadlocks as soon as another
thread publishes to a topic that is subscribed to in the same process: the publisher holds the
interpreter's lock and waits for the executor's event queue, the executor holds the queue and waits
for the interpreter.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from swapnet_core import SwapNetError, SwapRuntime
from swapnet_ros.nodes.cameras import CameraHub
from swapnet_ros.nodes.classification import (
    NaturalSceneClassificationNode,
    TrafficLightClassificationNode,
    TrafficSignClassificationNode,
)
from swapnet_ros.nodes.detection import (
    FireDetectionNode,
    ObjectDetectionNode,
    WildAnimalRecognitionNode,
)
from swapnet_ros.nodes.errors import ParameterSourceError, ParameterValueError
from swapnet_ros.nodes.hosted_nodes import CAMERAS_NODE, CORE_NODE, HostedNode, parse_nodes
from swapnet_ros.nodes.lane_detection import LaneDetectionNode
from swapnet_ros.nodes.network_mistakes import unknown_network
from swapnet_ros.nodes.parameter_files import Assignment
from swapnet_ros.nodes.parameter_sources import (
    check_assignments,
    place_of,
    read_assignments,
)
from swapnet_ros.nodes.parameter_tables import SWAPNET
from swapnet_ros.nodes.semantic_segmentation import SemanticSegmentationNode
from swapnet_ros.nodes.stop_signals import StopSignals
from swapnet_ros.nodes.swapnet_node import SwapnetNode
from swapnet_ros.nodes.task_node import TaskNode

TASK_NODES: dict[str, type[TaskNode]] = {
    "object_detection": ObjectDetectionNode,
    "lane_detection": LaneDetectionNode,
    "semantic_segmentation": SemanticSegmentationNode,
    "traffic_sign_classification": TrafficSignClassificationNode,
    "traffic_light_classification": TrafficLightClassificationNode,
    "natural_scene_classification": NaturalSceneClassificationNode,
    "fire_detection": FireDetectionNode,
    "wild_animal_recognition": WildAnimalRecognitionNode,
}

EXIT_FAILED, EXIT_USAGE = 1, 2


class NodeThread:
    """Spins one node until it is told to stop. `start` and `stop` are for the owner's thread."""

    def __init__(self, node: Node, *, context: Context) -> None:
        self._node = node
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(node)
        self._is_stopping = threading.Event()
        name = f"swapnet-spin-{node.get_name()}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __repr__(self) -> str:
        return f"<NodeThread {self._thread.name}>"

    def start(self) -> None:
        """Start the thread: the node starts itself, then its callbacks are served."""
        self._thread.start()

    def stop(self) -> None:
        """End the callback in progress and the thread; the node stays as it is."""
        self._is_stopping.set()
        # a task ends `spin_once`; a mere `wake` lets it go on waiting
        self._executor.create_task(lambda: None)
        if self._thread.is_alive():
            self._thread.join()
        self._executor.remove_node(self._node)
        self._executor.shutdown()

    def _run(self) -> None:
        if isinstance(self._node, TaskNode) and self._node.is_autostarted:
            self._node.start()
        while not self._is_stopping.is_set():
            try:
                self._executor.spin_once()
            except Exception:  # told to the log; the node goes on with the next callback
                # rclpy before Jazzy raises here when a service asks for an impossible transition
                self._node.get_logger().error(f"a callback failed: {traceback.format_exc()}")


class PerceptionHost:
    """The nodes of one process, from their creation to their end. For one thread.

    Use it as a context manager: `with PerceptionHost(arguments) as host: host.start()`.

    Attributes:
        swapnet: the node that owns the core.
    """

    def __init__(self, arguments: Sequence[str], *, domain_id: int | None = None) -> None:
        """Create all nodes; nothing is loaded yet.

        Args:
            arguments: command line; the part after `--ros-args` is ROS's.
            domain_id: DDS domain, None for the environment's.

        Raises:
            ParameterSourceError: mistakes in parameter files or arguments.
            ParameterValueError: a parameter's value cannot be used.
            SwapNetError: the core cannot be opened.
        """
        with ExitStack() as stack:
            assignments = read_assignments(arguments)
            _check_core(assignments)
            self._context = _open_context(arguments, domain_id)
            stack.callback(self._context.try_shutdown)
            self.swapnet = SwapnetNode(context=self._context)
            stack.callback(self.swapnet.destroy_node)
            hosted = self._check(assignments)
            self._hub = CameraHub(context=self._context, namespace=self.swapnet.get_namespace())
            stack.callback(self._hub.destroy_node)
            self._tasks = self._create_tasks(hosted, assignments, stack)
            nodes = (self.swapnet, self._hub, *self._tasks)
            self._threads = [NodeThread(node, context=self._context) for node in nodes]
            self._closing = stack.pop_all()

    def __repr__(self) -> str:
        names = ", ".join(task.get_name() for task in self._tasks)
        return f"<PerceptionHost of {names or 'no tasks'}>"

    @property
    def tasks(self) -> tuple[TaskNode, ...]:
        """The task nodes, in the order of the parameter `nodes`; none after `close`."""
        return self._tasks

    def __enter__(self) -> PerceptionHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start all nodes; those with `autostart` configure and activate themselves."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Finish the frames in hand, stop all nodes, close the core. Idempotent.

        `ros2 launch` does not wait for ever. So no node begins another frame while it waits for its
        turn to be closed, and the core ends as a whole: node after node, it would plan anew each
        time for those that are left.
        """
        for task in self._tasks:
            task.begin_no_more()
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.stop()
        for task in self._tasks:
            task.drain()
        self.swapnet.close_runtime()
        self._closing.close()
        # rclpy lets go of a lifecycle node's DDS entities when nothing refers to it any more
        self._tasks = ()

    def _check(self, assignments: Sequence[Assignment]) -> tuple[HostedNode, ...]:
        """Say which nodes to host, once nothing is wrong with what is meant for them."""
        core = self.swapnet.get_fully_qualified_name()
        try:
            hosted = parse_nodes(self.swapnet.parameters["nodes"])
        except ParameterValueError as error:
            place = place_of(assignments, core, "nodes")
            raise ParameterValueError(f"{place}: {error}") from error
        namespace = self.swapnet.get_namespace().rstrip("/")
        specs = {f"{namespace}/{node.name}": TASK_NODES[node.task].SPECS for node in hosted}
        specs |= {core: SWAPNET, f"{namespace}/{CAMERAS_NODE}": ()}
        for remark in check_assignments(assignments, specs):
            self.swapnet.get_logger().warning(remark)
        return hosted

    def _create_tasks(
        self,
        hosted: Sequence[HostedNode],
        assignments: Sequence[Assignment],
        stack: ExitStack,
    ) -> tuple[TaskNode, ...]:
        runtime = self._open_runtime(assignments)
        tasks: list[TaskNode] = []
        for node in hosted:
            task = TASK_NODES[node.task](
                node.name, runtime, self._hub, context=self._context, assignments=assignments
            )
            stack.callback(task.destroy_node)
            stack.callback(task.finish)
            tasks.append(task)
        problems = tuple(_unknown_networks(tasks, assignments))
        if problems:
            raise ParameterSourceError(problems)
        return tuple(tasks)

    def _open_runtime(self, assignments: Sequence[Assignment]) -> SwapRuntime:
        try:
            return self.swapnet.open_runtime()
        except ParameterValueError as error:
            place = place_of(assignments, self.swapnet.get_fully_qualified_name(), "device")
            raise ParameterValueError(f"{place}: {error}") from error


def _check_core(assignments: Sequence[Assignment]) -> None:
    """Check what is meant for the core's node: with file and key, before the node refuses it."""
    name = f"/{CORE_NODE}"
    known = {spec.name for spec in SWAPNET}
    own = [
        replace(each, nodes=name)
        for each in assignments
        if each.nodes.endswith(name) or (each.nodes.endswith("*") and each.name in known)
    ]
    check_assignments(own, {name: SWAPNET})


def _unknown_networks(
    tasks: Sequence[TaskNode], assignments: Sequence[Assignment]
) -> Iterator[str]:
    for task in tasks:
        problem = unknown_network(task.TASK, task.values)
        if problem is not None:
            place = place_of(assignments, task.get_fully_qualified_name(), "network")
            yield f"{place}: network: {problem}"


def _open_context(arguments: Sequence[str], domain_id: int | None) -> Context:
    context = Context()
    try:
        rclpy.init(
            args=["perception", *arguments],
            context=context,
            domain_id=domain_id,
            signal_handler_options=SignalHandlerOptions.NO,
        )
    except RuntimeError as error:  # rcl refuses an argument or a parameter file
        raise ParameterSourceError((str(error),)) from error
    return context


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the perception process until SIGINT or SIGTERM.

    Args:
        arguments: command line without the program's name, None for the process's own.

    Returns:
        Exit code: 0 after a signal, 2 for mistakes in parameters, 1 where the core cannot open.
    """
    signals = StopSignals()
    try:
        with PerceptionHost(sys.argv[1:] if arguments is None else arguments) as host:
            host.start()
            signals.wait()
    except (ParameterSourceError, ParameterValueError) as error:
        print(f"perception: {error}", file=sys.stderr)
        return EXIT_USAGE
    except SwapNetError as error:
        print(f"perception: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0
