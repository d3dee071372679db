"""Video files: reading in real time or frame by frame, and writing. Images are RGB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from swapnet_core.errors import SwapNetError

Image = npt.NDArray[np.uint8]

_CODEC = "mp4v"  # the one that every OpenCV build can write
_PLAUSIBLE_HZ = (0.1, 1000.0)


class VideoError(SwapNetError):
    """A video file cannot be read or written; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """What a video file says about itself.

    Attributes:
        width: pixels.
        height: pixels.
        frame_rate_hz: frames per second.
        frame_count: as its header states; some files state a few too many.
    """

    width: int
    height: int
    frame_rate_hz: float
    frame_count: int

    @property
    def duration_s(self) -> float:
        """Length when played at its frame rate."""
        return self.frame_count / self.frame_rate_hz


class VideoReader(AbstractContextManager["VideoReader"]):
    """Reads one video file from its beginning. Use from one thread."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            VideoError: it does not exist or holds no video that OpenCV reads.
        """
        if not path.is_file():
            raise VideoError(f"no video file at {path}")
        self._capture = cv2.VideoCapture(str(path))
        self.path = path
        try:
            self.facts = self._read_facts()
        except VideoError:
            self.close()
            raise

    def read(self) -> Image | None:
        """Return the next frame, uint8 [height, width, 3], RGB; None behind the last one."""
        is_there, image = self._capture.read()
        return np.ascontiguousarray(image[..., ::-1]) if is_there else None

    def skip(self) -> bool:
        """Pass over one frame; False behind the last one."""
        return bool(self._capture.grab())

    def rewind(self) -> None:
        """Go back to the beginning.

        Raises:
            VideoError: the file went away.
        """
        self._capture.release()
        if not self._capture.open(str(self.path)):
            raise VideoError(f"{self.path} cannot be opened again")

    def close(self) -> None:
        """Close the file; may be called again."""
        self._capture.release()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_facts(self) -> VideoFacts:
        facts = VideoFacts(
            width=int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            height=int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            frame_rate_hz=float(self._capture.get(cv2.CAP_PROP_FPS)),
            frame_count=int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)),
        )
        slowest, fastest = _PLAUSIBLE_HZ
        if not self._capture.isOpened() or facts.width <= 0 or facts.frame_count <= 0:
            raise VideoError(f"{self.path} holds no video that OpenCV can read")
        if not slowest <= facts.frame_rate_hz <= fastest:
            raise VideoError(
                f"{self.path} states a rate of {facts.frame_rate_hz} frames per second"
            )
        return facts


def write_video(
    path: Path, frames: Iterable[Image], *, width: int, height: int, frame_rate_hz: float
) -> None:
    """Write frames to an MP4 file, under another name until it is whole.

    Args:
        path: the file; an older one is replaced.
        frames: uint8 [height, width, 3], RGB, all of one size.
        width: pixels.
        height: pixels.
        frame_rate_hz: frames per second.

    Raises:
        VideoError: OpenCV cannot write there.
    """
    unfinished = path.with_name(f".{path.name}")
    codec = cv2.VideoWriter.fourcc(*_CODEC)
    suffixed = unfinished.with_suffix(".mp4")
    writer = cv2.VideoWriter(str(suffixed), codec, frame_rate_hz, (width, height))
    if not writer.isOpened():
        raise VideoError(f"OpenCV cannot write a video to {path}")
    try:
        for frame in frames:
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
        writer.release()
        suffixed.replace(path)
    finally:
        writer.release()
        suffixed.unlink(missing_ok=True)


def in_order(reader: VideoReader, indices: Iterable[int]) -> Iterator[Image]:
    """Yield the frames of rising indices; an index that falls starts the video again.

    Raises:
        VideoError: the video ends before one of them.
    """
    position = 0
    for index in indices:
        if index < position:
            reader.rewind()
            position = 0
        while position < index:
            reader.skip()
            position += 1
        image = reader.read()
        position += 1
        if image is None:
            raise VideoError(f"{reader.path} ends before frame {index}")
        yield image
