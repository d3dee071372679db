"""`samples/`: a few frames of a recording with their results drawn in, for people to look at.

The frames are chosen by their place in the recording alone, so that they are the same in every
evaluation of it, in any budget, and also after a stop.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from swapnet_core import memory
from swapnet_core.errors import StorageError
from swapnet_ros.evaluation.bags.source_frame import SourceFrame
from swapnet_ros.evaluation.task_results import draw_result, resize_result
from swapnet_ros.evaluation.whole_text import write_whole
from swapnet_ros.perception.tasks.analysis import TaskResult
from swapnet_ros.perception.tasks.object_detection import Detection, DetectionResult

MOST_SAMPLES = 8
_SHORTEST_PX, _LONGEST_PX = 448, 640  # of a picture's longer side: letters can be read
_QUALITY = 82
_OURS = re.compile(r"\d{6,}_\w+\.jpg")


def choose_samples(counts: Mapping[str, int]) -> dict[str, frozenset[int]]:
    """Choose frames spread over a recording: every camera gets its part, from first to last image.

    Args:
        counts: how many images each topic has.

    Returns:
        By topic, the numbers of the chosen images among those of their topic.
    """
    topics = sorted(topic for topic, count in counts.items() if count)[:MOST_SAMPLES]
    chosen = {}
    for place, topic in enumerate(topics):
        share = MOST_SAMPLES // len(topics) + (place < MOST_SAMPLES % len(topics))
        chosen[topic] = frozenset(_spread(min(share, counts[topic]), counts[topic]))
    return chosen


class SampleFrames:
    """Writes the samples of one evaluation. Use from one thread."""

    def __init__(self, file: Path, counts: Mapping[str, int], *, frames_kept: int = 0) -> None:
        """Begin, or go on with what an earlier sitting has left.

        Args:
            file: says which frames were drawn. Their pictures lie beside it; those of another
                evaluation are removed.
            counts: how many images each topic has.
            frames_kept: samples of frames from this number on are given up.

        Raises:
            StorageError: the folder cannot be written.
        """
        self._file = file
        self._chosen = choose_samples(counts)
        self._samples = [each for each in self._earlier() if each["frame"] < frames_kept]
        with _told(self._file.parent):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._remove_others()
            self._write()

    def __repr__(self) -> str:
        return f"<SampleFrames {self._file.parent}, {len(self._samples)} frames>"

    def is_wanted(self, frame: SourceFrame) -> bool:
        """Whether a frame is one of the samples."""
        return frame.index in self._chosen.get(frame.topic, ())

    def keep(
        self, number: int, frame: SourceFrame, results: Mapping[str, TaskResult | str]
    ) -> None:
        """Draw each task's result into the frame, in a picture of its own.

        Args:
            number: position in the evaluation.
            frame: the image.
            results: by task; a text says why the task refused the image.

        Raises:
            StorageError: a picture cannot be written.
        """
        with _told(self._file.parent):
            pictures = [
                self._picture(number, task, frame.image, result) for task, result in results.items()
            ]
            self._samples.append(
                {
                    "frame": number,
                    "topic": frame.topic,
                    "index": frame.index,
                    "stamp_ns": frame.stamp_ns,
                    "pictures": pictures,
                }
            )
            self._write()
        memory.return_free_memory()  # a drawing's is not to be taken for the next inference's

    def _picture(
        self, number: int, task: str, image: NDArray[np.uint8], result: TaskResult | str
    ) -> dict[str, Any]:
        if isinstance(result, str):
            return {"task": task, "refused": result}
        name = f"{number:06d}_{task}.jpg"
        (self._file.parent / name).write_bytes(_draw_packed(image, result))
        return {"task": task, "file": name}

    def _earlier(self) -> list[dict[str, Any]]:
        try:
            samples = json.loads(self._file.read_text(encoding="utf-8"))["samples"]
        except (OSError, ValueError, KeyError, TypeError):
            return []  # none, or torn by the end of the process: drawn anew if their turn comes
        return list(samples)

    def _remove_others(self) -> None:
        kept = {picture.get("file") for each in self._samples for picture in each["pictures"]}
        for path in self._file.parent.iterdir():
            if _OURS.fullmatch(path.name) and path.name not in kept:
                path.unlink()

    def _write(self) -> None:
        write_whole(self._file, json.dumps({"samples": self._samples}, indent=2) + "\n")


def load_drawing() -> None:
    """Bring fonts and encoders into memory, some megabytes, before anybody measures it."""
    side = _SHORTEST_PX // 2
    found = Detection(class_id=0, label="object", score=1.0, x_min=9, y_min=9, x_max=99, y_max=99)
    result = DetectionResult(detections=(found,), width=side, height=side)
    _draw_packed(np.zeros((side, side, 3), np.uint8), result)


def _draw_packed(image: NDArray[np.uint8], result: TaskResult) -> bytes:
    """Draw a result into its image, in a size in which letters can be read, and pack it as JPEG."""
    small = _fitted(image)
    height, width = small.shape[:2]
    drawn = draw_result(small, resize_result(result, width=width, height=height))
    # BGR is OpenCV's order of colours
    _, packed = cv2.imencode(".jpg", drawn[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    return bytes(packed)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"samples cannot be written to {folder}: {error}", path=folder
        ) from error


def _spread(share: int, count: int) -> Iterable[int]:
    """Spread some numbers over 0..count-1, both ends included."""
    if share == 1:
        return [0]
    return [round(step * (count - 1) / (share - 1)) for step in range(share)]


def _fitted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring an image to a size in which results can be seen, and that a page can hold."""
    height, width = image.shape[:2]
    longer = max(height, width)
    scale = min(max(longer, _SHORTEST_PX), _LONGEST_PX) / longer
    if scale == 1.0:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    way = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=way), dtype=np.uint8)
