"""The path from label files over real weights to figures: those that the data folder states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from swapnet_ros.evaluation.metrics.label_map import LabelMap
from swapnet_ros.evaluation.metrics.scorers import make_scorer
from swapnet_ros.evaluation.truth.file_truth import FileTruth
from swapnet_ros.evaluation.truth.image_names import images_in
from swapnet_ros.evaluation.truth.label_files import open_label_files
from swapnet_ros.perception.models.catalogue import detection_network
from swapnet_ros.perception.models.classification import classification_network
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.lane_catalogue import lane_network
from swapnet_ros.perception.models.task_classes import TRAFFIC_SIGNS
from swapnet_ros.perception.tasks.image_classification import (
    ClassificationResult,
    ImageClassification,
)
from swapnet_ros.perception.tasks.lane_detection import LaneDetection
from swapnet_ros.perception.tasks.object_detection import ObjectDetection

_EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
_CAFFE = InputChanges(
    size=227, fit="squash", channel_order="bgr", scale=1.0, mean=(104, 117, 123), std=(1, 1, 1)
)

Answer = Callable[[np.ndarray], Any]


@pytest.fixture
def examples(monkeypatch) -> None:
    """The networks of the documentation can be imported."""
    monkeypatch.syspath_prepend(str(_EXAMPLES))


def _answers(task: Any, **thresholds: float) -> Answer:
    network = task.network.build_in_memory()

    def answer(image: np.ndarray) -> Any:
        prepared = task.preprocess(image)
        with torch.inference_mode():
            return task.decode(network(*prepared.inputs), prepared, **thresholds)

    return answer


def _score(scorer: Any, truth: FileTruth, folder: Path, answer: Answer) -> dict[str, Any]:
    """Ask about every labelled image of a folder, found by its number as in a bag."""
    paths = {path.stem: path for path in folder.iterdir() if path.suffix in (".jpg", ".png")}
    for index, name in enumerate(images_in(folder)):
        labelled = truth.find(0, index=index)
        if labelled is not None:
            image = cv2.cvtColor(cv2.imread(str(paths[name])), cv2.COLOR_BGR2RGB)
            scorer.add(answer(image), labelled)
    return scorer.summary()


def _truth(folder: Path, **options: Any) -> FileTruth:
    path = options.pop("path", folder)
    files = open_label_files(path, **options)
    return FileTruth(files, tolerance_ns=0, order=images_in(folder))


def _whole_image(answer: Answer) -> Answer:
    def classify(image: np.ndarray) -> ClassificationResult:
        height, width = image.shape[:2]
        return ClassificationResult(regions=(answer(image),), width=width, height=height)

    return classify


@pytest.mark.parametrize(
    ("name", "precision", "recall"),
    [("yolo-fastest-1.1-xl", 0.51, 0.46), ("yolo-fastest-1.1", 0.42, 0.32)],
)
def test_vehicles_at_a_road(data_dir, name, precision, recall):
    network = detection_network(name, weights=data_dir / "weights" / f"{name}.weights")
    labels = ["bike", "bus", "car", "truck"]
    label_map = LabelMap({"vehicle": ["bus", "car", "truck"]}, ignored=["bike"])
    scorer = make_scorer("object_detection", network.labels, label_map)

    summary = _score(
        scorer,
        _truth(data_dir / "roadside", kind="yolo", labels=labels),
        data_dir / "roadside",
        _answers(ObjectDetection(network), score_threshold=0.3, iou_threshold=0.5),
    )

    assert (summary["frames"], summary["labelled_boxes"]) == (20, 332)
    assert summary["precision"] == pytest.approx(precision, abs=0.02)
    assert summary["recall"] == pytest.approx(recall, abs=0.02)
    assert list(summary["classes"]) == ["vehicle"]


@pytest.mark.slow  # test/nodes/test_real_weights.py has the same images
def test_traffic_signs(data_dir, examples):
    network = classification_network(
        "traffic_sign_net:TrafficSignNet",
        weights=data_dir / "weights" / "gtsrb_cnn_stn.pth",
        default_labels=TRAFFIC_SIGNS,
    )
    folder = data_dir / "traffic_sign"
    scorer = make_scorer("traffic_sign_classification", network.labels)

    summary = _score(
        scorer,
        _truth(folder, pattern=r"gtsrb_c(?P<label>\d+)_", labels=TRAFFIC_SIGNS),
        folder,
        _whole_image(_answers(ImageClassification(network))),
    )

    assert (summary["right"], summary["labelled"]) == (125, 129)
    assert (summary["only_in_labels"], summary["only_found"]) == ({}, [])


def test_lions(data_dir):
    network = classification_network(
        "squeezenet1_1",
        weights=data_dir / "weights" / "squeezenet1_1_imagenet.safetensors",
        labels=data_dir / "weights" / "synset_words.txt",
        changes=_CAFFE,
    )
    folder = data_dir / "wildlife"
    label_map = LabelMap({"lion": [network.labels[291]]})
    scorer = make_scorer("natural_scene_classification", network.labels, label_map)

    summary = _score(
        scorer,
        _truth(folder, pattern=r"^(?P<label>lion)_"),
        folder,
        _whole_image(_answers(ImageClassification(network))),
    )

    # 15 where the image is resized without averaging, as for the data folder's figure
    assert (summary["right"], summary["labelled"]) == (17, 18)


def test_the_lane_of_the_camera(data_dir, examples, tmp_path):
    import lane_fcn

    weights = tmp_path / "lane_fcn.safetensors"
    lane_fcn.convert(data_dir / "weights" / "lane_fcn_mlnd.npz", weights)
    network = lane_network("lane_fcn:lane_fcn", weights=weights)
    folder = data_dir / "road_lane"

    summary = _score(
        make_scorer("lane_detection", ()),
        _truth(folder, kind="lane_masks", suffix="_gt_instance"),
        folder,
        _answers(LaneDetection(network), score_threshold=0.3),
    )

    assert (summary["frames"], summary["ego_lane_frames"]) == (6, 6)
    assert summary["ego_lane_iou"] == pytest.approx(0.836, abs=0.01)
