"""A drive as a video: every frame that was played, with a panel for each task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swapnet_ros.evaluation.drive_dashboard import HEADER_PX, Dashboard
from swapnet_ros.evaluation.drive_panels import TaskPanel, empty_panel
from swapnet_ros.evaluation.drive_record import DriveRecord, FramePlayed
from swapnet_ros.evaluation.lettering import Colour
from swapnet_ros.evaluation.video_file import VideoReader, in_order, write_video

Image = NDArray[np.uint8]

WIDTH_PX = 1600
_COLOURS: tuple[Colour, ...] = (
    (60, 200, 150),
    (255, 175, 70),
    (165, 130, 255),
    (240, 110, 150),
    (90, 190, 255),
    (190, 215, 80),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelGrid:
    """Where the panels stand: in rows of equal panels, 16 by 9 each.

    Attributes:
        columns: panels side by side.
        rows: rows of them.
        panel: width and height of one in pixels, both even, as video codecs want them.
    """

    columns: int
    rows: int
    panel: tuple[int, int]

    @classmethod
    def for_panels(cls, count: int) -> PanelGrid:
        """Arrange a number of panels."""
        columns = math.ceil(math.sqrt(count))
        width = WIDTH_PX // columns // 2 * 2
        return cls(
            columns=columns,
            rows=math.ceil(count / columns),
            panel=(width, width * 9 // 16 // 2 * 2),
        )

    def join(self, panels: Sequence[Image]) -> Image:
        """Put the panels together; places that are left stay empty."""
        places = [*panels, *[empty_panel(self.panel)] * (self.columns * self.rows - len(panels))]
        rows = [
            np.hstack(places[first : first + self.columns])
            for first in range(0, len(places), self.columns)
        ]
        return np.vstack(rows)


def write_drive_video(
    path: Path,
    video: Path,
    record: DriveRecord,
    *,
    title: str,
    track: Callable[[Sequence[FramePlayed]], Iterable[FramePlayed]],
) -> None:
    """Write the drive to a video file.

    A panel shows the newest result of its task up to the frame: the frame's own where it was
    processed. Below stand the memory that was held then, and which network ran when.

    Args:
        path: the MP4 file to write.
        video: the video that was played.
        record: frames, results and states.
        title: of the drive.
        track: shows how far the frames it is given have been gone through.

    Raises:
        VideoError: the video cannot be read, or the file cannot be written.
    """
    grid = PanelGrid.for_panels(len(record.tasks))
    colours = {task: _COLOURS[number % len(_COLOURS)] for number, task in enumerate(record.tasks)}
    width = grid.columns * grid.panel[0]
    dashboard = Dashboard(record, title=title, colours=colours, width=width)
    height = HEADER_PX + grid.rows * grid.panel[1] + dashboard.footer_px
    with VideoReader(video) as reader:
        panels = _panels(record, colours, grid)
        images = in_order(reader, (frame.index for frame in record.played))
        frames = (
            np.vstack([dashboard.header(now_ns), picture, dashboard.footer(now_ns)])
            for now_ns, picture in _pictures(
                record, panels, grid, zip(track(record.played), images, strict=True)
            )
        )
        rate_hz = reader.facts.frame_rate_hz
        write_video(path, frames, width=width, height=height, frame_rate_hz=rate_hz)


def _panels(
    record: DriveRecord, colours: dict[str, Colour], grid: PanelGrid
) -> dict[str, TaskPanel]:
    return {
        task: TaskPanel(
            task,
            figures.network,
            is_random=figures.is_random,
            colour=colours[task],
            size=grid.panel,
        )
        for task, figures in record.figures().tasks.items()
    }


def _pictures(
    record: DriveRecord,
    panels: dict[str, TaskPanel],
    grid: PanelGrid,
    played: Iterable[tuple[FramePlayed, Image]],
) -> Iterator[tuple[int, Image]]:
    """Yield the time of each frame, and its panels."""
    results = {task: record.results(task) for task in panels}
    for frame, image in played:
        for task, panel in panels.items():
            if frame.stamp_ns in results[task]:
                panel.take(frame, results[task][frame.stamp_ns], image)
        drawn = [panel.draw(frame, image) for panel in panels.values()]
        yield frame.stamp_ns, grid.join(drawn)
