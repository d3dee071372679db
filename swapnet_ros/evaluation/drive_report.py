"""What a drive leaves behind: the summary, the annotated video, the figures on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from swapnet_ros.evaluation.drive_record import DriveRecord
from swapnet_ros.evaluation.drive_video import write_drive_video
from swapnet_ros.evaluation.drive_view import figures_tables
from swapnet_ros.evaluation.run_summary import write_summary


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveOutcome:
    """What a drive came to.

    Attributes:
        record: frames, results and states.
        process_peak_bytes: most resident memory of the perception process, libraries included.
        diagnostics: each task node's last values, among them its own count of frames.
        is_complete: False when it was stopped before its end.
    """

    record: DriveRecord
    process_peak_bytes: int
    diagnostics: Mapping[str, Mapping[str, str]]
    is_complete: bool


def write_reports(
    folder: Path,
    *,
    video: Path,
    title: str,
    configuration: Mapping[str, Any],
    outcome: DriveOutcome,
    console: Console,
) -> None:
    """Write `summary.json` and `drive.mp4`, and print the figures.

    Args:
        folder: where the files belong.
        video: the video that was played.
        title: of the scenario or the network, for the video.
        configuration: what was run, of JSON types.
        outcome: what came of it.
        console: for the figures and the progress.

    Raises:
        VideoError: the video cannot be read, or the new one cannot be written.
    """
    figures = outcome.record.figures()
    observed = {
        "perception_process_peak_bytes": outcome.process_peak_bytes,
        "diagnostics": {name: dict(values) for name, values in outcome.diagnostics.items()},
    }
    write_summary(
        folder / "summary.json",
        figures=figures,
        configuration=configuration,
        observed=observed,
        is_complete=outcome.is_complete,
    )
    write_drive_video(
        folder / "drive.mp4",
        video,
        outcome.record,
        title=title,
        track=partial(track, description="writing drive.mp4", console=console),
    )
    console.print(figures_tables("drive", figures))
    for name in ("drive.mp4", "summary.json"):
        console.print(str(folder / name), soft_wrap=True, highlight=False)
