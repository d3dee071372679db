from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from swapnet_core.assembly import Assembly, build_skeleton, check_names
from swapnet_ros.perception.errors import NetworkOutputError, NoClassMapError, UnknownNetworkError
from swapnet_ros.perception.models.classification import (
    classification_network,
    classification_network_names,
    heat_map_network,
)
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.seeded import SeededWeights

_WITH_MAPS = (
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
)
_WITHOUT_MAPS = ("alexnet", "convnext_tiny", "mobilenet_v3_small", "vgg11", "vit_b_16")


def test_the_networks_own_input_and_imagenets_labels():
    network = classification_network("resnet50")

    assert network.is_random
    assert isinstance(network.weights, SeededWeights)
    assert network.example_inputs[0].shape == (1, 3, 224, 224)
    assert (len(network.labels), network.labels[291]) == (1000, "lion")
    assert network.preprocess.fit == "crop"


def test_labels_set_the_number_of_classes(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("red\ngreen\n")

    by_task = classification_network("resnet18", default_labels=("a", "b", "c"))
    by_file = classification_network("resnet18", labels=path, default_labels=("a", "b", "c"))

    assert by_task.build().fc.out_features == 3
    assert (by_file.build().fc.out_features, by_file.labels) == (2, ("red", "green"))


def test_a_transformer_is_built_for_its_input_size():
    network = classification_network("vit_b_16", changes=InputChanges(size=64))

    with torch.inference_mode():
        assert network.build()(*network.example_inputs).shape == (1, 1000)


@pytest.mark.parametrize("name", ["resnet18", "inception_v3", "efficientnet_b0", "swin_t"])
def test_random_scores_say_nothing(name):
    network = classification_network(name, default_labels=("a", "b", "c", "d"))

    with torch.inference_mode():
        scores = network.decode(network.build_in_memory()(*network.example_inputs))

    assert scores.sum() == pytest.approx(1)
    assert float(scores.max()) < 0.3


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "resnet18"])
def test_published_weights_fit(name, tmp_path):
    options = {"init_weights": False} if name != "resnet18" else {}
    save_file(
        models.get_model(name, weights=None, **options).state_dict(), tmp_path / "w.safetensors"
    )
    network = classification_network(name, weights=tmp_path / "w.safetensors")

    made = network.build_in_memory()

    assert not network.is_random
    # googlenet and inception_v3 take images prepared otherwise, and change them themselves
    assert getattr(made, "transform_input", True)


def test_an_unknown_name_gets_a_hint():
    with pytest.raises(UnknownNetworkError, match="Did you mean 'resnet101'"):
        classification_network("resnet110")
    assert "resnet101" in classification_network_names()


@pytest.mark.parametrize("name", _WITH_MAPS)
def test_class_maps_leave_the_scores_as_they_are(name):
    network = classification_network(name, default_labels=("a", "b", "c"))
    with_maps = heat_map_network(name, default_labels=("a", "b", "c"))
    plain, traced = network.build_in_memory(), with_maps.build_in_memory()

    with torch.inference_mode():
        expected = plain(*network.example_inputs)
        scores, maps = traced(*network.example_inputs)

    assert torch.equal(scores, expected)
    assert maps.shape[:2] == (1, 3)
    # the mean of a map is its class's score, but for the bias
    bias = scores - maps.mean((2, 3))
    heads = [m for m in traced.modules() if getattr(m, "out_features", None) == 3]
    wanted = heads[-1].bias if heads else torch.zeros(3)
    torch.testing.assert_close(bias[0], wanted.detach(), rtol=0, atol=1e-6)
    check_names(Assembly(build_skeleton(with_maps.build)), network.weights)


@pytest.mark.parametrize("name", _WITHOUT_MAPS)
def test_networks_that_cannot_tell_where_are_refused(name):
    with pytest.raises(NoClassMapError, match=f"{name} cannot tell where"):
        heat_map_network(name)


def test_outputs_without_maps_are_refused():
    network = heat_map_network("resnet18", default_labels=("a", "b"))

    with pytest.raises(NetworkOutputError, match="must return scores and maps"):
        network.decode(torch.zeros(1, 2))
    with pytest.raises(NetworkOutputError, match=r"returned maps \[1, 3, 7, 7\]"):
        network.decode((torch.zeros(1, 2), torch.zeros(1, 3, 7, 7)))
