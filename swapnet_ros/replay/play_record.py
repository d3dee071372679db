"""What came back in one play, until it is brought together with the bag's images. Pure."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swapnet_ros.evaluation.drive_record import kept
from swapnet_ros.evaluation.task_results import PackedSegmentation, TaskOutput
from swapnet_ros.perception.tasks.lane_detection import LaneResult
from swapnet_ros.replay.latency_parts import LatencyParts

ImageKey = tuple[int, str]
_FAST = 1  # zlib's level, as for class maps


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveResult:
    """One result as it came.

    Attributes:
        parts: where its time went.
        kept: what was found; class maps are packed.
    """

    parts: LatencyParts
    kept: TaskOutput | PackedSegmentation

    @property
    def output(self) -> TaskOutput:
        """What was found."""
        return self.kept.unpack() if isinstance(self.kept, PackedSegmentation) else self.kept


class PlayRecord:
    """Results by task and image, and areas of the camera's lane, which come apart.

    Images of one camera with equal stamps cannot be told apart: their results go to them in the
    order in which they came. Use from one thread.

    Attributes:
        last_heard_s: `time.monotonic()` at the arrival of the last result; None before the first.
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        self._results: dict[str, dict[ImageKey, deque[LiveResult]]] = {task: {} for task in tasks}
        self._areas: dict[str, dict[ImageKey, tuple[bytes, tuple[int, int]]]] = {}
        self.last_heard_s: float | None = None
        self._heard = dict.fromkeys(self._results, 0)
        self._parts: dict[str, list[LatencyParts]] = {task: [] for task in self._results}

    def __repr__(self) -> str:
        return f"<PlayRecord {', '.join(f'{n} {task}' for task, n in self._heard.items())}>"

    @property
    def heard(self) -> dict[str, int]:
        """How many results came, by task."""
        return dict(self._heard)

    def parts(self, task: str) -> list[LatencyParts]:
        """Where the time of a task's results went, in the order of their arrival."""
        return self._parts[task]

    def add_result(
        self, task: str, key: ImageKey, output: TaskOutput, parts: LatencyParts, *, heard_s: float
    ) -> None:
        """Note a result."""
        result = LiveResult(parts=parts, kept=kept(output))
        self._results[task].setdefault(key, deque()).append(result)
        self._heard[task] += 1
        self._parts[task].append(parts)
        self.last_heard_s = heard_s

    def add_area(self, task: str, key: ImageKey, area: NDArray[np.bool_]) -> None:
        """Note the area of the camera's lane in an image, bool [height, width]."""
        height, width = area.shape
        packed = zlib.compress(np.packbits(area).tobytes(), _FAST)
        self._areas.setdefault(task, {})[key] = packed, (height, width)

    def take(self, task: str, key: ImageKey) -> tuple[LiveResult, TaskOutput] | None:
        """Take out the result of an image, whole; None where there is none."""
        waiting = self._results[task].get(key)
        if not waiting:
            return None
        result = waiting.popleft()
        output = result.output
        area = self._areas.get(task, {}).get(key)
        if area is not None and isinstance(output, LaneResult):
            output = replace(output, area=_unpack(*area))
        return result, output

    @property
    def left(self) -> dict[str, int]:
        """Results that no image has taken, by task."""
        return {
            task: sum(len(waiting) for waiting in found.values())
            for task, found in self._results.items()
        }


def _unpack(packed: bytes, shape: tuple[int, int]) -> NDArray[np.bool_]:
    bits = np.frombuffer(zlib.decompress(packed), np.uint8)
    return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).view(np.bool_)
