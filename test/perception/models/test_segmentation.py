from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from swapnet_ros.perception.errors import NetworkOutputError, UnknownNetworkError
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.segmentation import (
    segmentation_network,
    segmentation_network_names,
)

_SMALL = InputChanges(size=(32, 48))


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "fcn_resnet50"])
def test_random_weights_give_a_class_for_every_pixel(name):
    network = segmentation_network(name, default_labels=("a", "b", "c"), changes=_SMALL)

    with torch.inference_mode():
        class_map = network.decode(network.build_in_memory()(*network.example_inputs))

    assert network.is_random
    assert (class_map.shape, class_map.dtype) == ((32, 48), torch.uint8)
    assert int(class_map.max()) < 3


def test_their_own_labels_are_those_of_voc():
    network = segmentation_network("deeplabv3_resnet101")

    assert (len(network.labels), network.labels[15]) == (21, "person")
    assert network.example_inputs[0].shape == (1, 3, 360, 640)


def test_published_weights_have_a_second_head_that_is_not_run(tmp_path):
    torch.manual_seed(0)
    plain = models.segmentation.fcn_resnet50(
        weights=None, weights_backbone=None, num_classes=3, aux_loss=True
    ).eval()
    save_file(plain.state_dict(), tmp_path / "w.safetensors")
    network = segmentation_network(
        "fcn_resnet50",
        weights=tmp_path / "w.safetensors",
        default_labels=("a", "b", "c"),
        changes=_SMALL,
    )

    with torch.inference_mode():
        outputs = network.build_in_memory()(*network.example_inputs)
        expected = plain(*network.example_inputs)

    assert list(outputs) == ["out"]
    assert torch.equal(outputs["out"], expected["out"])


def test_what_users_networks_return():
    network = segmentation_network("fcn_resnet50", default_labels=("a", "b", "c"), changes=_SMALL)
    scores = torch.zeros(1, 3, 4, 6)
    scores[:, 0, :, :3] = scores[:, 2, :, 3:] = 1

    from_scores = network.decode(scores)
    from_ids = network.decode((scores.argmax(1),))

    assert from_scores.shape == from_ids.shape == (32, 48)
    assert torch.equal(from_scores, from_ids)
    assert from_scores[:, :24].eq(0).all()
    assert from_scores[:, 24:].eq(2).all()


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (torch.zeros(1, 4, 8, 8), "scores of 4 classes, but there are 3 labels"),
        (torch.full((1, 8, 8), 3), "returned class 3, which has no label"),
        (torch.zeros(8, 8), r"not \[8, 8\]"),
        (torch.zeros(1, 8, 8, dtype=torch.bool), "not torch.bool"),
        ({"aux": torch.zeros(1, 3, 8, 8)}, "not NoneType"),
    ],
)
def test_other_outputs_are_refused(outputs, message):
    network = segmentation_network("fcn_resnet50", default_labels=("a", "b", "c"), changes=_SMALL)

    with pytest.raises(NetworkOutputError, match=message):
        network.decode(outputs)


def test_an_unknown_name_gets_a_hint():
    with pytest.raises(UnknownNetworkError, match="Did you mean 'fcn_resnet101'"):
        segmentation_network("fcn_resnet110")
    assert "deeplabv3_resnet101" in segmentation_network_names()
