"""What operators hold beside their weights: less, where layers run by tiles."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import SwapRuntime
from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.profiling import profile_network
from swapnet_core.shares import SharedNetwork, plan_together, smallest_shared_budget_bytes
from swapnet_core.specs import NetworkProfile
from swapnet_core.testing import SIMULATED_DEVICE

_MIB = 2**20
_IMAGE = torch.rand(1, 512, 16, 16, generator=torch.Generator().manual_seed(1))
_LARGE_BYTES = 1024 * 512 * 9 * 4
"""A convolution's weight, of which its operator makes a copy in another order."""


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(512, 1024, 3, padding=1), nn.ReLU(), nn.Conv2d(1024, 16, 1), nn.Flatten()
    ).eval()


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> NetworkProfile:
    return profile_network(_network(), (_IMAGE,), cache_dir=tmp_path_factory.mktemp("cache"))


def test_a_tile_holds_a_part_of_what_the_whole_layer_holds(profile: NetworkProfile) -> None:
    trace = profile.trace
    assert trace.step_activation_bytes[0] > _LARGE_BYTES
    assert trace.step_tile_activation_bytes[0] < trace.step_activation_bytes[0] - _LARGE_BYTES // 2
    assert trace.activation_bytes == trace.step_activation_bytes[0]


def test_a_small_budget_is_spent_on_weights_and_not_on_copies(profile: NetworkProfile) -> None:
    least_bytes = smallest_budget_bytes(profile)
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=least_bytes)

    assert least_bytes < profile.trace.activation_bytes
    assert plan.activation_bytes < profile.trace.activation_bytes
    assert plan.peak_bytes <= least_bytes


def test_with_all_the_memory_layers_stay_whole(profile: NetworkProfile) -> None:
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=profile.demand_bytes + _MIB)

    assert plan.is_exact
    assert plan.activation_bytes == profile.trace.activation_bytes


def test_networks_share_one_peak_with_tiles(profile: NetworkProfile) -> None:
    networks = [SharedNetwork(name=name, profile=profile, rate_hz=1.0) for name in ("a", "b")]
    least_bytes = smallest_shared_budget_bytes(networks)
    for budget_bytes in (least_bytes, least_bytes + 4 * _MIB, 2 * profile.demand_bytes):
        plans = plan_together(networks, SIMULATED_DEVICE, budget_bytes=budget_bytes)
        peak_bytes = max(plan.activation_bytes for plan in plans)
        stream_bytes = max(plan.stream_bytes for plan in plans)
        residents = sum(plan.resident_bytes for plan in plans)
        assert peak_bytes + stream_bytes + residents <= budget_bytes
        assert any(plan.is_exact for plan in plans) == (budget_bytes > profile.demand_bytes)


def test_it_runs_in_the_smallest_budget(profile: NetworkProfile, tmp_path: Path) -> None:
    network = _network()
    with torch.inference_mode():
        expected = network(_IMAGE)
    with SwapRuntime(budget=2 * profile.demand_bytes, cache_dir=tmp_path) as runtime:
        model = runtime.load("network", network, (_IMAGE,))
        runtime.set_budget(smallest_budget_bytes(model.profile))
        output = model(_IMAGE)
        report, plan = runtime.report(), model.plan

    assert report.budget_bytes < report.models["network"].activation_bytes
    assert not plan.is_exact
    assert plan.peak_bytes < profile.demand_bytes // 2
    torch.testing.assert_close(output, expected, rtol=1e-6, atol=1e-6)
