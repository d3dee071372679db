"""Real weights on real images through the nodes, over DDS: the plain networks' answers, and right.

Five networks share one process and one budget, in which each of them is swapped. Small networks are
mostly activations, and those count once for all of them.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from swapnet_ros.evaluation.metrics.box_scorer import BoxScorer
from swapnet_ros.evaluation.metrics.label_map import LabelMap
from swapnet_ros.evaluation.metrics.lanes import mask_iou
from swapnet_ros.evaluation.truth.frame import TruthBoxes, TruthFrame
from swapnet_ros.evaluation.truth.lane_columns import area_between, columns_of_mask
from swapnet_ros.evaluation.truth.yolo import read_yolo_labels
from swapnet_ros.msg import ClassificationArray, DetectionArray, LaneArray, SwapStatus
from swapnet_ros.nodes.child_process import ChildProcess
from swapnet_ros.nodes.images import decode_image, encode_image
from swapnet_ros.nodes.parameter_tables import TASKS
from swapnet_ros.nodes.task_networks import TASK_NETWORKS
from swapnet_ros.perception.tasks.finding import wild_animal_recognition
from swapnet_ros.perception.tasks.image_classification import ImageClassification
from swapnet_ros.perception.tasks.lane_detection import LaneDetection
from swapnet_ros.perception.tasks.object_detection import (
    Detection,
    DetectionResult,
    ObjectDetection,
)

pytestmark = pytest.mark.ros

RATIO = 2.32
ROOM_BYTES = 5 << 19  # for weights: the largest has 2 MiB, and what is left holds no whole network
ROOT = Path(__file__).parents[2]
EXAMPLES, PERCEPTION = ROOT / "docs" / "examples", ROOT / "scripts" / "perception"
THREADS = 1
LION = 291
EGO_LINES = (70, 120)  # how the labels mark the two lines of the camera's lane
LABELLED = ("bike", "bus", "car", "truck")
TASK_OF = {
    "signs": "traffic_sign_classification",
    "animals": "wild_animal_recognition",
    "lanes": "lane_detection",
    "vehicles": "object_detection",
    "vehicles_fast": "object_detection",
}
OUTPUTS = {
    "/signs/classifications": ClassificationArray,
    "/animals/detections": DetectionArray,
    "/lanes/lanes": LaneArray,
    "/lanes/ego_lane": Image,
    "/vehicles/detections": DetectionArray,
    "/vehicles_fast/detections": DetectionArray,
}
THRESHOLDS = (
    "score_threshold",
    "iou_threshold",
    "max_detections",
    "max_classes",
    "min_points",
    "max_lanes",
)
CAFFE = {
    "input_size": [227],
    "input_fit": "squash",
    "input_channels": "bgr",
    "input_scale": 1.0,
    "input_mean": [104.0, 117.0, 123.0],
    "input_std": [1.0, 1.0, 1.0],
}
MAKE_TASK = {
    "signs": ImageClassification,
    "animals": wild_animal_recognition,
    "lanes": LaneDetection,
    "vehicles": ObjectDetection,
    "vehicles_fast": ObjectDetection,
}

VEHICLES = LabelMap({"vehicle": ["bus", "car", "truck"]}, ignored=["bike"])

Ask = Callable[..., list[Any]]
Judged = tuple[DetectionResult, TruthFrame]


@pytest.fixture
def parameters(data_dir: Path, tmp_path: Path, monkeypatch) -> dict[str, dict[str, Any]]:
    """What a user would write for each of the nodes."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    weights = data_dir / "weights"
    lane_weights = tmp_path / "lane_fcn.safetensors"
    importlib.import_module("lane_fcn").convert(weights / "lane_fcn_mlnd.npz", lane_weights)
    found = {
        "signs": {
            "network": "traffic_sign_net:TrafficSignNet",
            "weights": weights / "gtsrb_cnn_stn.pth",
            "cameras": ["/signs_camera"],
        },
        "animals": {
            "network": "squeezenet1_1",
            "weights": weights / "squeezenet1_1_imagenet.safetensors",
            "labels": weights / "synset_words.txt",
            "image_transport": "compressed",
            **CAFFE,
            "cameras": ["/animals_camera"],
        },
        "lanes": {
            "network": "lane_fcn:lane_fcn",
            "weights": lane_weights,
            "cameras": ["/lanes_camera"],
        },
        "vehicles": detector(weights, "yolo-fastest-1.1-xl"),
        "vehicles_fast": detector(weights, "yolo-fastest-1.1"),
    }
    return {
        name: {key: str(value) if isinstance(value, Path) else value for key, value in each.items()}
        for name, each in found.items()
    }


def detector(weights: Path, network: str) -> dict[str, Any]:
    return {
        "network": weights / f"{network}.cfg",
        "weights": weights / f"{network}.weights",
        "labels": weights / "coco.names",
        "cameras": ["/road"],
        "iou_threshold": 0.5,
    }


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A node's network without swapping, and what the node does around it."""

    task: Any
    network: torch.nn.Module
    thresholds: dict[str, Any]

    def __call__(self, image: np.ndarray) -> Any:
        prepared = self.task.preprocess(image)
        with torch.inference_mode():
            return self.task.decode(self.network(*prepared.inputs), prepared, **self.thresholds)


@pytest.fixture
def plain(parameters, perception) -> Iterator[dict[str, Plain]]:
    """Made while the process starts; with as many threads as that has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    made = {}
    for node, given in parameters.items():
        values = {spec.name: spec.default for spec in TASKS[TASK_OF[node]]} | given
        network = TASK_NETWORKS[TASK_OF[node]](values)
        made[node] = Plain(
            task=MAKE_TASK[node](network),
            network=network.build_in_memory(),
            thresholds={name: values[name] for name in THRESHOLDS if name in values},
        )
    yield made
    torch.set_num_threads(threads)


@pytest.fixture
def perception(parameters, tmp_path, cache_dir, domain_id, monkeypatch) -> Iterator[ChildProcess]:
    """The process of the nodes, as an operating system starts it."""
    nodes = [f"{node}={task}" for node, task in TASK_OF.items()]
    swapnet = {"budget": "96MiB", "device": "cpu", "cache_dir": str(cache_dir), "nodes": nodes}
    sections = {"swapnet": swapnet, **parameters}
    path = tmp_path / "nodes.yaml"
    path.write_text(
        yaml.safe_dump({f"/**/{node}": {"ros__parameters": s} for node, s in sections.items()})
    )
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))
    monkeypatch.setenv("OMP_NUM_THREADS", str(THREADS))
    search = [str(EXAMPLES), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, search)))
    command = [sys.executable, str(PERCEPTION), "--ros-args", "--params-file", str(path)]
    with ChildProcess("perception", command, log=tmp_path / "perception.log") as process:
        yield process


@pytest.fixture
def ask(perception, plain, robot, wait_until) -> Ask:
    """`ask(camera, message, *outputs)`: publish an image and give the nodes' answers to it."""
    wait_until(
        lambda: perception.exit_code is not None or robot.node.count_publishers("/swapnet/status"),
        "the perception process",
        patience_s=180.0,
    )
    assert perception.exit_code is None, perception.last_lines()
    for node in TASK_OF:
        robot.wait_for_state("active", node)
    heard: dict[str, list[Any]] = {topic: [] for topic in OUTPUTS}
    for topic, kind in OUTPUTS.items():
        robot.node.create_subscription(kind, topic, heard[topic].append, 10)
        wait_until(lambda topic=topic: robot.node.count_publishers(topic), topic)

    def ask(camera: str, message: Image | CompressedImage, *outputs: str) -> list[Any]:
        publisher = robot.camera(camera, type(message))
        message.header.stamp = robot.node.get_clock().now().to_msg()
        message.header.frame_id = camera
        for _ in range(60):
            publisher.publish(message)  # best effort: the first ones may be lost
            end_s = time.monotonic() + 1.0
            while time.monotonic() < end_s:
                last = [heard[topic][-1] for topic in outputs if heard[topic]]
                if sum(each.header == message.header for each in last) == len(outputs):
                    return last
                time.sleep(0.001)
        pytest.fail(f"no answer on {' and '.join(outputs)}: {perception.last_lines()}")

    return ask


@pytest.fixture
def status_at(robot, wait_until) -> Callable[[int], SwapStatus]:
    """Set a budget in bytes, or with 0 leave it, and give the status after that."""

    def status_at(budget_bytes: int) -> SwapStatus:
        if budget_bytes:
            (answer,) = robot.set("swapnet", budget=str(budget_bytes))
            assert answer.successful, answer.reason
        robot.statuses.clear()
        return wait_until(
            lambda: [s for s in robot.statuses if budget_bytes in (0, s.budget_bytes)], "a status"
        )[-1]

    return status_at


def swap_all(status_at: Callable[[int], SwapStatus]) -> None:
    """Set a budget in which no network can stay in memory whole, so that each of them is swapped.

    But none so small that the largest weight would come in tiles: they may change the last bits.
    """
    models = status_at(0).models
    assert len(models) == len(TASK_OF)
    budget_bytes = max(model.activation_bytes for model in models) + ROOM_BYTES
    assert sum(model.demand_bytes for model in models) >= RATIO * budget_bytes
    assert all(model.streamed_bytes > 0 for model in status_at(budget_bytes).models)


def read_image(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def score(value: float) -> float:
    """A score as a message carries it."""
    return float(np.float32(value))


def boxes_of(found: DetectionResult | DetectionArray) -> DetectionResult:
    """A message's detections, or a result's as a message would carry them."""
    places = ("x_min", "y_min", "x_max", "y_max")
    detections = tuple(
        Detection(
            class_id=each.class_id,
            label=each.label,
            score=score(each.score),
            **{place: getattr(each, place) for place in places},
        )
        for each in found.detections
    )
    return DetectionResult(detections=detections, width=found.width, height=found.height)


def ask_sign(ask: Ask, plain: dict[str, Plain], path: Path) -> bool:
    """Whether the class is the one in the file's name."""
    image = read_image(path)
    (answer,) = ask("/signs_camera", encode_image(image, Header()), "/signs/classifications")
    (region,) = answer.regions
    assert [(each.class_id, each.label, each.score) for each in region.classes] == [
        (each.class_id, each.label, score(each.score)) for each in plain["signs"](image).classes
    ]
    return region.classes[0].class_id == int(path.name[7:9])


def ask_lion(ask: Ask, plain: dict[str, Plain], path: Path) -> bool:
    """Whether the best box is a lion; the image goes as the JPEG that it is."""
    message = CompressedImage(format="jpeg")
    message.data = path.read_bytes()
    (answer,) = ask("/animals_camera/compressed", message, "/animals/detections")
    assert boxes_of(answer) == boxes_of(plain["animals"](read_image(path)))
    return bool(answer.detections) and answer.detections[0].class_id == LION


def ask_lanes(ask: Ask, plain: dict[str, Plain], path: Path) -> float:
    """The camera's lane against the labels, in the rows in which both its lines are labelled."""
    image = read_image(path)
    outputs = "/lanes/lanes", "/lanes/ego_lane"
    answer, area = ask("/lanes_camera", encode_image(image, Header()), *outputs)
    expected = plain["lanes"](image)
    assert [
        (each.score, each.is_ego, [[point.x, point.y] for point in each.points])
        for each in answer.lanes
    ] == [(score(each.score), each.is_ego, each.points.tolist()) for each in expected.lanes]
    found = decode_image(area)[..., 0] == 255
    np.testing.assert_array_equal(found, expected.area)
    labels = cv2.imread(str(path.with_name(f"{path.stem}_gt_instance.png")), 0)
    left, right = (columns_of_mask(labels == value) for value in EGO_LINES)
    labelled = area_between(left, right, width=found.shape[1])
    rows = labelled.any(axis=1)
    return mask_iou(found[rows], labelled[rows])


def ask_vehicles(ask: Ask, plain: dict[str, Plain], path: Path) -> dict[str, Judged]:
    """Two detectors see the same camera."""
    image = read_image(path)
    height, width = image.shape[:2]
    labels = read_yolo_labels(path.with_suffix(".txt"), names=LABELLED, width=width, height=height)
    truth = TruthFrame(boxes=TruthBoxes(boxes=labels))
    detectors = ("vehicles", "vehicles_fast")
    outputs = [f"/{node}/detections" for node in detectors]
    judged = {}
    answers = ask("/road", encode_image(image, Header()), *outputs)
    for node, answer in zip(detectors, answers, strict=True):
        found = boxes_of(answer)
        assert found == boxes_of(plain[node](image))
        judged[node] = found, truth
    return judged


ASK = {
    "traffic_sign/gtsrb_c*.png": ask_sign,
    "wildlife/lion_*.jpg": ask_lion,
    "road_lane/tusimple_000?.png": ask_lanes,
    "roadside/trafficcam_*.jpg": ask_vehicles,
}


def in_turns(data_dir: Path) -> list[tuple[Callable[..., Any], Path]]:
    """All images and what to ask of them, mixed: the networks push each other's weights out."""
    turns = []
    for pattern, question in ASK.items():
        paths = sorted(data_dir.glob(pattern))
        turns += [((i + 0.5) / len(paths), question, path) for i, path in enumerate(paths)]
    return [(question, path) for _, question, path in sorted(turns, key=lambda turn: turn[0])]


def test_swapped_networks_of_five_nodes_are_right_and_equal_the_plain_ones(
    ask, plain, data_dir, status_at
):
    swap_all(status_at)

    found: dict[Callable[..., Any], list[Any]] = {question: [] for question in ASK.values()}
    for question, path in in_turns(data_dir):
        found[question].append(question(ask, plain, path))

    assert [len(answers) for answers in found.values()] == [129, 18, 6, 20]
    assert sum(found[ask_sign]) == 125
    assert sum(found[ask_lion]) >= 15
    assert np.mean(found[ask_lanes]) >= 0.83
    for node, precision, recall in (("vehicles", 0.51, 0.46), ("vehicles_fast", 0.42, 0.32)):
        scorer = BoxScorer((), VEHICLES)
        for judged in found[ask_vehicles]:
            scorer.add(*judged[node])
        figures = scorer.summary()
        assert figures["precision"] == pytest.approx(precision, abs=0.02)
        assert figures["recall"] == pytest.approx(recall, abs=0.02)
    status = status_at(0)
    assert status.peak_bytes <= status.budget_bytes
    assert sum(model.demand_bytes for model in status.models) >= 2 * status.budget_bytes
    for model in status.models:
        assert model.faults == 0
        assert model.bytes_read > 3 * model.streamed_bytes > 0
