"""Networks and budgets that graphs are not for: they run as ever, and the report says why."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from swapnet_core import SwapRuntime
from swapnet_core.sizes import MIB

_WIDTH = 256
Graphed = Any
"""See `graphed` in conftest.py."""


class _Odd(nn.Module):
    """Does what a graph cannot hold, or what it would freeze."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first, self.last = (nn.Linear(_WIDTH, _WIDTH) for _ in range(2))
        self.how = how
        self.calls = 0
        self.state: torch.Tensor | float = 0.0

    def forward(self, x: torch.Tensor) -> Any:
        y = self.first(x)
        if self.how == "item":
            y = y * float(y.abs().max().item())
        elif self.how == "branch":
            y = y + 1.0 if y.sum() > 0 else y - 1.0
        elif self.how == "shape":
            y = y * y.nonzero().shape[0]
        elif self.how == "inputs":
            x.mul_(1.0)
        elif self.how == "random":
            y = y + torch.rand_like(y)
        elif self.how == "counter":
            self.calls += 1
            y = y * self.calls
        elif self.how == "state":
            y = y + self.state
            self.state = y.mean()
        elif self.how == "object":
            return _Box(self.last(y))
        return self.last(y)


class _Box:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("item", "reads values"),
        pytest.param("branch", "reads values", marks=pytest.mark.slow),
        pytest.param("shape", "reads values", marks=pytest.mark.slow),
        pytest.param("inputs", "writes into its inputs", marks=pytest.mark.slow),
        pytest.param("random", "other values", marks=pytest.mark.slow),
        pytest.param("counter", "other values", marks=pytest.mark.slow),
        ("state", "other values"),
        pytest.param("object", "outputs are no plain", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_captured_runs_as_ever_and_says_why(
    graphed: Graphed, how: str, reason: str
) -> None:
    network = _Odd(how).eval()
    plain = copy.deepcopy(network)
    with graphed.gpu.open() as opened:
        model = graphed.load(opened, network)
        for _ in range(3):
            image = graphed.image()
            output, expected = model(image), graphed.gpu.expect(plain, image)
            if how in ("item", "branch", "shape", "inputs"):
                assert torch.equal(output.cpu(), expected)
        stats = graphed.stats(model)
        assert not stats.is_used
        assert reason in stats.reason
        assert stats.replays == 0
        opened.set_budget(graphed.gpu.smallest(opened))
        assert model.plan.graph_bytes == 0  # there is no use for that memory any more
        model(image)


def test_a_capture_that_fails_all_the_same_leaves_nothing(
    graphed: Graphed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swapnet_core.capturable.reads_values", lambda func: False)
    network = _Odd("item").eval()
    plain = copy.deepcopy(network)
    with graphed.gpu.open() as opened:
        model = graphed.load(opened, network)
        other = graphed.load(opened, graphed.Net().eval(), name="other")
        for _ in range(2):
            image = graphed.image()
            assert torch.equal(model(image).cpu(), graphed.gpu.expect(plain, image))
            other(image)
        assert "cannot be captured" in graphed.stats(model).reason
        assert graphed.stats(other).is_used  # the device is none the worse


@pytest.mark.slow
def test_weights_in_another_order_than_traced_are_not_captured(graphed: Graphed) -> None:
    class Detour(graphed.Net):
        detour = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in reversed(self.layers) if self.detour else self.layers:
                x = torch.tanh(layer(x))
            return x

    network = Detour().eval()
    plain = copy.deepcopy(network)
    with graphed.gpu.open() as opened:
        model = graphed.load(opened, network)
        network.detour = plain.detour = True
        image = graphed.image()
        for _ in range(2):
            assert graphed.same(model(image), graphed.gpu.expect(plain, image))
        assert "traced order" in graphed.stats(model).reason
        network.detour = plain.detour = False
        opened.set_budget(graphed.gpu.smallest(opened) + 64 * MIB)
        for _ in range(2):
            assert graphed.same(model(image), graphed.gpu.expect(plain, image))
        assert graphed.stats(model).is_used


def test_a_budget_without_room_for_graphs_is_kept_without(graphed: Graphed) -> None:
    with graphed.loaded() as (opened, model, plain):
        model(graphed.image())
        pool_bytes = graphed.stats(model).size_bytes
        opened.set_budget(graphed.gpu.smallest(opened) + pool_bytes - 1)
        image = graphed.image()
        assert graphed.same(model(image), graphed.gpu.expect(plain, image))
        assert model.plan.graph_bytes == 0
        assert "no room" in graphed.stats(model).reason
        if graphed.gpu.calls is not None:
            assert graphed.gpu.calls.held.device_bytes <= opened.report().leased_bytes
        opened.set_budget(graphed.gpu.smallest(opened) + pool_bytes)
        assert model.plan.graph_bytes == pool_bytes
        model(image)
        # a real pool depends on the plan
        assert graphed.stats(model).is_used or graphed.gpu.calls is None


@pytest.mark.slow
def test_a_pool_larger_than_was_counted_is_given_back_until_a_plan_counts_it(
    graphed: Graphed,
) -> None:
    if graphed.gpu.calls is None:
        pytest.skip("on a simulated device, whose pools are as large as the test wants")
    graphed.gpu.calls.pool_bytes = 64 * MIB
    with graphed.gpu.open() as opened:
        model = graphed.load(opened, graphed.Net().eval())
        model(graphed.image())
        model(graphed.image())
        assert "set the budget anew" in graphed.stats(model).reason
        assert graphed.gpu.calls.held.device_bytes <= opened.report().leased_bytes
        opened.set_budget("1GiB")
        model(graphed.image())
        assert graphed.stats(model).is_used
        assert model.plan.graph_bytes == graphed.stats(model).size_bytes > 64 * MIB
        assert graphed.gpu.calls.held.device_bytes <= opened.report().leased_bytes


def test_the_cpu_has_no_graphs_and_says_so(cache_dir: Path) -> None:
    network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)).eval()
    image = torch.rand(1, 8)
    with torch.inference_mode():
        expected = network(image)
    with SwapRuntime("1GiB", device="cpu", cache_dir=cache_dir) as opened:
        model = opened.load("net", network, (image,), cuda_graphs=True)
        assert torch.equal(model(image), expected)
        stats = model.stats().cuda_graphs
        assert stats is not None
        assert "no graphs" in stats.reason
        assert model.plan.graph_bytes == 0
        plain = opened.load("plain", nn.Linear(8, 8).eval(), (image,))
        assert plain.stats().cuda_graphs is None
