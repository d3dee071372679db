"""The CUDA calls themselves, on a real device: what a simulated one takes for granted."""

from __future__ import annotations

import gc
import mmap
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import SwapRuntime
from swapnet_core.backends.cuda_calls import Queue, TorchCuda, can_register_host_memory
from swapnet_core.sizes import MIB

pytestmark = pytest.mark.gpu


@pytest.fixture
def calls() -> TorchCuda:
    return TorchCuda(torch.device("cuda", 0))


def _host(size_bytes: int) -> torch.Tensor:
    memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(memory, dtype=torch.uint8)


def test_memory_is_given_back_under_tensors_that_are_still_around(calls: TorchCuda) -> None:
    before = calls.allocated_bytes()
    memory = calls.allocate(64 * MIB)
    view = memory[:MIB].view(torch.float32)
    assert calls.allocated_bytes() - before >= 64 * MIB
    calls.release(memory)
    assert calls.allocated_bytes() == before
    del view


def test_a_copy_waits_for_compute_and_compute_for_the_copy(calls: TorchCuda) -> None:
    size = 4 * MIB
    host, slot = _host(size), calls.allocate(size)
    calls.pin(host)
    spin = torch.rand(4096, 4096, device=calls.device)
    slot.fill_(1)
    for value in (2, 3, 4):
        seen = slot.clone()
        for _ in range(20):
            spin = (spin @ spin).clamp(0.0, 1.0)
        late = slot.clone()  # long after the copy below was issued
        host.fill_(value)
        calls.let_wait(Queue.COPY, calls.record(Queue.COMPUTE))
        calls.copy(Queue.COPY, slot, host)
        arrival = calls.record(Queue.COPY)
        calls.let_wait(Queue.COMPUTE, arrival)
        new = slot.clone()
        arrival.wait()
        assert bool((seen == value - 1).all())
        assert bool((late == value - 1).all())
        assert bool((new == value).all())
    calls.wait_for(Queue.COPY)
    calls.unpin(host)
    calls.release(slot)


def test_an_alias_is_the_memory_itself_and_keeps_it_alive(calls: TorchCuda) -> None:
    memory = torch.zeros(MIB, dtype=torch.uint8, device=calls.device)
    aliased = calls.alias(memory[512:1024])
    dead: list[bool] = []
    weakref.finalize(aliased.owner, dead.append, True)
    view = aliased.tensor.view(torch.float32)
    del aliased
    view.fill_(1.0)
    assert bool((memory[512:1024].view(torch.float32) == 1.0).all())
    assert not bool(memory[:512].any())
    assert not dead
    del view
    gc.collect()
    assert dead


def test_pinned_pages_are_the_same_from_both_sides(calls: TorchCuda) -> None:
    if not can_register_host_memory(calls.device):
        pytest.skip("the device is not I/O coherent")
    host = _host(MIB)
    calls.pin(host)
    aliased = calls.alias_pinned(host)
    for value in range(1, 5):
        host.fill_(value)
        assert bool((aliased.tensor == value).all())
        aliased.tensor.fill_(value + 100)
        calls.wait_for(Queue.COMPUTE)
        assert bool((host == value + 100).all())
    del aliased
    calls.unpin(host)


def test_times_between_marks_are_the_device_s(calls: TorchCuda) -> None:
    spin = torch.rand(4096, 4096, device=calls.device)
    first = calls.record(Queue.COMPUTE)
    for _ in range(10):
        spin = spin @ spin
    second = calls.record(Queue.COMPUTE)
    calls.wait_for(Queue.COMPUTE)
    assert calls.seconds_between(first, second) > 0.0


def test_the_allocator_s_peak_stays_within_the_budget(calls: TorchCuda, cache_dir: Path) -> None:
    layers: list[nn.Module] = [nn.Conv2d(3, 256, 3, padding=1)]
    for _ in range(12):
        layers += [nn.Conv2d(256, 256, 3, padding=1), nn.BatchNorm2d(256), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(4096, 1024)]
    network = nn.Sequential(*layers).eval()
    image = torch.rand(1, 3, 56, 56, device=calls.device)
    base_bytes = calls.allocated_bytes()
    with SwapRuntime("4GiB", device="cuda", cache_dir=cache_dir) as runtime:
        model = runtime.load("net", network, (image,))
        demand_bytes = model.stats().demand_bytes
        for ratio in (1.5, 2.32, 1.2):
            runtime.set_budget(int(demand_bytes / ratio))
            calls.drop_workspaces()
            calls.reset_peak()
            for _ in range(5):
                model(image)
            peak_bytes = calls.peak_bytes() - base_bytes
            assert peak_bytes <= runtime.report().budget_bytes
    calls.drop_workspaces()
    assert calls.allocated_bytes() == base_bytes
