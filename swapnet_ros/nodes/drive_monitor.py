"""Listens to a drive: what was played, what was found, what the core holds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from swapnet_ros.evaluation.drive_figures import CoreFigures, CoreState, ModelFigures
from swapnet_ros.evaluation.drive_record import DriveRecord, FramePlayed, FrameResult, kept
from swapnet_ros.evaluation.task_results import TaskOutput
from swapnet_ros.msg import FrameTiming, PlayedFrame, SwapStatus
from swapnet_ros.nodes.hosted_nodes import HostedNode
from swapnet_ros.nodes.perception_monitor import PerceptionMonitor, image_key
from swapnet_ros.nodes.video_player import PLAYED_QOS

_NS_PER_S = 1e9


class DriveMonitor(PerceptionMonitor):
    """Fills a `DriveRecord` from the topics. Use from the thread that spins it.

    Attributes:
        record: what has arrived so far.
    """

    def __init__(self, nodes: Sequence[HostedNode]) -> None:
        """Subscribe to everything.

        Args:
            nodes: the task nodes of the process that is listened to.
        """
        self.record = DriveRecord(node.name for node in nodes)
        super().__init__("drive_monitor", nodes)
        self.create_subscription(PlayedFrame, "video_player/played", self._on_played, PLAYED_QOS)

    def take_result(self, task: str, message: Any, output: TaskOutput) -> None:
        """Note a result."""
        self.record.add_result(task, frame_result(message, output, received_ns=time.time_ns()))

    def take_status(self, status: SwapStatus) -> None:
        """Note the core's state."""
        self.record.add_state(core_state(status, received_ns=time.time_ns()))

    def take_values(self, task: str, values: Mapping[str, str]) -> None:
        """Note which network a task has."""
        if network := values.get("network"):
            self.record.add_network(task, network, is_random=values.get("weights") == "random")

    def _on_played(self, message: PlayedFrame) -> None:
        stamp_ns, _ = image_key(message.header)
        self.record.add_played(FramePlayed(stamp_ns=stamp_ns, index=message.index))


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
        stamp_ns=image_key(message.header)[0],
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
        demand_bytes=message.demand_bytes,
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
