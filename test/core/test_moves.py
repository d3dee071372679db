"""A plan that changes inside an inference, at any boundary: the output stays what it was."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core.arena import Arena
from swapnet_core.backends.cpu import CpuBackend, CpuRegion
from swapnet_core.errors import OutOfMemoryError
from swapnet_core.heap_watch import HeapWatch
from swapnet_core.holding import Holding
from swapnet_core.ledger import MemoryLedger
from swapnet_core.loading import Example, prepare
from swapnet_core.model import LoadedModel
from swapnet_core.placement import Placement
from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.specs import SwapPlan
from swapnet_core.swapper import FetchPool
from swapnet_core.testing import SIMULATED_DEVICE

_WIDTH = 160
_INPUT = torch.randn(2, _WIDTH, generator=torch.Generator().manual_seed(1))
_ORDER = (0, 1, 2, 3, 4, 2, 3, 4, 2, 3, 4, 5, 0, 6)
_BUDGETS = 5


class _Rounds(nn.Module):
    """Some layers are used once, some in rounds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(_WIDTH, _WIDTH) for _ in range(7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number in _ORDER:
            x = torch.tanh(self.layers[number](x))
        return x


class _Boundary:
    """Changes the plan at one boundary."""

    is_interrupted = True

    def __init__(self) -> None:
        self.seen = 0
        self.number = -1
        self.change: Callable[[], None] = lambda: None

    def run_interruptions(self) -> None:
        if self.seen == self.number:
            self.change()
        self.seen += 1


class _MoodyBackend(CpuBackend):
    """The CPU of a system that has no memory at times."""

    is_refusing = False

    def allocate(self, size_bytes: int) -> CpuRegion:
        if self.is_refusing:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return super().allocate(size_bytes)


class _Bench:
    """A network in real slots, under plans for several budgets."""

    def __init__(self, root: Path) -> None:
        network = _Rounds().eval()
        with torch.inference_mode():
            self.expected = network(_INPUT)
        prepared = prepare(
            root, network, Example(inputs=(_INPUT,), kwargs={}), None, lambda run: run()
        )
        self.ledger = MemoryLedger(2**30)
        self.backend = _MoodyBackend()
        arena = Arena(self.backend, self.ledger)
        self.pool = FetchPool()
        self.placement = Placement(self.pool, arena)
        self.holding = Holding(prepared.profile, prepared.block_file, arena)
        self.boundary = _Boundary()
        self.model = LoadedModel(
            "rounds",
            prepared.assembly,
            self.holding,
            self.boundary,
            rate_hz=None,
            heap=HeapWatch(),
        )
        self.plans = _plans(self.holding)

    def adopt(self, plan: SwapPlan) -> None:
        self.placement.move({self.holding: plan}, lambda: None)

    def run_and_move(self, plan: SwapPlan, boundary: int) -> bool:
        """Run, and go on by another plan from a boundary on; False where there is none."""
        self.boundary.seen, self.boundary.number = 0, boundary
        self.boundary.change = lambda: self.adopt(plan)
        assert torch.equal(self.model.run((_INPUT,), {}), self.expected)
        self.boundary.number = -1
        return self.boundary.seen > boundary

    def close(self) -> None:
        self.model.close()
        self.holding.close()
        self.placement.close()
        self.pool.close()


def _plans(holding: Holding) -> list[SwapPlan]:
    profile = holding.profile
    least = smallest_budget_bytes(profile)
    step = (profile.demand_bytes - least) // (_BUDGETS - 1)
    budgets = (least + number * step for number in range(_BUDGETS))
    return [make_plan(profile, SIMULATED_DEVICE, budget_bytes=budget) for budget in budgets]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[_Bench]:
    bench = _Bench(tmp_path)
    yield bench
    bench.close()
    assert bench.ledger.snapshot().leased_bytes == 0


def test_a_move_at_any_boundary_keeps_the_bits(bench: _Bench) -> None:
    for first, second in itertools.permutations(bench.plans, 2):
        for boundary in itertools.count():
            bench.adopt(first)
            if not bench.run_and_move(second, boundary):
                break
            assert bench.holding.plan == second
            assert torch.equal(bench.model.run((_INPUT,), {}), bench.expected)
        assert boundary >= len(_ORDER) - 1
    assert bench.model.stats().faults == 0


def test_a_move_for_which_the_system_has_no_memory_is_made_by_a_later_inference(
    bench: _Bench,
) -> None:
    first, *_, second = bench.plans
    for boundary in (0, 3):
        bench.adopt(first)
        bench.boundary.seen, bench.boundary.number = 0, boundary
        bench.boundary.change = lambda: _try_to_adopt(bench, second)
        with pytest.raises(OutOfMemoryError):
            bench.model.run((_INPUT,), {})
        bench.boundary.number = -1
        with pytest.raises(OutOfMemoryError):
            bench.model.run((_INPUT,), {})
        assert bench.holding.plan is None
        assert bench.ledger.snapshot().leased_bytes == 0
        bench.backend.is_refusing = False
        assert torch.equal(bench.model.run((_INPUT,), {}), bench.expected)
        assert bench.holding.plan == second


def _try_to_adopt(bench: _Bench, plan: SwapPlan) -> None:
    bench.backend.is_refusing = True
    with pytest.raises(OutOfMemoryError):
        bench.adopt(plan)
