"""What one forward teaches: order, layers, what is held and what must stay."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from swapnet_core import SwapRuntime
from swapnet_core.assembly import Assembly
from swapnet_core.gauges import HOST_GAUGE
from swapnet_core.specs import NO_STEP, NetworkTrace
from swapnet_core.trace_json import trace_from_json, trace_to_json
from swapnet_core.traced_call import InMemoryLender, TracedCall
from swapnet_core.tracer import trace

_MIB = 2**20
_PEAK_CHILD = Path(__file__).with_name("activation_peak_child.py")


class _Idle:
    def access(self, weight: int) -> torch.Tensor:
        raise AssertionError(f"weight {weight} is accessed outside of a trace")


def _trace(network: nn.Module, *inputs: torch.Tensor) -> NetworkTrace:
    assembly = Assembly(network.eval())
    lender = InMemoryLender(assembly.tensors)
    assembly.attach(_Idle())

    def run() -> object:
        with torch.inference_mode():
            return network(*inputs)

    call = TracedCall(
        compute=lambda run: run(),
        run=run,
        set_source=lambda source: setattr(assembly, "source", source),
        weights=assembly.weights,
        tile_units_rows=assembly.tile_units_rows,
        lender=lender,
        buffer_bytes=assembly.buffer_bytes,
    )
    try:
        return trace(call)
    finally:
        assembly.detach()


class _Net(nn.Module):
    def __init__(self, forward: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.kept = [self.c.weight]
        self._forward = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forward(self, x)


def _layers(found: NetworkTrace) -> list[str]:
    return [found.layers[step].name for step in found.steps]


def test_steps_follow_execution_and_not_construction() -> None:
    found = _trace(_Net(lambda n, x: n.a(n.b(n.c(x)))), torch.ones(1, 8))
    assert _layers(found) == ["c", "b", "a"]
    assert [layer.name for layer in found.layers] == ["c", "b", "a"]
    assert not any(layer.is_pinned for layer in found.layers)


def test_a_layer_used_twice_has_two_steps_and_one_place() -> None:
    found = _trace(_Net(lambda n, x: n.a(n.b(n.a(n.c(x))))), torch.ones(1, 8))
    assert _layers(found) == ["c", "a", "b", "a"]
    assert len(found.layers) == 3


def test_weights_held_across_others_become_one_layer() -> None:
    def forward(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
        first = network.a.weight
        return network.b(x) @ first

    found = _trace(_Net(forward), torch.ones(1, 8))
    together = next(layer for layer in found.layers if len(layer.weights) == 4)
    names = {found.weights[weight].name for weight in together.weights}
    assert names == {"a.weight", "a.bias", "b.weight", "b.bias"}


def test_a_weight_read_without_being_asked_for_is_pinned() -> None:
    found = _trace(_Net(lambda n, x: n.b(n.a(x)) @ n.kept[0]), torch.ones(1, 8))
    pinned = [layer for layer in found.layers if layer.is_pinned]
    assert [found.weights[w].name for layer in pinned for w in layer.weights] == ["c.weight"]


def test_unused_layers_come_last_and_have_no_step() -> None:
    found = _trace(_Net(lambda n, x: n.b(x)), torch.ones(1, 8))
    assert _layers(found) == ["b"]
    assert [layer.name for layer in found.layers] == ["b", "a", "c"]


def test_the_trace_tells_a_step_for_every_access() -> None:
    found = _trace(_Net(lambda n, x: n.a(n.b(n.c(x)))), torch.ones(1, 8))
    assert len(found.accesses) == len(found.access_steps) == 6
    for weight, step in zip(found.accesses, found.access_steps, strict=True):
        assert step != NO_STEP
        assert weight in found.layers[found.steps[step]].weights
    assert len(found.step_compute_s) == len(found.steps)
    assert all(seconds >= 0 for seconds in found.step_compute_s)


def _units(network: nn.Module, *inputs: torch.Tensor) -> dict[str, int]:
    return {layer.name: layer.tile_unit_rows for layer in _trace(network, *inputs).layers}


class _Large(nn.Module):
    """A layer of 4 MiB, rows of 4 KiB."""

    def __init__(self, forward: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.a, self.small = nn.Linear(1024, 1024), nn.Linear(1024, 8)
        self.kept = [self.a.weight]
        self._forward = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forward(self, x)


def test_large_layers_may_be_tiled_and_small_ones_not() -> None:
    found = _units(_Large(lambda n, x: n.small(n.a(x))), torch.ones(1, 1024))
    assert found == {"a": 32, "small": 0}  # tiles of 128 KiB and more


@pytest.mark.parametrize(
    "forward",
    [
        lambda n, x: n.small(n.a(x) + n.a.weight.norm()),
        lambda n, x: n.small(n.a(x)) + n.a.weight[0, 0],
        lambda n, x: n.small(x @ n.a.weight),
        lambda n, x: n.small(n.a(x) @ n.kept[0]),
        lambda n, x: [
            nn.functional.linear(nn.functional.linear(x, w), w) for w in [n.a.weight]
        ].pop(),
        lambda n, x: nn.functional.linear(n.a.weight, n.a.weight).sum() + n.small(n.a(x)),
        lambda n, x: (n.a(x), n.a.weight),
    ],
)
def test_what_reads_a_weight_otherwise_keeps_it_whole(forward: Callable[..., Any]) -> None:
    found = _trace(_Large(forward), torch.ones(1, 1024))
    assert [layer.name for layer in found.layers if layer.tile_unit_rows] == []


def test_every_pass_of_tiles_is_a_step() -> None:
    found = _trace(_Large(lambda n, x: n.small(n.a(n.a(x)))), torch.ones(1, 1024))
    assert _layers(found) == ["a", "a", "small"]
    assert found.access_steps == (0, 0, 1, 1, 2, 2)


def test_a_look_at_the_type_of_a_weight_is_no_pass_of_tiles() -> None:
    def forward(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return network.small(network.a(x.to(network.a.weight.dtype)))

    found = _trace(_Large(forward), torch.ones(1, 1024))
    assert _layers(found) == ["a", "small"]
    assert found.layers[0].tile_unit_rows == 32


def test_modules_of_other_kinds_are_not_tiled() -> None:
    class Mine(nn.Linear):
        pass

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(1024, 1024), nn.Linear(1024, 1024)
            self.b.weight = self.a.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x))

    x = torch.ones(1, 1024)
    parametrized = parametrizations.weight_norm(nn.Linear(1024, 1024))
    for network in (Mine(1024, 1024), Tied(), parametrized, nn.Embedding(1024, 1024)):
        inputs = torch.ones(1, dtype=torch.long) if isinstance(network, nn.Embedding) else x
        assert not any(_units(network, inputs).values())


@pytest.mark.parametrize(("caches", "kept_share"), [("7", None), ("0", 0.0)])
def test_the_peak_of_activations_is_measured(caches: str, kept_share: float | None) -> None:
    # In a process of its own, which does nothing beside.
    done = subprocess.run(
        [sys.executable, _PEAK_CHILD],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "GLIBC_TUNABLES": f"glibc.malloc.tcache_count={caches}",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    live_bytes = 65 * _MIB  # what is repeated, and its input's product
    counted_bytes = live_bytes + HOST_GAUGE.kept_beside(live_bytes, kept_share)
    assert int(done.stdout) == pytest.approx(counted_bytes, abs=5 * _MIB)


def test_a_trace_survives_being_written() -> None:
    found = _trace(_Net(lambda n, x: n.a(n.b(n.c(x)))), torch.ones(1, 8))
    assert trace_from_json(trace_to_json(found)) == found


def test_a_stored_trace_is_used_again(cache_dir: Path) -> None:
    forwards: list[int] = []

    class Counted(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            forwards.append(1)
            return super().forward(x)

    def load(side: int) -> None:
        torch.manual_seed(0)
        with SwapRuntime("1GiB", cache_dir=cache_dir) as runtime:
            runtime.load("network", Counted(64, 64).eval(), (torch.ones(side, 64),))

    load(1)
    assert forwards
    forwards.clear()
    load(1)
    assert not forwards
    load(2)  # another size of input has another peak of activations
    assert forwards
