"""The module of a loaded network: its values, copies of it, and what it may not be."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import NetworkError, SwapRuntime

_WIDTH = 160  # a layer of this width is larger than a cell of the block file
_INPUT = torch.randn(2, _WIDTH, generator=torch.Generator().manual_seed(1))


def _chain() -> nn.Sequential:
    torch.manual_seed(0)
    parts = [nn.Sequential(nn.Linear(_WIDTH, _WIDTH), nn.ReLU()) for _ in range(6)]
    return nn.Sequential(*parts).eval()


def _tied() -> nn.Sequential:
    """An embedding and a head with one weight, and layers between them."""
    body = _chain()[:3]
    embed = nn.Embedding(_WIDTH * 4, _WIDTH)
    head = nn.Linear(_WIDTH, _WIDTH * 4, bias=False)
    head.weight = embed.weight
    return nn.Sequential(embed, body, head).eval()


def test_a_loaded_network_still_shows_its_real_values(cache_dir: Path) -> None:
    network = _tied()
    tokens = torch.randint(0, _WIDTH * 4, (2, 9))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    named = {name: value.detach().clone() for name, value in network.named_parameters()}
    with torch.inference_mode():
        expected = network(tokens)
    with SwapRuntime("1GiB", cache_dir=cache_dir) as runtime:
        model = runtime.load("network", network, (tokens,))
        runtime.set_budget(model.plan.fixed_bytes + int(model.stats().weight_bytes * 0.9))
        state = network.state_dict()
        assert list(state) == list(before)
        assert all(torch.equal(state[name], value) for name, value in before.items())
        found = dict(network.named_parameters())
        assert all(torch.equal(found[name], value) for name, value in named.items())
        twin = copy.deepcopy(network)
        assert torch.equal(model(tokens), expected)
    with torch.inference_mode():
        assert torch.equal(twin(tokens), expected)
    twin_state = twin.state_dict()
    assert all(torch.equal(twin_state[name], value) for name, value in before.items())


def test_a_copy_of_a_loaded_recurrent_network_runs(cache_dir: Path) -> None:
    torch.manual_seed(0)
    network, x = nn.LSTM(48, 64, 2).eval(), torch.randn(7, 2, 48)
    with torch.inference_mode():
        expected, _ = network(x)
    with SwapRuntime("1GiB", cache_dir=cache_dir) as runtime:
        runtime.load("network", network, (x,))
        twin = copy.deepcopy(network)
    with torch.inference_mode():
        assert torch.equal(twin(x)[0], expected)


def test_a_weight_of_a_loaded_network_cannot_be_replaced(cache_dir: Path) -> None:
    network = _chain()
    with SwapRuntime("1GiB", cache_dir=cache_dir) as runtime:
        runtime.load("network", network, (_INPUT,))
        with pytest.raises(NetworkError, match="weight"):
            network[0][0].weight = nn.Parameter(torch.zeros(_WIDTH, _WIDTH))


def test_a_network_in_training_mode_is_refused_by_name(cache_dir: Path) -> None:
    network = _chain()
    network[2].train()
    with (
        SwapRuntime("1GiB", cache_dir=cache_dir) as runtime,
        pytest.raises(NetworkError, match=r"'2' is in training mode.*eval"),
    ):
        runtime.load("network", network, (_INPUT,))


def test_a_scripted_network_is_refused(cache_dir: Path) -> None:
    with pytest.warns(FutureWarning, match="deprecated"):
        network = torch.jit.trace(_chain(), _INPUT)
    with (
        SwapRuntime("1GiB", cache_dir=cache_dir) as runtime,
        pytest.raises(NetworkError, match="script"),
    ):
        runtime.load("network", network, (_INPUT,))
