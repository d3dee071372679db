"""Real weights on real images: the swapped network answers as the plain one, and rightly."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from swapnet_core import BudgetTooSmallError, SwapRuntime
from swapnet_ros.perception.models.catalogue import detection_network
from swapnet_ros.perception.models.classification import classification_network, heat_map_network
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.segmentation import segmentation_network
from swapnet_ros.perception.models.task_classes import TRAFFIC_SIGNS
from swapnet_ros.perception.tasks.finding import wild_animal_recognition
from swapnet_ros.perception.tasks.image_classification import ImageClassification
from swapnet_ros.perception.tasks.semantic_segmentation import SemanticSegmentation

_TEST = Path(__file__).resolve().parent
_EXAMPLES = _TEST.parents[1] / "docs" / "examples"
_CAFFE = InputChanges(
    size=227, fit="squash", channel_order="bgr", scale=1.0, mean=(104, 117, 123), std=(1, 1, 1)
)
_LION = 291

Ask = Callable[[np.ndarray], Any]


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Callable[[Any], Ask]]:
    """Ask a network, swapped within a tight budget, and see that the plain one says the same."""
    with SwapRuntime(budget="1GiB", cache_dir=tmp_path) as runtime:

        def make(network: Any) -> Ask:
            plain = network.build_in_memory()
            model = runtime.load(
                network.name, network.build, network.example_inputs, weights=network.weights
            )
            with pytest.raises(BudgetTooSmallError) as refused:
                runtime.set_budget(1)
            least_bytes, all_bytes = refused.value.needed_bytes, model.stats().demand_bytes
            for part in (0.5, 0.7, 0.9):  # tighter ones may need tiles, and those change last bits
                runtime.set_budget(least_bytes + int((all_bytes - least_bytes) * part))
                if model.plan.is_exact:
                    break
            assert model.plan.is_exact
            assert model.stats().resident_bytes < model.stats().weight_bytes

            def ask(prepared: Any) -> Any:
                outputs = model(*prepared.inputs)
                with torch.inference_mode():
                    expected = plain(*prepared.inputs)
                torch.testing.assert_close(outputs, expected, rtol=0, atol=0)
                return outputs

            return ask

        yield make
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users' modules are found."""
    monkeypatch.syspath_prepend(str(_EXAMPLES))
    monkeypatch.syspath_prepend(str(_TEST / "own_networks"))


def test_traffic_signs_with_a_network_of_ones_own(data_dir, both, own):
    network = classification_network(
        "traffic_sign_net:TrafficSignNet",
        weights=data_dir / "weights" / "gtsrb_cnn_stn.pth",
        default_labels=TRAFFIC_SIGNS,
    )
    task, ask = ImageClassification(network), both(network)
    files = sorted((data_dir / "traffic_sign").glob("gtsrb_c*.png"))

    right = 0
    for path in files:
        prepared = task.preprocess(_read(path))
        best = task.decode(ask(prepared), prepared).classes[0]
        right += best.class_id == int(path.name[7:9])
        assert best.label == TRAFFIC_SIGNS[best.class_id]

    assert (right, len(files)) == (125, 129)


def test_lions_and_where_they_are(data_dir, both):
    network = heat_map_network(
        "squeezenet1_1",
        weights=data_dir / "weights" / "squeezenet1_1_imagenet.safetensors",
        labels=data_dir / "weights" / "synset_words.txt",
        changes=_CAFFE,
    )
    task, ask = wild_animal_recognition(network), both(network)
    files = sorted((data_dir / "wildlife").glob("lion_*.jpg"))

    right = placed = 0
    for path in files:
        image = _read(path)
        prepared = task.preprocess(image)
        result = task.decode(ask(prepared), prepared, score_threshold=0.05)
        best = result.detections[0]
        right += best.class_id == _LION
        placed += max(_overlaps(best, _boxes(path, image))) > 0.5

    assert len(files) == 18
    assert right >= 17
    assert placed >= 15


def test_a_coco_detector_sees_animals_and_nothing_else(data_dir, both):
    folder = data_dir / "weights"
    network = detection_network(
        "yolo-fastest-1.1-xl",
        weights=folder / "yolo-fastest-1.1-xl.weights",
        labels=folder / "coco.names",
    )
    task, ask = wild_animal_recognition(network), both(network)
    files = [data_dir / "wildlife" / f"darknet_{name}.jpg" for name in ("giraffe", "horses")]
    files.append(data_dir / "road_detect" / "darknet_dog.jpg")

    found = []
    for path in files:
        prepared = task.preprocess(_read(path))
        result = task.decode(ask(prepared), prepared, score_threshold=0.4)
        found.append({detection.label for detection in result.detections})

    assert "giraffe" in found[0]
    assert "horse" in found[1]
    assert found[2] == {"dog"}, "and not the bicycle and the truck beside it"


def test_a_road_is_mostly_road(data_dir, both, own):
    network = segmentation_network(
        "espnet:ESPNet", weights=data_dir / "weights" / "espnet_p2_q8_cityscapes.pth"
    )
    task, ask = SemanticSegmentation(network), both(network)
    image = _read(data_dir / "road_lane" / "tusimple_test_0.jpg")

    prepared = task.preprocess(image)
    result = task.decode(ask(prepared), prepared)

    assert result.class_map.shape == image.shape[:2]
    lower = result.class_map[result.height * 2 // 3 :]
    assert np.bincount(lower.ravel()).argmax() == result.labels.index("road")
    upper = result.class_map[: result.height // 5]
    seen = {result.labels[number] for number in np.unique(upper)}
    assert seen & {"sky", "vegetation", "building"}


def test_weights_of_data_parallel_training_fit(data_dir, both, own):
    """Their names begin with `module.`; the checkpoint holds more than the weights."""
    weights = data_dir / "weights" / "cifar10_resnet56-4bfd9763.th"
    network = classification_network("cifar_resnet:resnet56", weights=weights)
    task, ask = ImageClassification(network), both(network)

    prepared = task.preprocess(_read(data_dir / "wildlife" / "darknet_horses.jpg"))
    best = task.decode(ask(prepared), prepared).classes[0]

    assert best.label in network.labels


def _read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def _boxes(path: Path, image: np.ndarray) -> list[tuple[float, ...]]:
    """YOLO's labels as x_min, y_min, x_max, y_max in pixels."""
    height, width = image.shape[:2]
    rows = [line.split()[1:] for line in path.with_suffix(".txt").read_text().splitlines() if line]
    boxes = []
    for x, y, w, h in ([float(value) for value in row] for row in rows):
        boxes.append(
            ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        )
    return boxes


def _overlaps(found: Any, boxes: list[tuple[float, ...]]) -> list[float]:
    """Intersection over union with each of the boxes."""
    area = (found.x_max - found.x_min) * (found.y_max - found.y_min)
    overlaps = []
    for x_min, y_min, x_max, y_max in boxes:
        width = min(x_max, found.x_max) - max(x_min, found.x_min)
        height = min(y_max, found.y_max) - max(y_min, found.y_min)
        common = max(0.0, width) * max(0.0, height)
        overlaps.append(common / (area + (x_max - x_min) * (y_max - y_min) - common))
    return overlaps
