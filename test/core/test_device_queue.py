"""A device's compute queue: what waits for what, its times, and what goes to the device."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from swapnet_core.assembly import Assembly
from swapnet_core.backends.cuda import CudaBackend
from swapnet_core.backends.cuda_calls import Queue
from swapnet_core.errors import InvariantError, OutOfMemoryError
from swapnet_core.gauges import DISCRETE, DeviceGauge
from swapnet_core.simulated_cuda import SimulatedCuda

_PAGE = 4096


class _Idle:
    def access(self, weight: int) -> torch.Tensor:
        raise AssertionError(f"weight {weight} is accessed")


def _ignore() -> None:
    return None


def test_waits_are_the_device_s_not_the_host_s() -> None:
    device = SimulatedCuda(computes_late=True)
    backend = CudaBackend(device)
    queue, region = backend.queue, backend.allocate(4 * _PAGE)
    queue.begin()
    for offset in range(0, 4 * _PAGE, _PAGE):
        device.compute(_ignore)
        queue.release()
        arrival = region.open_landing(offset, _PAGE, queue.released).deliver()
        assert arrival is not None
        queue.admit([arrival])
    device.compute(_ignore)
    queue.finish(None, None)
    waits = queue.waits()
    assert waits is not None
    assert len(waits) == 4
    assert all(wait.waited_s > 0.0 for wait in waits)  # at least for the copy
    assert [wait.time_s for wait in waits] == sorted(wait.time_s for wait in waits)
    queue.begin()
    queue.finish(None, None)
    assert queue.waits() == []
    region.free()
    backend.close()


def test_an_inference_is_over_when_the_device_is_done_with_it() -> None:
    device = SimulatedCuda(computes_late=True)
    queue = CudaBackend(device).queue
    done: list[bool] = []
    device.compute(lambda: done.append(True))
    assert not done
    queue.finish(torch.zeros(1), None)
    assert done


def test_staging_is_unpinned_behind_its_copies() -> None:
    device = SimulatedCuda(computes_late=True)
    backend = CudaBackend(device)
    region = backend.allocate(_PAGE)
    region.open_landing(0, _PAGE, None).deliver()
    backend.close()
    backend.close()
    assert device.held.pinned_bytes == 0
    region.free()


def test_memory_that_is_not_pinned_is_not_copied_behind_the_host_s_back() -> None:
    device = SimulatedCuda()
    target = device.allocate(_PAGE)
    with pytest.raises(InvariantError, match="not pinned"):
        device.copy(Queue.COPY, target, torch.zeros(_PAGE, dtype=torch.uint8))
    device.release(target)


def test_pinned_memory_that_cannot_be_had_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    device = SimulatedCuda()
    backend = CudaBackend(device)

    def refuse(memory: torch.Tensor) -> None:
        raise OutOfMemoryError("no more", needed_bytes=memory.numel())

    monkeypatch.setattr(device, "pin", refuse)
    with pytest.raises(OutOfMemoryError):
        backend.allocate(_PAGE)
    assert device.held.device_bytes == 0
    backend.close()


def test_a_gauge_counts_the_allocator_s_memory_and_its_granules() -> None:
    device = SimulatedCuda()
    gauge = DeviceGauge(device, DISCRETE)
    before = gauge.held_bytes()
    memory = device.allocate(3 * _PAGE)
    gauge.reset_peak()
    assert gauge.held_bytes() - before == 3 * _PAGE
    device.release(memory)
    assert gauge.peak_bytes() - before == 3 * _PAGE
    first, second = gauge.mark(), gauge.mark()
    gauge.settle()
    assert gauge.seconds_between(first, second) > 0.0
    assert DISCRETE.of_buffers([8, 512, 513]) == 512 + 512 + 1024


def test_buffers_move_to_the_device_and_stay_shared() -> None:
    network = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4)).eval()
    network[1].running_mean = network[0].running_mean
    network[1].register_buffer("absent", None)
    before = [network[0].running_mean, network[0].running_var]
    assembly = Assembly(network)
    assembly.attach(_Idle())
    assembly.move_buffers(torch.device("cpu", 0))  # another one than "cpu": they are copied
    moved = network[0].running_mean
    assert moved is not before[0]
    assert moved is network[1].running_mean
    assert torch.equal(moved, before[0])
    assembly.detach()
    assert network[0].running_mean is network[1].running_mean
    assert torch.equal(network[0].running_var, before[1])
