"""A runtime on a GPU: on simulated ones, whose copies are late, and on a real one if there is one.

On a simulated one networks compute on the CPU; its memory and its copies are watched.
"""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from swapnet_core import (
    BudgetTooSmallError,
    InputError,
    SwapRuntime,
    device_profile,
    hardware,
    runtime,
)
from swapnet_core.errors import NetworkError, OutOfMemoryError
from swapnet_core.hardware import choose_hardware
from swapnet_core.simulated_cuda import SimulatedCuda, simulated_hardware
from swapnet_core.testing import SIMULATED_DEVICE

_WIDTH = 256
_IMAGE = torch.rand(2, _WIDTH, generator=torch.Generator().manual_seed(3))

Gpu = Any
"""See `gpu` in conftest.py."""


class _Net(nn.Module):
    """Buffers, a tied weight, rounds, and a branch that a trace does not take."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.ModuleList(nn.Linear(_WIDTH, _WIDTH) for _ in range(5))
        self.norm = nn.BatchNorm1d(_WIDTH)
        self.norm.running_mean.uniform_()
        self.layers[3].weight = self.layers[1].weight
        self.detour = False
        self.keeps = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        order = reversed(self.layers) if self.detour else self.layers
        for layer in order:
            x = torch.tanh(layer(x))
        x = self.norm(x) + self.layers[0](x)
        if self.keeps:
            self.kept = self.layers[2].weight
        return x


def test_outputs_are_the_plain_network_s_under_any_budget(gpu: Gpu) -> None:
    network = _Net().eval()
    expected = gpu.expect(network, _IMAGE)
    with gpu.open() as opened:
        model = opened.load("net", network, (_IMAGE,))
        least = gpu.smallest(opened)
        for budget in (2**30, (least + model.stats().demand_bytes) // 2, least):
            opened.set_budget(budget)
            for _ in range(3):
                output = model(_IMAGE)
                assert output.device.type == gpu.device.type
                if model.plan.is_exact:
                    assert torch.equal(output.cpu(), expected)
                torch.testing.assert_close(output.cpu(), expected)
            report = opened.report()
            assert report.peak_bytes <= report.budget_bytes
            if gpu.calls is not None:
                assert gpu.calls.held.device_bytes <= report.leased_bytes
        assert opened.device == gpu.kind
        assert bool(report.staging_bytes) == (gpu.kind == "cuda")
        assert model.stats().faults == 0
        assert model.timeline is not None


def test_networks_take_turns_and_come_and_go(gpu: Gpu) -> None:
    networks = [_Net(seed).eval() for seed in range(3)]
    expected = [gpu.expect(network, _IMAGE) for network in networks]
    with gpu.open() as opened:
        models = [opened.load(f"{n}", network, (_IMAGE,)) for n, network in enumerate(networks)]
        opened.set_budget(int(gpu.smallest(opened) * 1.5))
        for _ in range(3):
            futures = [model.submit(_IMAGE) for model in models]
            for future, wanted in zip(futures, expected, strict=True):
                torch.testing.assert_close(future.result().cpu(), wanted)
        models[1].close()
        torch.testing.assert_close(models[2](_IMAGE).cpu(), expected[2])


def test_every_inference_is_timed_and_waited_for(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    if gpu.calls is None:
        pytest.skip("on a simulated device, whose queue is at hand")
    queue, seen = runtime.choose_hardware("").backend.queue, []
    for name in ("begin", "finish"):
        plain = getattr(queue, name)
        monkeypatch.setattr(
            queue, name, lambda *a, name=name, plain=plain: (seen.append(name), plain(*a))[1]
        )
    with gpu.open() as opened:
        model = opened.load("net", _Net().eval(), (_IMAGE,))
        seen.clear()
        model(_IMAGE)
        model.submit(_IMAGE).result()
    assert seen == ["begin", "finish"] * 2


def test_a_new_budget_takes_effect_under_load(gpu: Gpu) -> None:
    network = _Net().eval()
    expected = gpu.expect(network, _IMAGE)
    with gpu.open() as opened:
        model = opened.load("net", network, (_IMAGE,))
        least = gpu.smallest(opened)
        futures = []
        for number in range(12):
            futures += [model.submit(_IMAGE) for _ in range(3)]
            opened.set_budget(least * 2 if number % 2 else least)
        for future in futures:
            torch.testing.assert_close(future.result().cpu(), expected)


def test_a_branch_that_was_not_traced_is_slower_never_wrong(gpu: Gpu) -> None:
    network = _Net().eval()
    plain = copy.deepcopy(network)
    with gpu.open() as opened:
        model = opened.load("net", network, (_IMAGE,))
        opened.set_budget(int(gpu.smallest(opened) * 1.2))
        for detour in (False, True, False, True):
            network.detour = plain.detour = detour
            torch.testing.assert_close(model(_IMAGE).cpu(), gpu.expect(plain, _IMAGE))
        assert model.stats().faults > 0


def test_a_weight_kept_from_a_branch_that_was_not_traced_is_an_error(gpu: Gpu) -> None:
    network = _Net().eval()
    with gpu.open() as opened:
        model = opened.load("net", network, (_IMAGE,))
        opened.set_budget(int(gpu.smallest(opened) * 1.2))
        network.detour = network.keeps = True
        with pytest.raises(NetworkError, match="keeps a weight"):
            model(_IMAGE)
        network.detour = network.keeps = False
        del network.kept
        model(_IMAGE)


def test_weights_from_a_mapping_and_modules_on_the_device(gpu: Gpu) -> None:
    network = _Net(4).eval()
    expected = gpu.expect(network, _IMAGE)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    on_device = copy.deepcopy(network).to(gpu.device)
    with gpu.open() as opened:
        by_name = opened.load("by name", _Net, (_IMAGE,), weights=weights)
        torch.testing.assert_close(by_name(_IMAGE).cpu(), expected)
        there = opened.load("there", on_device, (_IMAGE.to(gpu.device),))
        torch.testing.assert_close(there(_IMAGE.to(gpu.device)).cpu(), expected)
        seen = dict(on_device.named_parameters())["layers.4.weight"]
        assert torch.equal(seen.cpu(), weights["layers.4.weight"])


@pytest.mark.parametrize("host_budget", ["600KiB", "64MiB"])
def test_what_host_memory_holds_is_read_once(gpu: Gpu, host_budget: str) -> None:
    if gpu.kind == "unified":
        with pytest.raises(InputError, match="host_budget"):
            gpu.open(host_budget=host_budget)
        return
    network = _Net().eval()
    expected = gpu.expect(network, _IMAGE)
    with gpu.open(host_budget=host_budget) as opened:
        model = opened.load("net", network, (_IMAGE,))
        opened.set_budget(int(gpu.smallest(opened) * 1.2))
        for _ in range(3):
            torch.testing.assert_close(model(_IMAGE).cpu(), expected)
        report, before = opened.report(), model.stats().bytes_read
        assert 0 < report.host_bytes <= report.host_budget_bytes
        for _ in range(4):
            torch.testing.assert_close(model(_IMAGE).cpu(), expected)
        read_bytes = model.stats().bytes_read - before
        assert read_bytes < 4 * model.plan.streamed_bytes
        if host_budget == "64MiB":
            assert read_bytes == 0
        opened.set_budget("1GiB")
        assert opened.report().host_bytes == 0
        torch.testing.assert_close(model(_IMAGE).cpu(), expected)


def test_a_network_that_cannot_be_loaded_is_left_as_it_was(gpu: Gpu) -> None:
    network = _Net().eval()
    expected = network(_IMAGE)
    with gpu.open(4096) as opened, pytest.raises(BudgetTooSmallError):
        opened.load("net", network, (_IMAGE,))
    assert network.norm.running_mean.device.type == "cpu"
    assert torch.equal(network(_IMAGE), expected)


def test_a_device_that_is_full(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = SimulatedCuda(6, capacity_bytes=9 * 2**20)
    hardware = simulated_hardware(calls, "cuda")
    monkeypatch.setattr(runtime, "choose_hardware", lambda *_: hardware)
    monkeypatch.setattr(device_profile, "load_or_measure", lambda *_: SIMULATED_DEVICE)
    network = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(6))).eval()
    image = torch.rand(1, 1024)
    with (
        SwapRuntime("1GiB", device="cuda", cache_dir=cache_dir) as opened,
        pytest.raises(OutOfMemoryError, match="smaller budget"),
    ):
        opened.load("net", network, (image,))
    assert calls.held.device_bytes == 0


@pytest.mark.parametrize(("is_integrated", "kind"), [(1, "unified"), (0, "cuda")])
def test_auto_picks_by_what_the_device_reports(
    monkeypatch: pytest.MonkeyPatch, is_integrated: int, kind: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    properties = SimpleNamespace(is_integrated=is_integrated)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    for name, found in (("_discrete", "cuda"), ("_shared", "unified")):
        monkeypatch.setattr(hardware, name, lambda device, found=found: (found, device))
    assert choose_hardware("auto") == (kind, torch.device("cuda", 0))


def test_devices_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="no device 'tpu'"):
        choose_hardware("tpu")
    if not torch.cuda.is_available():
        for device in ("cuda", "cuda:1", "unified"):
            with pytest.raises(InputError, match=f"no device '{device}' here"):
                choose_hardware(device)
        assert choose_hardware("auto").backend.kind == "cpu"
