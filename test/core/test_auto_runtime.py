"""Runtimes whose budget follows the system, and that are told otherwise while they run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import (
    BudgetTooSmallError,
    InputError,
    RuntimeClosedError,
    SwapRuntime,
    auto_budget,
)
from swapnet_core.sizes import MIB
from swapnet_core.system_memory import read_memory_bounds

_POLL_S = 0.01

pytestmark = pytest.mark.skipif(
    not read_memory_bounds(), reason="this system does not tell how much memory it has free"
)


@pytest.fixture(autouse=True)
def _poll_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_budget, "POLL_S", _POLL_S)


@pytest.fixture
def runtime(cache_dir: Path) -> Iterator[SwapRuntime]:
    with SwapRuntime("auto", cache_dir=cache_dir) as runtime:
        yield runtime


def _budget_bytes(runtime: SwapRuntime) -> int:
    return runtime.report().budget_bytes


def _followers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "swapnet-memory"]


def test_a_size_ends_following_and_auto_begins_it_again(runtime: SwapRuntime) -> None:
    network, x = nn.Linear(256, 256).eval(), torch.rand(1, 256)
    with torch.inference_mode():
        expected = network(x)
    first = _budget_bytes(runtime)
    assert first > 0
    model = runtime.load("network", network, (x,))
    assert len(_followers()) == 1
    runtime.set_budget("64MiB")
    assert not _followers()
    time.sleep(5 * _POLL_S)
    assert _budget_bytes(runtime) == 64 * MIB
    runtime.set_budget("auto")
    runtime.set_budget("auto")
    assert len(_followers()) == 1
    assert _budget_bytes(runtime) > min(first, 128 * MIB) / 2
    assert torch.equal(model(x), expected)


def test_a_size_that_is_refused_leaves_the_runtime_following(runtime: SwapRuntime) -> None:
    runtime.load("network", nn.Linear(256, 256).eval(), (torch.rand(1, 256),))
    with pytest.raises(BudgetTooSmallError):
        runtime.set_budget("1KiB")
    assert len(_followers()) == 1
    with pytest.raises(ValueError, match="1 lightyear"):
        runtime.set_budget("1 lightyear")
    assert len(_followers()) == 1


def test_a_job_cannot_wait_for_the_follower_that_may_wait_for_it(runtime: SwapRuntime) -> None:
    with pytest.raises(InputError, match="outside"):
        runtime.call(lambda: runtime.set_budget("64MiB"))
    assert len(_followers()) == 1


def test_a_closed_runtime_follows_nothing(runtime: SwapRuntime) -> None:
    runtime.close()
    assert not _followers()
    with pytest.raises(RuntimeClosedError):
        runtime.set_budget("auto")
    assert not _followers()
