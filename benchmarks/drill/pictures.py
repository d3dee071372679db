"""What the cameras show: images of a folder, or a drawn road; made once for all of them."""

from __future__ import annotations

import glob
from pathlib import Path

import cv2
import numpy as np

from drill.scenario import ScenarioError
from swapnet_ros.evaluation.road_scene.scene import RoadScene

_COUNT = 8
_WIDTH, _HEIGHT = 1280, 720


def save_pictures(path: Path, pattern: str) -> None:
    """Write what cameras show as an array: uint8 [pictures, 720, 1280, 3], BGR.

    Args:
        path: the `.npy` file to write.
        pattern: of image files, of which some are taken, evenly spread; empty for a drawn road.

    Raises:
        ScenarioError: the pattern fits no file, or a file is no image.
    """
    pictures = _read(pattern) if pattern else _draw()
    np.save(path, np.stack([cv2.resize(each, (_WIDTH, _HEIGHT)) for each in pictures]))


def _read(pattern: str) -> list[np.ndarray]:
    paths = sorted(glob.glob(pattern))
    if not paths:
        raise ScenarioError(f"no file fits {pattern!r}; give a pattern such as '/data/*.jpg'")
    spread = np.linspace(0, len(paths) - 1, min(_COUNT, len(paths))).round().astype(int)
    pictures = {paths[each]: cv2.imread(paths[each]) for each in spread}
    unread = [name for name, picture in pictures.items() if picture is None]
    if unread:
        raise ScenarioError(f"{unread[0]} is no image that OpenCV reads")
    return list(pictures.values())


def _draw() -> list[np.ndarray]:
    scene = RoadScene(width=_WIDTH, height=_HEIGHT)
    step = scene.frame_count // _COUNT
    return [scene.frame(number * step)[..., ::-1] for number in range(_COUNT)]
