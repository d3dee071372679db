"""A run that is short enough for compute-sanitizer, which slows every kernel down."""

from __future__ import annotations

import copy
import itertools
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gpu_parts.arms import differs_by, infer, place_of
from swapnet_core import SwapRuntime

_INFERENCES = 3
_PLENTY = "1GiB"
_CHANNELS = (3, 64, *(128,) * 9)


def run_short(device: str, cache_dir: Path) -> dict[str, Any]:
    """Run a small network: streamed, by a branch that was not traced, and replayed.

    Returns:
        The largest difference to the plain network; how much was streamed, and whether by exact
        plans; weights read out of order; what there is of graphs.
    """
    network = _Net().eval()
    place = place_of(device)
    image = torch.rand(1, 3, 32, 32, device=place)
    plain = copy.deepcopy(network).to(place)
    expected = infer(plain, (image,))
    plain.detour = True
    expected_by_detour = infer(plain, (image,))
    differences, plans = [], []
    with SwapRuntime(_PLENTY, device=device, cache_dir=cache_dir) as runtime:
        model = runtime.load("short", network, (image,))
        stats = model.stats()
        runtime.set_budget(stats.demand_bytes - stats.weight_bytes // 3)
        differences += [differs_by(model(image), expected) for _ in range(_INFERENCES)]
        network.detour = True
        differences.append(differs_by(model(image), expected_by_detour))
        plans.append(model.plan)
        faults = model.stats().faults
    with SwapRuntime(_PLENTY, device=device, cache_dir=cache_dir) as runtime:
        model = runtime.load("short", _Net().eval(), (image,), cuda_graphs=True)
        differences.append(differs_by(model(image), expected))
        graphs = model.stats().cuda_graphs
        pool_bytes = graphs.size_bytes if graphs is not None else 0
        runtime.set_budget(stats.demand_bytes - stats.weight_bytes // 3 + pool_bytes)
        differences += [differs_by(model(image), expected) for _ in range(_INFERENCES)]
        plans.append(model.plan)
        graphs = model.stats().cuda_graphs
    return {
        "largest_difference": max(differences),
        "streamed_bytes": [plan.streamed_bytes for plan in plans],
        "are_exact": [plan.is_exact for plan in plans],
        "faults": faults,
        "graphs": None if graphs is None else asdict(graphs),
    }


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        pairs = itertools.pairwise(_CHANNELS)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairs)
        self.norm = nn.BatchNorm2d(_CHANNELS[-1])
        self.detour = False

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        first, *others = self.layers
        for layer in (first, *(others[:1] + others[:0:-1] if self.detour else others)):
            image = torch.relu(layer(image))
        normed: torch.Tensor = self.norm(image)
        return normed
