"""Jobs that wait for the runtime: their order, deadlines, and their end with the runtime."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import DeadlineMissedError, RuntimeClosedError, SwapRuntime

_PLENTY = "1GiB"


class _Gate(nn.Module):
    """Waits inside of forward until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(4, 4)
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.opened.set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.entered.set()
        self.opened.wait(20)
        return self.line(x)


def _hold(gate: _Gate) -> None:
    gate.entered.clear()
    gate.opened.clear()


def test_jobs_run_by_priority_then_deadline(cache_dir: Path) -> None:
    gate, order = _Gate().eval(), []
    small = torch.zeros(1, 4)
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        blocker = runtime.load("gate", gate, (small,))
        usual = runtime.load("usual", nn.Linear(4, 4).eval(), (small,))
        urgent = runtime.load("urgent", nn.Linear(4, 3).eval(), (small,), priority=5)
        _hold(gate)
        held = blocker.submit(small)
        assert gate.entered.wait(10)
        jobs = {
            "no deadline": usual.submit(small),
            "late": usual.submit(small, deadline_s=200.0),
            "early": usual.submit(small, deadline_s=100.0),
            "urgent": urgent.submit(small),
        }
        for name, job in jobs.items():
            job.add_done_callback(lambda _job, name=name: order.append(name))
        gate.opened.set()
        for job in (held, *jobs.values()):
            job.result(10)
    assert order == ["urgent", "early", "late", "no deadline"]


def test_a_job_whose_deadline_passed_is_dropped_and_counted(cache_dir: Path) -> None:
    gate, small = _Gate().eval(), torch.zeros(1, 4)
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        blocker = runtime.load("gate", gate, (small,))
        model = runtime.load("usual", nn.Linear(4, 4).eval(), (small,), deadline_s=0.001)
        _hold(gate)
        held = blocker.submit(small)
        assert gate.entered.wait(10)
        missed = model.submit(small)
        kept = model.submit(small, deadline_s=100.0)
        threading.Event().wait(0.02)
        gate.opened.set()
        with pytest.raises(DeadlineMissedError) as refused:
            missed.result(10)
        assert refused.value.late_s > 0
        kept.result(10)
        held.result(10)
        assert model.stats().deadline_misses == 1
        assert model.stats().inferences == 1


def test_a_cancelled_job_does_not_run(cache_dir: Path) -> None:
    gate, small = _Gate().eval(), torch.zeros(1, 4)
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        blocker = runtime.load("gate", gate, (small,))
        model = runtime.load("usual", nn.Linear(4, 4).eval(), (small,))
        _hold(gate)
        held = blocker.submit(small)
        assert gate.entered.wait(10)
        job = model.submit(small)
        assert job.cancel()
        gate.opened.set()
        held.result(10)
        assert model(small) is not None
        assert model.stats().inferences == 1


def test_closing_finishes_the_present_job_and_refuses_the_queued_ones(cache_dir: Path) -> None:
    gate, small = _Gate().eval(), torch.zeros(1, 4)
    runtime = SwapRuntime(_PLENTY, cache_dir=cache_dir)
    model = runtime.load("gate", gate, (small,))
    _hold(gate)
    present = model.submit(small)
    assert gate.entered.wait(10)
    queued = model.submit(small)
    closing = threading.Thread(target=runtime.close)
    closing.start()
    with pytest.raises(RuntimeClosedError):
        queued.result(10)
    gate.opened.set()
    closing.join(10)
    assert present.result(0).shape == (1, 4)
    runtime.close()
    with pytest.raises(RuntimeClosedError):
        model(small)
    with pytest.raises(RuntimeClosedError):
        model.submit(small)
    with pytest.raises(RuntimeClosedError):
        runtime.load("other", nn.Linear(4, 4).eval(), (small,))
    model.close()
    assert runtime.report().leased_bytes == 0
