"""CUDA graphs: captured once per plan and replayed, on simulated devices and on a real one.

See [Note: graphs] in `graphs.py`. A simulated device does replays as late as it may.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from swapnet_core import SwappedModel, SwapRuntime, graphs
from swapnet_core.backends.cuda_calls import Queue
from swapnet_core.backends.device_queue import DeviceQueue
from swapnet_core.errors import InvariantError, StorageError
from swapnet_core.lane import Lane
from swapnet_core.planned_access import PlannedAccess
from swapnet_core.reports import GraphStats
from swapnet_core.simulated_cuda import SimulatedCuda
from swapnet_core.sizes import MIB
from swapnet_core.specs import NO_STEP

_WIDTH = 256
_DICE = torch.Generator().manual_seed(8)
Gpu = Any
"""See `gpu` in conftest.py."""


def _image(rows: int = 2) -> torch.Tensor:
    return torch.rand(rows, _WIDTH, generator=_DICE)


class _Net(nn.Module):
    """Buffers, a tied weight, operators in place, nested outputs, a weight that is an output."""

    def __init__(self, layers: int = 8, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.ModuleList(nn.Linear(_WIDTH, _WIDTH) for _ in range(layers))
        self.norm = nn.BatchNorm1d(_WIDTH)
        self.norm.running_mean.uniform_()
        self.layers[-1].weight = self.layers[1].weight

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> dict[str, Any]:
        for layer in self.layers:
            x = torch.relu_(layer(x)) * scale
        return {"y": (self.norm(x), x.sum(1)), "bias": self.layers[0].bias, "size": x.shape[0]}


def _same(one: Any, other: Any) -> bool:
    flat, wanted = (torch.utils._pytree.tree_leaves(found) for found in (one, other))
    return all(
        torch.equal(a.cpu(), b) if isinstance(b, torch.Tensor) else a == b
        for a, b in zip(flat, wanted, strict=True)
    )


def _stats(model: SwappedModel) -> GraphStats:
    found = model.stats().cuda_graphs
    assert found is not None
    return found


def _stream(opened: SwapRuntime, gpu: Gpu, model: SwappedModel) -> None:
    """Set a budget with room for graphs at which most of the network is streamed."""
    for _ in range(3):  # the pool is measured, with a plan like this in the end
        model(_image())
        opened.set_budget(gpu.smallest(opened) + model._model.graph_bytes + 512 * 1024)
    model(_image())
    assert _stats(model).is_used, _stats(model).reason
    assert _stats(model).graphs == len(model.plan.uses) + 1
    assert model.plan.uses


@contextmanager
def _late(gpu: Gpu) -> Iterator[None]:
    """Let replays be as late as they are on a GPU."""
    if gpu.calls is None:
        yield
        return
    gpu.calls.computes_late = True
    try:
        yield
    finally:
        gpu.calls.computes_late = False


def _load(opened: SwapRuntime, network: nn.Module, *inputs: Any, name: str = "net") -> SwappedModel:
    return opened.load(name, network, inputs or (_image(),), cuda_graphs=True)


def test_replays_give_what_the_network_gives(gpu: Gpu) -> None:
    network = _Net().eval()
    plain = copy.deepcopy(network)
    with gpu.open() as opened:
        model = _load(opened, network)
        assert not _stats(model).is_used
        _stream(opened, gpu, model)
        before = _stats(model).replays
        kept = []
        with _late(gpu):
            for _ in range(6):
                image = _image()
                kept.append((model(image), gpu.expect(plain, image)))
        assert all(_same(output, expected) for output, expected in kept)  # none was overwritten
        assert _stats(model).replays == before + 6
        assert model.stats().faults == 0
        assert model.timeline is not None
        assert len(model.timeline.uses) >= len(model.plan.uses)
        report = opened.report()
        assert report.peak_bytes <= report.budget_bytes
        if gpu.calls is not None:
            assert gpu.calls.held.device_bytes <= report.leased_bytes


@pytest.mark.slow
def test_half_precision_and_channels_last_pass_through(gpu: Gpu) -> None:
    torch.manual_seed(3)
    layers = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(5))
    network = nn.Sequential(*layers).eval().to(torch.float16).to(memory_format=torch.channels_last)
    plain = copy.deepcopy(network)
    image = torch.rand(1, 8, 12, 12).half().to(memory_format=torch.channels_last)
    with gpu.open() as opened:
        model = _load(opened, network, image)
        for _ in range(3):
            output = model(image)
            assert output.dtype == torch.float16
            assert output.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(output.cpu(), gpu.expect(plain, image))
        assert _stats(model).replays == 2
        model(image.contiguous())  # other strides may mean other kernels
        assert _stats(model).replays == 2


@pytest.mark.slow
def test_networks_take_turns_and_share_weights(gpu: Gpu) -> None:
    networks = [_Net(seed=seed).eval() for seed in (0, 1, 1)]
    plain = copy.deepcopy(networks)
    with gpu.open() as opened:
        models = [
            opened.load(f"{n}", network, (_image(),), cuda_graphs=n != 1)
            for n, network in enumerate(networks)
        ]
        for model in models:
            model(_image())
        pool_bytes = max(_stats(models[n]).size_bytes for n in (0, 2))
        opened.set_budget(gpu.smallest(opened) + 3 * pool_bytes + MIB // 2)
        for round_number in range(4):
            images = [_image() for _ in models]
            expected = [gpu.expect(p, i) for p, i in zip(plain, images, strict=True)]
            futures = [model.submit(i) for model, i in zip(models, images, strict=True)]
            for future, wanted in zip(futures, expected, strict=True):
                assert _same(future.result(), wanted)
            used = [stats is not None and stats.is_used for stats in map(_found, models)]
            assert used == [True, False, True], round_number
        models[0].close()
        assert _same(models[2](images[2]), expected[2])


def _found(model: SwappedModel) -> GraphStats | None:
    return model.stats().cuda_graphs


@pytest.mark.slow
def test_a_new_budget_voids_graphs_also_in_the_middle_of_a_replay(gpu: Gpu) -> None:
    network = _Net().eval()
    image = _image()
    expected = gpu.expect(network, image)
    with gpu.open() as opened:
        model = _load(opened, network)
        _stream(opened, gpu, model)
        budget = opened.report().budget_bytes
        futures = []
        for number in range(12):
            futures += [model.submit(image) for _ in range(3)]
            opened.set_budget(budget - 64 * 1024 * (number % 3))
        assert all(_same(future.result(), expected) for future in futures)
        for _ in range(2):
            assert _same(model(image), expected)
        assert _stats(model).is_used


def test_a_replay_that_meets_a_new_plan_starts_over(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    network = _Net().eval()
    plain = copy.deepcopy(network)
    with gpu.open() as opened, ThreadPoolExecutor(1) as changes:
        model = _load(opened, network)
        _stream(opened, gpu, model)
        budget, enter, entered = opened.report().budget_bytes, PlannedAccess.enter, []

        def enter_and_move(access: PlannedAccess, use: int) -> bool:
            entered.append(use)
            if len(entered) == 2:
                changes.submit(opened.set_budget, budget + MIB)
                wait_until(lambda: access._boundary.is_interrupted)
            return enter(access, use)

        monkeypatch.setattr(PlannedAccess, "enter", enter_and_move)
        image = _image()
        assert _same(model(image), gpu.expect(plain, image))
        assert len(entered) == 2
        assert not _stats(model).is_used
        assert _same(model(image), gpu.expect(plain, image))
        assert _stats(model).is_used or gpu.calls is None  # a real pool depends on the plan


@pytest.mark.slow
def test_a_new_budget_waits_until_a_capture_is_over(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    network = _Net().eval()
    plain = copy.deepcopy(network)
    with gpu.open() as opened, ThreadPoolExecutor(1) as changes:
        model = _load(opened, network)
        start = PlannedAccess.start_capture

        def start_and_move(access: PlannedAccess, enter_block: Callable[[int], None]) -> None:
            changes.submit(opened.set_budget, "64MiB")
            wait_until(lambda: access._boundary.is_interrupted)
            start(access, enter_block)

        with monkeypatch.context() as patch:
            patch.setattr(PlannedAccess, "start_capture", start_and_move)
            image = _image()
            assert _same(model(image), gpu.expect(plain, image))
        assert opened.report().budget_bytes == 64 * MIB
        for _ in range(2):
            image = _image()
            assert _same(model(image), gpu.expect(plain, image))
        assert _stats(model).is_used


@pytest.mark.slow
def test_other_inputs_than_the_example_s_run_as_ever(gpu: Gpu) -> None:
    network = _Net().eval()
    plain = copy.deepcopy(network)
    with gpu.open() as opened:
        model = _load(opened, network)
        model(_image())
        for rows, replays in ((1, 0), (2, 1), (1, 1), (2, 2)):
            image = _image(rows)
            assert _same(model(image), gpu.expect(plain, image))
            assert _stats(model).replays == replays
        half = model(image, scale=0.5)
        assert not _same(half, gpu.expect(plain, image))
        assert _stats(model).replays == 2


class _Odd(nn.Module):
    """Does what a graph cannot hold, or what it would freeze."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first, self.last = (nn.Linear(_WIDTH, _WIDTH) for _ in range(2))
        self.how = how
        self.calls = 0
        self.state: torch.Tensor | float = 0.0

    def forward(self, x: torch.Tensor) -> Any:
        y = self.first(x)
        if self.how == "item":
            y = y * float(y.abs().max().item())
        elif self.how == "branch":
            y = y + 1.0 if y.sum() > 0 else y - 1.0
        elif self.how == "shape":
            y = y * y.nonzero().shape[0]
        elif self.how == "inputs":
            x.mul_(1.0)
        elif self.how == "random":
            y = y + torch.rand_like(y)
        elif self.how == "counter":
            self.calls += 1
            y = y * self.calls
        elif self.how == "state":
            y = y + self.state
            self.state = y.mean()
        elif self.how == "object":
            return _Box(self.last(y))
        return self.last(y)


class _Box:
    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("item", "reads values"),
        pytest.param("branch", "reads values", marks=pytest.mark.slow),
        pytest.param("shape", "reads values", marks=pytest.mark.slow),
        pytest.param("inputs", "writes into its inputs", marks=pytest.mark.slow),
        pytest.param("random", "other values", marks=pytest.mark.slow),
        pytest.param("counter", "other values", marks=pytest.mark.slow),
        ("state", "other values"),
        pytest.param("object", "outputs are no plain", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_captured_runs_as_ever_and_says_why(gpu: Gpu, how: str, reason: str) -> None:
    network = _Odd(how).eval()
    plain = copy.deepcopy(network)
    with gpu.open() as opened:
        model = _load(opened, network)
        for _ in range(3):
            image = _image()
            output, expected = model(image), gpu.expect(plain, image)
            if how in ("item", "branch", "shape", "inputs"):
                assert torch.equal(output.cpu(), expected)
        stats = _stats(model)
        assert not stats.is_used
        assert reason in stats.reason
        assert stats.replays == 0
        opened.set_budget(gpu.smallest(opened))
        assert model.plan.graph_bytes == 0  # there is no use for that memory any more
        model(image)


def test_a_capture_that_fails_all_the_same_leaves_nothing(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swapnet_core.capturable.reads_values", lambda func: False)
    network = _Odd("item").eval()
    plain = copy.deepcopy(network)
    with gpu.open() as opened:
        model, other = _load(opened, network), _load(opened, _Net().eval(), name="other")
        for _ in range(2):
            image = _image()
            assert torch.equal(model(image).cpu(), gpu.expect(plain, image))
            other(image)
        assert "cannot be captured" in _stats(model).reason
        assert _stats(other).is_used  # the device is none the worse


@pytest.mark.slow
def test_weights_in_another_order_than_traced_are_not_captured(gpu: Gpu) -> None:
    class Detour(_Net):
        detour = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in reversed(self.layers) if self.detour else self.layers:
                x = torch.tanh(layer(x))
            return x

    network = Detour().eval()
    plain = copy.deepcopy(network)
    with gpu.open() as opened:
        model = _load(opened, network)
        network.detour = plain.detour = True
        image = _image()
        for _ in range(2):
            assert _same(model(image), gpu.expect(plain, image))
        assert "traced order" in _stats(model).reason
        network.detour = plain.detour = False
        opened.set_budget(gpu.smallest(opened) + 64 * MIB)
        for _ in range(2):
            assert _same(model(image), gpu.expect(plain, image))
        assert _stats(model).is_used


def test_a_budget_without_room_for_graphs_is_kept_without(gpu: Gpu) -> None:
    network = _Net().eval()
    plain = copy.deepcopy(network)
    with gpu.open() as opened:
        model = _load(opened, network)
        model(_image())
        pool_bytes = _stats(model).size_bytes
        opened.set_budget(gpu.smallest(opened) + pool_bytes - 1)
        image = _image()
        assert _same(model(image), gpu.expect(plain, image))
        assert model.plan.graph_bytes == 0
        assert "no room" in _stats(model).reason
        if gpu.calls is not None:
            assert gpu.calls.held.device_bytes <= opened.report().leased_bytes
        opened.set_budget(gpu.smallest(opened) + pool_bytes)
        assert model.plan.graph_bytes == pool_bytes
        model(image)
        assert _stats(model).is_used or gpu.calls is None  # a real pool depends on the plan


@pytest.mark.slow
def test_a_pool_larger_than_was_counted_is_given_back_until_a_plan_counts_it(gpu: Gpu) -> None:
    if gpu.calls is None:
        pytest.skip("on a simulated device, whose pools are as large as the test wants")
    gpu.calls.pool_bytes = 64 * MIB
    with gpu.open() as opened:
        model = _load(opened, _Net().eval())
        model(_image())
        model(_image())
        assert "set the budget anew" in _stats(model).reason
        assert gpu.calls.held.device_bytes <= opened.report().leased_bytes
        opened.set_budget("1GiB")
        model(_image())
        assert _stats(model).is_used
        assert model.plan.graph_bytes == _stats(model).size_bytes > 64 * MIB
        assert gpu.calls.held.device_bytes <= opened.report().leased_bytes


@pytest.mark.slow
def test_layers_that_run_by_tiles_are_cut_at_every_tile(gpu: Gpu) -> None:
    torch.manual_seed(5)
    wide = nn.Linear(_WIDTH, 16 * _WIDTH)
    network = nn.Sequential(wide, nn.ReLU(), nn.Linear(16 * _WIDTH, _WIDTH)).eval()
    plain = copy.deepcopy(network)
    with gpu.open() as opened:
        model = _load(opened, network)
        model(_image())
        opened.set_budget(gpu.smallest(opened) + _stats(model).size_bytes)
        image = _image()
        eager = model(image)
        assert any(block.tile is not None for block in model.plan.blocks)
        with _late(gpu):
            for _ in range(3):
                assert torch.equal(model(image), eager)
        assert _stats(model).replays >= 3
        torch.testing.assert_close(eager.cpu(), gpu.expect(plain, image))


@pytest.mark.slow
def test_a_block_that_cannot_be_read_is_an_error_and_the_next_replay_is_right(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = _Net().eval()
    plain = copy.deepcopy(network)
    with gpu.open() as opened:
        model = _load(opened, network)
        _stream(opened, gpu, model)

        def refuse(*_: Any) -> float:
            raise StorageError("broken", path="blocks")

        with monkeypatch.context() as patch:
            patch.setattr(Lane, "enter", refuse)
            with pytest.raises(StorageError, match="broken"):
                model(_image())
        for _ in range(3):
            image = _image()
            assert _same(model(image), gpu.expect(plain, image))
        assert _stats(model).is_used


def test_the_cpu_has_no_graphs_and_says_so(cache_dir: Any) -> None:
    with SwapRuntime("1GiB", device="cpu", cache_dir=cache_dir) as opened:
        network = _Net().eval()
        with torch.inference_mode():
            image = _image()
            expected = network(image)
        model = _load(opened, network)
        assert _same(model(image), expected)
        assert "no graphs" in _stats(model).reason
        assert model.plan.graph_bytes == 0
        plain = opened.load("plain", _Net(seed=1).eval(), (image,))
        assert plain.stats().cuda_graphs is None


def _mark_once(queue: DeviceQueue) -> None:
    if queue._released is None:
        queue._released = queue._calls.record(Queue.COMPUTE)


def _without_waits_of(queue: Queue) -> Callable[[pytest.MonkeyPatch], None]:
    let_wait = SimulatedCuda.let_wait

    def wait_if_other(calls: SimulatedCuda, waiting: Queue, mark: Any) -> None:
        if waiting is not queue:
            let_wait(calls, waiting, mark)

    return lambda patch: patch.setattr(SimulatedCuda, "let_wait", wait_if_other)


def _replay_first(patch: pytest.MonkeyPatch) -> None:
    """Issue every graph in front of the `enter` that it belongs behind."""
    replay = graphs._replay

    def early(captured: Any, *args: Any) -> Any:
        uses = [use for use, _ in captured.pieces]
        shifted = zip([*uses[1:], NO_STEP], (graph for _, graph in captured.pieces), strict=True)
        pairs = ((NO_STEP, captured.pieces[0][1]), *list(shifted)[1:])
        return replay(replace(captured, pieces=pairs), *args)

    patch.setattr(graphs, "_replay", early)


_BROKEN_RULES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "slots are given up behind an old mark": lambda patch: patch.setattr(
        DeviceQueue, "release", _mark_once
    ),
    "copies do not wait for compute": _without_waits_of(Queue.COPY),
    "compute does not wait for copies": _without_waits_of(Queue.COMPUTE),
    "graphs are replayed before their blocks are entered": _replay_first,
    "the output is not waited for": lambda patch: patch.setattr(
        SimulatedCuda, "wait_for", lambda *_: None
    ),
}


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(rule, marks=() if "wait for" in rule else pytest.mark.slow)
        for rule in _BROKEN_RULES
    ],
)
def test_a_simulated_device_shows_a_broken_rule(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    if gpu.calls is None or (gpu.kind == "unified" and "wait for" in rule):
        pytest.skip("a real device might be right by luck, and a shared memory has no copies")
    network = _Net().eval()
    plain = copy.deepcopy(network)
    with gpu.open() as opened:
        model = _load(opened, network)
        _stream(opened, gpu, model)
        assert not _is_wrong_somewhere(gpu, model, plain)
        with monkeypatch.context() as patch:
            _BROKEN_RULES[rule](patch)
            assert _is_wrong_somewhere(gpu, model, plain)
        for queue in Queue:
            gpu.calls.wait_for(queue)


@pytest.mark.slow
def test_a_simulated_device_shows_graphs_that_outlive_their_plan(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    if gpu.calls is None:
        pytest.skip("a real device might be right by luck")
    network = _Net().eval()
    plain = copy.deepcopy(network)
    with gpu.open() as opened:
        model = _load(opened, network)
        _stream(opened, gpu, model)
        with monkeypatch.context() as patch:
            patch.setattr(graphs.InferenceGraphs, "void_unless", lambda *_: None)
            opened.set_budget(opened.report().budget_bytes + 128 * 1024)
            assert _differs(gpu, model, plain)
        opened.set_budget("1GiB")
        assert not _differs(gpu, model, plain)


def _is_wrong_somewhere(gpu: Gpu, model: SwappedModel, plain: nn.Module) -> bool:
    """Replay often, late."""
    with _late(gpu):
        return any(_differs(gpu, model, plain) for _ in range(12))


def _differs(gpu: Gpu, model: SwappedModel, plain: nn.Module) -> bool:
    image = _image()
    try:
        return not _same(model(image), gpu.expect(plain, image))
    except (InvariantError, IndexError):  # the other plan has fewer uses
        return True
