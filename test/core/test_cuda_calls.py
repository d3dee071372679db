"""The CUDA calls themselves, on a real device: what a simulated one takes for granted."""

from __future__ import annotations

import gc
import mmap
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import SwapRuntime
from swapnet_core.backends.base import GraphPool
from swapnet_core.backends.cuda_calls import Queue, TorchCuda, can_register_host_memory
from swapnet_core.sizes import MIB

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("measured_gpu")]


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


def test_graphs_share_a_pool_and_give_it_back(calls: TorchCuda) -> None:
    weight = torch.ones(1024, 1024, device=calls.device)
    pool = calls.open_graphs()
    with torch.inference_mode(), pool.capturing():
        pool.begin()
        middle = weight * 2.0
        first = pool.end()
        pool.begin()
        output = middle + weight
        second = pool.end()
        pool.begin()
        nothing = pool.end()  # without a warning
    assert pool.size_bytes >= 2 * weight.nbytes
    for value in (1.0, 2.0):
        weight.fill_(value)
        for graph in (first, second, nothing):
            graph.replay()
        assert bool((output == 3.0 * value).all())
    reserved_bytes = torch.cuda.memory_reserved(calls.device)
    held_bytes = pool.size_bytes
    del middle, output
    pool.close()
    assert pool.size_bytes == 0
    assert torch.cuda.memory_reserved(calls.device) <= reserved_bytes - held_bytes


def test_a_capture_that_fails_leaves_the_device_as_it_was(calls: TorchCuda) -> None:
    weight = torch.ones(1024, device=calls.device)
    before = calls.allocated_bytes()
    for _ in range(2):
        pool = calls.open_graphs()
        with pytest.raises(RuntimeError):
            _capture_a_value(pool, weight)
        pool.close()
    calls.release(calls.allocate(4 * MIB))
    assert calls.allocated_bytes() == before
    assert float((weight * 2.0).sum()) == 2048.0
    pool = calls.open_graphs()
    with torch.inference_mode(), pool.capturing():
        pool.begin()
        output = weight + 1.0
        graph = pool.end()
    graph.replay()
    assert bool((output == 2.0).all())
    del output
    pool.close()


def _capture_a_value(pool: GraphPool, weight: torch.Tensor) -> None:
    with torch.inference_mode(), pool.capturing():
        pool.begin()
        (weight * 2.0).sum().item()


def test_other_threads_copy_and_wait_while_a_graph_is_captured(calls: TorchCuda) -> None:
    host, slot = _host(MIB), calls.allocate(MIB)
    calls.pin(host)
    host.fill_(7)
    pool = calls.open_graphs()

    def fetch() -> None:
        calls.let_wait(Queue.COPY, calls.record(Queue.COMPUTE))
        calls.copy(Queue.COPY, slot, host)
        calls.record(Queue.COPY).wait()

    with ThreadPoolExecutor(1) as other, torch.inference_mode(), pool.capturing():
        pool.begin()
        late = slot + 1
        other.submit(fetch).result()
        graph = pool.end()
    graph.replay()
    assert bool((late == 8).all())
    del late
    pool.close()
    calls.wait_for(Queue.COPY)
    calls.unpin(host)
    calls.release(slot)


def test_a_budget_that_follows_the_device_s_memory(calls: TorchCuda, cache_dir: Path) -> None:
    network, image = nn.Linear(64, 64).eval(), torch.rand(1, 64)
    _, total_bytes = torch.cuda.mem_get_info(calls.device)
    with SwapRuntime("auto", device="cuda", cache_dir=cache_dir) as runtime:
        runtime.load("net", network, (image,))(image)
        assert 0 < runtime.report().budget_bytes <= total_bytes


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
