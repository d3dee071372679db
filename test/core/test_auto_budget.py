"""The follower: what it asks for and says, on a system made up; then a runtime in a real group."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import swapnet_core
from swapnet_core import auto_budget
from swapnet_core.auto_budget import AutoBudget
from swapnet_core.errors import BudgetTooSmallError, RuntimeClosedError, StorageError
from swapnet_core.sizes import GIB, MIB
from swapnet_core.system_memory import MemoryBound

_CHILD = Path(__file__).with_name("auto_budget_child.py")
_TIMEOUT_S = 120
_PATIENCE_S = 10.0


@dataclass
class System:
    """A machine of 8 GiB, and a core that takes whatever budget it is given."""

    free_bytes: int = 4 * GIB
    smallest_bytes: int = 0
    applied: list[int] = field(default_factory=list)
    error: Exception | None = None
    has_polled: threading.Event = field(default_factory=threading.Event)
    has_applied: threading.Event = field(default_factory=threading.Event)

    def read(self) -> tuple[MemoryBound, ...]:
        self.has_polled.set()
        bound = MemoryBound(
            source="/proc/meminfo", limit_bytes=8 * GIB, free_bytes=self.free_bytes, pressure=0.0
        )
        return (bound,)

    def apply(self, budget_bytes: int) -> None:
        self.applied.append(budget_bytes)
        self.has_applied.set()
        if self.error is not None:
            raise self.error

    def open(self) -> AutoBudget:
        return AutoBudget(
            read=self.read,
            held_bytes=lambda: 0,
            smallest_bytes=lambda: self.smallest_bytes,
            apply=self.apply,
        )

    def wait_for_polls(self, count: int) -> None:
        for _ in range(count):
            self.has_polled.clear()
            assert self.has_polled.wait(_PATIENCE_S)


@pytest.fixture(autouse=True)
def fast_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_budget, "POLL_S", 0.005)


def test_a_budget_that_leaves_the_margin_is_left_alone() -> None:
    system = System()
    with system.open() as follower:
        assert follower.budget_bytes == pytest.approx(4 * GIB - 0.1 * 8 * GIB, rel=1e-6)
        system.wait_for_polls(5)
    assert system.applied == []


def test_less_free_memory_is_followed_once_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "swapnet_core.auto_budget")
    system = System()
    with system.open() as follower:
        system.free_bytes = 2 * GIB
        assert system.has_applied.wait(_PATIENCE_S)
        system.wait_for_polls(5)
    assert system.applied == [follower.budget_bytes]
    (record,) = caplog.records
    assert record.getMessage() == (
        "budget 3.2 GiB to 1.2 GiB: /proc/meminfo has 2.0 GiB of 8.0 GiB free, beside a margin of "
        "819.2 MiB"
    )


def test_a_budget_that_is_refused_stays_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    system = System()
    system.error = BudgetTooSmallError("too small", needed_bytes=3 * GIB, budget_bytes=GIB)
    with system.open() as follower:
        first_bytes = follower.budget_bytes
        system.free_bytes = 2 * GIB
        assert system.has_applied.wait(_PATIENCE_S)
        system.wait_for_polls(10)
        assert len(system.applied) > 1
        assert follower.budget_bytes == first_bytes
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert "too small" in record.getMessage()
        system.error = None
        system.has_applied.clear()
        assert system.has_applied.wait(_PATIENCE_S)
        system.wait_for_polls(2)
    assert follower.budget_bytes < first_bytes


def test_it_never_asks_for_less_than_the_networks_need() -> None:
    system = System(smallest_bytes=3 * GIB)
    with system.open():
        system.free_bytes = 0
        assert system.has_applied.wait(_PATIENCE_S)
        system.wait_for_polls(5)
    assert system.applied == [3 * GIB]


def test_a_network_that_cannot_be_read_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    system = System(error=StorageError("the disk is gone", path=Path("/disk")))
    with system.open() as follower:
        system.free_bytes = 2 * GIB
        assert system.has_applied.wait(_PATIENCE_S)
        system.wait_for_polls(5)
    assert system.applied == [follower.budget_bytes]
    assert "the disk is gone" in caplog.text


def test_a_runtime_that_is_closed_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    system = System(free_bytes=4 * GIB, error=RuntimeClosedError("closed"))
    with system.open():
        system.free_bytes = 2 * GIB
        assert system.has_applied.wait(_PATIENCE_S)
    assert len(system.applied) == 1
    assert not caplog.records


def test_closing_twice_and_closing_unstarted() -> None:
    follower = System().open()
    follower.close()
    follower = System().open()
    follower.start()
    follower.close()
    follower.close()


def test_a_runtime_in_a_full_group_gives_memory_up_and_takes_it_back(
    memory_group: Path, cache_dir: Path
) -> None:
    done = subprocess.run(
        [sys.executable, str(_CHILD), str(memory_group), str(cache_dir)],
        env={**os.environ, "PYTHONPATH": str(Path(swapnet_core.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["source"] == str(memory_group)
    assert facts["is_exact"]
    assert facts["shrunk_bytes"] < facts["first_bytes"] - 100 * MIB
    # Shrunk to what keeps the margin, or to the least that the network needs.
    margin_bytes = facts["margin_bytes"]
    is_least = facts["shrunk_bytes"] == facts["smallest_bytes"]
    assert is_least or facts["shrunk_free_bytes"] >= 0.5 * margin_bytes
    assert facts["regrown_bytes"] > facts["shrunk_bytes"] + 50 * MIB
