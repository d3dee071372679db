"""A drive as a video: every frame that was played, with the boxes that were found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from swapnet_core.sizes import format_size
from swapnet_ros.evaluation.drive_record import DriveRecord, FramePlayed, FrameResult, SwapFigures
from swapnet_ros.evaluation.video_file import VideoReader, in_order, write_video
from swapnet_ros.perception.drawing import draw_detections

Image = npt.NDArray[np.uint8]

_STRIP_SHARE = 0.055  # height of the strip of text
_TEXT_COLOUR = (240, 240, 240)


def write_annotated_video(
    path: Path,
    video: Path,
    record: DriveRecord,
    *,
    title: str,
    track: Callable[[Sequence[FramePlayed]], Iterable[FramePlayed]],
) -> None:
    """Write the drive to a video file.

    A frame shows the boxes of the newest frame up to it that has a result: its own where it was
    processed. The strip below says which frame that is.

    Args:
        path: the MP4 file to write.
        video: the video that was played.
        record: frames and results.
        title: network and weights, for the strip.
        track: shows how far the frames it is given have been gone through.

    Raises:
        VideoError: the video cannot be read, or the file cannot be written.
    """
    with VideoReader(video) as reader:
        facts = reader.facts
        frames = _annotated(reader, record, title, track)
        write_video(
            path,
            frames,
            width=facts.width,
            height=facts.height,
            frame_rate_hz=facts.frame_rate_hz,
        )


def _annotated(
    reader: VideoReader,
    record: DriveRecord,
    title: str,
    track: Callable[[Sequence[FramePlayed]], Iterable[FramePlayed]],
) -> Iterator[Image]:
    played, results = record.played, record.results
    swap = record.figures().swap
    newest: tuple[FramePlayed, FrameResult] | None = None
    images = in_order(reader, (frame.index for frame in played))
    for frame, image in zip(track(played), images, strict=True):
        if frame.stamp_ns in results:
            newest = frame, results[frame.stamp_ns]
        if newest is not None:
            image = draw_detections(image, newest[1].detections)
        yield _with_strip(image, f"{title}   {_age(frame, newest)}   {_memory(swap)}")


def _age(frame: FramePlayed, newest: tuple[FramePlayed, FrameResult] | None) -> str:
    if newest is None:
        return f"frame {frame.index}: no result yet"
    source, result = newest
    latency = f"{1e3 * result.latency_s:.0f} ms"
    if source is frame:
        return f"frame {frame.index}: result after {latency}"
    return f"frame {frame.index}: boxes of frame {source.index} (after {latency})"


def _memory(swap: SwapFigures | None) -> str:
    if swap is None:
        return ""
    held, budget = format_size(swap.peak_bytes), format_size(swap.budget_bytes)
    return f"{held} of {budget}, demand {format_size(swap.demand_bytes)}"


def _with_strip(image: Image, text: str) -> Image:
    """Darken the lower edge and write a line of text that fits into its width."""
    image = np.array(image, order="C")
    height, width = image.shape[:2]
    top = height - max(18, round(_STRIP_SHARE * height))
    image[top:] //= 4
    strip_height = height - top
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, strip_height / 52
    (text_width, text_height), _ = cv2.getTextSize(text, font, scale, 1)
    margin = strip_height // 3
    scale *= min(1.0, (width - 2 * margin) / max(text_width, 1))
    base = (margin, height - (strip_height - text_height) // 2)
    cv2.putText(image, text, base, font, scale, _TEXT_COLOUR, 1, cv2.LINE_AA)
    return image
