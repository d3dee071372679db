from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from swapnet_core import BudgetTooSmallError, SwapRuntime
from swapnet_core.errors import NetworkError
from swapnet_ros.perception.errors import (
    NetworkOutputError,
    OwnNetworkError,
    PreprocessingError,
    WeightsError,
)
from swapnet_ros.perception.models.catalogue import detection_network
from swapnet_ros.perception.models.classification import classification_network
from swapnet_ros.perception.models.finder import finder_network
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.own_network import own_network
from swapnet_ros.perception.tasks.object_detection import ObjectDetection

_NUMBERS = itertools.count()
_MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    image_input = {"size": (6, 8), "channel_order": "bgr"}
    labels = ["cat", "dog"]
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
    def forward(self, image):
        return self.linear(image.mean((2, 3)))

class Detector(Net):
    def forward(self, image):
        boxes = torch.tensor([[0.0, 0.0, 4.0, 3.0], [2.0, 2.0, 8.0, 6.0]])
        scores, labels = torch.tensor([0.9, 0.2]), torch.tensor([1, 0])
        return [{"boxes": boxes, "scores": scores, "labels": labels}]

class Wrong(Net):
    def forward(self, image):
        return image

class Unsized(Net):
    image_input = {}

class Misdeclared(Net):
    image_input = 224

class Nameless(Detector):
    labels = ()

def broken():
    raise RuntimeError("no such file")

def nothing():
    return 7

number = 7
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's module under a name of its own, so that no test sees another's."""
    name = f"mine_{next(_NUMBERS)}"
    (tmp_path / f"{name}.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_a_factory_declares_its_input_and_labels(mine):
    network = classification_network(f"{mine}:Net")

    assert network.labels == ("cat", "dog")
    assert network.weights is None
    assert not network.is_random
    assert network.example_inputs[0].shape == (1, 3, 6, 8)
    red = np.zeros((4, 4, 3), np.uint8)
    red[:, :, 0] = 255
    assert network.preprocess(red).inputs[0][0, :, 0, 0].tolist() == [0, 0, 1]


def test_parameters_go_before_declarations(mine):
    changes = InputChanges(size=10, channel_order="rgb")

    found = own_network(f"{mine}:Net", weights=None, changes=changes).image_input

    assert (found.height, found.width, found.channel_order) == (10, 10, "rgb")


def test_it_runs_swapped_with_the_weights_that_it_brings_along(mine, tmp_path):
    network = classification_network(f"{mine}:Net")
    with SwapRuntime(budget="64MiB", cache_dir=tmp_path / "cache") as runtime:
        model = runtime.load(
            network.name, network.build, network.example_inputs, weights=network.weights
        )
        assert network.decode(model(*network.example_inputs)).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        ("absent_module:Net", OwnNetworkError, "cannot import absent_module"),
        ("{mine}:Absent", OwnNetworkError, "has no 'Absent'"),
        ("{mine}:number", OwnNetworkError, "cannot call its 'number'"),
        ("{mine}:broken", NetworkError, "no such file"),
        ("{mine}:nothing", NetworkError, "made a int, not an nn.Module"),
        ("{mine}:Unsized", OwnNetworkError, "declares no input size; set the parameter input_size"),
        ("{mine}:Misdeclared", OwnNetworkError, "must be a dict, but is int"),
        ("absent.pt2", OwnNetworkError, "cannot be read"),
        ("absent.pth", OwnNetworkError, "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused(mine, network, error, message):
    with pytest.raises(error, match=message):
        classification_network(network.format(mine=mine))


def test_outputs_of_another_number_of_classes_are_refused(mine):
    network = classification_network(f"{mine}:Net", default_labels=("unused",))

    assert network.labels == ("cat", "dog")
    with pytest.raises(NetworkOutputError, match="scores of 3 classes, but there are 2 labels"):
        network.decode(torch.zeros(1, 3))
    with pytest.raises(NetworkOutputError, match=r"logits \[1, classes\], not \[2, 2\]"):
        network.decode(torch.zeros(2, 2))
    with pytest.raises(NetworkOutputError, match="not str"):
        network.decode("cat")


def test_a_detector_of_ones_own(mine):
    network = detection_network(f"{mine}:Detector")
    task = ObjectDetection(network)

    prepared = task.preprocess(np.zeros((60, 80, 3), np.uint8))
    found = task.decode(network.build()(*prepared.inputs), prepared).detections

    assert [(d.label, d.x_min, d.y_min, d.x_max, d.y_max) for d in found] == [("dog", 0, 0, 40, 30)]


def test_a_detector_that_returns_something_else_is_refused(mine):
    network = detection_network(f"{mine}:Wrong")

    with pytest.raises(NetworkOutputError, match="must return a dict of tensors boxes, scores"):
        network.decode(network.build()(*network.example_inputs), 0.3)
    with pytest.raises(OwnNetworkError, match="declares no labels"):
        detection_network(f"{mine}:Nameless")


def test_only_the_size_of_a_named_detector_can_be_changed():
    assert finder_network("yolov3-tiny", changes=InputChanges(size=320)).example_inputs[0].shape[
        2:
    ] == (320, 320)
    with pytest.raises(PreprocessingError, match="only input_size can be set"):
        finder_network("yolov3-tiny", changes=InputChanges(channel_order="bgr"))


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, nn.Module]:
    torch.manual_seed(0)
    network = models.resnet18(num_classes=4).eval()
    program = torch.export.export(network, (torch.rand(1, 3, 64, 96),))
    path = tmp_path / "mine.pt2"
    torch.export.save(program, path)
    return path, network


def test_an_exported_network_swaps(exported, tmp_path):
    path, plain = exported
    network = classification_network(str(path), default_labels=("a", "b", "c", "d"))

    assert network.name == "mine"
    assert network.example_inputs[0].shape == (1, 3, 64, 96)
    with SwapRuntime(budget="1GiB", cache_dir=tmp_path / "cache") as runtime:
        model = runtime.load("mine", network.build, network.example_inputs)
        with pytest.raises(BudgetTooSmallError) as refused:
            runtime.set_budget(1)
        demand_bytes = model.stats().demand_bytes
        assert refused.value.needed_bytes < 0.8 * demand_bytes
        runtime.set_budget((refused.value.needed_bytes + demand_bytes) // 2)
        outputs = model(*network.example_inputs)
        with torch.inference_mode():
            expected = plain(*network.example_inputs)
        torch.testing.assert_close(outputs, expected, rtol=0, atol=0)


def test_torchscript_is_refused_with_advice(tmp_path, mine):
    path = tmp_path / "scripted.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of torch advise against it, too
        torch.jit.save(torch.jit.trace(nn.Linear(3, 2), torch.rand(1, 3)), str(path))

    with pytest.raises(OwnNetworkError, match=r"torch.jit.load\('.*scripted.pt'\).state_dict\(\)"):
        classification_network(str(path))
    with pytest.raises(WeightsError, match="is a TorchScript file"):
        classification_network(f"{mine}:Net", weights=path)


def test_weights_are_not_a_network(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(nn.Linear(3, 2).state_dict(), path)

    with pytest.raises(OwnNetworkError, match="holds weights and no network; give it as weights"):
        classification_network(str(path))
