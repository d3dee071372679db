"""Predictions for another speed of the machine."""

import pytest
import torch
from torch import nn

from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.profiling import profile_network
from swapnet_core.testing import SIMULATED_DEVICE, simulated_profile
from swapnet_ros.cli.prediction import predict_latency_s

_CELL = 1 << 20


@pytest.mark.parametrize("cells", [3, 5, 12])
def test_at_the_profiles_own_speed_it_is_what_the_plan_says(cells):
    profile = simulated_profile(cell_bytes=[_CELL] * 12, steps=[*range(12), 3, 4])
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=cells * _CELL)

    again_s = predict_latency_s(plan, profile, SIMULATED_DEVICE, compute_s=profile.trace.compute_s)

    assert again_s == pytest.approx(plan.predicted_latency_s)


def test_tiles_are_uses_too(tmp_path):
    network = nn.Sequential(nn.Linear(512, 2048), nn.ReLU(), nn.Linear(2048, 256)).eval()
    profile = profile_network(network, (torch.rand(1, 512),), cache_dir=tmp_path)
    least_bytes = smallest_budget_bytes(profile)
    for budget_bytes in (least_bytes, least_bytes + _CELL, least_bytes + 3 * _CELL):
        plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=budget_bytes)
        again_s = predict_latency_s(
            plan, profile, SIMULATED_DEVICE, compute_s=profile.trace.compute_s
        )
        assert not plan.is_exact
        assert again_s == pytest.approx(plan.predicted_latency_s)


def test_a_slower_machine_hides_reads_and_takes_its_time():
    profile = simulated_profile(cell_bytes=[_CELL] * 12, steps=range(12))
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=6 * _CELL)
    slow_s = 10 * profile.trace.compute_s

    assert predict_latency_s(plan, profile, SIMULATED_DEVICE, compute_s=slow_s) >= slow_s
