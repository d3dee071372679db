"""Real weights of a user's own lane network, converted, swapped, on real roads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from swapnet_core import BudgetTooSmallError, SwapRuntime
from swapnet_ros.evaluation.metrics.lanes import mask_iou
from swapnet_ros.evaluation.truth.lane_columns import area_between, columns_of_mask
from swapnet_ros.perception.models.lane_catalogue import lane_network
from swapnet_ros.perception.models.lanes import LaneNetwork
from swapnet_ros.perception.tasks.lane_detection import LaneDetection, LaneResult

_EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
_LEFT, _RIGHT = 70, 120  # how the labels mark the lines of the camera's lane


@pytest.fixture(scope="module")
def weights(data_dir, tmp_path_factory) -> Path:
    """Weights that the example's script has converted."""
    path = tmp_path_factory.mktemp("weights") / "lane_fcn.safetensors"
    source = data_dir / "weights" / "lane_fcn_mlnd.npz"
    subprocess.run([sys.executable, _EXAMPLES / "lane_fcn.py", source, path], check=True)
    return path


@pytest.fixture
def network(weights, monkeypatch) -> LaneNetwork:
    """The example's network, as a node's parameters name it."""
    monkeypatch.syspath_prepend(_EXAMPLES)
    return lane_network("lane_fcn:lane_fcn", weights=weights)


def _frames(data_dir: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images, and masks in which each lane has a value of its own."""
    frames = []
    for number in range(6):
        path = data_dir / "road_lane" / f"tusimple_000{number}.png"
        labels = cv2.imread(str(path.with_name(f"{path.stem}_gt_instance.png")), 0)
        frames.append((cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), labels))
    return frames


def _ego_lane_iou(result: LaneResult, labels: np.ndarray) -> float:
    """In the rows in which both lines of the camera's lane are labelled."""
    left, right = (columns_of_mask(labels == value) for value in (_LEFT, _RIGHT))
    labelled = area_between(left, right, width=result.width)
    rows = labelled.any(axis=1)
    return mask_iou(result.area[rows], labelled[rows])


def test_swapped_it_finds_the_ego_lane_and_equals_the_plain_network(network, data_dir, tmp_path):
    task, plain = LaneDetection(network), network.build_in_memory()
    frames = _frames(data_dir)
    ious, differing = [], 0
    with SwapRuntime("1GiB", cache_dir=tmp_path / "cache") as runtime:
        swapped = runtime.load(
            "lanes", network.build, network.example_inputs, weights=network.weights
        )
        with pytest.raises(BudgetTooSmallError) as refused:
            runtime.set_budget(1000)
        runtime.set_budget(refused.value.needed_bytes)
        for image, labels in frames:
            prepared = task.preprocess(image)
            outputs = swapped(*prepared.inputs)
            with torch.inference_mode():
                differing += not torch.equal(outputs, plain(*prepared.inputs))
            result = task.decode(outputs, prepared, score_threshold=0.3)
            ious.append(_ego_lane_iou(result, labels))
            assert [lane.is_ego for lane in result.lanes] == [True, True]
        assert swapped.stats().bytes_read > 0
        assert swapped.stats().faults == 0
    shutil.rmtree(tmp_path / "cache")

    assert differing == 0
    assert np.mean(ious) >= 0.83


def test_the_borders_are_the_labelled_lines(network, data_dir):
    task, plain = LaneDetection(network), network.build_in_memory()
    deviations = []
    for image, labels in _frames(data_dir):
        prepared = task.preprocess(image)
        with torch.inference_mode():
            result = task.decode(plain(*prepared.inputs), prepared)
        for lane, value in zip(result.lanes, (_LEFT, _RIGHT), strict=True):
            columns = columns_of_mask(labels == value)
            x, y = lane.points.T
            deviations.extend(np.abs(columns[y.astype(int).clip(0, 719)] - x))

    assert np.nanmedian(deviations) < 0.05 * 1280
