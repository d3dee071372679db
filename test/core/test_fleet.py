"""Several networks in one runtime: what is fetched ahead, shared, in trouble, or out of turn."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import (
    BudgetTooSmallError,
    NetworkError,
    RuntimeClosedError,
    StorageError,
    SwappedModel,
    SwapRuntime,
)
from swapnet_core.sizes import MIB

_WIDTH = 256
_LAYER_BYTES = _WIDTH * _WIDTH * 4
_WAIT_S = 30.0
_IMAGE = torch.randn(2, _WIDTH, generator=torch.Generator().manual_seed(1))


def _network(seed: int, layers: int = 8) -> nn.Sequential:
    torch.manual_seed(seed)
    parts = [nn.Sequential(nn.Linear(_WIDTH, _WIDTH), nn.Tanh()) for _ in range(layers)]
    return nn.Sequential(*parts).eval()


def _expected(seed: int, layers: int = 8) -> torch.Tensor:
    with torch.inference_mode():
        return _network(seed, layers)(_IMAGE)


class _Gate(nn.Module):
    """Waits inside of its inference until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.opened.set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.entered.set()
        assert self.opened.wait(_WAIT_S)
        return x

    def hold(self) -> None:
        self.entered.clear()
        self.opened.clear()


def _wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(int(_WAIT_S / 0.01)):
        if is_so():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come to be")


def _squeeze(runtime: SwapRuntime) -> None:
    """Leave so little that the networks stream most of their layers."""
    with pytest.raises(BudgetTooSmallError) as refused:
        runtime.set_budget(1)
    runtime.set_budget(refused.value.needed_bytes + 4 * _LAYER_BYTES)


def _network_files(cache_dir: Path) -> list[Path]:
    return sorted((cache_dir / "networks").glob("*/*.safetensors"))


def _hold_thread(runtime: SwapRuntime) -> tuple[threading.Event, threading.Event]:
    """Queue a job that is no network's: the events tell that it runs, and let it end."""
    entered, opened = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        assert opened.wait(_WAIT_S)

    runtime._scheduler.submit(hold)
    return entered, opened


def test_the_head_of_the_next_network_comes_before_its_turn(cache_dir: Path) -> None:
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        models = [runtime.load(f"n{seed}", _network(seed), (_IMAGE,)) for seed in range(3)]
        _squeeze(runtime)
        for _, (present, following) in itertools.product(
            range(2), itertools.permutations(models, 2)
        ):
            _, first_opened = _hold_thread(runtime)
            present.submit(_IMAGE)
            entered, opened = _hold_thread(runtime)
            queued = following.submit(_IMAGE)
            before = following.stats().inferences
            first_opened.set()
            assert entered.wait(_WAIT_S)  # so the present one has ended
            _wait_until(lambda name=following.name: _has_head(runtime, name))
            assert following.stats().inferences == before
            opened.set()
            assert torch.equal(queued.result(_WAIT_S), _expected(int(following.name[1])))


def _has_head(runtime: SwapRuntime, name: str) -> bool:
    """Whether the first block that a network streams is in its slot."""
    lane = runtime._fleet.models[name].holding.lane
    assert lane is not None
    head = lane.held.get(lane.plan.uses[0])
    return head is not None and head.is_whole


def test_the_demand_counts_shared_weights_once_and_the_largest_activations(cache_dir: Path) -> None:
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        assert runtime.report().demand_bytes == 0
        first = runtime.load("first", _network(0), (_IMAGE,)).stats()
        assert runtime.report().demand_bytes == first.demand_bytes
        runtime.load("second", _network(0), (_IMAGE,))
        assert runtime.report().demand_bytes == first.demand_bytes
        other = runtime.load("other", _network(1, layers=4), (_IMAGE,)).stats()
        kept_bytes = sum(each.demand_bytes - each.activation_bytes for each in (first, other))
        peak_bytes = max(first.activation_bytes, other.activation_bytes)
        assert runtime.report().demand_bytes == kept_bytes + peak_bytes


def test_one_of_two_equal_networks_is_closed_and_the_other_goes_on(cache_dir: Path) -> None:
    gate = _Gate()
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        blocker = runtime.load("gate", nn.Sequential(gate, nn.Linear(_WIDTH, 8)).eval(), (_IMAGE,))
        first = runtime.load("first", _network(0), (_IMAGE,))
        held = runtime.report().leased_bytes
        second = runtime.load("second", _network(0), (_IMAGE,))
        assert runtime.report().leased_bytes == held
        assert len(_network_files(cache_dir)) == 2
        gate.hold()
        blocker.submit(_IMAGE)
        assert gate.entered.wait(_WAIT_S)
        queued = first.submit(_IMAGE)
        closing = threading.Thread(target=first.close)
        closing.start()
        _wait_until(lambda: "2 jobs queued" in repr(runtime._scheduler))
        gate.opened.set()
        closing.join(_WAIT_S)
        with pytest.raises(RuntimeClosedError, match="first"):
            queued.result(_WAIT_S)
        with pytest.raises(RuntimeClosedError):
            _ = first.plan
        assert torch.equal(second(_IMAGE), _expected(0))
        second.close()
        assert list(runtime.report().models) == ["gate"]


def test_a_closed_model_takes_no_jobs_and_is_expected_no_more(cache_dir: Path) -> None:
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        runtime.load("other", _network(1), (_IMAGE,))
        model = runtime.load("network", _network(0), (_IMAGE,))
        model(_IMAGE)
        holding = weakref.ref(model._model.holding)
        model.close()
        with pytest.raises(RuntimeClosedError, match="network"):
            model.submit(_IMAGE)
        del model
        gc.collect()
        assert holding() is None  # nobody remembers its weights


class _Nested(nn.Module):
    """Does something with the runtime in the middle of its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _network(2)
        self.act: Callable[[], object] = lambda: None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.body[4][0].weight
        self.act()
        return self.body(x) @ weight


def test_a_forward_that_uses_its_own_runtime_is_told_so(cache_dir: Path) -> None:
    outer = _Nested().eval()
    with torch.inference_mode():
        expected = outer(_IMAGE)
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        inner = runtime.load("inner", _network(0), (_IMAGE,))
        nested = runtime.load("nested", outer, (_IMAGE,))
        _squeeze(runtime)
        for act in (
            lambda: inner(_IMAGE),
            lambda: runtime.set_budget("60MiB"),
            lambda: runtime.load("other", _network(1), (_IMAGE,)),
            inner.close,
        ):
            outer.act = act
            with pytest.raises(NetworkError, match="before or after"):
                nested(_IMAGE)
            outer.act = lambda: None
            assert torch.equal(nested(_IMAGE), expected)
            assert torch.equal(inner(_IMAGE), _expected(0))


def test_a_result_may_be_used_for_another_network_on_the_inference_thread(
    cache_dir: Path,
) -> None:
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        first = runtime.load("first", _network(0), (_IMAGE,))
        second = runtime.load("second", _network(1), (_IMAGE,))
        _squeeze(runtime)
        both = runtime.call(lambda: second(first(_IMAGE)))
        with torch.inference_mode():
            assert torch.equal(both, _network(1)(_network(0)(_IMAGE)))


def _cut_off(path: Path) -> Callable[[], None]:
    """Take a file's bytes away; the returned function brings them back."""
    content = path.read_bytes()
    path.write_bytes(b"")

    def mend() -> None:
        path.write_bytes(content)

    return mend


def test_residents_that_could_not_be_read_are_tried_again_by_the_next_call(
    cache_dir: Path,
) -> None:
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        model = runtime.load("network", _network(0), (_IMAGE,))
        (path,) = _network_files(cache_dir)
        _squeeze(runtime)
        mend = _cut_off(path)
        with pytest.raises(StorageError):
            runtime.set_budget("64MiB")
        assert runtime.report().budget_bytes == 64 * MIB
        with pytest.raises(StorageError):
            model(_IMAGE)
        mend()
        assert torch.equal(model(_IMAGE), _expected(0))
        assert model.stats().streamed_bytes == 0


def test_a_load_that_fails_for_another_networks_trouble_changes_nothing(cache_dir: Path) -> None:
    network = _network(1)
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        model = runtime.load("first", _network(0), (_IMAGE,))
        before = runtime.report()
        _squeeze(runtime)
        (path,) = _network_files(cache_dir)
        mend = _cut_off(path)
        with pytest.raises(StorageError):
            runtime.set_budget("64MiB")
        with pytest.raises(StorageError):
            runtime.load("second", network, (_IMAGE,))
        mend()
        assert list(runtime.report().models) == ["first"]
        assert torch.equal(model(_IMAGE), _expected(0))
        with torch.inference_mode():
            assert torch.equal(network(_IMAGE), _expected(1))
        assert runtime.report().leased_bytes == before.leased_bytes
        second = runtime.load("second", network, (_IMAGE,))
        assert torch.equal(second(_IMAGE), _expected(1))


def test_networks_come_and_go_while_others_run(cache_dir: Path) -> None:
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        models = [runtime.load(f"n{seed}", _network(seed), (_IMAGE,)) for seed in range(2)]
        _squeeze(runtime)
        runtime.set_budget(runtime.report().budget_bytes + 4 * MIB)
        expected = [_expected(seed) for seed in range(4)]
        guests = [_network(2 + number % 2) for number in range(6)]
        ended = threading.Event()
        wrong: list[int] = []

        def call(seed: int, model: SwappedModel) -> None:
            while not ended.is_set():
                if not torch.equal(model(_IMAGE), expected[seed]):
                    wrong.append(seed)

        threads = [threading.Thread(target=call, args=pair) for pair in enumerate(models)]
        for thread in threads:
            thread.start()
        try:
            for number, network in enumerate(guests):
                guest = runtime.load("guest", network, (_IMAGE,))
                assert torch.equal(guest(_IMAGE), expected[2 + number % 2])
                guest.close()
        finally:
            ended.set()
            for thread in threads:
                thread.join(_WAIT_S)
        assert wrong == []
        assert list(runtime.report().models) == ["n0", "n1"]
        assert all(model.stats().inferences > 0 for model in models)


class _Detour(nn.Module):
    """Takes its layers in another order when told so, and holds all of their weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.ModuleList(nn.Linear(_WIDTH, _WIDTH) for _ in range(12))
        self.is_reversed = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.is_reversed:
            for layer in self.layers:
                x = torch.tanh(layer(x))
            return x
        weights = [layer.weight for layer in reversed(self.layers)]
        return torch.tanh(sum(x @ weight for weight in weights))


def test_a_detour_for_which_there_is_no_room_leaves_the_networks_usable(cache_dir: Path) -> None:
    detour = _Detour().eval()
    with torch.inference_mode():
        expected = detour(_IMAGE)
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        model = runtime.load("detour", detour, (_IMAGE,))
        other = runtime.load("other", _network(0), (_IMAGE,))
        _squeeze(runtime)
        held = runtime.report().leased_bytes
        for is_reversed in itertools.islice(itertools.cycle((True, False)), 6):
            detour.is_reversed = is_reversed
            if is_reversed:
                with pytest.raises(BudgetTooSmallError, match="out of the traced order") as refused:
                    model(_IMAGE)
                assert refused.value.needed_bytes > refused.value.budget_bytes
            else:
                assert torch.equal(model(_IMAGE), expected)
            assert runtime.report().leased_bytes == held
            assert torch.equal(other(_IMAGE), _expected(0))
        assert runtime.report().peak_bytes <= runtime.report().budget_bytes
