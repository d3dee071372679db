"""The whole path on real images: road-camera frames over DDS, through a swapped network.

YOLO-Fastest-1.1-xl is nearly all activations, and one budget holds both: where the demand over 2.32
is less than activations and the largest layers need, the least that the planner accepts is used.
"""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from swapnet_ros.evaluation.detection_metrics import (
    MatchCounts,
    match_detections,
    merge_labels,
    read_yolo_labels,
)
from swapnet_ros.msg import DetectionArray
from swapnet_ros.nodes.images import encode_image
from swapnet_ros.perception.models.catalogue import detection_network
from swapnet_ros.perception.tasks.object_detection import (
    Detection,
    DetectionResult,
    ObjectDetection,
)

pytestmark = pytest.mark.ros

RATIO = 2.32
THRESHOLDS = {"score_threshold": 0.3, "iou_threshold": 0.5, "max_detections": 300}
LABELLED = ("bike", "vehicle", "vehicle", "vehicle")  # bike, bus, car, truck in the files


@pytest.fixture
def spec(data_dir: Path):
    weights = data_dir / "weights" / "yolo-fastest-1.1-xl.weights"
    labels = data_dir / "weights" / "coco.names"
    return detection_network("yolo-fastest-1.1-xl", weights=weights, labels=labels)


def read_image(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def to_message(path: Path, stamp_s: int) -> Image:
    header = Header(frame_id="road_camera")
    header.stamp.sec = stamp_s
    return encode_image(read_image(path), header)


def to_result(message: DetectionArray) -> DetectionResult:
    fields = ("class_id", "label", "score", "x_min", "y_min", "x_max", "y_max")
    detections = tuple(
        Detection(**{field: getattr(each, field) for field in fields})
        for each in message.detections
    )
    return DetectionResult(detections=detections, width=message.width, height=message.height)


def vehicles_hit(result: DetectionResult, path: Path) -> MatchCounts:
    labelled = read_yolo_labels(
        path.with_suffix(".txt"), names=LABELLED, width=result.width, height=result.height
    )
    vehicles = [box for box in labelled if box.label == "vehicle"]
    merged = merge_labels(result, ("bus", "car", "truck"), merged="vehicle")
    return match_detections(merged.detections, vehicles)


def shrink_budget(robot, wait_until) -> int:
    """Set the demand over 2.32 as the budget, or the least that is accepted; gives it in bytes."""
    demand = wait_until(lambda: [s for s in robot.statuses if s.models], "a status")[0]
    wanted = int(demand.models[0].demand_bytes / RATIO)
    (answer,) = robot.set("swapnet", budget=str(wanted))
    if not answer.successful:
        wanted = int(re.search(r"\((\d+) bytes\)", answer.reason)[1])
        (answer,) = robot.set("swapnet", budget=str(wanted))
    assert answer.successful, answer.reason
    return wanted


def test_the_boxes_are_the_plain_networks_and_as_good_as_the_data_folder_says(
    robot, start_host, wait_until, data_dir, spec
):
    weights = data_dir / "weights"
    network = {
        "network": str(weights / "yolo-fastest-1.1-xl.cfg"),
        "weights": str(weights / "yolo-fastest-1.1-xl.weights"),
    }
    start_host(object_detection={**network, **THRESHOLDS})
    robot.wait_for_state("active")
    budget_bytes = shrink_budget(robot, wait_until)
    task, plain = ObjectDetection(spec), spec.build_in_memory()

    total = MatchCounts()
    paths = sorted((data_dir / "roadside").glob("trafficcam_*.jpg"))
    for stamp_s, path in enumerate(paths, start=1):
        message = robot.show(to_message(path, stamp_s))
        assert message.header.stamp.sec == stamp_s
        result = to_result(message)
        prepared = task.preprocess(read_image(path))
        with torch.inference_mode():
            expected = task.decode(plain(*prepared.inputs), prepared, **THRESHOLDS)
        assert _with_float32_scores(expected) == result
        total += vehicles_hit(result, path)

    assert len(paths) == 20
    assert total.precision == pytest.approx(0.51, abs=0.02)
    assert total.recall == pytest.approx(0.46, abs=0.02)
    robot.statuses.clear()
    status = wait_until(lambda: robot.statuses, "a status")[0]
    assert status.budget_bytes == budget_bytes
    assert status.peak_bytes <= budget_bytes
    assert status.models[0].streamed_bytes > 0
    assert status.models[0].bytes_read > 0


def _with_float32_scores(result: DetectionResult) -> DetectionResult:
    """Scores as a message carries them."""
    fields = ("class_id", "label", "x_min", "y_min", "x_max", "y_max")
    detections = tuple(
        Detection(
            score=float(np.float32(each.score)), **{name: getattr(each, name) for name in fields}
        )
        for each in result.detections
    )
    return DetectionResult(detections=detections, width=result.width, height=result.height)
