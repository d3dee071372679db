"""What happened on a drive, frame by frame, and the figures that follow from it. Pure."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from swapnet_ros.perception.tasks.object_detection import DetectionResult

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
    """What came back for one frame.

    Attributes:
        stamp_ns: the image header's stamp, copied to the result.
        received_ns: when the result arrived, same clock.
        in_node_s: from the image's arrival at the node to the result's publication.
        inference_s: share of the network.
        stall_s: share in which compute waited for blocks.
        detections: the result itself, boxes in pixels of the image.
    """

    stamp_ns: int
    received_ns: int
    in_node_s: float
    inference_s: float
    stall_s: float
    detections: DetectionResult

    @property
    def latency_s(self) -> float:
        """From the image's stamp to the arrival of its result."""
        return (self.received_ns - self.stamp_ns) / _NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapFigures:
    """The core's state and the detector's counters at one moment; `ModelStats` has the words."""

    budget_bytes: int
    leased_bytes: int
    peak_bytes: int
    read_bandwidth_bytes_per_s: float
    is_direct_io: bool
    demand_bytes: int
    weight_bytes: int
    resident_bytes: int
    streamed_bytes: int
    planned_peak_bytes: int
    predicted_latency_s: float
    inferences: int
    bytes_read: int
    faults: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Median and 99th percentile of some times, in seconds."""

    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveFigures:
    """The sums of a drive so far.

    Attributes:
        frames_played: frames published.
        frames_processed: frames for which a result came.
        frames_dropped: frames for which none will come: a newer one was taken instead.
        processed_hz: results per second between the first and the last one; 0 with fewer than two.
        detection_count: boxes in all results.
        latency: from stamp to result; None while there is no result.
        in_node: from arrival at the node to publication of the result.
        inference: the network's share of it.
        stall_share: share of the network's time in which compute waited for blocks.
        bytes_read_per_frame: read from storage per inference while frames were played; None until
            the core has told of one.
        swap: newest state of the core; None while there is none.
    """

    frames_played: int
    frames_processed: int
    frames_dropped: int
    processed_hz: float
    detection_count: int
    latency: Percentiles | None
    in_node: Percentiles | None
    inference: Percentiles | None
    stall_share: float
    bytes_read_per_frame: float | None
    swap: SwapFigures | None


class DriveRecord:
    """Collects frames, results and states as they arrive. Use from one thread."""

    def __init__(self) -> None:
        self._played: dict[int, FramePlayed] = {}
        self._played_stamps: list[int] = []
        self._results: dict[int, FrameResult] = {}
        self._first_swap: SwapFigures | None = None
        self._last_swap: SwapFigures | None = None

    def add_played(self, frame: FramePlayed) -> None:
        """Note a frame that was published; order of arrival does not matter."""
        if frame.stamp_ns not in self._played:
            insort(self._played_stamps, frame.stamp_ns)
        self._played[frame.stamp_ns] = frame

    def add_result(self, result: FrameResult) -> None:
        """Note a result; it may arrive before the note of its frame."""
        self._results[result.stamp_ns] = result

    def add_swap(self, swap: SwapFigures) -> None:
        """Note the core's state; reads are counted from the last one before the first frame."""
        if self._first_swap is None or not self._results:
            self._first_swap = swap
        self._last_swap = swap

    @property
    def played(self) -> Sequence[FramePlayed]:
        """Frames in the order of their stamps."""
        return [self._played[stamp] for stamp in self._played_stamps]

    @property
    def results(self) -> Mapping[int, FrameResult]:
        """Results by stamp, those of frames that were played."""
        return {
            stamp: self._results[stamp] for stamp in sorted(self._results.keys() & self._played)
        }

    def figures(self) -> DriveFigures:
        """Return the sums of what has been noted so far."""
        results = list(self.results.values())
        dropped = 0
        if results:
            dropped = bisect_right(self._played_stamps, results[-1].stamp_ns) - len(results)
        inference_s = sum(result.inference_s for result in results)
        return DriveFigures(
            frames_played=len(self._played),
            frames_processed=len(results),
            frames_dropped=dropped,
            processed_hz=_rate_hz([result.received_ns for result in results]),
            detection_count=sum(len(result.detections.detections) for result in results),
            latency=_percentiles([result.latency_s for result in results]),
            in_node=_percentiles([result.in_node_s for result in results]),
            inference=_percentiles([result.inference_s for result in results]),
            stall_share=sum(r.stall_s for r in results) / inference_s if inference_s else 0.0,
            bytes_read_per_frame=self._bytes_read_per_frame(),
            swap=self._last_swap,
        )

    def _bytes_read_per_frame(self) -> float | None:
        if self._first_swap is None or self._last_swap is None:
            return None
        inferences = self._last_swap.inferences - self._first_swap.inferences
        bytes_read = self._last_swap.bytes_read - self._first_swap.bytes_read
        return bytes_read / inferences if inferences else None


def _rate_hz(times_ns: Sequence[int]) -> float:
    if len(times_ns) < 2 or max(times_ns) == min(times_ns):
        return 0.0
    return (len(times_ns) - 1) * _NS_PER_S / (max(times_ns) - min(times_ns))


def _percentiles(times_s: Sequence[float]) -> Percentiles | None:
    if not times_s:
        return None
    p50, p99 = np.quantile(times_s, [0.5, 0.99])
    return Percentiles(p50_s=float(p50), p99_s=float(p99))
