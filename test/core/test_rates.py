"""Another rate while networks run: memory goes where it saves most, results stay the same."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import InputError, RuntimeClosedError, SwappedModel, SwapRuntime

_SIDE = 384
_LAYERS = 12
_IMAGE = torch.rand(1, _SIDE)


class _Whole(nn.Linear):
    """Never run by tiles, which may change last bits: only exactly `nn.Linear` is."""


def _network(seed: int, delay_s: float = 0.0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = [_Whole(_SIDE, _SIDE) for _ in range(_LAYERS)]
    return nn.Sequential(*layers, _Pause(delay_s), *(_Whole(_SIDE, _SIDE) for _ in range(2))).eval()


class _Pause(nn.Module):
    def __init__(self, delay_s: float) -> None:
        super().__init__()
        self.delay_s = delay_s
        self.reached = threading.Event()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.reached.set()
        time.sleep(self.delay_s)
        return x


@pytest.fixture
def runtime(cache_dir: Path) -> Iterator[SwapRuntime]:
    # of weights, the networks have 8 MiB each
    with SwapRuntime("11MiB", cache_dir=cache_dir) as runtime:
        yield runtime


def _load(runtime: SwapRuntime, name: str, seed: int, rate_hz: float | None) -> SwappedModel:
    return runtime.load(name, lambda: _network(seed), (_IMAGE,), rate_hz=rate_hz)


def test_memory_goes_to_whom_it_saves_most(runtime: SwapRuntime) -> None:
    models = [_load(runtime, f"n{seed}", seed, rate_hz=10.0) for seed in range(2)]
    with torch.inference_mode():
        expected = [_network(seed)(_IMAGE) for seed in range(2)]
    for often, seldom in ((0, 1), (1, 0)):
        models[often].set_rate(200.0)
        models[seldom].set_rate(0.1)
        assert models[often].rate_hz == 200.0
        kept = [model.plan.resident_bytes for model in models]
        assert kept[often] > 2 * kept[seldom]
        report = runtime.report()
        assert report.leased_bytes <= report.budget_bytes
        for model, output in zip(models, expected, strict=True):
            assert torch.equal(model(_IMAGE), output)


def test_the_answer_about_rates_is_of_the_present_ones(runtime: SwapRuntime) -> None:
    model = _load(runtime, "n0", 0, rate_hz=1.0)
    before = runtime.report().admission
    assert before is not None
    assert before.fits
    model.set_rate(1e6)
    after = runtime.report().admission
    assert after is not None
    assert not after.fits
    assert [network.rate_hz for network in after.networks] == [1e6]
    model.set_rate(None)
    assert model.rate_hz is None


def test_a_closed_network_has_no_rate_to_change(runtime: SwapRuntime) -> None:
    model = _load(runtime, "n0", 0, rate_hz=5.0)
    model.close()
    with pytest.raises(RuntimeClosedError):
        model.set_rate(6.0)


def test_what_stays_as_it_was_is_not_read_again(runtime: SwapRuntime) -> None:
    model = _load(runtime, "n0", 0, rate_hz=5.0)
    model(_IMAGE)
    plan, read = model.plan, model.stats().bytes_read
    model.set_rate(5.0)
    assert model.plan is plan
    model.set_rate(50.0)  # alone, it has everything at any rate
    assert model.plan == plan
    assert model.stats().bytes_read - read <= plan.streamed_bytes


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_rate_is_refused(runtime: SwapRuntime, rate_hz: float) -> None:
    model = _load(runtime, "n0", 0, rate_hz=5.0)
    with pytest.raises(InputError, match=r"'n0' is .* Hz; it must be above 0"):
        model.set_rate(rate_hz)
    assert model.rate_hz == 5.0
    with pytest.raises(InputError, match="'n1' is"):
        _load(runtime, "n1", 1, rate_hz=rate_hz)


def test_it_takes_effect_inside_an_inference(runtime: SwapRuntime) -> None:
    network = _network(0, delay_s=0.5)
    with torch.inference_mode():
        expected = network(_IMAGE)
    slow = runtime.load("slow", network, (_IMAGE,), rate_hz=0.1)
    other = _load(runtime, "other", 1, rate_hz=100.0)
    pause = network[_LAYERS]
    assert isinstance(pause, _Pause)
    few = slow.plan.resident_bytes
    pause.reached.clear()
    future = slow.submit(_IMAGE)
    assert pause.reached.wait(30.0)
    slow.set_rate(300.0)
    assert slow.plan.resident_bytes > few
    assert torch.equal(future.result(30.0), expected)
    other.close()


def test_a_job_can_set_a_rate(runtime: SwapRuntime) -> None:
    model = _load(runtime, "n0", 0, rate_hz=1.0)
    runtime.call(lambda: model.set_rate(2.0))
    assert model.rate_hz == 2.0
    admission = runtime.report().admission
    assert admission is not None
    assert [network.rate_hz for network in admission.networks] == [2.0]


def test_rates_and_budgets_from_many_threads(runtime: SwapRuntime) -> None:
    models = [_load(runtime, f"n{seed}", seed, rate_hz=10.0) for seed in range(2)]
    with torch.inference_mode():
        expected = [_network(seed)(_IMAGE) for seed in range(2)]
    errors: list[BaseException] = []

    def change(seed: int) -> None:
        dice = random.Random(seed)
        try:
            for _ in range(6):
                if seed == 2:
                    runtime.set_budget(dice.choice(("10MiB", "11MiB", "13MiB")))
                else:
                    models[seed].set_rate(dice.choice((0.5, 20.0, 300.0)))
                for model, output in zip(models, expected, strict=True):
                    assert torch.equal(model(_IMAGE), output)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=change, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert not errors
    runtime.set_budget("12MiB")
    models[0].set_rate(300.0)
    models[1].set_rate(0.5)
    report = runtime.report()
    assert report.leased_bytes <= report.budget_bytes == 12 * 2**20
    assert models[0].plan.resident_bytes > models[1].plan.resident_bytes
