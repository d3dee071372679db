"""Listens to a drive: what was played, what was found, what the core holds."""

from __future__ import annotations

import time
from collections.abc import Mapping

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from swapnet_ros.evaluation.drive_record import DriveRecord, FramePlayed, FrameResult, SwapFigures
from swapnet_ros.msg import DetectionArray, PlayedFrame, SwapStatus
from swapnet_ros.nodes.video_player import PLAYED_QOS
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult

_DETECTOR = "object_detection"
_BEST_EFFORT = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)


class DriveMonitor(Node):
    """Fills a `DriveRecord` from the topics. Use from the thread that spins it.

    Attributes:
        record: what has arrived so far.
        problem: what the detector reports as an error at present; empty where nothing is wrong.
        detector_diagnostics: the newest values from the detector's diagnostics.
    """

    def __init__(self) -> None:
        super().__init__("drive_monitor")
        self.record = DriveRecord()
        self.problem = ""
        self.detector_diagnostics: Mapping[str, str] = {}
        self.create_subscription(PlayedFrame, "video_player/played", self._on_played, PLAYED_QOS)
        self.create_subscription(
            DetectionArray, f"{_DETECTOR}/detections", self._on_detections, _BEST_EFFORT
        )
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        self.create_subscription(SwapStatus, "swapnet/status", self._on_status, _BEST_EFFORT)

    @property
    def is_ready(self) -> bool:
        """Whether the detector's network is loaded."""
        return self.record.figures().swap is not None

    def _on_played(self, message: PlayedFrame) -> None:
        stamp_ns = _nanoseconds(message.header.stamp)
        self.record.add_played(FramePlayed(stamp_ns=stamp_ns, index=message.index))

    def _on_detections(self, message: DetectionArray) -> None:
        self.record.add_result(frame_result(message, received_ns=time.time_ns()))

    def _on_status(self, message: SwapStatus) -> None:
        figures = swap_figures(message)
        if figures is not None:
            self.record.add_swap(figures)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.strip("/") == _DETECTOR:
                self.detector_diagnostics = {pair.key: pair.value for pair in status.values}
                self.problem = status.message if status.level == DiagnosticStatus.ERROR else ""


def frame_result(message: DetectionArray, *, received_ns: int) -> FrameResult:
    """Turn a detection message into a result.

    Args:
        message: the message.
        received_ns: when it arrived, on the clock of its stamp.
    """
    detections = tuple(
        Detection(
            class_id=found.class_id,
            label=found.label,
            score=found.score,
            x_min=found.x_min,
            y_min=found.y_min,
            x_max=found.x_max,
            y_max=found.y_max,
        )
        for found in message.detections
    )
    return FrameResult(
        stamp_ns=_nanoseconds(message.header.stamp),
        received_ns=received_ns,
        in_node_s=message.timing.total_s,
        inference_s=message.timing.inference_s,
        stall_s=message.timing.stall_s,
        detections=DetectionResult(
            detections=detections, width=message.width, height=message.height
        ),
    )


def swap_figures(message: SwapStatus) -> SwapFigures | None:
    """Turn a status message into figures; None while the detector's network is not loaded."""
    models = [model for model in message.models if model.name.strip("/") == _DETECTOR]
    if not models:
        return None
    model = models[0]
    return SwapFigures(
        budget_bytes=message.budget_bytes,
        leased_bytes=message.leased_bytes,
        peak_bytes=message.peak_bytes,
        read_bandwidth_bytes_per_s=message.read_bandwidth_bytes_per_s,
        is_direct_io=message.direct_io,
        demand_bytes=model.demand_bytes,
        weight_bytes=model.weight_bytes,
        resident_bytes=model.resident_bytes,
        streamed_bytes=model.streamed_bytes,
        planned_peak_bytes=model.planned_peak_bytes,
        predicted_latency_s=model.predicted_latency_s,
        inferences=model.inferences,
        bytes_read=model.bytes_read,
        faults=model.faults,
    )


def _nanoseconds(stamp: Time) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
