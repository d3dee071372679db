"""What happened on a drive, frame by frame, and the figures that follow from it. Pure."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from swapnet_ros.evaluation.drive_figures import (
    CoreState,
    DriveFigures,
    ModelFigures,
    Percentiles,
    TaskFigures,
)
from swapnet_ros.evaluation.task_results import PackedSegmentation, TaskOutput
from swapnet_ros.perception.tasks.semantic_segmentation import SegmentationResult

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePlayed:
    """A frame that was published.

    Attributes:
        stamp_ns: the image header's stamp; identifies the frame.
        index: its position in the video.
    """

    stamp_ns: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameResult:
    """What came back for one frame from one task.

    Attributes:
        stamp_ns: the image header's stamp, copied to the result.
        received_ns: when the result arrived, same clock.
        inferred_ns: when its network was done, same clock.
        in_node_s: from the image's arrival at the node to the result's publication.
        inference_s: share of the network, its waiting for the other networks included.
        compute_s: share in which the network computed.
        stall_s: share in which compute waited for blocks.
        kept: the result itself, in pixels of the image; `output` unpacks it.
    """

    stamp_ns: int
    received_ns: int
    inferred_ns: int
    in_node_s: float
    inference_s: float
    compute_s: float
    stall_s: float
    kept: TaskOutput | PackedSegmentation

    @property
    def latency_s(self) -> float:
        """From the image's stamp to the arrival of its result."""
        return (self.received_ns - self.stamp_ns) / _NS_PER_S

    @property
    def running_s(self) -> float:
        """From the network's start to its output."""
        return self.compute_s + self.stall_s

    @property
    def output(self) -> TaskOutput:
        """The result itself, in pixels of the image."""
        return self.kept.unpack() if isinstance(self.kept, PackedSegmentation) else self.kept


def kept(output: TaskOutput) -> TaskOutput | PackedSegmentation:
    """Return a result as it is kept for the length of a drive."""
    return PackedSegmentation.of(output) if isinstance(output, SegmentationResult) else output


class DriveRecord:
    """Collects frames, results and states as they arrive. Use from one thread."""

    def __init__(self, tasks: Iterable[str]) -> None:
        """Begin with nothing.

        Args:
            tasks: names of the tasks' nodes.
        """
        self._played: dict[int, FramePlayed] = {}
        self._stamps: list[int] = []  # of the frames played, rising
        self._results: dict[str, dict[int, FrameResult]] = {name: {} for name in tasks}
        self._networks: dict[str, tuple[str, bool]] = {}
        self._before: dict[str, ModelFigures] = {}  # each network's newest state without results
        self._states: list[CoreState] = []

    @property
    def tasks(self) -> Sequence[str]:
        """Names of the tasks' nodes."""
        return tuple(self._results)

    def add_played(self, frame: FramePlayed) -> None:
        """Note a frame that was published; order of arrival does not matter."""
        if frame.stamp_ns not in self._played:
            insort(self._stamps, frame.stamp_ns)
        self._played[frame.stamp_ns] = frame

    def add_network(self, task: str, network: str, *, is_random: bool) -> None:
        """Note which network a task has."""
        self._networks[task] = network, is_random

    def add_result(self, task: str, result: FrameResult) -> None:
        """Note a result; it may arrive before the note of its frame."""
        self._results[task][result.stamp_ns] = result

    def add_state(self, state: CoreState) -> None:
        """Note the core's state; reads are counted from the last one before the first result."""
        for task, model in state.models.items():
            if not self._results.get(task):
                self._before[task] = model
        self._states.append(state)

    @property
    def played(self) -> Sequence[FramePlayed]:
        """Frames in the order of their stamps."""
        return [self._played[stamp] for stamp in self._stamps]

    @property
    def states(self) -> Sequence[CoreState]:
        """The core's states in the order of their arrival."""
        return self._states

    def results(self, task: str) -> Mapping[int, FrameResult]:
        """A task's results by stamp, those of frames that were played, oldest first."""
        found = self._results[task]
        return {stamp: found[stamp] for stamp in sorted(found.keys() & self._played)}

    def figures(self) -> DriveFigures:
        """Return the sums of what has been noted so far."""
        state = self._states[-1] if self._states else None
        return DriveFigures(
            frames_played=len(self._played),
            tasks={task: self._figures_of(task) for task in self._results},
            core=state.core if state else None,
            demand_bytes=state.core.demand_bytes if state else 0,
        )

    def _figures_of(self, task: str) -> TaskFigures:
        results = list(self.results(task).values())
        dropped = bisect_right(self._stamps, results[-1].stamp_ns) - len(results) if results else 0
        network, is_random = self._networks.get(task, ("", False))
        running_s = sum(result.running_s for result in results)
        return TaskFigures(
            network=network,
            is_random=is_random,
            frames_processed=len(results),
            frames_dropped=dropped,
            processed_hz=_rate_hz([result.received_ns for result in results]),
            latency=_percentiles([result.latency_s for result in results]),
            in_node=_percentiles([result.in_node_s for result in results]),
            inference=_percentiles([result.inference_s for result in results]),
            running=_percentiles([result.running_s for result in results]),
            stall_share=sum(r.stall_s for r in results) / running_s if running_s else 0.0,
            bytes_read_per_frame=self._bytes_read_per_frame(task),
            model=self._model(task),
        )

    def _model(self, task: str) -> ModelFigures | None:
        return self._states[-1].models.get(task) if self._states else None

    def _bytes_read_per_frame(self, task: str) -> float | None:
        before, now = self._before.get(task), self._model(task)
        if before is None or now is None or now.inferences == before.inferences:
            return None
        return (now.bytes_read - before.bytes_read) / (now.inferences - before.inferences)


def _rate_hz(times_ns: Sequence[int]) -> float:
    if len(times_ns) < 2 or max(times_ns) == min(times_ns):
        return 0.0
    return (len(times_ns) - 1) * _NS_PER_S / (max(times_ns) - min(times_ns))


def _percentiles(times_s: Sequence[float]) -> Percentiles | None:
    if not times_s:
        return None
    p50, p99 = np.quantile(times_s, [0.5, 0.99])
    return Percentiles(p50_s=float(p50), p99_s=float(p99))
