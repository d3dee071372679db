"""A budget that moves while networks run: exact results, and never more held than allowed."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import BudgetTooSmallError, SwappedModel, SwapRuntime, runtime
from swapnet_core.backends.cpu import CpuBackend, CpuRegion
from swapnet_core.hardware import on_cpu
from swapnet_core.sizes import MIB

_WAIT_S = 30.0
_ROUNDS = 40


class _Gate(nn.Module):
    """Says that an inference has come so far."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.reached.set()
        return x


class _Rounds(nn.Module):
    """Goes round and round its layers, and waits inside of the inference for an event."""

    def __init__(self, event: threading.Event) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_linears(5))
        self.event = event
        self.has_seen = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number in range(_ROUNDS * len(self.layers)):
            x = torch.tanh(self.layers[number % len(self.layers)](x))
            self.has_seen = self.event.wait(_WAIT_S / _ROUNDS / len(self.layers))
        return x


class _Whole(nn.Linear):
    """Never run by tiles, which may change last bits: only exactly `nn.Linear` is."""


def _linears(count: int, side: int = 256) -> list[nn.Module]:
    return [_Whole(side, side) for _ in range(count)]


@pytest.mark.parametrize("first", ["5.5MiB", "3.8MiB"])
@pytest.mark.parametrize("second", ["5.5MiB", "3.7MiB"])
def test_a_budget_takes_effect_inside_an_inference(
    first: str, second: str, cache_dir: Path
) -> None:
    moved = threading.Event()
    moved.set()
    gate, rounds = _Gate(), _Rounds(moved)
    network = nn.Sequential(*_linears(6), gate, rounds, *_linears(5)).eval()
    image = torch.rand(1, 256)
    with torch.inference_mode():
        expected = network(image)
    with SwapRuntime(first, cache_dir=cache_dir) as runtime:
        model = runtime.load("network", network, (image,))
        moved.clear()
        gate.reached.clear()
        future = model.submit(image)
        assert gate.reached.wait(_WAIT_S)
        runtime.set_budget(second)
        report = runtime.report()
        moved.set()
        assert torch.equal(future.result(_WAIT_S), expected)
        assert rounds.has_seen, "the budget had to wait for the end of the inference"
        assert report.leased_bytes <= report.budget_bytes == runtime.report().budget_bytes
        assert report.comply_s is not None
        assert report.comply_s > 0
        for _ in range(3):
            assert torch.equal(model(image), expected)
        assert model.stats().faults == 0


def _make_network(seed: int) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    sides = [256, 384, 256, 512, 256, 256]  # of up to 4 layers the planner tries every layout
    layers = [layer for a, b in itertools.pairwise(sides) for layer in (_Whole(a, b), nn.ReLU())]
    network = nn.Sequential(*layers).eval()
    image = torch.rand(2, 256)
    with torch.inference_mode():
        return network, image, network(image)


class _Slots(CpuBackend):
    """Slot memory as it was really reserved and given back; the ledger is not asked."""

    def __init__(self) -> None:
        self.live: dict[int, int] = {}
        self.peak_bytes = 0

    def allocate(self, size_bytes: int) -> CpuRegion:
        region = _Region(size_bytes, self.live)
        self.live[id(region)] = size_bytes
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        return region

    @property
    def live_bytes(self) -> int:
        return sum(self.live.values())


class _Region(CpuRegion):
    def __init__(self, size_bytes: int, live: dict[int, int]) -> None:
        super().__init__(size_bytes)
        self._live = live

    def free(self) -> None:
        super().free()
        del self._live[id(self)]


@pytest.fixture
def slots(monkeypatch: pytest.MonkeyPatch) -> _Slots:
    slots = _Slots()
    monkeypatch.setattr(runtime, "choose_hardware", lambda *_: on_cpu(slots))
    return slots


class _Walk:
    """Random changes of budget, loads, unloads and submits; every output is compared."""

    def __init__(self, runtime: SwapRuntime, slots: _Slots, seed: int) -> None:
        self.runtime = runtime
        self.slots = slots
        self.dice = random.Random(seed)
        self.loaded: dict[int, SwappedModel] = {}
        self.pending: list[tuple[Future[torch.Tensor], torch.Tensor]] = []
        self.moves = self.inferences = 0

    def step(self) -> None:
        actions: list[Callable[[], None]] = [self.move, self.submit, self.submit, self.submit]
        actions += [self.load] * (len(self.loaded) < 4) + [self.unload] * (len(self.loaded) > 1)
        self.slots.peak_bytes = 0
        before = self.runtime.report().budget_bytes
        self.dice.choice(actions)()
        report = self.runtime.report()
        assert report.leased_bytes <= report.peak_bytes <= report.budget_bytes
        # On the way to a smaller budget the larger one is still in force.
        assert self.slots.peak_bytes <= max(before, report.budget_bytes)
        assert self.slots.live_bytes <= report.leased_bytes

    def move(self) -> None:
        budget = self.dice.randint(3 * MIB, 12 * MIB)
        try:
            self.runtime.set_budget(budget)
        except BudgetTooSmallError:
            return
        self.moves += 1
        assert self.runtime.report().budget_bytes == budget

    def load(self) -> None:
        seed = self.dice.choice([n for n in range(6) if n not in self.loaded])
        # 4 and 5 have equal weights: they are held once
        network, image, _ = _make_network(min(seed, 4))
        try:
            rate_hz = self.dice.choice((None, 5.0, 30.0))
            model = self.runtime.load(f"n{seed}", network, (image,), rate_hz=rate_hz)
        except BudgetTooSmallError:
            return
        self.loaded[seed] = model

    def unload(self) -> None:
        self.settle()
        seed = self.dice.choice(sorted(self.loaded))
        self.loaded.pop(seed).close()

    def submit(self) -> None:
        if self.loaded:
            seed = self.dice.choice(sorted(self.loaded))
            _, image, expected = _make_network(min(seed, 4))
            self.pending.append((self.loaded[seed].submit(image), expected))

    def settle(self) -> None:
        for future, expected in self.pending:
            assert torch.equal(future.result(_WAIT_S), expected)
        self.inferences += len(self.pending)
        self.pending.clear()


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_random_walk_is_exact_and_stays_within_every_budget(
    seed: int, slots: _Slots, cache_dir: Path
) -> None:
    with SwapRuntime("8MiB", cache_dir=cache_dir) as opened:
        walk = _Walk(opened, slots, seed)
        for _ in range(200):
            walk.step()
        walk.settle()
        assert walk.moves > 10
        assert walk.inferences > 50
        assert all(model.stats().faults == 0 for model in walk.loaded.values())
        for model in walk.loaded.values():
            model.close()
        report = opened.report()
        assert report.leased_bytes == slots.live_bytes == 0
        assert report.models == {}


def test_equal_weights_are_stored_and_held_once(cache_dir: Path) -> None:
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        network, image, expected = _make_network(0)
        first = runtime.load("first", network, (image,))
        held = runtime.report().leased_bytes
        second = runtime.load("second", _make_network(0)[0], (image,))
        assert runtime.report().leased_bytes == held
        assert len(list((cache_dir / "networks").iterdir())) == 1
        for model in (first, second, first):
            assert torch.equal(model(image), expected)
        first.close()
        assert torch.equal(second(image), expected)
