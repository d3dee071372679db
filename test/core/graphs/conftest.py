"""A network that is loaded with CUDA graphs, on simulated devices and on a real one."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from swapnet_core import SwappedModel, SwapRuntime
from swapnet_core.reports import GraphStats

_WIDTH = 256
_DICE = torch.Generator().manual_seed(8)


class Net(nn.Module):
    """Buffers, a tied weight, operators in place, nested outputs, a weight that is an output."""

    def __init__(self, layers: int = 8, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.ModuleList(nn.Linear(_WIDTH, _WIDTH) for _ in range(layers))
        self.norm = nn.BatchNorm1d(_WIDTH)
        self.norm.running_mean.uniform_()
        self.layers[-1].weight = self.layers[1].weight

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> dict[str, Any]:
        for layer in self.layers:
            x = torch.relu_(layer(x)) * scale
        return {"y": (self.norm(x), x.sum(1)), "bias": self.layers[0].bias, "size": x.shape[0]}


class Graphed:
    """A device, and what tests of graphs do on it.

    Attributes:
        gpu: see there.
    """

    Net = Net
    width = _WIDTH

    def __init__(self, gpu: Any) -> None:
        self.gpu = gpu

    def image(self, rows: int = 2) -> torch.Tensor:
        """Another one at every call."""
        return torch.rand(rows, _WIDTH, generator=_DICE)

    def load(
        self, opened: SwapRuntime, network: nn.Module, *inputs: Any, name: str = "net"
    ) -> SwappedModel:
        return opened.load(name, network, inputs or (self.image(),), cuda_graphs=True)

    @contextmanager
    def loaded(self) -> Iterator[tuple[SwapRuntime, SwappedModel, nn.Module]]:
        """Open a runtime with a network that wants graphs; yields it, and what it is equal to."""
        network = self.Net().eval()
        plain = copy.deepcopy(network)
        with self.gpu.open() as opened:
            yield opened, self.load(opened, network), plain

    def stream(self, opened: SwapRuntime, model: SwappedModel) -> None:
        """Set a budget with room for graphs at which most of the network is streamed."""
        for _ in range(3):  # the pool is measured, with a plan like this in the end
            model(self.image())
            room_bytes = model._model.graph_bytes + 512 * 1024
            opened.set_budget(self.gpu.smallest(opened) + room_bytes)
        model(self.image())
        stats = self.stats(model)
        assert stats.is_used, stats.reason
        assert stats.graphs == len(model.plan.uses) + 1
        assert model.plan.uses

    @contextmanager
    def late(self) -> Iterator[None]:
        """Let replays be as late as they are on a GPU."""
        if self.gpu.calls is None:
            yield
            return
        self.gpu.calls.computes_late = True
        try:
            yield
        finally:
            self.gpu.calls.computes_late = False

    @staticmethod
    def stats(model: SwappedModel) -> GraphStats:
        found = model.stats().cuda_graphs
        assert found is not None
        return found

    @staticmethod
    def same(output: Any, expected: Any) -> bool:
        """Compare outputs bit for bit; `expected` is on the CPU."""
        return all(
            torch.equal(one.cpu(), other) if isinstance(other, torch.Tensor) else one == other
            for one, other in zip(tree_leaves(output), tree_leaves(expected), strict=True)
        )


@pytest.fixture
def graphed(gpu: Any) -> Graphed:
    """See `Graphed`; the device's memory is given back in the end."""
    return Graphed(gpu)
