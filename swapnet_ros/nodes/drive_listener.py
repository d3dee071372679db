"""Listening while the children of a drive do their work, and noticing when they fail."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

from rclpy.executors import SingleThreadedExecutor

from swapnet_ros.evaluation.drive_figures import TaskFigures
from swapnet_ros.evaluation.drive_view import DriveView
from swapnet_ros.nodes.child_process import ChildProcess
from swapnet_ros.nodes.drive_monitor import DriveMonitor
from swapnet_ros.nodes.live_run import crash_of, wait_until_loaded

_SPIN_S = 0.1
_QUIET_S = 2.5  # longer than the status takes to come round


class DriveListener:
    """Spins the monitor and shows its figures while the children do something.

    Attributes:
        process_peak_bytes: most resident memory that was seen of the perception process: its
            libraries, the core, and what images and results take.
    """

    def __init__(
        self, executor: SingleThreadedExecutor, monitor: DriveMonitor, view: DriveView
    ) -> None:
        self._executor, self._monitor, self._view = executor, monitor, view
        self.process_peak_bytes = 0

    def until_loaded(self, perception: ChildProcess) -> None:
        """Wait for all networks; the time allowed begins anew with each one."""
        wait_until_loaded(self._monitor, partial(self._spin, "loading", perception), perception)

    def until_played(self, perception: ChildProcess, player: ChildProcess) -> None:
        """Wait for the end of the video."""
        while player.exit_code is None:
            self._spin("playing", perception)
        if player.exit_code != 0:
            raise crash_of(player)

    def until_quiet(self, perception: ChildProcess) -> None:
        """Wait for the last results, and for the state after them."""
        count, changed_s = -1, time.monotonic()
        while True:
            tasks = self._monitor.record.figures().tasks.values()
            processed = sum(task.frames_processed for task in tasks)
            if processed != count:
                count, changed_s = processed, time.monotonic()
            elif time.monotonic() - changed_s > _QUIET_S + _round_s(tasks):
                return
            self._spin("finishing", perception)

    def _spin(self, phase: str, perception: ChildProcess) -> None:
        """Serve callbacks for a moment, then look at the child and show where things stand."""
        end_s = time.monotonic() + _SPIN_S
        while (left_s := end_s - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left_s)
        if perception.exit_code is not None:
            raise crash_of(perception)
        self.process_peak_bytes = max(self.process_peak_bytes, perception.rss_bytes())
        self._view.show(phase, self._monitor.record.figures())


def _round_s(tasks: Iterable[TaskFigures]) -> float:
    """How long a result may take at most: all others' turns, and what was seen so far."""
    seen_s = [task.latency.p99_s for task in tasks if task.latency]
    predicted_s = [task.model.predicted_latency_s for task in tasks if task.model]
    return max(sum(predicted_s), *seen_s, 0.0)
