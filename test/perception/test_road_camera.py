"""The whole path on real images with real weights, in memory: the figures of the data folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from swapnet_ros.evaluation.metrics.detections import (
    MatchCounts,
    match_detections,
    merge_labels,
)
from swapnet_ros.evaluation.truth.yolo import read_yolo_labels
from swapnet_ros.perception.models.catalogue import detection_network
from swapnet_ros.perception.tasks.object_detection import ObjectDetection

_LABELLED = ("bike", "vehicle", "vehicle", "vehicle")  # bike, bus, car, truck in the files
_DETECTED = ("bus", "car", "truck")


def _vehicles_hit(task: ObjectDetection, network: torch.nn.Module, path: Path) -> MatchCounts:
    """Match one image's cars, buses and trucks, all counted as vehicles."""
    image = np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
    prepared = task.preprocess(image)
    with torch.inference_mode():
        outputs = network(*prepared.inputs)
    result = task.decode(outputs, prepared, score_threshold=0.3, iou_threshold=0.5)
    height, width = image.shape[:2]
    labelled = read_yolo_labels(
        path.with_suffix(".txt"), names=_LABELLED, width=width, height=height
    )
    vehicles = [box for box in labelled if box.label == "vehicle"]
    merged = merge_labels(result, _DETECTED, merged="vehicle", iou_threshold=0.5)
    return match_detections(merged.detections, vehicles, iou_threshold=0.5)


@pytest.mark.parametrize(
    ("name", "precision", "recall"),
    [("yolo-fastest-1.1-xl", 0.51, 0.46), ("yolo-fastest-1.1", 0.42, 0.32)],
)
def test_precision_and_recall_are_the_data_folders(data_dir, name, precision, recall):
    spec = detection_network(name, weights=data_dir / "weights" / f"{name}.weights")
    task, network = ObjectDetection(spec), spec.build_in_memory()

    total = MatchCounts()
    for path in sorted((data_dir / "roadside").glob("trafficcam_*.jpg")):
        total += _vehicles_hit(task, network, path)

    assert total.true_positives + total.false_negatives == 332
    assert total.precision == pytest.approx(precision, abs=0.02)
    assert total.recall == pytest.approx(recall, abs=0.02)
