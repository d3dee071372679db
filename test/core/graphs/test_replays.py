"""Captured once per plan, and replayed: outputs are the network's, whatever comes in between.

See [Note: graphs] in `graphs.py`. A simulated device does replays as late as it may.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn

from swapnet_core import SwappedModel
from swapnet_core.errors import StorageError
from swapnet_core.lane import Lane
from swapnet_core.planned_access import PlannedAccess
from swapnet_core.reports import GraphStats
from swapnet_core.sizes import MIB

_WIDTH = 256
Graphed = Any
"""See `graphed` in conftest.py."""


def test_replays_give_what_the_network_gives(graphed: Graphed) -> None:
    with graphed.loaded() as (opened, model, plain):
        assert not graphed.stats(model).is_used
        graphed.stream(opened, model)
        before = graphed.stats(model).replays
        kept = []
        with graphed.late():
            for _ in range(6):
                image = graphed.image()
                kept.append((model(image), graphed.gpu.expect(plain, image)))
        # none was overwritten
        assert all(graphed.same(output, expected) for output, expected in kept)
        assert graphed.stats(model).replays == before + 6
        assert model.stats().faults == 0
        assert model.timeline is not None
        assert len(model.timeline.uses) >= len(model.plan.uses)
        report = opened.report()
        assert report.peak_bytes <= report.budget_bytes
        if graphed.gpu.calls is not None:
            assert graphed.gpu.calls.held.device_bytes <= report.leased_bytes


@pytest.mark.slow
def test_half_precision_and_channels_last_pass_through(graphed: Graphed) -> None:
    torch.manual_seed(3)
    layers = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(5))
    network = nn.Sequential(*layers).eval().to(torch.float16).to(memory_format=torch.channels_last)
    plain = copy.deepcopy(network)
    image = torch.rand(1, 8, 12, 12).half().to(memory_format=torch.channels_last)
    with graphed.gpu.open() as opened:
        model = graphed.load(opened, network, image)
        for _ in range(3):
            output = model(image)
            assert output.dtype == torch.float16
            assert output.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(output.cpu(), graphed.gpu.expect(plain, image))
        assert graphed.stats(model).replays == 2
        model(image.contiguous())  # other strides may mean other kernels
        assert graphed.stats(model).replays == 2


@pytest.mark.slow
def test_networks_take_turns_and_share_weights(graphed: Graphed) -> None:
    networks = [graphed.Net(seed=seed).eval() for seed in (0, 1, 1)]
    plain = copy.deepcopy(networks)
    with graphed.gpu.open() as opened:
        models = [
            opened.load(f"{n}", network, (graphed.image(),), cuda_graphs=n != 1)
            for n, network in enumerate(networks)
        ]
        for model in models:
            model(graphed.image())
        pool_bytes = max(graphed.stats(models[n]).size_bytes for n in (0, 2))
        opened.set_budget(graphed.gpu.smallest(opened) + 3 * pool_bytes + MIB // 2)
        for round_number in range(4):
            images = [graphed.image() for _ in models]
            expected = [graphed.gpu.expect(p, i) for p, i in zip(plain, images, strict=True)]
            futures = [model.submit(i) for model, i in zip(models, images, strict=True)]
            for future, wanted in zip(futures, expected, strict=True):
                assert graphed.same(future.result(), wanted)
            used = [stats is not None and stats.is_used for stats in map(_found, models)]
            assert used == [True, False, True], round_number
        models[0].close()
        assert graphed.same(models[2](images[2]), expected[2])


def _found(model: SwappedModel) -> GraphStats | None:
    return model.stats().cuda_graphs


@pytest.mark.slow
def test_a_new_budget_voids_graphs_also_in_the_middle_of_a_replay(graphed: Graphed) -> None:
    network = graphed.Net().eval()
    image = graphed.image()
    expected = graphed.gpu.expect(network, image)
    with graphed.gpu.open() as opened:
        model = graphed.load(opened, network)
        graphed.stream(opened, model)
        budget = opened.report().budget_bytes
        futures = []
        for number in range(12):
            futures += [model.submit(image) for _ in range(3)]
            opened.set_budget(budget - 64 * 1024 * (number % 3))
        assert all(graphed.same(future.result(), expected) for future in futures)
        for _ in range(2):
            assert graphed.same(model(image), expected)
        assert graphed.stats(model).is_used


def test_a_replay_that_meets_a_new_plan_starts_over(
    graphed: Graphed, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    with graphed.loaded() as (opened, model, plain), ThreadPoolExecutor(1) as changes:
        graphed.stream(opened, model)
        budget, enter, entered = opened.report().budget_bytes, PlannedAccess.enter, []

        def enter_and_move(access: PlannedAccess, use: int) -> bool:
            entered.append(use)
            if len(entered) == 2:
                changes.submit(opened.set_budget, budget + MIB)
                wait_until(lambda: access._boundary.is_interrupted)
            return enter(access, use)

        monkeypatch.setattr(PlannedAccess, "enter", enter_and_move)
        image = graphed.image()
        assert graphed.same(model(image), graphed.gpu.expect(plain, image))
        assert len(entered) == 2
        assert not graphed.stats(model).is_used
        assert graphed.same(model(image), graphed.gpu.expect(plain, image))
        # a real pool depends on the plan
        assert graphed.stats(model).is_used or graphed.gpu.calls is None


@pytest.mark.slow
def test_a_new_budget_waits_until_a_capture_is_over(
    graphed: Graphed, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    with graphed.loaded() as (opened, model, plain), ThreadPoolExecutor(1) as changes:
        start = PlannedAccess.start_capture

        def start_and_move(access: PlannedAccess, enter_block: Callable[[int], None]) -> None:
            changes.submit(opened.set_budget, "64MiB")
            wait_until(lambda: access._boundary.is_interrupted)
            start(access, enter_block)

        with monkeypatch.context() as patch:
            patch.setattr(PlannedAccess, "start_capture", start_and_move)
            image = graphed.image()
            assert graphed.same(model(image), graphed.gpu.expect(plain, image))
        assert opened.report().budget_bytes == 64 * MIB
        for _ in range(2):
            image = graphed.image()
            assert graphed.same(model(image), graphed.gpu.expect(plain, image))
        assert graphed.stats(model).is_used


@pytest.mark.slow
def test_other_inputs_than_the_example_s_run_as_ever(graphed: Graphed) -> None:
    with graphed.loaded() as (_, model, plain):
        model(graphed.image())
        for rows, replays in ((1, 0), (2, 1), (1, 1), (2, 2)):
            image = graphed.image(rows)
            assert graphed.same(model(image), graphed.gpu.expect(plain, image))
            assert graphed.stats(model).replays == replays
        half = model(image, scale=0.5)
        assert not graphed.same(half, graphed.gpu.expect(plain, image))
        assert graphed.stats(model).replays == 2


@pytest.mark.slow
def test_layers_that_run_by_tiles_are_cut_at_every_tile(graphed: Graphed) -> None:
    torch.manual_seed(5)
    wide = nn.Linear(_WIDTH, 16 * _WIDTH)
    network = nn.Sequential(wide, nn.ReLU(), nn.Linear(16 * _WIDTH, _WIDTH)).eval()
    plain = copy.deepcopy(network)
    with graphed.gpu.open() as opened:
        model = graphed.load(opened, network)
        model(graphed.image())
        opened.set_budget(graphed.gpu.smallest(opened) + graphed.stats(model).size_bytes)
        image = graphed.image()
        eager = model(image)
        assert any(block.tile is not None for block in model.plan.blocks)
        with graphed.late():
            for _ in range(3):
                assert torch.equal(model(image), eager)
        assert graphed.stats(model).replays >= 3
        torch.testing.assert_close(eager.cpu(), graphed.gpu.expect(plain, image))


@pytest.mark.slow
def test_a_block_that_cannot_be_read_is_an_error_and_the_next_replay_is_right(
    graphed: Graphed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with graphed.loaded() as (opened, model, plain):
        graphed.stream(opened, model)

        def refuse(*_: Any) -> float:
            raise StorageError("broken", path="blocks")

        with monkeypatch.context() as patch:
            patch.setattr(Lane, "enter", refuse)
            with pytest.raises(StorageError, match="broken"):
                model(graphed.image())
        for _ in range(3):
            image = graphed.image()
            assert graphed.same(model(image), graphed.gpu.expect(plain, image))
        assert graphed.stats(model).is_used
