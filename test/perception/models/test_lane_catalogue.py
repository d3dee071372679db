from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from swapnet_ros.perception.errors import InputSizeError, OwnNetworkError, UnknownNetworkError
from swapnet_ros.perception.models.image_input import InputChanges
from swapnet_ros.perception.models.lane_catalogue import lane_network, lane_network_names
from swapnet_ros.perception.models.lane_masks import AreaMaskDecoder, LineMaskDecoder

_MODULE = """
from torch import nn


class Mask(nn.Sequential):
    image_input = {"size": (32, 64), "mean": (0.5, 0.5, 0.5)}

    def __init__(self):
        super().__init__(nn.Conv2d(3, 1, 3, padding=1), nn.Sigmoid())


class LineMask(Mask):
    outputs = "line_mask"


class BoxMask(Mask):
    outputs = "boxes"
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module with a user's networks."""
    name = f"own_lanes_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_names():
    assert lane_network_names() == (
        "ufld_resnet18",
        "ufld_resnet18_culane",
        "ufld_resnet34",
        "ufld_resnet34_culane",
    )


def test_the_rows_of_culane():
    anchors = lane_network("ufld_resnet18_culane").decode.row_anchors

    assert (len(anchors), anchors[0], anchors[-1]) == (18, 121, 287)
    assert set(np.diff(anchors)) == {9, 10}


def test_a_users_network_tells_what_its_mask_shows(own_module):
    network = lane_network(f"{own_module}:LineMask")

    assert network.name == f"{own_module}:LineMask"
    assert network.decode == LineMaskDecoder(input_height=32, input_width=64)
    assert not network.is_random
    assert network.build_in_memory()(*network.example_inputs).shape == (1, 1, 32, 64)
    (black,) = network.preprocess(np.zeros((9, 9, 3), np.uint8)).inputs
    assert torch.equal(black, torch.full((1, 3, 32, 64), -0.5))


def test_parameters_go_before_what_it_tells(own_module):
    network = lane_network(
        f"{own_module}:LineMask", outputs="area_mask", changes=InputChanges(size=(16, 48))
    )

    assert network.decode == AreaMaskDecoder(input_height=16, input_width=48)
    assert network.example_inputs[0].shape == (1, 3, 16, 48)


@pytest.mark.parametrize("factory", ["Mask", "BoxMask"])
def test_a_mask_of_what_is_not_known(own_module, factory):
    with pytest.raises(OwnNetworkError, match=r"mask shows.*one of line_mask, area_mask"):
        lane_network(f"{own_module}:{factory}")


def test_ufld_has_one_size():
    lane_network("ufld_resnet18", changes=InputChanges(size=(288, 800), channel_order="bgr"))

    with pytest.raises(InputSizeError, match="288x800 pixels only, not 320x320"):
        lane_network("ufld_resnet18", changes=InputChanges(size=320))


def test_a_near_name_is_proposed():
    with pytest.raises(UnknownNetworkError, match=r"Did you mean 'ufld_resnet18'\?.*factory"):
        lane_network("ufld_resnet81")
