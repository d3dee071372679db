from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from swapnet_ros.perception.errors import WeightsError
from swapnet_ros.perception.models.darknet.network import DarknetNetwork
from swapnet_ros.perception.models.darknet.weights import DarknetWeights

_LAYERS = (
    "[convolutional]\nfilters=4\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\n"
    "[maxpool]\nstride=2\n"
    "[convolutional]\nfilters=6\ngroups=2\nactivation=linear\n"
)
_COUNTS = (4, 4, 4, 4, 4 * 2 * 9, 6, 6 * 2)


def _write(path: Path, version: tuple[int, int] = (0, 2), extra: bytes = b"") -> np.ndarray:
    """A file in Darknet's order whose values count up from 1."""
    values = np.arange(1, sum(_COUNTS) + 1, dtype="<f4")
    seen = struct.pack("<q" if version[0] * 10 + version[1] >= 2 else "<i", 12345)
    header = struct.pack("<3i", *version, 0) + seen
    path.write_bytes(header + values.tobytes() + extra)
    return values


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.weights"


@pytest.mark.parametrize("version", [(0, 1), (0, 2), (0, 5), (1, 0)])
def test_tensors_come_in_darknets_order(define, path, version):
    values = _write(path, version)
    network = DarknetNetwork(define(_LAYERS))

    network.load_state_dict(dict(DarknetWeights(path, define(_LAYERS))))

    first, second = network.layers[0], network.layers[2]
    tensors = (
        first.norm.bias,
        first.norm.weight,
        first.norm.running_mean,
        first.norm.running_var,
        first.conv.weight,
        second.conv.bias,
        second.conv.weight,
    )
    assert [tensor.numel() for tensor in tensors] == list(_COUNTS)
    read = torch.cat([tensor.detach().flatten() for tensor in tensors])
    np.testing.assert_array_equal(read.numpy(), values)


def test_it_is_a_mapping_of_exactly_the_state_dict(define, path):
    _write(path)
    weights = DarknetWeights(path, define(_LAYERS))
    state = DarknetNetwork(define(_LAYERS)).state_dict()

    assert set(weights) == set(state)
    assert len(weights) == len(state)
    assert {name: tensor.shape for name, tensor in weights.items()} == {
        name: tensor.shape for name, tensor in state.items()
    }
    assert "layers.0.conv.weight" in weights
    assert "layers.0.conv.bias" not in weights
    with pytest.raises(KeyError):
        weights["layers.1.conv.weight"]


def test_every_look_up_is_a_tensor_of_its_own(define, path):
    _write(path)
    weights = DarknetWeights(path, define(_LAYERS))

    weights["layers.0.norm.bias"].zero_()

    assert weights["layers.0.norm.bias"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("cut", "layer"), [(4, 2), (4 * 12, 2), (4 * 18, 2), (4 * 18 + 4, 0), (4 * sum(_COUNTS), 0)]
)
def test_a_file_that_is_too_short(define, path, cut, layer):
    _write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])

    with pytest.raises(WeightsError, match=rf"ends in layer {layer} of 2") as caught:
        DarknetWeights(path, define(_LAYERS))

    assert caught.value.expected_bytes == len(whole)
    assert caught.value.actual_bytes == len(whole) - cut
    for part in (path, define(_LAYERS).path, len(whole), len(whole) - cut):
        assert str(part) in str(caught.value)


def test_a_file_that_is_too_long(define, path):
    _write(path, extra=b"\0" * 8)

    with pytest.raises(WeightsError, match="belongs to another network") as caught:
        DarknetWeights(path, define(_LAYERS))

    assert caught.value.actual_bytes == caught.value.expected_bytes + 8


@pytest.mark.parametrize("content", [b"", b"1234567"])
def test_a_file_without_a_header(define, path, content):
    path.write_bytes(content)

    with pytest.raises(WeightsError, match="less than a header"):
        DarknetWeights(path, define(_LAYERS))


def test_a_missing_file(define, path):
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        DarknetWeights(path, define(_LAYERS))


def test_a_folder_is_no_weights_file(define, tmp_path):
    with pytest.raises(WeightsError, match="cannot be read"):
        DarknetWeights(tmp_path, define(_LAYERS))


def test_a_file_that_shrinks_while_in_use(define, path):
    _write(path)
    weights = DarknetWeights(path, define(_LAYERS))
    path.write_bytes(path.read_bytes()[:-4])

    with pytest.raises(WeightsError, match="became shorter"):
        weights["layers.2.conv.weight"]


def test_a_file_that_vanishes_while_in_use(define, path):
    _write(path)
    weights = DarknetWeights(path, define(_LAYERS))
    path.unlink()

    with pytest.raises(WeightsError, match="cannot be read"):
        weights["layers.0.norm.bias"]
