"""What a bag can be made from: a video, a folder of images, a camera."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from swapnet_ros.evaluation.bags.formats import ImageCompression
from swapnet_ros.evaluation.bags.problems import BagError
from swapnet_ros.evaluation.video_file import VideoReader
from swapnet_ros.perception.errors import ImageMessageError
from swapnet_ros.perception.image_messages import decode_compressed

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
_COMPRESSIONS = {
    ".jpg": ImageCompression.JPEG,
    ".jpeg": ImageCompression.JPEG,
    ".png": ImageCompression.PNG,
}
# Bags of recorded pictures begin one second after 0, which would mean that there is no stamp: the
# same pictures make the same bag, whenever it is made.
_FIRST_STAMP_NS = 1_000_000_000
_FOLDER_HZ = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """One image that goes into a bag.

    Attributes:
        name: of its file; for others, made out of its number.
        stamp_ns: when it was, or would have been, acquired.
        image: uint8 [height, width, 3], RGB.
        data: uint8 [bytes], the file's content, where it is compressed in a way that bags have.
        compression: of `data`.
    """

    name: str
    stamp_ns: int
    image: NDArray[np.uint8]
    data: NDArray[np.uint8] | None = None
    compression: ImageCompression | None = None


class ImageSource(Protocol):
    """Gives images in order."""

    @property
    def image_count(self) -> int | None:
        """How many images it gives, about; None where it has no end."""

    def images(self, *, first: int) -> Iterator[SourceImage]:
        """Yield the images once, from the beginning; `first` have been given before.

        Raises:
            BagError: an image cannot be read.
        """


def open_source(source: str, *, rate_hz: float | None) -> ImageSource:
    """Find out what a source is: a camera's number, a folder, or a video file.

    Args:
        source: as typed.
        rate_hz: images per second; None for the source's own, 10 for a folder.

    Raises:
        BagError: there is no such source, or it has no images.
        VideoError: the file holds no video.
    """
    if re.fullmatch(r"\d+", source) and not Path(source).exists():
        return CameraSource(int(source), rate_hz=rate_hz)
    path = Path(source).expanduser()
    if path.is_dir():
        return FolderSource(path, rate_hz=rate_hz or _FOLDER_HZ)
    if not path.exists():
        raise BagError(
            f"there is no {source}; name a video, a folder of images, or a camera's number"
        )
    return VideoSource(path, rate_hz=rate_hz)


class FolderSource:
    """The images of a folder in the order of their names. Use from one thread."""

    def __init__(self, folder: Path, *, rate_hz: float) -> None:
        """List the folder.

        Raises:
            BagError: it has no images.
        """
        files = sorted(folder.iterdir(), key=lambda file: file.name)
        self._files = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
        self._rate_hz = rate_hz
        if not self._files:
            raise BagError(f"{folder} has no images ({', '.join(IMAGE_SUFFIXES)})")

    @property
    def image_count(self) -> int:
        """How many images it gives."""
        return len(self._files)

    def images(self, *, first: int) -> Iterator[SourceImage]:
        """Yield the images once, from the beginning; `first` have been given before."""
        for number, file in enumerate(self._files, start=first):
            data = np.fromfile(file, np.uint8)
            try:
                message = SimpleNamespace(format=file.suffix, data=data)
                image = decode_compressed(message)
            except ImageMessageError as error:
                raise BagError(
                    f"{file}: {error}; repair it, or take it out of the folder"
                ) from error
            yield SourceImage(
                name=file.name,
                stamp_ns=_due_ns(number, self._rate_hz),
                image=image,
                data=data,
                compression=_COMPRESSIONS.get(file.suffix.lower()),
            )


class VideoSource:
    """The frames of a video file. Use from one thread."""

    def __init__(self, path: Path, *, rate_hz: float | None) -> None:
        """Look at the file.

        Raises:
            VideoError: it holds no video.
        """
        with VideoReader(path) as reader:
            facts = reader.facts
        self._path = path
        self._rate_hz = rate_hz or facts.frame_rate_hz
        self.image_count = facts.frame_count

    def images(self, *, first: int) -> Iterator[SourceImage]:
        """Yield the images once, from the beginning; `first` have been given before."""
        with VideoReader(self._path) as reader:
            number = 0
            while (image := reader.read()) is not None:
                yield SourceImage(
                    name=f"{self._path.stem}_{number:06d}",
                    stamp_ns=_due_ns(first + number, self._rate_hz),
                    image=image,
                )
                number += 1


class CameraSource:
    """A camera of this computer, in real time. Use from one thread."""

    image_count = None

    def __init__(self, number: int, *, rate_hz: float | None) -> None:
        self._number = number
        self._rate_hz = rate_hz

    def images(self, *, first: int) -> Iterator[SourceImage]:
        """Yield images as they come, with the system's time, until the camera gives no more."""
        capture = cv2.VideoCapture(self._number)
        with ExitStack() as stack:
            stack.callback(capture.release)
            if not capture.isOpened():
                raise BagError(
                    f"camera {self._number} cannot be opened; is it connected, and free?"
                )
            if self._rate_hz is not None:
                capture.set(cv2.CAP_PROP_FPS, self._rate_hz)
            number = first
            while True:
                is_there, image = capture.read()
                if not is_there:
                    return
                yield SourceImage(
                    name=f"camera_{self._number}_{number:06d}",
                    stamp_ns=time.time_ns(),
                    image=cv2.cvtColor(image, cv2.COLOR_BGR2RGB),
                )
                number += 1


def _due_ns(number: int, rate_hz: float) -> int:
    return _FIRST_STAMP_NS + round(number * 1e9 / rate_hz)
