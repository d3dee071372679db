from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from swapnet_core.errors import WeightsMismatchError
from swapnet_ros.perception.errors import (
    InputSizeError,
    LabelsError,
    NetworkDefinitionError,
    UnknownNetworkError,
    WeightsError,
)
from swapnet_ros.perception.models.catalogue import detection_network, detection_network_names
from swapnet_ros.perception.models.darknet.weights import DarknetWeights
from swapnet_ros.perception.models.seeded import SeededWeights
from swapnet_ros.perception.tasks.preprocessing import Letterbox, Squash

_TINY = (
    "[net]\nwidth=8\nheight=8\n[convolutional]\nfilters=14\nactivation=linear\n"
    "[yolo]\nclasses=2\nnum=2\nanchors=1,2,3,4\n"
)


@pytest.fixture
def cfg(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.cfg"
    path.write_text(_TINY)
    return path


@pytest.mark.parametrize("name", ["yolov3", "yolov3-tiny", "yolov4"])
def test_shipped_networks_come_with_random_weights_and_coco(name):
    network = detection_network(name)

    assert network.name == name
    assert network.is_random
    assert isinstance(network.weights, SeededWeights)
    assert network.example_inputs[0].shape == (1, 3, 416, 416)
    assert (len(network.labels), network.labels[2]) == (80, "car")


def test_yolov3_keeps_proportions_and_yolov4_does_not():
    image = np.zeros((100, 200, 3), np.uint8)

    v3 = detection_network("yolov3").preprocess(image).geometry
    v4 = detection_network("yolov4").preprocess(image).geometry

    assert (v3.scale_x, v3.scale_y) == (2.08, 2.08)
    assert (v4.scale_x, v4.scale_y) == (2.08, 4.16)


@pytest.mark.parametrize("input_size", [320, (320, 320)])
def test_another_input_size(input_size):
    network = detection_network("yolov3", input_size=input_size)

    assert network.example_inputs[0].shape == (1, 3, 320, 320)
    prepared = network.preprocess(np.zeros((10, 10, 3), np.uint8))
    assert prepared.inputs[0].shape == (1, 3, 320, 320)


def test_height_comes_before_width():
    network = detection_network("yolov3-tiny", input_size=(320, 608))

    assert network.example_inputs[0].shape == (1, 3, 320, 608)
    assert network.preprocess(np.zeros((9, 9, 3), np.uint8)).inputs[0].shape == (1, 3, 320, 608)


def test_a_cfg_file_by_its_path(cfg):
    network = detection_network(str(cfg))

    assert network.name == "tiny"
    assert network.labels == ("class_0", "class_1")
    assert network.build_in_memory()(*network.example_inputs)[0].shape == (1, 14, 8, 8)


@pytest.mark.parametrize("name", ["yolo-fastest-1.1", "yolo-fastest-1.1-xl"])
def test_a_cfg_file_beside_the_weights_by_its_name(data_dir, name):
    weights = data_dir / "weights" / f"{name}.weights"

    network = detection_network(name, weights=weights, labels=data_dir / "weights" / "coco.names")

    assert not network.is_random
    assert isinstance(network.weights, DarknetWeights)
    assert (network.name, network.labels[4]) == (name, "aeroplane")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_checkpoints_go_through_as_paths(cfg, tmp_path, suffix):
    path = tmp_path / f"tiny{suffix}"
    random = detection_network(str(cfg), seed=5)
    state = {name: random.weights[name] for name in random.weights}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)

    network = detection_network(str(cfg), weights=path)

    assert network.weights == path
    assert not network.is_random
    loaded = network.build_in_memory().state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_seeds_choose_the_weights(cfg):
    a, b, c = (detection_network(str(cfg), seed=seed).build_in_memory() for seed in (1, 1, 2))

    weights = [network.state_dict()["layers.0.conv.weight"] for network in (a, b, c)]

    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("name", ["yolov3", "retinanet_resnet50_fpn"])
@pytest.mark.parametrize("input_size", [0, -416, (416, 0)])
def test_an_input_without_pixels(name, input_size):
    with pytest.raises(InputSizeError, match="has no pixels"):
        detection_network(name, input_size=input_size)


@pytest.mark.parametrize("name", ["yolov5", "resnet50", "", "../cfg/yolov3", "cfg"])
def test_unknown_names_list_the_known_ones(name):
    with pytest.raises(UnknownNetworkError) as caught:
        detection_network(name)

    assert all(known in str(caught.value) for known in detection_network_names())


def test_a_near_miss_is_suggested():
    with pytest.raises(UnknownNetworkError, match=r"Did you mean 'yolov3-tiny'\?"):
        detection_network("yolov3_tiny")


def test_a_missing_cfg():
    with pytest.raises(NetworkDefinitionError, match="cannot be read"):
        detection_network("/nowhere/net.cfg")


def test_weights_of_another_network(data_dir):
    weights = data_dir / "weights" / "yolo-fastest-1.1.weights"

    with pytest.raises(WeightsError, match=r"1384268.*ends in layer") as caught:
        detection_network("yolov3-tiny", weights=weights)

    assert caught.value.actual_bytes == 1_384_268
    assert caught.value.expected_bytes == 35_434_956


def test_weights_cut_off(data_dir, tmp_path):
    for suffix in (".cfg", ".weights"):
        shutil.copyfile(data_dir / f"weights/yolo-fastest-1.1{suffix}", tmp_path / f"net{suffix}")
    path = tmp_path / "net.weights"
    with path.open("r+b") as file:
        file.truncate(1_000_000)

    with pytest.raises(WeightsError, match=r"needs 1384268 bytes, but .* has 1000000"):
        detection_network("net", weights=path)


def test_weights_with_an_unknown_ending(cfg, tmp_path):
    with pytest.raises(WeightsError, match=r"it takes \.safetensors, \.pth"):
        detection_network(str(cfg), weights=tmp_path / "tiny.onnx")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".weights"])
def test_missing_weights(cfg, tmp_path, suffix):
    with pytest.raises(WeightsError, match="cannot be read"):
        detection_network(str(cfg), weights=tmp_path / f"absent{suffix}")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_checkpoints(cfg, tmp_path, suffix):
    path = tmp_path / f"tiny{suffix}"
    path.write_bytes(b"no checkpoint")
    network = detection_network(str(cfg), weights=path)

    with pytest.raises(WeightsMismatchError, match="cannot read weights"):
        network.build_in_memory()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("layers.0.conv.bias"), "1 names differ"),
        (lambda state: state.update(extra=torch.zeros(1)), "the first is extra"),
        (
            lambda state: state.update({"layers.0.conv.bias": torch.zeros(3)}),
            r"layers\.0\.conv\.bias is \[3\] instead of \[14\]",
        ),
    ],
)
def test_checkpoints_of_another_network(cfg, tmp_path, change, words):
    path = tmp_path / "tiny.pth"
    state = dict(detection_network(str(cfg)).weights)
    change(state)
    torch.save(state, path)

    with pytest.raises(WeightsError, match=words):
        detection_network(str(cfg), weights=path).build_in_memory()


def test_a_checkpoint_that_holds_no_state_dict(cfg, tmp_path):
    path = tmp_path / "tiny.pth"
    torch.save([torch.zeros(1)], path)

    with pytest.raises(WeightsMismatchError, match="holds no state dict"):
        detection_network(str(cfg), weights=path).build_in_memory()


def test_labels_of_another_number_of_classes(cfg, data_dir):
    with pytest.raises(LabelsError, match="has 80 names, but the network has 2 classes"):
        detection_network(str(cfg), labels=data_dir / "weights" / "coco.names")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.split("[yolo]")[0], "has no [yolo] section"),
        (lambda text: text.replace("[net]", "[net]\nchannels=1"), "takes 1 channels"),
        (
            lambda text: text + "[route]\nlayers=0\n" + "[yolo]\nclasses=9\nnum=1\nanchors=1,2\n",
            "differ in classes: [2, 9]",
        ),
    ],
)
def test_networks_that_detect_nothing_useful(cfg, change, words):
    cfg.write_text(change(_TINY))

    with pytest.raises(NetworkDefinitionError) as caught:
        detection_network(str(cfg))

    assert words in str(caught.value)


def test_letter_box_in_the_net_section(cfg):
    squashed = detection_network(str(cfg)).preprocess
    cfg.write_text(_TINY.replace("[net]", "[net]\nletter_box=1"))
    boxed = detection_network(str(cfg)).preprocess

    assert squashed.fit == Squash(height=8, width=8)
    assert boxed.fit == Letterbox(height=8, width=8)


def test_the_example_is_of_the_size_that_preprocess_makes(cfg):
    network = detection_network(str(cfg))

    prepared = network.preprocess(np.zeros((30, 20, 3), np.uint8))

    (made,), (example,) = prepared.inputs, network.example_inputs
    assert (made.shape, made.dtype) == (example.shape, example.dtype)
