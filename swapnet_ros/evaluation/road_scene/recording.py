"""The road scene as a video file, drawn once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from swapnet_ros.evaluation.road_scene.scene import RoadScene
from swapnet_ros.evaluation.video_file import write_video


def record_road_scene(folder: Path, *, track: Callable[[range], Iterable[int]]) -> Path:
    """Return the scene's video in a folder; draw it if it is not there yet.

    The file's name carries a digest of this package's sources: a changed scene is drawn anew.

    Args:
        folder: where the video belongs.
        track: shows how far the range it is given has been gone through.

    Raises:
        VideoError: the video cannot be written.
    """
    path = folder / f"road_scene_{_digest_of_sources()}.mp4"
    if path.exists():
        return path
    scene = RoadScene()
    write_video(
        path,
        (scene.frame(index) for index in track(range(scene.frame_count))),
        width=scene.width,
        height=scene.height,
        frame_rate_hz=scene.frame_rate_hz,
    )
    return path


def _digest_of_sources() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:8]
