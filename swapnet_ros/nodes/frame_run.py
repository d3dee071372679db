"""One frame on its way through a task: what it needs, and where its time goes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from std_msgs.msg import Header

from swapnet_core import ModelStats, SwappedModel
from swapnet_ros.msg import FrameTiming
from swapnet_ros.nodes.frames import Frame
from swapnet_ros.nodes.live_parameters import Values
from swapnet_ros.perception.tasks.analysis import Analysis, TaskKind, TaskResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOrigin:
    """What every result message tells of where it comes from.

    Attributes:
        header: of the image.
        network: the network's name.
        timing: where the time of the frame went.
    """

    header: Header
    network: str
    timing: FrameTiming


class FrameRun:
    """One frame in the hands of a task. For the worker thread.

    Attributes:
        frame: the image, and boxes where the task wants some.
        values: the parameters, the same from the frame's beginning to its end.
    """

    def __init__(self, frame: Frame, model: SwappedModel, values: Values) -> None:
        self.frame = frame
        self.values = values
        self._model = model
        self._started_s = time.monotonic()
        self._handed_s: float | None = None  # when the core got the first input
        self._inference_s = 0.0

    def __repr__(self) -> str:
        return f"<FrameRun {self.frame.camera!r}>"

    def analyse(self, kind: TaskKind, task: Any) -> TaskResult:
        """Find what a task finds in the image.

        Args:
            kind: what sets the task apart.
            task: the object with `preprocess` and `decode`.

        Raises:
            ImageError: the image is not what the task takes, or the boxes are not its own.
            DeadlineMissedError: the deadline passed before the network was free.
            SwapNetError: the inference failed.
        """
        analysis = Analysis(kind=kind, task=task, values=self.values, infer=self.infer)
        return analysis.run(self.frame.camera.image(), self.frame.detections)

    def infer(self, inputs: tuple[Any, ...]) -> Any:
        """Run the network; the frame's deadline holds for each call's start.

        Raises:
            DeadlineMissedError: the deadline passed before the network was free.
            SwapNetError: the inference failed.
        """
        handed_s = time.monotonic()
        if self._handed_s is None:
            self._handed_s = handed_s
        future = self._model.submit(*inputs, deadline_s=self._time_left_s(handed_s))
        outputs = future.result()
        self._inference_s += time.monotonic() - handed_s
        return outputs

    def timing(self, before: ModelStats, after: ModelStats) -> FrameTiming:
        """Where the time went up to now; nothing is published yet.

        Args:
            before: the network's figures before the frame.
            after: the figures after it.
        """
        arrived_s, now_s = self.frame.camera.arrived_s, time.monotonic()
        handed_s = now_s if self._handed_s is None else self._handed_s
        return FrameTiming(
            queue_s=self._started_s - arrived_s,
            decode_s=handed_s - self._started_s,
            inference_s=self._inference_s,
            total_s=now_s - arrived_s,
            stall_s=after.stall_s - before.stall_s,
            compute_s=after.compute_s - before.compute_s,
        )

    def finished(self, timing: FrameTiming) -> FrameTiming:
        """Add the time since `timing` was made, in which messages were filled and published."""
        total_s = time.monotonic() - self.frame.camera.arrived_s
        timing.publish_s = total_s - timing.total_s
        timing.total_s = total_s
        return timing

    def _time_left_s(self, now_s: float) -> float | None:
        """Time until the frame's deadline; 0 once it has passed, None without a deadline."""
        deadline_s = self.values["deadline_s"]
        if deadline_s == 0:
            return None
        return max(0.0, self.frame.camera.arrived_s + deadline_s - now_s)
