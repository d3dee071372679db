"""A simulated device's graphs keep to CUDA's rules, and break where CUDA would."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from swapnet_core import simulated_graphs
from swapnet_core.backends.cuda_calls import Queue
from swapnet_core.capturable import CaptureWatch, Signature, crosses
from swapnet_core.errors import InvariantError
from swapnet_core.simulated_cuda import SimulatedCuda
from swapnet_core.simulated_graphs import SimulatedGraph, SimulatedGraphPool

_CPU = torch.device("cpu")


def _capture(
    pool: SimulatedGraphPool, weight: torch.Tensor, buffer: torch.Tensor
) -> tuple[list[SimulatedGraph], torch.Tensor]:
    """Two graphs; the second one uses what the first one computes, and counts in a buffer."""
    found = []
    with torch.inference_mode(), pool.capturing():
        pool.begin()
        middle = torch.relu_(weight * 2.0).view(-1)
        found.append(pool.end())
        pool.begin()
        buffer.add_(1.0)
        output = middle + weight.view(-1)
        output[:1].mul_(10.0)
        found.append(pool.end())
    return found, output


def test_what_is_captured_is_done_by_replays_only() -> None:
    device = SimulatedCuda(computes_late=True)
    pool = device.open_graphs()
    with torch.inference_mode():
        weight, buffer = torch.tensor([[1.0, -1.0]]), torch.zeros(1)
    graphs, output = _capture(pool, weight, buffer)
    assert buffer.item() == 0.0
    assert output.tolist() != [30.0, -1.0]
    for value in (1.0, 2.0):
        with torch.inference_mode():
            weight.copy_(torch.tensor([[value, -value]]))
        for graph in graphs:
            graph.replay()
        assert output.tolist() != [30.0 * value, -value]  # the device has not come to it
        device.wait_for(Queue.COMPUTE)
        assert output.tolist() == [30.0 * value, -value]
        assert buffer.item() == value
    assert device.held.device_bytes == device.pool_bytes
    pool.close()
    pool.close()
    assert device.held.device_bytes == 0
    assert output.tolist() != [60.0, -2.0]
    with pytest.raises(InvariantError, match="given back"):
        graphs[0].replay()


def test_graphs_that_share_memory_are_replayed_in_order() -> None:
    device = SimulatedCuda()
    pool = device.open_graphs()
    graphs, _ = _capture(pool, torch.ones(1, 2), torch.zeros(1))
    with pytest.raises(InvariantError, match="another order"):
        graphs[1].replay()
    graphs[0].replay()
    graphs[0].replay()  # from the beginning, after an inference that broke off
    graphs[1].replay()
    pool.close()


@pytest.mark.parametrize(
    "call",
    [
        lambda device, mark: mark.wait(),
        lambda device, mark: device.wait_for(Queue.COMPUTE),
        lambda device, mark: device.record(Queue.COMPUTE),
        lambda device, mark: device.let_wait(Queue.COMPUTE, mark),
        lambda device, mark: device.allocate(4096),
        lambda device, mark: torch.ones(2).sum().item(),
        lambda device, mark: torch.ones(2).nonzero(),
        lambda device, mark: bool((torch.ones(2) > 0).any()),
    ],
    ids=["wait", "wait_for", "record", "let_wait", "allocate", "item", "nonzero", "bool"],
)
def test_what_may_not_be_captured_breaks_the_capture(call: Any) -> None:
    device = SimulatedCuda()
    mark, pool = device.record(Queue.COPY), device.open_graphs()
    with torch.inference_mode(), pool.capturing():
        pool.begin()
        with pytest.raises(RuntimeError, match="not permitted"):
            call(device, mark)
        with pytest.raises(RuntimeError, match="broken by"):
            pool.end()
    pool.close()
    call(device, mark)  # afterwards it may be
    assert device.held.device_bytes <= 4096


@pytest.mark.parametrize("mode", ["thread_local", "global"])
def test_other_threads_may_wait_unless_the_mode_is_global(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    assert simulated_graphs.CAPTURE_MODE == "thread_local"
    monkeypatch.setattr(simulated_graphs, "CAPTURE_MODE", mode)
    device = SimulatedCuda()
    pool = device.open_graphs()
    with ThreadPoolExecutor(1) as other, torch.inference_mode(), pool.capturing():
        pool.begin()
        done = other.submit(lambda: device.record(Queue.COPY).wait())
        error = done.exception()
        if mode == "global":
            assert "not permitted" in str(error)
            with pytest.raises(RuntimeError, match="broken by"):
                pool.end()
        else:
            assert error is None
            pool.end()
    pool.close()


def test_two_captures_at_once_are_refused_and_so_is_work_between_graphs() -> None:
    device = SimulatedCuda()
    first, second = device.open_graphs(), device.open_graphs()
    with torch.inference_mode(), first.capturing():
        with pytest.raises(InvariantError, match="between two graphs"):
            torch.ones(2)
        with pytest.raises(RuntimeError, match="two captures"), second.capturing():
            pass
        first.begin()
        first.end()
    first.close()


def test_signatures_tell_apart_what_a_graph_would_confuse() -> None:
    image = torch.rand(1, 3, 4, 4)
    known = Signature.of((image,), {"scale": 1.0})
    assert known is not None
    assert known == Signature.of((torch.rand(1, 3, 4, 4),), {"scale": 1.0})
    others = [
        ((image.half(),), {"scale": 1.0}),
        ((image.to(memory_format=torch.channels_last),), {"scale": 1.0}),
        ((image[:, :2],), {"scale": 1.0}),
        ((image,), {"scale": 2.0}),
        ((image,), {"scale": 1}),
        ((image,), {}),
        (([image],), {"scale": 1.0}),
    ]
    for inputs, kwargs in others:
        assert Signature.of(inputs, kwargs) != known
    for odd in (object(), torch.eye(2).to_sparse(), torch.nn.Identity()):
        assert Signature.of((odd,), {}) is None


def test_copies_between_host_and_device_are_seen() -> None:
    host, there, number = torch.ones(2), torch.ones(2, device="meta"), torch.ones(())
    meta = torch.device("meta")
    assert crosses([host], [there], meta)
    assert crosses([there], [host], meta)
    assert crosses([there], [number], meta)
    assert crosses([number], [there[0]], meta)
    assert crosses([there, host], [there], meta)
    assert not crosses([there, number, torch.ones(0)], [there], meta)
    assert not crosses([host, number], [host], meta)
    assert not crosses([there, there], [there], meta)
    assert not crosses([], [there], meta)
    watch = CaptureWatch(meta, there)
    with torch.inference_mode(), watch:
        host.to("meta")
    assert "between host and device" in watch.reason


def test_what_is_written_into_an_input_is_seen_and_into_other_tensors_not() -> None:
    image, buffer = torch.ones(2), torch.ones(2)
    watch = CaptureWatch(_CPU, (image, {"other": buffer[:1]}))
    with torch.inference_mode(), watch:
        buffer.add_(image)
        assert "writes" in watch.reason  # a part of it is an input
    watch = CaptureWatch(_CPU, image)
    with torch.inference_mode(), watch:
        buffer.add_(image)
        assert not watch.reason
        torch.add(buffer, 1.0, out=image.view(2, 1)[:, 0])
    assert "writes into its inputs" in watch.reason
