"""The facade: lifecycle, budgets, several networks and threads."""

from __future__ import annotations

import threading
import time
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import (
    BudgetTooSmallError,
    InputError,
    NetworkError,
    RuntimeClosedError,
    SwapRuntime,
)

_WIDTH = 160
_LAYER_BYTES = _WIDTH * _WIDTH * 4
_PLENTY = "1GiB"


def _network(seed: int = 0, layers: int = 8) -> nn.Sequential:
    torch.manual_seed(seed)
    parts = [nn.Sequential(nn.Linear(_WIDTH, _WIDTH), nn.Tanh()) for _ in range(layers)]
    return nn.Sequential(*parts).eval()


def _input(seed: int = 1) -> torch.Tensor:
    return torch.randn(2, _WIDTH, generator=torch.Generator().manual_seed(seed))


def _plain(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(x)


def test_a_budget_moves_up_and_down_between_inferences(cache_dir: Path) -> None:
    network, x = _network(), _input()
    expected = _plain(network, x)
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        model = runtime.load("network", network, (x,))
        fixed = model.plan.fixed_bytes
        for layers in (20, 4, 9, 3, 30, 4):
            budget = fixed + layers * (_LAYER_BYTES + 4096)
            runtime.set_budget(budget)
            assert torch.equal(model(x), expected)
            report = runtime.report()
            assert report.budget_bytes == budget
            assert report.leased_bytes <= report.peak_bytes <= budget
            assert model.plan.peak_bytes <= budget
        assert model.stats().inferences == 6
        assert model.stats().faults == 0


def test_a_refused_budget_changes_nothing(cache_dir: Path) -> None:
    network, x = _network(), _input()
    expected = _plain(network, x)
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        model = runtime.load("network", network, (x,))
        plan, report = model.plan, runtime.report()
        with pytest.raises(BudgetTooSmallError, match="network") as refused:
            runtime.set_budget(1000)
        assert model.plan == plan
        assert runtime.report().budget_bytes == report.budget_bytes
        assert torch.equal(model(x), expected)
        runtime.set_budget(refused.value.needed_bytes)
        assert torch.equal(model(x), expected)
        with pytest.raises(ValueError, match="size"):
            runtime.set_budget("plenty")


def test_a_load_that_does_not_fit_leaves_the_module_as_it_was(cache_dir: Path) -> None:
    network, x = _network(), _input()
    expected = _plain(network, x)
    with SwapRuntime(2000, cache_dir=cache_dir) as runtime:
        with pytest.raises(BudgetTooSmallError) as refused:
            runtime.load("network", network, (x,))
        assert torch.equal(_plain(network, x), expected)
        assert isinstance(network[0][0].weight, nn.Parameter)
        assert type(network[0][0]._parameters) is dict
        assert runtime.report().models == {}
        runtime.set_budget(refused.value.needed_bytes)
        model = runtime.load("network", network, (x,))
        assert torch.equal(model(x), expected)


def test_a_load_whose_example_does_not_run_leaves_the_module_as_it_was(cache_dir: Path) -> None:
    network, x = _network(), _input()
    expected = _plain(network, x)
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        with pytest.raises(NetworkError, match=r"example inputs.*shapes"):
            runtime.load("network", network, (torch.zeros(2, 3),))
        with pytest.raises(InputError, match="tuple"):
            runtime.load("network", network, x)
        assert torch.equal(_plain(network, x), expected)
        assert torch.equal(runtime.load("network", network, (x,))(x), expected)


def test_the_weights_of_a_module_leave_memory(cache_dir: Path) -> None:
    network, x = _network(), _input()
    watched = [weakref.ref(weight) for weight in network.parameters()]
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        runtime.load("network", network, (x,))
        assert not any(reference() is not None for reference in watched)
        assert all(weight.device.type == "cpu" for weight in network.parameters())
    assert all(weight.is_meta for weight in network.parameters())


def test_a_name_is_taken_until_its_model_is_closed(cache_dir: Path) -> None:
    x = _input()
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        first = runtime.load("network", _network(), (x,))
        with pytest.raises(NetworkError, match="'network' is loaded already"):
            runtime.load("network", _network(1), (x,))
        first.close()
        first.close()
        with pytest.raises(RuntimeClosedError, match="network"):
            first(x)
        with pytest.raises(RuntimeClosedError):
            _ = first.plan
        other = _network(1)
        expected = _plain(other, x)
        second = runtime.load("network", other, (x,))
        first.close()  # of the old one: the new one of the same name stays
        assert torch.equal(second(x), expected)


def test_a_loaded_network_cannot_be_loaded_again(cache_dir: Path) -> None:
    network, x = _network(), _input()
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        runtime.load("one", network, (x,))
        with pytest.raises(NetworkError, match="loaded already"):
            runtime.load("two", network, (x,))


def test_two_networks_share_a_budget_and_close_gives_the_share_back(cache_dir: Path) -> None:
    networks, x = [_network(0), _network(1, layers=5)], _input()
    expected = [_plain(network, x) for network in networks]
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        models = [
            runtime.load(f"n{index}", network, (x,), rate_hz=rate_hz)
            for index, (network, rate_hz) in enumerate(zip(networks, [1.0, 100.0], strict=True))
        ]
        fixed = max(model.plan.fixed_bytes for model in models)
        runtime.set_budget(fixed + 7 * _LAYER_BYTES)
        for _ in range(3):
            for model, wanted in zip(models, expected, strict=True):
                assert torch.equal(model(x), wanted)
        report = runtime.report()
        assert set(report.models) == {"n0", "n1"}
        assert report.leased_bytes <= report.peak_bytes <= report.budget_bytes
        before = models[0].plan.region_bytes
        models[1].close()
        assert models[0].plan.region_bytes > before
        assert torch.equal(models[0](x), expected[0])


def test_a_load_beside_others_that_does_not_fit_leaves_them_running(cache_dir: Path) -> None:
    network, x = _network(), _input()
    expected = _plain(network, x)
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        model = runtime.load("small", network, (x,))
        runtime.set_budget(model.plan.fixed_bytes + 3 * _LAYER_BYTES)
        wide = nn.Embedding(2048, 2048).eval()  # nothing that tiles could be made of
        with pytest.raises(BudgetTooSmallError, match="wide"):
            runtime.load("wide", wide, (torch.tensor([1]),))
        assert list(runtime.report().models) == ["small"]
        assert torch.equal(model(x), expected)


def test_two_runtimes_use_one_cache(cache_dir: Path) -> None:
    x = _input()
    expected = _plain(_network(), x)
    with (
        SwapRuntime(_PLENTY, cache_dir=cache_dir) as one,
        SwapRuntime(_PLENTY, cache_dir=cache_dir) as two,
    ):
        models = [one.load("a", _network(), (x,)), two.load("b", _network(), (x,))]
        for runtime, model in zip((one, two), models, strict=True):
            runtime.set_budget(model.plan.fixed_bytes + 3 * _LAYER_BYTES)
        for _ in range(3):
            assert all(torch.equal(model(x), expected) for model in models)
        one.close()
        assert torch.equal(models[1](x), expected)
    assert len(list((cache_dir / "networks").iterdir())) == 1


def test_threads_that_call_at_once_each_get_their_own_answer(cache_dir: Path) -> None:
    networks = [_network(0), _network(1)]
    inputs = [_input(seed) for seed in range(4)]
    expected = [[_plain(network, x) for x in inputs] for network in networks]
    wrong: list[tuple[int, int]] = []
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        models = [
            runtime.load(f"n{index}", network, (inputs[0],))
            for index, network in enumerate(networks)
        ]
        fixed = max(model.plan.fixed_bytes for model in models)
        runtime.set_budget(2 * fixed + 6 * _LAYER_BYTES)

        def call(number: int) -> None:
            for _ in range(10):
                for index, model in enumerate(models):
                    if not torch.equal(model(inputs[number]), expected[index][number]):
                        wrong.append((index, number))

        threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for layers in (8, 20, 6, 40):
            runtime.set_budget(2 * fixed + layers * _LAYER_BYTES)
        for thread in threads:
            thread.join()
        assert wrong == []
        assert sum(model.stats().inferences for model in models) == 80


def test_larger_inputs_than_the_example_are_right_and_said_once(
    cache_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = _network()
    large = torch.cat([_input(seed) for seed in range(8)])
    expected = _plain(network, large)
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        model = runtime.load("network", network, (_input(),))
        assert torch.equal(model(large), expected)
        model(large)
    assert caplog.text.count("largest size") == 1


def test_stats_tell_what_was_read_and_waited_for(cache_dir: Path) -> None:
    network, x = _network(layers=12), _input()
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        model = runtime.load("network", network, (x,))
        assert model.stats().latency_s is None
        runtime.set_budget(model.plan.fixed_bytes + 4 * _LAYER_BYTES)
        for _ in range(5):
            model(x)
        stats = model.stats()
        assert stats.latency_s is not None
        assert stats.latency_s.count == stats.inferences == 5
        assert stats.bytes_read >= 4 * stats.streamed_bytes > 0
        assert stats.resident_bytes + stats.streamed_bytes >= 12 * _LAYER_BYTES
        assert stats.demand_bytes >= stats.activation_bytes + 12 * _LAYER_BYTES
        assert runtime.report().read_bandwidth_bytes_per_s > 0


@pytest.mark.parametrize("budget", ["0", "much", -3, 1.5])
def test_a_budget_that_is_none_is_refused(budget: object, cache_dir: Path) -> None:
    with pytest.raises(ValueError, match="size"):
        SwapRuntime(budget, cache_dir=cache_dir)


def test_an_unknown_device_is_refused_before_anything_starts(cache_dir: Path) -> None:
    with pytest.raises(ValueError, match="abacus"):
        SwapRuntime("1MiB", device="abacus", cache_dir=cache_dir)


def test_a_runtime_cannot_be_closed_by_a_job_and_can_be_afterwards(cache_dir: Path) -> None:
    network, x = _network(), _input()
    refused: list[BaseException] = []
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        model = runtime.load("network", network, (x,))

        def close() -> None:
            try:
                runtime.close()
            except InputError as error:
                refused.append(error)

        runtime.call(close)
        model.submit(x).add_done_callback(lambda _: close())
        model(x)
        assert model(x) is not None
    assert len(refused) == 2
    assert runtime.report().leased_bytes == 0


class _Sleepy(nn.Module):
    """Takes as long as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = _network()
        self.sleep_s = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(self.sleep_s)
        return self.inner(x)


def test_new_plans_know_how_long_inferences_take_of_late(cache_dir: Path) -> None:
    network, x = _Sleepy().eval(), _input()
    with SwapRuntime(_PLENTY, cache_dir=cache_dir) as runtime:
        model = runtime.load("sleepy", network, (x,), rate_hz=30.0)
        assert runtime.report().admission.fits
        network.sleep_s = 0.05
        for _ in range(16):
            model(x)
        assert model.plan.predicted_latency_s < 0.05
        assert not runtime.report().admission.fits
        runtime.set_budget(model.plan.fixed_bytes + 3 * _LAYER_BYTES)
        assert model.plan.predicted_latency_s >= 0.05
        assert not runtime.report().admission.fits
