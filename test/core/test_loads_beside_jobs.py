"""A network is loaded while others run; several are loaded at once; a load ends half-way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import (
    BudgetTooSmallError,
    NetworkError,
    RuntimeClosedError,
    SwappedModel,
    SwapRuntime,
)

_WIDTH = 256
_WAIT_S = 60.0
_IMAGE = torch.randn(2, _WIDTH, generator=torch.Generator().manual_seed(1))


def _network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(*(nn.Linear(_WIDTH, _WIDTH) for _ in range(6))).eval()


def _expected(seed: int) -> torch.Tensor:
    with torch.inference_mode():
        return _network(seed)(_IMAGE)


class _Watched(Mapping[str, torch.Tensor]):
    """Weights that do something in whichever thread reads them."""

    def __init__(self, seed: int, on_read: Callable[[], None]) -> None:
        self._tensors = _network(seed).state_dict()
        self._on_read = on_read

    def __getitem__(self, name: str) -> torch.Tensor:
        self._on_read()
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _build() -> nn.Module:
    return _network(9)


def test_jobs_go_on_while_weights_are_hashed_and_stored(cache_dir: Path) -> None:
    done: list[bool] = []
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        other = runtime.load("other", _network(0), (_IMAGE,))

        def run_other() -> None:
            if threading.current_thread().name != "swapnet-infer":
                done.append(torch.equal(other.submit(_IMAGE).result(_WAIT_S), _expected(0)))

        model = runtime.load("network", _build, (_IMAGE,), weights=_Watched(1, run_other))
        assert all(done)
        assert len(done) >= 2 * 12  # weights and biases: hashed once, stored once
        assert torch.equal(model(_IMAGE), _expected(1))


class _Asking(nn.Module):
    """Asks for another network's inference in every one of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _network(2)
        self.ask: Callable[[], Future[torch.Tensor]] | None = None
        self.asked: list[Future[torch.Tensor]] = []
        self.were_done: list[bool] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.ask is not None:
            self.were_done.append(all(future.done() for future in self.asked))
            self.asked += [self.ask(), self.ask()]
        return self.body(x)


def test_jobs_have_their_turn_between_the_inferences_of_a_trace(cache_dir: Path) -> None:
    network = _Asking().eval()
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        other = runtime.load("other", _network(0), (_IMAGE,))
        network.ask = lambda: other.submit(_IMAGE)
        runtime.load("network", network, (_IMAGE,))
        network.ask = None
        assert len(network.were_done) >= 3
        assert all(network.were_done)
        for future in network.asked:
            assert torch.equal(future.result(_WAIT_S), _expected(0))


def test_networks_are_loaded_from_several_threads_at_once(cache_dir: Path) -> None:
    seeds = [0, 1, 1, 2, 2]
    with (
        SwapRuntime("64MiB", cache_dir=cache_dir) as runtime,
        ThreadPoolExecutor(len(seeds)) as pool,
    ):
        loads = [
            pool.submit(runtime.load, f"n{number}", _network(seed), (_IMAGE,))
            for number, seed in enumerate(seeds)
        ]
        models = [load.result(_WAIT_S) for load in loads]
        for seed, model in zip(seeds, models, strict=True):
            assert torch.equal(model(_IMAGE), _expected(seed))
        assert len({model._model.holding for model in models}) == 3  # equal ones are held once
        assert len(list((cache_dir / "networks").iterdir())) == 3


def test_a_name_is_taken_as_soon_as_its_load_begins(cache_dir: Path) -> None:
    reading, opened = threading.Event(), threading.Event()

    def wait() -> None:
        reading.set()
        assert opened.wait(_WAIT_S)

    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime, ThreadPoolExecutor(1) as pool:
        weights = _Watched(1, wait)
        load = pool.submit(runtime.load, "network", _build, (_IMAGE,), weights=weights)
        assert reading.wait(_WAIT_S)
        with pytest.raises(NetworkError, match="'network' is being loaded"):
            runtime.load("network", _network(0), (_IMAGE,))
        opened.set()
        model = load.result(_WAIT_S)
        assert torch.equal(model(_IMAGE), _expected(1))


def test_a_runtime_closed_during_a_load_ends_it(cache_dir: Path) -> None:
    reading, opened = threading.Event(), threading.Event()

    def wait() -> None:
        reading.set()
        assert opened.wait(_WAIT_S)

    runtime = SwapRuntime("64MiB", cache_dir=cache_dir)
    other = runtime.load("other", _network(0), (_IMAGE,))
    with ThreadPoolExecutor(2) as pool:
        weights = _Watched(1, wait)
        load = pool.submit(runtime.load, "network", _build, (_IMAGE,), weights=weights)
        assert reading.wait(_WAIT_S)
        closing = pool.submit(runtime.close)
        while runtime._scheduler._thread.is_alive():
            threading.Event().wait(0.01)
        opened.set()
        with pytest.raises(RuntimeClosedError):
            load.result(_WAIT_S)
        closing.result(_WAIT_S)
    with pytest.raises(RuntimeClosedError):
        other(_IMAGE)
    assert runtime.report().leased_bytes == 0


def _before_the_plan(
    monkeypatch: pytest.MonkeyPatch, runtime: SwapRuntime, act: Callable[[], object]
) -> None:
    """Do something when the next load has looked at the others, and is about to plan."""
    plan = runtime._fleet.plan

    def act_first(*args: object) -> object:
        monkeypatch.undo()
        plans = plan(*args)
        act()
        return plans

    monkeypatch.setattr(runtime._fleet, "plan", act_first)


def test_an_equal_network_that_is_closed_meanwhile_leaves_its_weights(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        first = runtime.load("first", _network(0), (_IMAGE,))
        _before_the_plan(monkeypatch, runtime, first.close)
        second = runtime.load("second", _network(0), (_IMAGE,))
        assert list(runtime.report().models) == ["second"]
        assert torch.equal(second(_IMAGE), _expected(0))


def test_a_budget_that_shrinks_meanwhile_is_kept(
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    smallest_budget: Callable[[SwapRuntime], int],
) -> None:
    network = _network(1)
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        other = runtime.load("other", _network(0), (_IMAGE,))
        first = runtime.load("network", _network(1), (_IMAGE,))
        least = smallest_budget(runtime)  # of both: their measured activations differ
        first.close()
        _before_the_plan(monkeypatch, runtime, lambda: runtime.set_budget(least + 4096))
        model = runtime.load("network", network, (_IMAGE,))
        _check(runtime, {other: 0, model: 1}, least + 4096)
        model.close()

        wide = nn.Embedding(2048, 1024).eval()  # nothing that tiles could be made of
        runtime.set_budget("64MiB")
        _before_the_plan(monkeypatch, runtime, lambda: runtime.set_budget(least))
        with pytest.raises(BudgetTooSmallError, match="wide"):
            runtime.load("wide", wide, (torch.tensor([1]),))
        _check(runtime, {other: 0}, least)
        assert wide.weight.shape == (2048, 1024)
        assert type(wide._parameters) is dict


def _check(runtime: SwapRuntime, models: dict[SwappedModel, int], budget_bytes: int) -> None:
    for model, seed in models.items():
        assert torch.allclose(model(_IMAGE), _expected(seed), rtol=0.0, atol=1e-5)
    report = runtime.report()
    assert list(report.models) == [model.name for model in models]
    assert report.leased_bytes <= report.peak_bytes <= report.budget_bytes == budget_bytes
