from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision import models
from torchvision.models._api import WeightsEnum
from torchvision.ops import FrozenBatchNorm2d

from swapnet_core.assembly import Assembly, build_skeleton, check_names
from swapnet_ros.perception.errors import InputSizeError, LabelsError, WeightsError
from swapnet_ros.perception.models.catalogue import detection_network
from swapnet_ros.perception.models.torchvision_detection import (
    TorchvisionBuilder,
    decode_torchvision,
    torchvision_names,
)
from swapnet_ros.perception.tasks.object_detection import ObjectDetection


@pytest.mark.parametrize(
    ("name", "input_size"),
    [("retinanet_resnet50_fpn", (192, 256)), ("ssdlite320_mobilenet_v3_large", None)],
)
def test_it_runs_on_random_weights(name, input_size):
    network = detection_network(name, input_size=input_size)
    task = ObjectDetection(network)
    image = np.random.default_rng(0).integers(0, 255, (90, 160, 3), dtype=np.uint8)

    prepared = task.preprocess(image)
    with torch.inference_mode():
        outputs = network.build_in_memory()(*prepared.inputs)
    result = task.decode(outputs, prepared)

    assert network.is_random
    assert result.detections == ()
    assert (result.width, result.height) == (160, 90)
    (made,), (example,) = prepared.inputs[0], network.example_inputs[0]
    assert made.shape == example.shape


def test_the_networks_own_resizing_does_nothing():
    network = detection_network("retinanet_resnet50_fpn", input_size=(192, 256)).build()
    image = torch.rand(3, 192, 256)

    batch, _ = network.transform([image])

    mean = torch.tensor(network.transform.image_mean)[:, None, None]
    deviation = torch.tensor(network.transform.image_std)[:, None, None]
    torch.testing.assert_close(batch.tensors[0], (image - mean) / deviation)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("fasterrcnn_resnet50_fpn", (3, 800, 1333)),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", (3, 320, 640)),
        ("ssd300_vgg16", (3, 300, 300)),
        ("ssdlite320_mobilenet_v3_large", (3, 320, 320)),
    ],
)
def test_sizes_of_their_own(name, shape):
    assert detection_network(name).example_inputs[0][0].shape == shape


def test_a_fixed_size_is_fixed():
    detection_network("ssd300_vgg16", input_size=300)

    with pytest.raises(InputSizeError, match="300x300 only"):
        detection_network("ssd300_vgg16", input_size=512)


def test_labels_are_counted_as_torchvision_does():
    labels = detection_network("ssdlite320_mobilenet_v3_large").labels

    assert (labels[0], labels[1], labels[3]) == ("__background__", "person", "car")


def test_own_labels_set_the_number_of_classes(tmp_path):
    path = tmp_path / "own.names"
    path.write_text("flame\nsmoke\n")

    network = detection_network("ssdlite320_mobilenet_v3_large", labels=path)

    assert network.labels == ("__background__", "flame", "smoke")
    assert network.build().head.classification_head.num_columns == 3
    with pytest.raises(LabelsError, match="cannot be read"):
        detection_network("ssdlite320_mobilenet_v3_large", labels=tmp_path / "absent")


def test_weights_must_be_a_checkpoint(tmp_path):
    with pytest.raises(WeightsError, match="does not fit this network"):
        detection_network("ssdlite320_mobilenet_v3_large", weights=tmp_path / "net.weights")


@pytest.mark.parametrize("name", torchvision_names())
def test_it_can_be_built_as_a_skeleton_for_its_weights(name):
    network = detection_network(name)

    skeleton = build_skeleton(network.build)

    check_names(Assembly(skeleton), network.weights)
    assert all(parameter.is_meta for parameter in skeleton.parameters())
    assert not any(buffer.is_meta for buffer in skeleton.buffers())


@pytest.mark.parametrize("name", torchvision_names())
def test_a_trained_network_is_the_one_that_torchvision_builds_for_its_weights(name, monkeypatch):
    """torchvision builds another network when it gets weights; only their download is replaced."""
    published = models.get_model_weights(name).COCO_V1
    build = TorchvisionBuilder(
        name=name,
        classes=len(published.meta["categories"]),
        height=320,
        width=320,
        is_trained=True,
    )
    with torch.device("meta"):
        ours = build()
        monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: ours.state_dict())
        theirs = models.get_model(name, weights=published)

    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert _epsilons(ours) == _epsilons(theirs)


def _epsilons(network: torch.nn.Module) -> dict[str, tuple[bool, float]]:
    return {
        name: (isinstance(module, FrozenBatchNorm2d), module.eps)
        for name, module in network.named_modules()
        if hasattr(module, "eps")
    }


def test_decode_takes_what_is_above_the_threshold():
    outputs = [
        {
            "boxes": torch.arange(12.0).reshape(3, 4),
            "scores": torch.tensor([0.9, 0.3, 0.1]),
            "labels": torch.tensor([3, 1, 2]),
        }
    ]

    candidates = decode_torchvision(outputs, 0.3)

    assert candidates.boxes.tolist() == [[0, 1, 2, 3]]
    assert candidates.class_ids.tolist() == [3]
