"""What all task nodes share: images in, results out, parameters and diagnostics.

[Note: threads of a task node]
The node's executor thread runs callbacks: transitions, parameters, timers. Images come on the
camera hub's thread and are only handed to the worker. The worker thread decodes, prepares, waits
for the core, and publishes; it lives from activation to deactivation. Whatever two of them touch is
either frozen (parameter values, `Loaded`), has a lock of its own (`FrameTally`, the worker's
waiting frames), or changes only while no worker runs.
"""

from __future__ import annotations

import abc
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.parameter import Parameter
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from swapnet_core import ModelStats, SwappedModel, SwapRuntime
from swapnet_core.sizes import format_size
from swapnet_ros.nodes import diagnostics
from swapnet_ros.nodes.account_publisher import AccountPublisher
from swapnet_ros.nodes.cameras import CameraFrame, CameraHub
from swapnet_ros.nodes.errors import ParameterValueError, StaleFrameError
from swapnet_ros.nodes.frame_run import FrameRun, ResultOrigin
from swapnet_ros.nodes.frames import Frame, FrameCounts, FrameTally, FrameWorker, Outcome
from swapnet_ros.nodes.images import RgbImage, encode_image
from swapnet_ros.nodes.intake import CameraIntake
from swapnet_ros.nodes.lifecycle import GuardedLifecycleNode
from swapnet_ros.nodes.live_parameters import LiveParameters, Values
from swapnet_ros.nodes.network_mistakes import told_by_place
from swapnet_ros.nodes.parameter_files import Assignment
from swapnet_ros.nodes.parameter_sources import place_of
from swapnet_ros.nodes.parameter_specs import ParameterSpec
from swapnet_ros.nodes.result_publishers import ResultPublishers
from swapnet_ros.nodes.task_networks import TASK_NETWORKS
from swapnet_ros.perception.tasks.analysis import TASK_KINDS

LOG_PERIOD_S = 5.0

# Networks are built one at a time: while a skeleton is built, a hook sees the parameters of every
# module that the process makes, and torch keeps such hooks in a table without a lock.
_BUILDING = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a configured node holds; given back by cleanup.

    Attributes:
        network: the network's name.
        is_random: its weights are random numbers.
        task: prepares images for the network and decodes its outputs.
        model: the network in the core.
        publishers: where results go.
    """

    network: str
    is_random: bool
    task: Any
    model: SwappedModel
    publishers: ResultPublishers


class TaskNode(GuardedLifecycleNode):
    """A lifecycle node that runs one network on the newest images of its cameras.

    A subclass names its task, its parameters and its messages, and says how to fill the messages
    and draw the result. Its methods run on the worker thread.

    Attributes:
        TASK: key of `TASK_NETWORKS` and `TASK_KINDS`: how the network is found, and what is done
            with its outputs.
        SPECS: the parameters.
        RESULTS: message types of the result topics.
        VISION: names of `vision_msgs` types by topic, published where that package is installed.
    """

    TASK: ClassVar[str]
    SPECS: ClassVar[Sequence[ParameterSpec]]
    RESULTS: ClassVar[Mapping[str, type]]
    VISION: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        name: str,
        runtime: SwapRuntime,
        hub: CameraHub,
        *,
        context: Context | None = None,
        assignments: Sequence[Assignment] = (),
    ) -> None:
        """Create an unconfigured node.

        Args:
            name: the node's name; topics follow from it.
            runtime: the process's core; stays open longer than this node.
            hub: the process's cameras; some thread spins it while the node is active.
            context: ROS context, None for the default one.
            assignments: what files and arguments set, for messages that say where.

        Raises:
            ParameterValueError: a parameter's initial value cannot be used.
        """
        super().__init__(name, context=context)
        self._place_of = partial(place_of, assignments, self.get_fully_qualified_name())
        self._runtime = runtime
        self._hub = hub
        self._live = LiveParameters(self, self.SPECS, changed=self._wake_worker)
        self._tally = FrameTally()
        self._loaded: Loaded | None = None
        self._worker: FrameWorker | None = None
        self._intake: CameraIntake | None = None
        self._last_stats: ModelStats | None = None
        self._counts_before = FrameCounts()
        self._diagnostics = self.create_publisher(DiagnosticArray, diagnostics.TOPIC, 10)
        self._account = AccountPublisher(self, runtime)
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
    def make_messages(self, result: Any, origin: ResultOrigin) -> Mapping[str, Any]:
        """Fill the messages for the topics of `RESULTS`; the last one has the timing."""

    @abc.abstractmethod
    def draw(self, image: RgbImage, result: Any) -> RgbImage:
        """Draw the result into a copy of the image."""

    def make_vision_messages(self, result: Any, origin: ResultOrigin) -> Mapping[str, Any]:
        """Fill the messages for the topics of `VISION`."""
        return {}

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """As rclpy does, but with an answer that names what the node does not have."""
        refusal = self._live.refuse_unknown(parameter_list)
        return refusal or super().set_parameters_atomically(parameter_list)

    # Lifecycle.

    @property
    def values(self) -> Values:
        """The parameters' values that hold now; a frozen view."""
        return self._live.values

    @property
    def counts(self) -> FrameCounts:
        """Frames since the node was created. Any thread may ask."""
        worker = self._worker
        if worker is None:
            return self._tally.snapshot(0)
        return self._tally.snapshot(worker.dropped, rate_limited_now=worker.rate_limited)

    @property
    def is_autostarted(self) -> bool:
        """Whether the process configures and activates the node at its start."""
        return bool(self.values["autostart"])

    def load(self) -> None:
        """Load the network and plan its share of the budget."""
        with _BUILDING:
            self._load_alone()

    def _load_alone(self) -> None:
        values = self.values
        self._camera_topics()  # a mistake in them is better told before a network is traced
        with told_by_place(self._place_of), ExitStack() as undo:
            network = TASK_NETWORKS[self.TASK](values)
            task = TASK_KINDS[self.TASK].make(network)
            model = self._runtime.load(
                self.get_fully_qualified_name(),
                network.build,
                network.example_inputs,
                weights=network.weights,
                rate_hz=values["max_rate_hz"] or None,
                cuda_graphs=values["cuda_graphs"],
            )
            undo.callback(model.close)
            publishers = ResultPublishers(
                self, self.RESULTS, self.VISION, labels=getattr(network, "labels", ())
            )
            undo.pop_all()
        self._loaded = Loaded(
            network=network.name,
            is_random=network.is_random,
            task=task,
            model=model,
            publishers=publishers,
        )
        self._last_stats = model.stats()
        self.get_logger().info(_describe(network.name, self._last_stats))
        if network.is_random:
            self.get_logger().warning(
                f"{network.name} has random weights: memory and speed are real, results mean "
                "nothing. Set the parameter `weights` to a file for real results"
            )

    def begin(self) -> None:
        """Begin to take images."""
        self._worker = FrameWorker(
            f"swapnet-{self.get_name()}",
            self._process,
            tally=self._tally,
            period_s=self._period_s,
            report=self._report,
        )
        self._worker.start()
        self._loaded.publishers.announce_labels()
        is_raw = self.values["image_transport"] == "raw"
        self._intake = CameraIntake(
            self._hub,
            self._camera_topics(),
            kind=Image if is_raw else CompressedImage,
            take=self._counted(self.route(self._worker)),
        )
        self._intake.open()

    def route(self, worker: FrameWorker) -> Callable[[CameraFrame], None]:
        """Say what becomes of an image on the hub's thread; returns at once."""
        return lambda camera: worker.offer(Frame(camera=camera))

    def begin_no_more(self) -> None:
        """Begin with no further image; any thread may call it, and `drain` is to follow."""
        worker = self._worker
        if worker is not None:
            worker.begin_no_more()

    def drain(self) -> None:
        """Take no more images and publish the result of the one in hand."""
        if self._intake is not None:
            self._intake.close()
            self._intake = None
        if self._worker is not None:
            worker = self._worker
            worker.stop()
            self._worker = None
            self._tally.keep_dropped(worker.dropped, rate_limited=worker.rate_limited)

    def unload(self) -> None:
        """Give the network's share of the budget back."""
        if self._loaded is None:
            return
        loaded, self._loaded = self._loaded, None
        loaded.publishers.close()
        loaded.model.close()

    # Frames.

    def _camera_topics(self) -> tuple[str, ...]:
        """The cameras' topics, remapped and fully qualified.

        Raises:
            ParameterValueError: remapping made one of two.
        """
        topics = [self.resolve_topic_name(camera) for camera in self.values["cameras"]]
        if len(set(topics)) < len(topics):
            raise ParameterValueError(
                f"cameras: two of {', '.join(self.values['cameras'])} are the same topic after "
                f"remapping: {', '.join(topics)}"
            )
        if self.values["image_transport"] == "compressed":
            # beside the raw topic, as image_transport has it: one remapping serves both
            topics = [f"{topic}/compressed" for topic in topics]
        return tuple(topics)

    def _counted(self, take: Callable[[CameraFrame], None]) -> Callable[[CameraFrame], None]:
        def count_and_take(camera: CameraFrame) -> None:
            self._tally.count_received()
            take(camera)

        return count_and_take

    def _process(self, frame: Frame) -> None:
        """Do all the work of one frame, on the worker thread."""
        loaded, values = self._loaded, self.values
        self._check_age(frame.camera, values["max_age_s"])
        loaded.model.priority = values["priority"]
        loaded.model.set_rate(values["max_rate_hz"] or None)
        run = FrameRun(frame, loaded.model, values)
        result = run.analyse(TASK_KINDS[self.TASK], loaded.task)
        before, self._last_stats = self._last_stats, loaded.model.stats()
        origin = ResultOrigin(
            header=frame.camera.header,
            network=loaded.network,
            timing=run.timing(before, self._last_stats),
        )
        publishers = loaded.publishers
        *first, (topic, message) = self.make_messages(result, origin).items()
        publishers.publish(dict(first))
        message.timing = run.finished(origin.timing)
        publishers.publish({topic: message})
        if publishers.has_vision_listeners():
            publishers.publish_vision(self.make_vision_messages(result, origin))
        if publishers.has_debug_listeners():
            drawn = self.draw(frame.camera.image(), result)
            publishers.publish_debug(encode_image(drawn, frame.camera.header))

    def _check_age(self, camera: CameraFrame, max_age_s: float) -> None:
        """Refuse an image that is too old by its stamp; one without a stamp has no age."""
        stamp = Time.from_msg(camera.header.stamp)
        if max_age_s == 0 or stamp.nanoseconds == 0:
            return
        age_s = (self.get_clock().now().nanoseconds - stamp.nanoseconds) / 1e9
        if age_s > max_age_s:
            raise StaleFrameError(age_s=age_s, max_age_s=max_age_s)

    def _report(self, outcome: Outcome, error: Exception) -> None:
        """Tell why a frame was not processed: in the log at most every few seconds."""
        self.last_problem = str(error)
        log = self.get_logger()
        if outcome is Outcome.FAILED:
            details = "".join(traceback.format_exception(error)).rstrip()
            log.error(f"frame failed: {details}", throttle_duration_sec=LOG_PERIOD_S)
        elif outcome is Outcome.LATE:
            log.warning(f"frame was late: {error}", throttle_duration_sec=LOG_PERIOD_S)
        elif outcome is Outcome.STALE:
            log.warning(f"frame was stale: {error}", throttle_duration_sec=LOG_PERIOD_S)
        else:
            log.warning(f"frame refused: {error}", throttle_duration_sec=LOG_PERIOD_S)

    def _period_s(self) -> float:
        rate_hz = self.values["max_rate_hz"]
        return 1 / rate_hz if rate_hz > 0 else 0.0

    def _wake_worker(self) -> None:
        worker = self._worker
        if worker is not None:
            worker.wake()

    # Diagnostics.

    def input_ages_s(self) -> Mapping[str, float]:
        """Seconds since the last message on each topic that the node needs, while it is active."""
        return self._intake.ages_s() if self._intake is not None else {}

    def _publish_diagnostics(self) -> None:
        counts, loaded, worker = self.counts, self._loaded, self._worker
        health = diagnostics.TaskHealth(
            node=self.get_fully_qualified_name(),
            state=self.state_label,
            network=loaded.network if loaded else "",
            is_random=loaded.is_random if loaded else False,
            counts=counts,
            counts_before=self._counts_before,
            input_ages_s=self.input_ages_s(),
            in_hand_s=worker.in_hand_s if worker else 0.0,
            last_problem=self.last_problem,
            failed_transition=self.failed_transition,
            model=loaded.model.stats() if loaded else None,
        )
        self._counts_before = counts
        diagnostics.publish_status(self, self._diagnostics, diagnostics.task_status(health))
        if loaded:
            self._account.publish(loaded.model)


def _describe(network: str, stats: ModelStats) -> str:
    return (
        f"{network}: demand {format_size(stats.demand_bytes)}, at most "
        f"{format_size(stats.planned_peak_bytes)} held, {format_size(stats.resident_bytes)} "
        f"resident, {format_size(stats.streamed_bytes)} read per frame, "
        f"{stats.predicted_latency_s * 1e3:.0f} ms predicted"
    )
