"""`swapnet verify` over real block files."""

import json

import pytest
import torch
from torch import nn

from swapnet_core import SwapRuntime


@pytest.fixture
def stored(tmp_path):
    """A cache directory with one network; its data file."""
    cache = tmp_path / "networks_of_this_test"
    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8)).eval()
    with SwapRuntime("64MiB", cache_dir=cache) as runtime:
        runtime.load("net", network, (torch.rand(1, 64),))
    (data,) = (cache / "networks").glob("*/*.safetensors")
    return cache, data


def test_a_good_cache(swapnet, stored):
    cache, data = stored
    done = swapnet("verify", "--cache-dir", cache, "--json")
    assert done.exit_code == 0, done.errors
    (row,) = json.loads(done.output)
    assert row == {
        "digest": data.parent.name,
        "size_bytes": data.stat().st_size,
        "state": "good",
    }


def test_damage_is_named_and_fails(swapnet, stored):
    cache, data = stored
    content = bytearray(data.read_bytes())
    content[-5000] ^= 1
    data.write_bytes(content)
    done = swapnet("verify", "--cache-dir", cache, "--json")
    assert done.exit_code == 1
    (row,) = json.loads(done.output)
    assert str(data) in row["state"]
    assert "damaged" in row["state"] or "digest" in row["state"]


def test_a_cache_that_is_empty_is_good(swapnet, tmp_path):
    done = swapnet("verify", "--cache-dir", tmp_path / "nothing", "--json")
    assert (done.exit_code, json.loads(done.output)) == (0, [])


def test_a_network_without_its_manifest_is_reported(swapnet, stored):
    cache, data = stored
    for file in data.parent.iterdir():
        if file != data:
            file.unlink()
    done = swapnet("verify", "--cache-dir", cache, "--json")
    assert done.exit_code == 1, done.output
    (row,) = json.loads(done.output)
    assert row["state"] != "good"
