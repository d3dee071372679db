from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core.assembly import Assembly, build_skeleton, check_names
from swapnet_ros.perception.errors import UnknownNetworkError, WeightsError
from swapnet_ros.perception.models.lane_catalogue import lane_network
from swapnet_ros.perception.models.ufld import CULANE_GRID, TUSIMPLE_GRID


@pytest.mark.parametrize(
    ("name", "grid", "shape"),
    [
        ("ufld_resnet18", TUSIMPLE_GRID, (1, 101, 56, 4)),
        ("ufld_resnet34_culane", CULANE_GRID, (1, 201, 18, 4)),
    ],
)
def test_it_runs_on_random_weights(name, grid, shape):
    found = lane_network(name)
    network = found.build()
    network.load_state_dict({key: found.weights[key] for key in found.weights})

    with torch.inference_mode():
        logits = network(*found.example_inputs)

    assert found.is_random
    assert network.grid == grid
    assert found.decode.row_anchors == grid.row_anchors
    assert logits.shape == shape
    assert 0.1 < logits.std() < 1000  # neither vanished nor exploded on the way


def test_parameters_have_the_names_and_shapes_of_the_reference_implementation():
    state = lane_network("ufld_resnet18").build().state_dict()

    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes["model.conv1.weight"] == (64, 3, 7, 7)
    assert shapes["model.layer4.1.conv2.weight"] == (512, 512, 3, 3)
    assert shapes["pool.weight"] == (8, 512, 1, 1)
    assert shapes["cls.0.weight"] == (2048, 1800)
    assert shapes["cls.2.bias"] == (101 * 56 * 4,)
    assert {name.split(".")[0] for name in shapes} == {"model", "pool", "cls"}


def test_seeds_choose_the_weights():
    a, b, c = (
        lane_network("ufld_resnet18", seed=seed).weights["pool.weight"] for seed in (1, 1, 2)
    )

    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_the_example_is_the_same_every_time():
    first, second = (lane_network("ufld_resnet18").example_inputs for _ in range(2))

    assert first[0].shape == (1, 3, 288, 800)
    assert torch.equal(first[0], second[0])


def _training_checkpoint(path: Path) -> nn.Module:
    """Write a checkpoint as the reference implementation's training does."""
    network = lane_network("ufld_resnet18").build()
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    state["module.aux_header2.0.weight"] = torch.zeros(128, 128, 3, 3)
    torch.save({"model": state, "optimizer": {"param_groups": []}}, path)
    return network


def test_checkpoints_of_the_reference_implementation_fit(tmp_path):
    trained = _training_checkpoint(tmp_path / "tusimple_18.pth")

    found = lane_network("ufld_resnet18", weights=tmp_path / "tusimple_18.pth")

    check_names(Assembly(build_skeleton(found.build)), found.weights)
    network = found.build()
    network.load_state_dict(dict(found.weights))
    with torch.inference_mode():
        assert torch.equal(network(*found.example_inputs), trained(*found.example_inputs))
    assert not found.is_random
    assert "aux_header2.0.weight" not in found.weights


def test_weights_that_are_not_there(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read"):
        lane_network("ufld_resnet18", weights=tmp_path / "absent.pth")


@pytest.mark.parametrize("name", ["ufld_resnet50", "ufld_resnet18_", "resnet18", ""])
def test_unknown_names_list_the_known_ones(name):
    with pytest.raises(UnknownNetworkError, match="ufld_resnet18, ufld_resnet18_culane"):
        lane_network(name)
