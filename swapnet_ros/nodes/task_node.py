"""What all task nodes share: images in, results out, parameters and diagnostics.

[Note: threads of a task node]
The node's executor thread runs callbacks: transitions, parameters, timers, and image messages,
which it only hands to the worker. The worker thread decodes, prepares, waits for the core, and
publishes; it lives from activation to deactivation. Whatever both touch is either frozen
(parameter values, `Loaded`), has a lock of its own (`FrameTally`, the worker's slot), or changes
only while no worker runs.
"""

from __future__ import annotations

import abc
import math
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.lifecycle import LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from swapnet_core import ModelStats, SwappedModel, SwapRuntime
from swapnet_core.sizes import format_size
from swapnet_ros.nodes import diagnostics
from swapnet_ros.nodes.frames import Frame, FrameCounts, FrameTally, FrameWorker, Outcome
from swapnet_ros.nodes.images import RgbImage, decode_image, encode_image
from swapnet_ros.nodes.lifecycle import GuardedLifecycleNode
from swapnet_ros.nodes.live_parameters import LiveParameters, Values
from swapnet_ros.nodes.parameter_specs import ParameterSpec

# A slow network is better served with the newest frame than with a lost one sent again.
IMAGE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RESULT_QOS = QoSProfile(depth=10)
DEBUG_QOS = QoSProfile(depth=1)
LOG_PERIOD_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where the time of one frame went, in seconds; the fields of `DetectionArray`."""

    queue_s: float
    decode_s: float
    inference_s: float
    total_s: float
    stall_s: float
    compute_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a configured node holds; given back by cleanup.

    Attributes:
        network: the network's name.
        is_random: its weights are random numbers.
        task: prepares images for the network and decodes its outputs.
        model: the network in the core.
        results: publishes the task's messages.
        debug_images: publishes images with the results drawn in.
    """

    network: str
    is_random: bool
    task: Any
    model: SwappedModel
    results: LifecyclePublisher
    debug_images: LifecyclePublisher


class TaskNode(GuardedLifecycleNode):
    """A lifecycle node that runs one network on the newest image.

    A subclass names its parameters and its message, and says how to open its network, decode the
    outputs, fill the message and draw the result. Its methods run on the worker thread, except
    `open_network` and `make_task`, which run during the configure transition.
    """

    SPECS: ClassVar[Sequence[ParameterSpec]]
    RESULT_TYPE: ClassVar[type]
    RESULT_TOPIC: ClassVar[str]

    def __init__(self, name: str, runtime: SwapRuntime, *, context: Context | None = None) -> None:
        """Create an unconfigured node.

        Args:
            name: the node's name; topics follow from it.
            runtime: the process's core; stays open longer than this node.
            context: ROS context, None for the default one.

        Raises:
            ParameterValueError: a parameter's initial value cannot be used.
        """
        super().__init__(name, context=context)
        self._runtime = runtime
        self._live = LiveParameters(self, self.SPECS, changed=self._wake_worker)
        self._tally = FrameTally()
        self._loaded: Loaded | None = None
        self._worker: FrameWorker | None = None
        self._subscription: Any = None
        self._last_image_s = -math.inf
        self._last_stats: ModelStats | None = None
        self._counts_before = FrameCounts()
        self._diagnostics = self.create_publisher(DiagnosticArray, diagnostics.TOPIC, 10)
        # steady: diagnostics must go on while simulated time stands still
        self.create_timer(
            diagnostics.DIAGNOSTICS_PERIOD_S,
            self._publish_diagnostics,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.get_name()} {self.state_label}>"

    # What a task adds.

    @abc.abstractmethod
    def open_network(self, values: Values) -> Any:
        """Find the network that the parameters name; raises `SwapNetError` where there is none."""

    @abc.abstractmethod
    def make_task(self, network: Any) -> Any:
        """Make the object with `preprocess(image)` whose result has `inputs` for the network."""

    @abc.abstractmethod
    def decode(self, task: Any, outputs: Any, prepared: Any, values: Values) -> Any:
        """Turn the network's outputs into the task's result, with the thresholds of now."""

    @abc.abstractmethod
    def make_message(self, result: Any, header: Header, network: str, timing: Timing) -> Any:
        """Fill the result message."""

    @abc.abstractmethod
    def draw(self, image: RgbImage, result: Any) -> RgbImage:
        """Draw the result into a copy of the image."""

    # Lifecycle.

    @property
    def counts(self) -> FrameCounts:
        """Frames since the node was created. Any thread may ask."""
        worker = self._worker
        return self._tally.snapshot(worker.dropped if worker else 0)

    @property
    def is_autostarted(self) -> bool:
        """Whether the process configures and activates the node at its start."""
        return bool(self._live.values["autostart"])

    def load(self) -> None:
        """Load the network and plan its share of the budget."""
        values = self._live.values
        network = self.open_network(values)
        task = self.make_task(network)
        with ExitStack() as undo:
            model = self._runtime.load(
                self.get_fully_qualified_name(),
                network.build,
                network.example_inputs,
                weights=network.weights,
                rate_hz=values["max_rate_hz"] or None,
            )
            undo.callback(model.close)
            results, debug_images = self._open_publishers()
            undo.pop_all()
        self._loaded = Loaded(
            network=network.name,
            is_random=network.is_random,
            task=task,
            model=model,
            results=results,
            debug_images=debug_images,
        )
        self._last_stats = model.stats()
        self.get_logger().info(_describe(network.name, self._last_stats))
        if network.is_random:
            self.get_logger().warning(
                f"{network.name} has random weights: memory and speed are real, results mean "
                "nothing. Set the parameter `weights` to a file for real results"
            )

    def _open_publishers(self) -> tuple[LifecyclePublisher, LifecyclePublisher]:
        """Open the topics for results and for debug images."""
        results = self.create_lifecycle_publisher(self.RESULT_TYPE, self.RESULT_TOPIC, RESULT_QOS)
        return results, self.create_lifecycle_publisher(Image, "~/debug_image", DEBUG_QOS)

    def begin(self) -> None:
        """Subscribe to the images."""
        self._last_image_s = time.monotonic()
        self._worker = FrameWorker(
            f"swapnet-{self.get_name()}",
            self._process,
            tally=self._tally,
            period_s=self._period_s,
            report=self._report,
        )
        self._worker.start()
        topic, message_type = self.resolve_topic_name("image"), Image
        if self._live.values["image_transport"] == "compressed":
            # beside the raw topic, as image_transport has it: one remapping serves both
            topic, message_type = f"{topic}/compressed", CompressedImage
        self._subscription = self.create_subscription(
            message_type, topic, self._take_image, IMAGE_QOS
        )

    def drain(self) -> None:
        """Take no more images and publish the result of the one in hand."""
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None
        if self._worker is not None:
            worker = self._worker
            worker.stop()
            self._worker = None
            self._tally.keep_dropped(worker.dropped)

    def unload(self) -> None:
        """Give the network's share of the budget back."""
        if self._loaded is None:
            return
        loaded, self._loaded = self._loaded, None
        self.destroy_lifecycle_publisher(loaded.results)
        self.destroy_lifecycle_publisher(loaded.debug_images)
        loaded.model.close()

    # Frames.

    def _take_image(self, message: Image | CompressedImage) -> None:
        """Hand the message over: nothing else happens on the executor thread."""
        worker = self._worker
        if worker is not None:
            self._last_image_s = time.monotonic()
            worker.offer(message)

    def _process(self, frame: Frame) -> None:
        """Do all the work of one frame, on the worker thread."""
        loaded, values = self._loaded, self._live.values
        started_s = time.monotonic()
        image = decode_image(frame.message)
        prepared = loaded.task.preprocess(image)
        handed_s = time.monotonic()
        loaded.model.priority = values["priority"]
        future = loaded.model.submit(
            *prepared.inputs, deadline_s=_time_left_s(values["deadline_s"], frame, handed_s)
        )
        outputs = future.result()
        answered_s = time.monotonic()
        result = self.decode(loaded.task, outputs, prepared, values)
        stats, before = loaded.model.stats(), self._last_stats
        self._last_stats = stats
        timing = Timing(
            queue_s=started_s - frame.arrived_s,
            decode_s=handed_s - started_s,
            inference_s=answered_s - handed_s,
            total_s=time.monotonic() - frame.arrived_s,
            stall_s=stats.stall_s - before.stall_s,
            compute_s=stats.compute_s - before.compute_s,
        )
        header = frame.message.header
        loaded.results.publish(self.make_message(result, header, loaded.network, timing))
        if loaded.debug_images.get_subscription_count() > 0:
            loaded.debug_images.publish(encode_image(self.draw(image, result), header))

    def _report(self, outcome: Outcome, error: Exception) -> None:
        """Tell why a frame was not processed: in the log at most every few seconds."""
        self.last_problem = str(error)
        log = self.get_logger()
        if outcome is Outcome.FAILED:
            details = "".join(traceback.format_exception(error)).rstrip()
            log.error(f"frame failed: {details}", throttle_duration_sec=LOG_PERIOD_S)
        elif outcome is Outcome.LATE:
            log.warning(f"frame was late: {error}", throttle_duration_sec=LOG_PERIOD_S)
        else:
            log.warning(f"frame refused: {error}", throttle_duration_sec=LOG_PERIOD_S)

    def _period_s(self) -> float:
        rate_hz = self._live.values["max_rate_hz"]
        return 1 / rate_hz if rate_hz > 0 else 0.0

    def _wake_worker(self) -> None:
        worker = self._worker
        if worker is not None:
            worker.wake()

    # Diagnostics.

    def _publish_diagnostics(self) -> None:
        counts, loaded = self.counts, self._loaded
        is_active = self._worker is not None
        health = diagnostics.TaskHealth(
            node=self.get_fully_qualified_name(),
            state=self.state_label,
            network=loaded.network if loaded else "",
            is_random=loaded.is_random if loaded else False,
            counts=counts,
            counts_before=self._counts_before,
            image_age_s=time.monotonic() - self._last_image_s if is_active else None,
            last_problem=self.last_problem,
            failed_transition=self.failed_transition,
            model=loaded.model.stats() if loaded else None,
        )
        self._counts_before = counts
        diagnostics.publish_status(self, self._diagnostics, diagnostics.task_status(health))


def _time_left_s(deadline_s: float, frame: Frame, now_s: float) -> float | None:
    """Time until a frame's deadline; 0 once it has passed, None without a deadline."""
    if deadline_s == 0:
        return None
    return max(0.0, frame.arrived_s + deadline_s - now_s)


def _describe(network: str, stats: ModelStats) -> str:
    return (
        f"{network}: demand {format_size(stats.demand_bytes)}, at most "
        f"{format_size(stats.planned_peak_bytes)} held, {format_size(stats.resident_bytes)} "
        f"resident, {format_size(stats.streamed_bytes)} read per frame, "
        f"{stats.predicted_latency_s * 1e3:.0f} ms predicted"
    )
