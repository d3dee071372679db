"""Admission: the answer agrees with its figures, for any loads; budgets that would do, do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.policy import Load, admit, assess, find_enough, load_of
from swapnet_core.specs import NetworkProfile
from swapnet_core.testing import SIMULATED_DEVICE, simulated_profile

_CELL = 64 * 1024
_BANDWIDTH = SIMULATED_DEVICE.read_bandwidth_bytes_per_s


@st.composite
def loads(draw: st.DrawFn) -> Load:
    """A load as a plan could cost it: no inference is faster than its compute."""
    compute_s = draw(st.floats(1e-4, 1.0))
    return Load(
        name=draw(st.sampled_from("abcd")),
        rate_hz=draw(st.none() | st.floats(0.1, 60.0)),
        compute_s=compute_s,
        streamed_bytes=draw(st.integers(0, 10**9)),
        latency_s=compute_s * draw(st.floats(1.0, 3.0)),
    )


@given(st.lists(loads(), max_size=6))
def test_the_answer_agrees_with_its_figures(several: list[Load]) -> None:
    answer = assess(several, SIMULATED_DEVICE)
    declared = [load for load in several if load.rate_hz]
    assert answer.compute_share == pytest.approx(sum(x.rate_hz * x.compute_s for x in declared))
    read_s = sum(x.rate_hz * x.streamed_bytes for x in declared) / _BANDWIDTH
    assert answer.read_share == pytest.approx(read_s)
    assert answer.busy_share == pytest.approx(sum(x.rate_hz * x.latency_s for x in declared))
    most = max(answer.compute_share, answer.read_share, answer.busy_share)
    assert answer.fits == (most <= 1.0)
    assert ("do not fit" in answer.reason) == (not answer.fits)
    assert [network.name for network in answer.networks] == [load.name for load in several]


@given(st.lists(loads(), min_size=1, max_size=6))
def test_reachable_rates_fit(several: list[Load]) -> None:
    networks = assess(several, SIMULATED_DEVICE).networks
    reached = [
        Load(
            name=load.name,
            rate_hz=network.reachable_rate_hz,
            compute_s=load.compute_s,
            streamed_bytes=0,
            latency_s=load.latency_s,
        )
        for load, network in zip(several, networks, strict=True)
    ]
    answer = assess(reached, SIMULATED_DEVICE)
    assert max(answer.compute_share, answer.busy_share) <= 1.0 + 1e-9
    for load, network in zip(several, networks, strict=True):
        assert network.reachable_rate_hz >= 0.0
        if load.rate_hz:
            assert network.reachable_rate_hz <= load.rate_hz


@given(st.integers(1, 10**10), st.integers(0, 10**10), st.floats(0.0, 1.0))
def test_the_smallest_budget_is_one_that_was_tried(least: int, more: int, share: float) -> None:
    needed = least + int(more * share)
    tried = []

    def is_enough(budget_bytes: int) -> bool:
        tried.append(budget_bytes)
        return budget_bytes >= needed

    enough = find_enough(is_enough, least_bytes=least, enough_bytes=least + more)
    assert enough in (*tried, least + more)
    assert needed <= enough <= needed + max(4096, more // 64)
    assert len(tried) <= 8


def _network(cells: int, compute_s: float) -> NetworkProfile:
    return simulated_profile(
        cell_bytes=[_CELL] * cells, steps=range(cells), step_compute_s=[compute_s] * cells
    )


class _Planned:
    """One network that is planned by the real planner; counts the plans."""

    def __init__(self, rate_hz: float | None, compute_s: float = 1e-5) -> None:
        self.profile = _network(16, compute_s)
        self.least_bytes = smallest_budget_bytes(self.profile)
        self.full_bytes = self.profile.weight_bytes
        self._rate_hz = rate_hz
        self.plans = 0

    def __call__(self, budget_bytes: int) -> Sequence[Load]:
        self.plans += 1
        plan = make_plan(self.profile, SIMULATED_DEVICE, budget_bytes=budget_bytes)
        return [load_of("net", self._rate_hz, self.profile, plan)]

    def admit(self, budget_bytes: int):
        return admit(
            self,
            SIMULATED_DEVICE,
            budget_bytes=budget_bytes,
            least_bytes=self.least_bytes,
            full_bytes=self.full_bytes,
        )


@settings(max_examples=30, deadline=None)
@given(st.floats(1.0, 5000.0), st.floats(0.0, 1.5))
def test_a_budget_that_is_said_to_do_does(rate_hz: float, share: float) -> None:
    network = _Planned(rate_hz)
    budget_bytes = network.least_bytes + int((network.full_bytes - network.least_bytes) * share)
    answer = network.admit(budget_bytes)
    assert answer.fits == assess(network(budget_bytes), SIMULATED_DEVICE).fits
    if answer.enough_budget_bytes is not None:
        assert network.least_bytes <= answer.enough_budget_bytes
        assert assess(network(answer.enough_budget_bytes), SIMULATED_DEVICE).fits
    if answer.fits:
        assert answer.enough_budget_bytes <= budget_bytes
    elif answer.compute_share <= 1.0:
        assert answer.enough_budget_bytes > budget_bytes


def test_reads_that_are_too_much_name_a_budget_that_would_do() -> None:
    network = _Planned(rate_hz=2000.0)
    answer = network.admit(network.least_bytes)
    assert not answer.fits
    assert answer.compute_share < 1.0 < answer.read_share
    assert answer.enough_budget_bytes is not None
    assert "a budget of" in answer.reason
    assert network.admit(answer.enough_budget_bytes).fits


def test_compute_that_is_too_much_has_no_budget_that_would_do() -> None:
    network = _Planned(rate_hz=128.0, compute_s=1 / 1024)
    answer = network.admit(network.full_bytes)
    assert answer.compute_share == pytest.approx(2.0)
    assert (answer.fits, answer.enough_budget_bytes) == (False, None)
    assert "no budget helps: ask for at most 50 % of the rates" in answer.reason
    assert answer.networks[0].reachable_rate_hz == pytest.approx(64.0)
    assert network.plans == 1


def test_without_rates_every_budget_does_and_one_plan_is_enough() -> None:
    network = _Planned(rate_hz=None)
    answer = network.admit(network.full_bytes)
    assert answer.fits
    assert answer.enough_budget_bytes == network.least_bytes
    assert network.plans == 1
    assert "no rates are declared" in answer.reason


def test_a_network_without_a_rate_gets_the_time_that_is_left() -> None:
    steady = Load(name="steady", rate_hz=5.0, compute_s=0.1, streamed_bytes=0, latency_s=0.1)
    spare = Load(name="spare", rate_hz=None, compute_s=0.25, streamed_bytes=0, latency_s=0.25)
    answer = assess([steady, spare], SIMULATED_DEVICE)
    assert [network.reachable_rate_hz for network in answer.networks] == [5.0, 2.0]


def test_nothing_loaded_fits() -> None:
    answer = assess([], SIMULATED_DEVICE)
    assert (answer.fits, answer.busy_share, answer.networks) == (True, 0, ())
