"""Part of what is streamed stays in host memory: which requests, and what that does to plans."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from swapnet_core.host_tier import choose_places, host_share, plan_beside_host
from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.requests import cut_evenly
from swapnet_core.specs import DeviceProfile, NetworkProfile
from swapnet_core.testing import SIMULATED_DEVICE, simulated_profile

_PAGE = 4096
_REQUEST_BYTES = 16 * _PAGE
_DEVICE = replace(SIMULATED_DEVICE, copy_bandwidth_bytes_per_s=2e10)


@given(profile=..., share=st.floats(0.0, 1.0))
def test_places_are_apart_and_within_the_memory(profile: NetworkProfile, share: float) -> None:
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=smallest_budget_bytes(profile))
    streamed = {block: plan.blocks[block].size_bytes for block in plan.uses}
    host_bytes = int(sum(streamed.values()) * share)
    places = choose_places(replace(plan, host_bytes=host_bytes), _REQUEST_BYTES)
    end = 0
    for (block, offset), (begin, next_end) in places.items():
        assert begin == end
        assert (offset, next_end - begin) in cut_evenly(streamed[block], _REQUEST_BYTES)
        end = next_end
    assert end <= host_bytes
    assert host_bytes - end < 2 * _REQUEST_BYTES
    if share == 1.0:
        assert end == host_bytes


def test_places_are_spread_over_the_inference() -> None:
    profile = simulated_profile(cell_bytes=[_REQUEST_BYTES] * 64, steps=range(64))
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=4 * _REQUEST_BYTES)
    streamed_bytes = sum(plan.blocks[block].size_bytes for block in set(plan.uses))
    places = choose_places(replace(plan, host_bytes=streamed_bytes // 4), _REQUEST_BYTES)
    order = {block: number for number, block in enumerate(dict.fromkeys(plan.uses))}
    numbers = [order[block] for block, _ in places]
    count = len(order)
    for quarter in range(4):
        there = [n for n in numbers if quarter * count <= 4 * n < (quarter + 1) * count]
        assert abs(len(there) - len(numbers) / 4) <= 2


def test_plans_know_two_speeds() -> None:
    profile = simulated_profile(
        cell_bytes=[2**20] * 32, steps=range(32), step_compute_s=[1e-4] * 32
    )

    def plan_for(device: DeviceProfile) -> list:
        return [make_plan(profile, device, budget_bytes=12 * 2**20)]

    latencies_s = []
    for host_budget_bytes in (0, 8 * 2**20, 32 * 2**20):
        (plan,) = plan_beside_host(plan_for, _DEVICE, host_budget_bytes)
        assert plan.host_bytes <= host_budget_bytes
        latencies_s.append(plan.predicted_latency_s)
        if host_budget_bytes == 32 * 2**20:
            assert host_share([plan]) == 1.0
    assert latencies_s[0] > 1.2 * latencies_s[1] > 2.0 * latencies_s[2]


def test_the_bus_bounds_what_host_memory_gains() -> None:
    assert _DEVICE.with_host_share(0.0) == _DEVICE
    assert _DEVICE.with_host_share(0.5).read_bandwidth_bytes_per_s == 2e9
    for share in (0.99, 1.0):
        assert _DEVICE.with_host_share(share).read_bandwidth_bytes_per_s == 2e10
    assert SIMULATED_DEVICE.with_host_share(0.5) == SIMULATED_DEVICE
