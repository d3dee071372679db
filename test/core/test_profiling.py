"""Profiles: networks run once, are left as they were, and are known to a later load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import NetworkError, SwapRuntime
from swapnet_core.profiling import profile_network
from swapnet_core.sizes import MIB


class Counted(nn.Module):
    """Knows how often it ran."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(*(nn.Linear(64, 64) for _ in range(4)))
        self.runs = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        return self.layers(image)


_IMAGE = torch.ones(1, 64)


def test_a_network_is_traced_once_and_left_as_it_was(cache_dir: Path) -> None:
    network = Counted().eval()
    expected = network(_IMAGE)
    profile = profile_network(network, (_IMAGE,), cache_dir=cache_dir)
    runs = network.runs
    assert runs > 1
    assert profile_network(network, (_IMAGE,), cache_dir=cache_dir) == profile
    assert network.runs == runs
    assert torch.equal(network(_IMAGE), expected)


def test_a_builder_with_weights_is_profiled_without_holding_them(cache_dir: Path) -> None:
    weights = Counted().state_dict()
    profile = profile_network(Counted, (_IMAGE,), weights=weights, cache_dir=cache_dir)
    assert sum(weight.size_bytes for weight in profile.trace.weights) == 4 * (64 * 64 + 64) * 4


def test_what_a_builder_builds_does_not_count_as_activations(cache_dir: Path) -> None:
    side = 2048

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(side, side), nn.Linear(side, side)).eval()

    profile = profile_network(build, (torch.ones(1, side),), cache_dir=cache_dir)
    assert profile.trace.activation_bytes < profile.weight_bytes / 4


def test_a_later_load_takes_the_profile(cache_dir: Path) -> None:
    network = Counted().eval()
    profile = profile_network(network, (_IMAGE,), cache_dir=cache_dir)
    runs = network.runs
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        model = runtime.load("network", network, (_IMAGE,))
        assert network.runs == runs
        assert model.stats().demand_bytes == profile.demand_bytes


def test_a_network_that_cannot_be_traced(cache_dir: Path) -> None:
    with pytest.raises(NetworkError):
        profile_network(Counted().train(), (_IMAGE,), cache_dir=cache_dir)


class _Drawn(Mapping[str, torch.Tensor]):
    """Makes its tensors when they are asked for, as seeded random weights do."""

    def __getitem__(self, name: str) -> torch.Tensor:
        shape = {"weight": (4096, 4096), "bias": (4096,)}[name]
        return torch.randn(shape).mul_(0.01)

    def __iter__(self) -> Iterator[str]:
        return iter(("weight", "bias"))

    def __len__(self) -> int:
        return 2


def test_weights_that_are_drawn_when_asked_for_are_no_activations(cache_dir: Path) -> None:
    inputs = (torch.ones(1, 4096),)
    profile = profile_network(
        lambda: nn.Linear(4096, 4096), inputs, weights=_Drawn(), cache_dir=cache_dir
    )
    assert profile.weight_bytes > 64 * MIB
    assert profile.trace.activation_bytes < 16 * MIB
