"""The bound on delays: no plan is faster, and where reads cannot run ahead some plan is as fast.

Hypothesis draws networks by the strategy of `conftest.py`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swapnet_core.bounds import least_delay_s
from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.specs import PAGE_BYTES, DeviceProfile, NetworkProfile
from swapnet_core.testing import simulated_profile

_MIB = 2**20
_BANDWIDTH = 100.0 * _MIB
_DEVICE = DeviceProfile(
    read_bandwidth_bytes_per_s=_BANDWIDTH, read_latency_s=0.0, compute_slowdown=0.0
)


def _tileable(profile: NetworkProfile, tile_s: float) -> NetworkProfile:
    """Let all layers run by any pages of their weights, each for so much more time."""
    trace = profile.trace
    layers = tuple(replace(layer, tile_unit_rows=PAGE_BYTES) for layer in trace.layers)
    tiles_s = tuple(tile_s for _ in trace.steps)
    return replace(profile, trace=replace(trace, layers=layers, step_tile_s=tiles_s))


@settings(max_examples=80, deadline=None)
@given(profile=..., share=st.floats(0.0, 1.0), tile_s=st.sampled_from([0.0, 1e-4, 1e-2]))
def test_no_plan_takes_less(profile: NetworkProfile, share: float, tile_s: float) -> None:
    if tile_s:
        profile = _tileable(profile, tile_s)
    smallest = smallest_budget_bytes(profile)
    budget_bytes = smallest + int(max(0, profile.demand_bytes - smallest) * share)
    plan = make_plan(profile, _DEVICE, budget_bytes=budget_bytes)
    least_s = least_delay_s(
        profile,
        room_bytes=budget_bytes - plan.fixed_bytes,
        read_bandwidth_bytes_per_s=_BANDWIDTH,
    )
    compute_s = profile.trace.head_compute_s + sum(profile.trace.step_compute_s)
    assert plan.predicted_latency_s >= compute_s + least_s - 1e-9


def test_a_heavy_tail_must_be_read_while_it_runs() -> None:
    # ten light cells that compute, then four heavy ones that hardly do
    profile = simulated_profile(
        cell_bytes=[_MIB] * 10 + [10 * _MIB] * 4,
        steps=range(14),
        step_compute_s=[0.1] * 10 + [0.0] * 4,
    )
    delay_s = least_delay_s(profile, room_bytes=20 * _MIB, read_bandwidth_bytes_per_s=_BANDWIDTH)
    assert delay_s == pytest.approx((40 - 20) / 100)


def test_a_layer_that_is_larger_than_the_room_runs_by_tiles() -> None:
    profile = simulated_profile(
        cell_bytes=[_MIB, 9 * _MIB], steps=range(2), step_compute_s=[1.0, 1.0]
    )
    profile = _tileable(profile, 0.25)

    def delay_s(room_mib: int) -> float:
        return least_delay_s(
            profile, room_bytes=room_mib * _MIB, read_bandwidth_bytes_per_s=_BANDWIDTH
        )

    assert delay_s(9) == 0.0
    assert delay_s(4) == pytest.approx(3 * 0.25)
    assert delay_s(3) == pytest.approx(3 * 0.25)


def test_with_room_for_everything_nothing_must_stall() -> None:
    profile = simulated_profile(cell_bytes=[_MIB] * 8, steps=range(8))
    delay_s = least_delay_s(profile, room_bytes=8 * _MIB, read_bandwidth_bytes_per_s=_BANDWIDTH)
    assert delay_s == 0.0


def _delay_of_heavy_cells(**speeds: float) -> float:
    profile = simulated_profile(
        cell_bytes=[10 * _MIB] * 4, steps=range(4), step_compute_s=[0.05] * 4
    )
    return least_delay_s(
        profile, room_bytes=10 * _MIB, read_bandwidth_bytes_per_s=_BANDWIDTH, **speeds
    )


def test_slower_compute_hides_more_reads() -> None:
    assert _delay_of_heavy_cells(compute_scale=1.0) == pytest.approx(0.3 - 0.15)
    assert _delay_of_heavy_cells(compute_scale=2.0) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_slower_reads_beside_compute_leave_more_to_stalls(share: float) -> None:
    assert _delay_of_heavy_cells(share_beside_compute=share) == pytest.approx(0.3 - 0.15 * share)
