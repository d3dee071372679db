"""Pictures of tasks on the evaluation data, and how they are laid out."""

import cv2
import numpy as np
import pytest

from swapnet_ros.evaluation.picture_recipes import RECIPES
from swapnet_ros.evaluation.picture_sheets import (
    HEIGHT_PX,
    WIDTH_PX,
    Caption,
    contact_sheet,
    picture,
)
from swapnet_ros.evaluation.task_pictures import main
from swapnet_ros.nodes.parameter_tables import TASKS
from swapnet_ros.perception.tasks.object_detection import DetectionResult

_CAPTION = Caption(task="a task", network="net " * 80, memory="budget 1 MiB", is_random=True)


def _picture(*sizes):
    results = [
        (
            np.full((height, width, 3), 200, np.uint8),
            DetectionResult(detections=(), width=width, height=height),
        )
        for width, height in sizes
    ]
    return picture(results, _CAPTION)


def test_every_task_has_a_picture():
    assert set(RECIPES) == set(TASKS)


@pytest.mark.parametrize("sizes", [[(64, 48)], [(40, 90), (90, 40), (30, 30)]])
def test_images_of_any_size_fill_a_picture_with_a_caption(sizes):
    made = _picture(*sizes)
    assert made.shape[1] == WIDTH_PX
    assert made.shape[0] > HEIGHT_PX
    assert (made[:HEIGHT_PX] == 200).any()
    caption = made[HEIGHT_PX:]
    assert caption.max() > 150
    assert (caption[:, -10:] == caption[0, 0]).all(), "the text ends before the edge"


def test_a_contact_sheet_holds_all_pictures():
    one, three = (contact_sheet([_picture((64, 36))] * count) for count in (1, 3))
    assert three.shape[:2] == (2 * one.shape[0], 2 * one.shape[1])


def test_pictures_of_two_tasks(data_dir, tmp_path):
    tasks = ["lane_detection", "traffic_sign_classification"]
    assert main(["--data", str(data_dir), "--out", str(tmp_path), *tasks]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "index.jpg",
        *(f"{task}.jpg" for task in tasks),
    }
    lanes = cv2.imread(str(tmp_path / "lane_detection.jpg")).astype(int)
    blue, green, red = np.moveaxis(lanes[HEIGHT_PX // 2 : HEIGHT_PX], -1, 0)
    assert (green > np.maximum(blue, red) + 20).mean() > 0.2, "the camera's lane is tinted"


def test_what_is_missing_is_named(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    assert main(["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 2
    assert "tusimple_0001.png: there is no such file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--data", str(tmp_path), "cooking"])
    assert "no task cooking" in capsys.readouterr().err
