"""Inferences that leave the traced order: branches, early exits, errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import SwapRuntime
from swapnet_core.specs import round_up

_WIDTH = 160  # a layer of this width is larger than a cell of the block file


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return build().eval()


def _rows(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _chain(layers: int) -> nn.Sequential:
    parts = [nn.Sequential(nn.Linear(_WIDTH, _WIDTH), nn.ReLU()) for _ in range(layers)]
    return nn.Sequential(*parts)


class _Branches(nn.Module):
    """Which half runs, and in which order, is in the data."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(_WIDTH, _WIDTH)
        self.left = _chain(3)
        self.right = _chain(3)
        self.tail = nn.Linear(_WIDTH, _WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        goes_left = float(x.flatten()[0]) > 0
        x = self.left(x) if goes_left else self.left[1](self.right(x))
        return self.tail(x)


def _signed(network: nn.Module, sign: int) -> torch.Tensor:
    for seed in range(100):
        x = _rows(seed, 2, _WIDTH)
        with torch.inference_mode():
            value = float(network.stem(x).flatten()[0])
        if value * sign > 0:
            return x
    raise AssertionError("no such input")


def test_a_branch_that_was_not_traced_is_a_fault_and_exact(cache_dir: Path) -> None:
    network = _seeded(_Branches)
    usual, other = _signed(network, 1), _signed(network, -1)
    with torch.inference_mode():
        expected, expected_other = network(usual), network(other)
    with SwapRuntime("1GiB", cache_dir=cache_dir) as runtime:
        model = runtime.load("network", network, (usual,))
        # One slot to give up, and what is too little for another layer: enough for one copy.
        layer_bytes = round_up((_WIDTH + 1) * _WIDTH * 4)
        runtime.set_budget(model.plan.fixed_bytes + 3 * layer_bytes + layer_bytes // 2)
        assert torch.equal(model(usual), expected)
        assert model.stats().faults == 0
        assert torch.equal(model(other), expected_other)
        faults = model.stats().faults
        assert faults > 0
        for _ in range(2):
            assert torch.equal(model(usual), expected)
        assert model.stats().faults == faults
        assert torch.equal(model(other), expected_other)
        assert model.stats().faults > faults
        assert runtime.report().peak_bytes <= runtime.report().budget_bytes


def test_a_fault_takes_what_is_free_of_the_budget(cache_dir: Path) -> None:
    network = _seeded(_Branches)
    usual, other = _signed(network, 1), _signed(network, -1)
    with torch.inference_mode():
        expected_other = network(other)
    with SwapRuntime("1GiB", cache_dir=cache_dir) as runtime:
        model = runtime.load("network", network, (usual,))
        assert model.plan.stream_bytes == 0  # no slots that could be given up
        held = runtime.report().leased_bytes
        assert torch.equal(model(other), expected_other)
        assert runtime.report().leased_bytes == held


class _Exits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = _chain(6)

    def forward(self, x: torch.Tensor, layers: int = 6) -> torch.Tensor:
        for number in range(layers):
            x = self.body[number](x)
        return x


def test_an_early_exit_is_no_fault_and_the_next_call_is_whole(cache_dir: Path) -> None:
    network = _seeded(_Exits)
    x = _rows(1, 2, _WIDTH)
    with torch.inference_mode():
        expected = {layers: network(x, layers) for layers in (0, 2, 6)}
    with SwapRuntime("1GiB", cache_dir=cache_dir) as runtime:
        model = runtime.load("network", network, (x,))
        runtime.set_budget(model.plan.fixed_bytes + int(model.stats().weight_bytes * 0.5))
        for layers in (6, 2, 6, 0, 2, 6, 6):
            assert torch.equal(model(x, layers), expected[layers])
        assert model.stats().faults == 0


class _Fails(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = _chain(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number, part in enumerate(self.body):
            if number == 3 and bool(x.isnan().any()):
                raise ArithmeticError("not a number")
            x = part(x)
        return x


def test_an_error_inside_of_the_network_reaches_the_caller_and_harms_no_other_call(
    cache_dir: Path,
) -> None:
    network = _seeded(_Fails)
    x = _rows(1, 2, _WIDTH)
    with torch.inference_mode():
        expected = network(x)
    with SwapRuntime("1GiB", cache_dir=cache_dir) as runtime:
        model = runtime.load("network", network, (x,))
        runtime.set_budget(model.plan.fixed_bytes + int(model.stats().weight_bytes * 0.5))
        for _ in range(3):
            with pytest.raises(ArithmeticError, match="not a number"):
                model(torch.full_like(x, torch.nan))
            assert torch.equal(model(x), expected)
        with pytest.raises(RuntimeError, match="shape"):
            model(_rows(1, 2, 3))
        assert torch.equal(model(x), expected)
        assert model.stats().inferences == 4
