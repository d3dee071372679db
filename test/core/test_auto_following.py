"""Budgets that follow a recorded system, whose free memory the test moves."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import InputError, SwapRuntime, auto_budget, hardware, margin
from swapnet_core.sizes import MIB
from swapnet_core.system_memory import read_memory_bounds

WaitUntil = Callable[[Callable[[], bool]], None]

_TOTAL_BYTES = 1024 * MIB
_IMAGE = torch.randn(2, 256, generator=torch.Generator().manual_seed(1))


class _System:
    """A `/proc/meminfo` of 1 GiB; a tenth, but at least 128 MiB, is to stay free."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc").mkdir(parents=True)
        self.set_free(400 * MIB)

    def set_free(self, free_bytes: int) -> None:
        text = f"MemTotal: {_TOTAL_BYTES // 1024} kB\nMemAvailable: {free_bytes // 1024} kB\n"
        new = self.root / "new"
        new.write_text(text)
        new.replace(self.root / "proc/meminfo")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _System:
    system = _System(tmp_path / "system")
    read = functools.partial(read_memory_bounds, system.root)
    monkeypatch.setattr(hardware, "read_memory_bounds", read)
    monkeypatch.setattr(auto_budget, "POLL_S", 0.005)
    monkeypatch.setattr(margin, "CALM_S", 0.02)
    return system


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(256, 256) for _ in range(40))).eval()


def test_the_budget_follows_the_free_memory_down_and_up(
    system: _System, cache_dir: Path, wait_until: WaitUntil
) -> None:
    network = _network()
    with torch.inference_mode():
        expected = network(_IMAGE)
    with SwapRuntime("auto", cache_dir=cache_dir) as opened:
        assert opened.report().budget_bytes == 400 * MIB - margin.margin_of(_TOTAL_BYTES)
        model = opened.load("network", network, (_IMAGE,))
        held = opened.report().leased_bytes
        assert torch.equal(model(_IMAGE), expected)
        # The network holds `held`, and 124 MiB are free: 4 MiB less than the margin.
        system.set_free(124 * MIB)
        wait_until(lambda: opened.report().leased_bytes < held)
        report = opened.report()
        assert report.budget_bytes < held
        assert report.leased_bytes <= report.peak_bytes <= report.budget_bytes
        assert torch.equal(model(_IMAGE), expected)
        system.set_free(400 * MIB)
        wait_until(lambda: opened.report().budget_bytes > 64 * MIB)
        assert torch.equal(model(_IMAGE), expected)
        assert model.stats().streamed_bytes == 0


def test_it_shrinks_to_what_the_networks_need_and_no_further(
    system: _System, cache_dir: Path, wait_until: WaitUntil
) -> None:
    network = _network()
    with torch.inference_mode():
        expected = network(_IMAGE)
    with SwapRuntime("auto", cache_dir=cache_dir) as opened:
        model = opened.load("network", network, (_IMAGE,))
        system.set_free(0)
        needed = opened._fleet.smallest_bytes()
        wait_until(lambda: opened.report().budget_bytes == needed)
        assert torch.equal(model(_IMAGE), expected)
        assert opened.report().leased_bytes <= needed


def test_a_system_that_tells_nothing_is_refused(system: _System, cache_dir: Path) -> None:
    (system.root / "proc/meminfo").unlink()
    with pytest.raises(InputError, match="meminfo"):
        SwapRuntime("auto", cache_dir=cache_dir)
