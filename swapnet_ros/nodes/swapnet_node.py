"""The `swapnet` node: the face of the core. It owns the runtime, its budget and its status."""

from __future__ import annotations

import logging
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.node import Node
from rclpy.parameter import Parameter

from swapnet_core import (
    Admission,
    LatencyStats,
    ModelStats,
    RuntimeReport,
    SwapNetError,
    SwapRuntime,
    memory,
)
from swapnet_ros.msg import SwapModelStatus, SwapStatus
from swapnet_ros.nodes import diagnostics
from swapnet_ros.nodes.errors import ParameterValueError
from swapnet_ros.nodes.hosted_nodes import CORE_NODE
from swapnet_ros.nodes.live_parameters import LiveParameters, Values
from swapnet_ros.nodes.parameter_tables import SWAPNET

STATUS_PERIOD_S = 1.0

_NOTHING_LOADED = Admission(
    fits=True,
    compute_share=0.0,
    read_share=0.0,
    busy_share=0.0,
    enough_budget_bytes=None,
    networks=(),
    reason="",
)


class SwapnetNode(Node):
    """Opens the runtime, publishes `~/status` once per second, and takes a new `budget`.

    Callbacks run on the node's executor thread. `runtime` is for any thread.
    """

    def __init__(self, *, context: Context | None = None) -> None:
        """Create the node; `open_runtime` comes next.

        Args:
            context: ROS context, None for the default one.

        Raises:
            ParameterValueError: a parameter's initial value cannot be used.
        """
        super().__init__(CORE_NODE, context=context)
        self._runtime: SwapRuntime | None = None
        self._report_before: RuntimeReport | None = None
        self._baseline_bytes = 0
        self._log_handler = _RosLogHandler(self.get_logger())
        self._live = LiveParameters(self, SWAPNET, apply=self._apply)
        self._status = self.create_publisher(SwapStatus, "~/status", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, diagnostics.TOPIC, 10)

    def __repr__(self) -> str:
        return f"<SwapnetNode {self.get_fully_qualified_name()} {self._runtime!r}>"

    @property
    def parameters(self) -> Values:
        """The values that hold now; a frozen view."""
        return self._live.values

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """As rclpy does, but with an answer that names what the node does not have."""
        refusal = self._live.refuse_unknown(parameter_list)
        return refusal or super().set_parameters_atomically(parameter_list)

    def open_runtime(self) -> SwapRuntime:
        """Open the core with the node's parameters; `close_runtime` or `destroy_node` closes it.

        Raises:
            ParameterValueError: the core does not know the device.
            SwapNetError: the core cannot be opened.
        """
        values = self._live.values
        self._baseline_bytes = memory.anonymous_bytes()
        try:
            self._runtime = SwapRuntime(
                budget=values["budget"],
                device=values["device"],
                host_budget=values["host_budget"] or 0,
                read_priority=values["read_priority"],
                cache_dir=Path(values["cache_dir"]).expanduser() if values["cache_dir"] else None,
            )
        except SwapNetError:  # some of them are ValueErrors, too
            raise
        except ValueError as error:
            raise ParameterValueError(f"device: {error}") from error
        logging.getLogger("swapnet_core").addHandler(self._log_handler)
        self._report_before = self._runtime.report()
        self.get_logger().info(f"budget {values['budget']}, device {values['device']}")
        # steady: the status must go on while simulated time stands still
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(STATUS_PERIOD_S, self._publish, clock=clock)
        return self._runtime

    def close_runtime(self) -> None:
        """Close the core with all its networks. Idempotent."""
        logging.getLogger("swapnet_core").removeHandler(self._log_handler)
        if self._runtime is not None:
            self._runtime.close()

    def destroy_node(self) -> None:
        """Destroy the node and close the core."""
        self.close_runtime()
        super().destroy_node()

    def _apply(self, changes: Values) -> None:
        """Set a new budget; a refusal's text goes to whoever asked for it."""
        if self._runtime is not None and "budget" in changes:
            self._runtime.set_budget(changes["budget"])
            self.get_logger().info(f"budget is now {changes['budget']}")

    def _publish(self) -> None:
        report = self._runtime.report()
        message = to_status(report, self._runtime.device)
        message.baseline_bytes = self._baseline_bytes
        message.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(message)
        status = diagnostics.core_status(
            self.get_fully_qualified_name(), report, self._report_before
        )
        self._report_before = report
        diagnostics.publish_status(self, self._diagnostics, status)


class _RosLogHandler(logging.Handler):
    """Passes the core's warnings on to ROS's log. Any thread."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record as a warning or an error; rclpy keeps one severity per calling line."""
        if record.levelno >= logging.ERROR:
            self._logger.error(record.getMessage())
        else:
            self._logger.warning(record.getMessage())


def to_status(report: RuntimeReport, device: str) -> SwapStatus:
    """Fill a `SwapStatus`, except for its stamp and the baseline."""
    admission = report.admission or _NOTHING_LOADED
    return SwapStatus(
        device=device,
        budget_bytes=report.budget_bytes,
        leased_bytes=report.leased_bytes,
        peak_bytes=report.peak_bytes,
        demand_bytes=report.demand_bytes,
        read_bandwidth_bytes_per_s=report.read_bandwidth_bytes_per_s,
        direct_io=report.direct_io,
        rates_fit=admission.fits,
        compute_share=admission.compute_share,
        read_share=admission.read_share,
        busy_share=admission.busy_share,
        enough_budget_bytes=admission.enough_budget_bytes or 0,
        admission=admission.reason,
        models=[_to_model_status(report.models[name]) for name in sorted(report.models)],
    )


def _to_model_status(stats: ModelStats) -> SwapModelStatus:
    latency = stats.latency_s or LatencyStats(count=0, mean=0.0, p50=0.0, p90=0.0, p99=0.0, max=0.0)
    return SwapModelStatus(
        name=stats.name,
        demand_bytes=stats.demand_bytes,
        weight_bytes=stats.weight_bytes,
        activation_bytes=stats.activation_bytes,
        resident_bytes=stats.resident_bytes,
        streamed_bytes=stats.streamed_bytes,
        planned_peak_bytes=stats.planned_peak_bytes,
        predicted_latency_s=stats.predicted_latency_s,
        inferences=stats.inferences,
        faults=stats.faults,
        bytes_read=stats.bytes_read,
        stall_s=stats.stall_s,
        compute_s=stats.compute_s,
        deadline_misses=stats.deadline_misses,
        latency_count=latency.count,
        latency_mean_s=latency.mean,
        latency_p50_s=latency.p50,
        latency_p90_s=latency.p90,
        latency_p99_s=latency.p99,
        latency_max_s=latency.max,
    )
