"""A simulated device shows when a rule for replays is broken: so it would show a mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from torch import nn

from swapnet_core import SwappedModel, graphs
from swapnet_core.backends.cuda_calls import Queue
from swapnet_core.backends.device_queue import DeviceQueue
from swapnet_core.errors import InvariantError
from swapnet_core.simulated_cuda import SimulatedCuda
from swapnet_core.specs import NO_STEP

Graphed = Any
"""See `graphed` in conftest.py."""


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
    graphed: Graphed, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    if graphed.gpu.calls is None or (graphed.gpu.kind == "unified" and "wait for" in rule):
        pytest.skip("a real device might be right by luck, and a shared memory has no copies")
    with graphed.loaded() as (opened, model, plain):
        graphed.stream(opened, model)
        assert not _is_wrong_somewhere(graphed, model, plain)
        with monkeypatch.context() as patch:
            _BROKEN_RULES[rule](patch)
            assert _is_wrong_somewhere(graphed, model, plain)
        for queue in Queue:
            graphed.gpu.calls.wait_for(queue)


@pytest.mark.slow
def test_a_simulated_device_shows_graphs_that_outlive_their_plan(
    graphed: Graphed, monkeypatch: pytest.MonkeyPatch
) -> None:
    if graphed.gpu.calls is None:
        pytest.skip("a real device might be right by luck")
    with graphed.loaded() as (opened, model, plain):
        graphed.stream(opened, model)
        with monkeypatch.context() as patch:
            patch.setattr(graphs.InferenceGraphs, "void_unless", lambda *_: None)
            opened.set_budget(opened.report().budget_bytes + 128 * 1024)
            assert _differs(graphed, model, plain)
        opened.set_budget("1GiB")
        assert not _differs(graphed, model, plain)


def _is_wrong_somewhere(graphed: Graphed, model: SwappedModel, plain: nn.Module) -> bool:
    """Replay often, late."""
    with graphed.late():
        return any(_differs(graphed, model, plain) for _ in range(12))


def _differs(graphed: Graphed, model: SwappedModel, plain: nn.Module) -> bool:
    image = graphed.image()
    try:
        return not graphed.same(model(image), graphed.gpu.expect(plain, image))
    except (InvariantError, IndexError):  # the other plan has fewer uses
        return True
