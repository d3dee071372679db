"""A run that is short enough for compute-sanitizer, which slows every kernel down."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gpu_parts.arms import differs_by, infer, place_of
from swapnet_core import SwapRuntime
from swapnet_core.sizes import MIB

_INFERENCES = 3
_CHANNELS = (3, 64, *(128,) * 9)


def run_short(device: str, cache_dir: Path) -> dict[str, Any]:
    """Run a small network: streamed, replayed, and by a branch that was not traced.

    Returns:
        The largest difference to the plain network, and per budget whether the plan is exact and
        what there is of graphs.
    """
    torch.manual_seed(0)
    place = place_of(device)
    network = _Net().eval().to(place)
    image = torch.rand(1, 3, 32, 32, device=place)
    expected = infer(network, (image,))
    network.detour = True
    expected_by_detour = infer(network, (image,))
    network.detour = False
    differences, found = [], []
    with SwapRuntime("1GiB", device=device, cache_dir=cache_dir) as runtime:
        model = runtime.load("short", network, (image,), cuda_graphs=True)
        stats = model.stats()
        for room_bytes in (0, 32 * MIB):
            runtime.set_budget(stats.demand_bytes - stats.weight_bytes // 2 + room_bytes)
            differences += [differs_by(model(image), expected) for _ in range(_INFERENCES)]
            found.append(
                {"is_exact": model.plan.is_exact, "graphs": str(model.stats().cuda_graphs)}
            )
        runtime.set_budget(stats.demand_bytes - stats.weight_bytes // 2)
        network.detour = True
        differences.append(differs_by(model(image), expected_by_detour))
        faults = model.stats().faults
    return {"largest_difference": max(differences), "faults": faults, "budgets": found}


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
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
