"""Networks with tiled layers, by plans that are cut by hand: right whatever the network does.

The network and its plans are those of `conftest.py`.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from swapnet_core.errors import BudgetTooSmallError, StorageError


def test_tiles_come_in_turn_and_again_in_the_next_inference(bench: Any) -> None:
    for _ in range(3):
        assert bench.run().faults == 0


def test_tiled_layers_are_never_in_memory_whole(bench: Any) -> None:
    weights = sum(weight.size_bytes for weight in bench.profile.trace.weights)
    assert bench.lane.plan.region_bytes < weights / 3
    assert not bench.lane.plan.is_exact


@pytest.mark.parametrize("detour", ["twice", "again", "norm", "early", "late", "thread", "caught"])
def test_what_was_not_traced_is_right_all_the_same(opened: Any, detour: str) -> None:
    opened.adopt(opened.cut(slots=10))
    try:
        assert opened.run().faults == 0
        for _ in range(2):
            assert (opened.run(detour).faults > 0) == (detour != "thread")
        assert opened.run().faults == 0
    finally:
        opened.drop_plan()


@pytest.mark.parametrize("detour", ["twice", "early", "late", "caught"])
def test_tiles_out_of_order_need_the_room_of_a_tile(bench: Any, detour: str) -> None:
    assert bench.run(detour).faults > 0
    assert bench.run().faults == 0


def test_a_whole_weight_without_room_says_what_it_needs(bench: Any) -> None:
    with pytest.raises(BudgetTooSmallError, match=r"wide\.weight") as refused:
        bench.run_plainly("norm")
    assert refused.value.needed_bytes > bench.lane.plan.budget_bytes
    assert bench.run().faults == 0


def test_an_inference_that_raises_leaves_the_next_one_alone(bench: Any) -> None:
    with pytest.raises(ValueError, match="broken"):
        bench.run_plainly("broken")
    assert bench.run().faults == 0


@pytest.mark.parametrize("tile", [0, 1, 3])
def test_a_tile_that_cannot_be_read_ends_one_inference(bench: Any, tile: int) -> None:
    plan = bench.lane.plan
    blocks = [block for block in plan.blocks if block.tile is not None]
    bench.run()
    broken = bench.store.broken(blocks[tile].file_offset_bytes)
    with broken, pytest.raises(StorageError, match="broken"):
        [bench.run_plainly() for _ in range(3)]  # it may be in its slot already
    assert bench.run().faults == 0


def test_a_tiled_weight_tells_what_it_is_without_being_read(bench: Any) -> None:
    seen: list[tuple[object, ...]] = []

    def look(module: nn.Module, _inputs: object) -> None:
        weight = module._parameters["weight"]
        reads = len(bench.store.reads)
        assert isinstance(weight, nn.Parameter)
        seen.append((weight.shape, weight.dtype, weight.device.type, weight.requires_grad))
        assert (weight.dim(), weight.numel(), len(weight)) == (2, 1024 * 160, 160)
        assert weight.size(1) == 1024
        assert weight.stride() == (1024, 1)
        assert len(bench.store.reads) == reads

    handle = bench.network.narrow.register_forward_pre_hook(look)
    try:
        bench.run()
    finally:
        handle.remove()
    assert seen[1] == (torch.Size([160, 1024]), torch.float32, "cpu", True)


def test_a_weight_that_is_kept_is_right_at_any_later_time(bench: Any) -> None:
    kept: list[torch.Tensor] = []
    handle = bench.network.narrow.register_forward_pre_hook(
        lambda module, _inputs: kept.append(module._parameters["weight"])
    )
    try:
        bench.run_plainly()
    finally:
        handle.remove()
    with torch.inference_mode():
        x = torch.ones(2, bench.network.narrow.in_features)
        expected = functional.linear(x, bench.network.narrow.weight)
        assert torch.equal(functional.linear(x, kept[0]), expected)
        assert torch.equal(kept[0] * 1.0, bench.network.narrow.weight * 1.0)
    assert torch.equal(torch.as_tensor(kept[0].tolist()), bench.network.narrow.weight)
    assert torch.equal(copy.deepcopy(kept[0]), bench.network.narrow.weight)
    assert bench.run().faults == 0


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    wide=st.integers(1, 4),
    narrow=st.integers(1, 6),
    slots=st.integers(1, 4),
    residents=st.sets(st.integers(0, 12)),
    detours=st.lists(st.sampled_from(["", "", "twice", "early", "late", "caught"]), max_size=4),
)
def test_any_cut_gives_the_network_or_names_the_room_that_it_lacks(
    opened: Any, wide: int, narrow: int, slots: int, residents: set[int], detours: list[str]
) -> None:
    rows = {"wide": 208 * wide, "narrow": 32 * narrow}
    last = len(opened.cut(rows).blocks) - 1
    opened.adopt(opened.cut(rows, slots=slots, residents=residents - {last}))
    try:
        for detour in ["", *detours, ""]:
            try:
                opened.run(detour)
            except BudgetTooSmallError:
                # Copies of whole layers may need more room than tiles in slots leave.
                assert detour in ("early", "late")
    finally:
        opened.drop_plan()
