"""The desk: an answer at once, the smallest budget later, and only the newest question counts."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import SwapRuntime
from swapnet_core.admission import AdmissionDesk
from swapnet_core.policy import assess, load_of
from swapnet_core.shares import SharedNetwork, plan_together, smallest_shared_budget_bytes
from swapnet_core.testing import SIMULATED_DEVICE, simulated_profile

_CELL = 4 * 2**20
_CELLS = 24
_WAIT_S = 30.0


def _networks(*rates_hz: float | None) -> list[SharedNetwork]:
    profile = simulated_profile(cell_bytes=[_CELL] * _CELLS, steps=range(_CELLS))
    return [
        SharedNetwork(name=f"n{number}", profile=profile, rate_hz=rate_hz)
        for number, rate_hz in enumerate(rates_hz)
    ]


def _ask(desk: AdmissionDesk, networks: list[SharedNetwork], share: float = 0.3) -> int:
    """Ask under a budget between the least and all; returns it."""
    least = smallest_shared_budget_bytes(networks)
    full = sum(network.profile.demand_bytes for network in networks)
    budget = least + int((full - least) * share)
    plans = plan_together(networks, SIMULATED_DEVICE, budget_bytes=budget)
    desk.review(networks, plans, SIMULATED_DEVICE, budget)
    return budget


def _wait_for_budget(desk: AdmissionDesk) -> int:
    for _ in range(int(_WAIT_S / 0.01)):
        answer = desk.answer
        if answer is not None and answer.enough_budget_bytes is not None:
            return answer.enough_budget_bytes
        threading.Event().wait(0.01)
    raise AssertionError("no budget was found")


def _fits_at(networks: list[SharedNetwork], budget_bytes: int) -> bool:
    plans = plan_together(networks, SIMULATED_DEVICE, budget_bytes=budget_bytes)
    loads = [
        load_of(network.name, network.rate_hz, network.profile, plan)
        for network, plan in zip(networks, plans, strict=True)
    ]
    return assess(loads, SIMULATED_DEVICE).fits


def _searches() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "swapnet-admission"]


def test_rates_that_fit_are_answered_at_once_and_the_smallest_budget_follows() -> None:
    desk, networks = AdmissionDesk(), _networks(2.0, 1.0)
    assert desk.answer is None
    budget = _ask(desk, networks)
    answer = desk.answer
    assert answer is not None
    assert answer.fits
    assert [network.name for network in answer.networks] == ["n0", "n1"]
    enough = _wait_for_budget(desk)
    assert smallest_shared_budget_bytes(networks) <= enough <= budget
    assert _fits_at(networks, enough)
    desk.close()


def test_rates_that_do_not_fit_are_said_and_a_larger_budget_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # 24 ms of compute, but 100 ms of reading: at 15 Hz only residents help.
    desk, networks = AdmissionDesk(), _networks(15.0)
    budget = _ask(desk, networks, share=0.0)
    answer = desk.answer
    assert answer is not None
    assert not answer.fits
    assert answer.read_share > 1.0 > answer.compute_share
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "do not fit" in record.getMessage()
    enough = _wait_for_budget(desk)
    assert enough > budget
    assert _fits_at(networks, enough)
    desk.close()


def test_without_rates_nothing_is_searched_and_without_networks_nothing_is_said() -> None:
    desk = AdmissionDesk()
    _ask(desk, _networks(None))
    answer = desk.answer
    assert answer is not None
    assert answer.fits
    assert answer.enough_budget_bytes is None
    assert _searches() == []
    desk.review([], [], SIMULATED_DEVICE, 1)
    assert desk.answer is None
    desk.close()


def test_only_the_newest_question_is_answered() -> None:
    desk = AdmissionDesk()
    for _ in range(4):
        _ask(desk, _networks(15.0, 2.0), share=0.1)
    _ask(desk, _networks(2.0))
    _wait_for_budget(desk)
    for thread in _searches():
        thread.join(_WAIT_S)
    answer = desk.answer
    assert answer is not None
    assert [network.name for network in answer.networks] == ["n0"]
    assert answer.fits
    desk.close()


def test_closing_ends_every_search_and_keeps_the_answer() -> None:
    desk = AdmissionDesk()
    for _ in range(4):
        _ask(desk, _networks(15.0, 2.0), share=0.1)
    desk.close()
    assert _searches() == []
    assert desk.answer is not None
    desk.close()


def test_networks_that_run_slower_than_they_were_known_to_are_looked_at_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk, networks = AdmissionDesk(), _networks(2.0, 1.0)
    _ask(desk, networks, share=1.0)
    enough = _wait_for_budget(desk)
    answer = desk.answer
    desk.refresh(_slowed(networks, 1.2))
    desk.refresh(_slowed(networks[:1], 20.0))  # others than were asked about
    assert desk.answer is answer
    assert caplog.text == ""
    desk.refresh(_slowed(networks, 12.0))
    assert desk.answer is not None
    assert desk.answer.compute_share == pytest.approx(12.0 * answer.compute_share)
    assert desk.answer.busy_share >= desk.answer.compute_share
    assert desk.answer.fits
    assert _wait_for_budget(desk) >= enough
    desk.refresh(_slowed(networks, 40.0))  # too soon
    assert desk.answer.fits
    desk.close()
    desk.refresh(networks)
    assert _searches() == []


def _slowed(networks: list[SharedNetwork], factor: float) -> list[SharedNetwork]:
    return [replace(network, profile=network.profile.slowed(factor)) for network in networks]


class _Sleeper(nn.Module):
    """Takes as long as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(8, 8)
        self.duration_s = 0.005

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.line(x)
        time.sleep(self.duration_s)
        return x


def test_the_report_knows_how_long_inferences_take_of_late(cache_dir: Path) -> None:
    image, sleeper = torch.rand(1, 8), _Sleeper().eval()
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        model = runtime.load("sleeper", sleeper, (image,), rate_hz=5.0)
        before = runtime.report().admission
        assert before is not None
        sleeper.duration_s = 0.1
        for _ in range(32):
            model(image)
        after = runtime.report().admission
        assert after is not None
        assert after.compute_share > 1.25 * before.compute_share


def _network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(*(nn.Linear(256, 256) for _ in range(6))).eval()


def test_the_report_answers_for_what_is_loaded_at_present(cache_dir: Path) -> None:
    image = torch.rand(1, 256)
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        assert runtime.report().admission is None
        first = runtime.load("first", _network(0), (image,), rate_hz=1.0)
        second = runtime.load("second", _network(1), (image,), rate_hz=1e6)
        admission = runtime.report().admission
        assert admission is not None
        assert not admission.fits
        assert [(network.name, network.rate_hz) for network in admission.networks] == [
            ("first", 1.0),
            ("second", 1e6),
        ]
        second.close()
        admission = runtime.report().admission
        assert admission is not None
        assert admission.fits
        assert [network.name for network in admission.networks] == ["first"]
        first.close()
        assert runtime.report().admission is None
    assert _searches() == []
