"""Plans: every promise of `make_plan`, for any network, device and budget.

Hypothesis draws networks and devices by the strategies of `conftest.py`.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swapnet_core.errors import BudgetTooSmallError
from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.specs import (
    NO_STEP,
    CellSpec,
    DeviceProfile,
    NetworkProfile,
    SwapPlan,
    round_up,
)
from swapnet_core.testing import SIMULATED_DEVICE, simulated_profile

_KIB = 1024
_CELL = 64 * _KIB
_DEVICE_OF_ROBOTS = DeviceProfile(
    read_bandwidth_bytes_per_s=1.9e9, read_latency_s=1e-4, compute_slowdown=0.05
)
_SLOW_STORAGE = DeviceProfile(
    read_bandwidth_bytes_per_s=1e6, read_latency_s=1e-4, compute_slowdown=0.0
)


@settings(max_examples=60, deadline=None)
@given(profile=..., device=..., share=st.floats(0.0, 1.1))
def test_every_promise_of_a_plan_holds(
    profile: NetworkProfile, device: DeviceProfile, share: float
) -> None:
    smallest = smallest_budget_bytes(profile)
    most = profile.demand_bytes + profile.weight_bytes
    budget_bytes = smallest + int(max(0, most - smallest) * share)
    plan = make_plan(profile, device, budget_bytes=budget_bytes)
    assert plan.peak_bytes <= plan.budget_bytes == budget_bytes
    _check_blocks(profile, plan)
    _check_slots(plan)
    _check_uses(profile, plan)
    assert make_plan(profile, device, budget_bytes=budget_bytes) == plan


def _check_blocks(profile: NetworkProfile, plan: SwapPlan) -> None:
    """Used cells lie in exactly one block, in order, and blocks are runs of the file."""
    cells = [cell for block in plan.blocks for cell in block.weights]
    layers = profile.trace.layers
    used = set(profile.trace.steps) | {i for i, layer in enumerate(layers) if layer.is_pinned}
    assert cells == sorted(used)
    for block in plan.blocks:
        run = [profile.cells[weight] for weight in block.weights]
        assert block.file_offset_bytes == run[0].offset_bytes
        assert block.size_bytes == sum(cell.size_bytes for cell in run)
        if any(layers[layer].is_pinned for cell in run for layer in range(*cell.layers)):
            assert block.is_resident


def _check_slots(plan: SwapPlan) -> None:
    """Slots lie in the region; a resident shares its bytes with nobody."""
    spans = [(b.slot_offset_bytes, b.slot_offset_bytes + b.size_bytes) for b in plan.blocks]
    for index, (begin, end) in enumerate(spans):
        assert begin % 4096 == 0
        assert 0 <= begin < end <= plan.region_bytes
        if not plan.blocks[index].is_resident:
            continue
        for other, (other_begin, other_end) in enumerate(spans):
            assert other == index or other_end <= begin or end <= other_begin


def _check_uses(profile: NetworkProfile, plan: SwapPlan) -> None:
    """Every step finds its block: resident, or the use that is current in step order."""
    cell_block = {c: i for i, block in enumerate(plan.blocks) for c in block.weights}
    assert len(plan.step_uses) == len(profile.trace.steps)
    entered = [use for use in plan.step_uses if use != NO_STEP]
    assert sorted(set(entered)) == list(range(len(plan.uses)))
    assert entered == sorted(entered)
    for layer, use in zip(profile.trace.steps, plan.step_uses, strict=True):
        block = cell_block[layer]
        if use == NO_STEP:
            assert plan.blocks[block].is_resident
        else:
            assert plan.uses[use] == block
            assert not plan.blocks[block].is_resident
    streamed = sum(plan.blocks[block].size_bytes for block in plan.uses)
    assert plan.streamed_bytes <= streamed


@settings(max_examples=30, deadline=None)
@given(profile=..., short_bytes=st.integers(1, 1 << 20))
def test_a_budget_too_small_tells_one_that_is_accepted(
    profile: NetworkProfile, short_bytes: int
) -> None:
    smallest = smallest_budget_bytes(profile)
    budget_bytes = max(0, smallest - short_bytes)
    if budget_bytes == smallest:
        return
    with pytest.raises(BudgetTooSmallError) as refused:
        make_plan(profile, SIMULATED_DEVICE, budget_bytes=budget_bytes)
    assert refused.value.needed_bytes == smallest
    assert refused.value.budget_bytes == budget_bytes
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=refused.value.needed_bytes)
    assert plan.peak_bytes <= refused.value.needed_bytes


@pytest.mark.parametrize("cell_bytes", [4096, 28 * 4096, 300 * 4096])
def test_the_smallest_budget_is_one_slot_for_the_largest_cell(cell_bytes: int) -> None:
    profile = simulated_profile(cell_bytes=[cell_bytes] * 12, steps=range(12))
    assert smallest_budget_bytes(profile) == cell_bytes
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=cell_bytes)
    assert plan.streamed_bytes == profile.weight_bytes


def test_with_room_for_all_nothing_is_read_again() -> None:
    profile = simulated_profile(cell_bytes=[_CELL] * 10, steps=range(10))
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=profile.demand_bytes)
    assert plan.streamed_bytes == 0
    assert plan.uses == ()
    assert plan.resident_bytes == profile.weight_bytes
    assert plan.predicted_stall_s == 0.0


def test_residents_cut_what_is_read() -> None:
    profile = simulated_profile(cell_bytes=[_CELL] * 16, steps=range(16))
    plan = make_plan(profile, _SLOW_STORAGE, budget_bytes=8 * _CELL)
    assert plan.resident_bytes > 0
    assert plan.streamed_bytes == profile.weight_bytes - plan.resident_bytes


def test_a_layer_used_by_every_other_step_stays() -> None:
    steps = [cell for other in range(1, 12) for cell in (0, other)]
    profile = simulated_profile(cell_bytes=[16 * _CELL] * 12, steps=steps)
    plan = make_plan(profile, _SLOW_STORAGE, budget_bytes=64 * _CELL)
    assert next(block for block in plan.blocks if block.weights[0] == 0).is_resident


def test_a_network_without_layers_needs_only_what_is_fixed() -> None:
    profile = simulated_profile(cell_bytes=[], steps=[], activation_bytes=100)
    assert smallest_budget_bytes(profile) == 100
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=100)
    assert plan.blocks == ()
    assert plan.peak_bytes == 100


def _tileable(profile: NetworkProfile, unit_rows: int) -> NetworkProfile:
    """Allow every layer that is not pinned to run a slice at a time; a row is a byte here."""
    layers = tuple(
        replace(layer, tile_unit_rows=0 if layer.is_pinned else unit_rows)
        for layer in profile.trace.layers
    )
    return replace(profile, trace=replace(profile.trace, layers=layers))


@settings(max_examples=40, deadline=None)
@given(profile=..., device=..., share=st.floats(0.0, 1.0), unit_rows=st.integers(1, 50_000))
def test_every_promise_of_a_plan_with_tiles_holds(
    profile: NetworkProfile, device: DeviceProfile, share: float, unit_rows: int
) -> None:
    whole_bytes = smallest_budget_bytes(profile)
    profile = _tileable(profile, unit_rows)
    smallest = smallest_budget_bytes(profile)
    assert smallest <= whole_bytes
    budget_bytes = smallest + int((whole_bytes - smallest) * share)
    plan = make_plan(profile, device, budget_bytes=budget_bytes)
    assert plan.peak_bytes <= plan.budget_bytes == budget_bytes
    assert plan.is_exact or smallest < whole_bytes
    _check_slots(plan)
    _check_tiles(profile, plan, unit_rows)
    assert make_plan(profile, device, budget_bytes=budget_bytes) == plan


def _check_tiles(profile: NetworkProfile, plan: SwapPlan, unit_rows: int) -> None:
    """Tiles of a weight cover its rows once, in order, and a step enters them in a row."""
    tiles: dict[int, list[int]] = {}
    for index, block in enumerate(plan.blocks):
        if block.tile is None:
            continue
        tiles.setdefault(block.tile.weight, []).append(index)
        assert block.weights == ()
        begin = profile.weight_offsets_bytes[block.tile.weight] + block.tile.rows[0]
        assert block.file_offset_bytes + block.tile.offset_bytes == begin
        assert block.tile.offset_bytes + block.tile.rows[1] - block.tile.rows[0] <= block.size_bytes
        assert block.tile.rows[0] % unit_rows == 0
    for weight, blocks in tiles.items():
        parts = [plan.blocks[block].tile for block in blocks]
        rows = [part.rows for part in parts if part is not None]
        assert rows[0][0] == 0
        assert rows[-1][1] == profile.trace.weights[weight].shape[0]
        assert all(one[1] == other[0] for one, other in itertools.pairwise(rows))
        streamed = [block for block in blocks if not plan.blocks[block].is_resident]
        for layer, use in zip(profile.trace.steps, plan.step_uses, strict=True):
            if layer == weight:
                assert list(plan.uses[use : use + len(streamed)]) == streamed or not streamed


def test_layers_stay_whole_where_they_fit() -> None:
    profile = _tileable(simulated_profile(cell_bytes=[_CELL] * 16, steps=range(16)), 1)
    assert make_plan(profile, SIMULATED_DEVICE, budget_bytes=8 * _CELL).is_exact


def test_a_layer_larger_than_its_room_is_tiled() -> None:
    cells = [16 * _CELL, 4 * _CELL, 256 * _CELL, 4 * _CELL]
    profile = _tileable(simulated_profile(cell_bytes=cells, steps=range(4)), 4096)
    budget_bytes = 64 * _CELL
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=budget_bytes)
    assert not plan.is_exact
    assert {block.tile.weight for block in plan.blocks if block.tile is not None} == {2}
    assert all(block.size_bytes >= _CELL for block in plan.blocks)


def test_what_stands_beside_a_tiled_weight_stays() -> None:
    """A cell of a small layer and a large one with a bias: the small tensors are residents."""
    profile = _with_neighbours(rows=1000, row_bytes=3000)
    plan = make_plan(profile, SIMULATED_DEVICE, budget_bytes=40 * _CELL)
    assert [block.weights for block in plan.blocks if block.tile is None] == [(0,), (2,)]
    for block in plan.blocks:
        end = block.file_offset_bytes + block.size_bytes
        assert block.file_offset_bytes % 4096 == end % 4096 == 0
        assert block.is_resident or block.tile is not None
        for weight in block.weights:
            begin = profile.weight_offsets_bytes[weight]
            assert block.file_offset_bytes <= begin
            assert begin + profile.trace.weights[weight].size_bytes <= end
    assert plan.step_uses[0] == NO_STEP
    assert plan.step_uses[1] == 0


def _with_neighbours(*, rows: int, row_bytes: int) -> NetworkProfile:
    """Make a profile of one cell: weight 0, weight 1 (which can be tiled) and its bias 2."""
    sizes = [512, rows * row_bytes, rows * 4]
    base = simulated_profile(cell_bytes=[4096] * 3, steps=[0, 1])
    trace = base.trace
    weights = [replace(w, size_bytes=size) for w, size in zip(trace.weights, sizes, strict=True)]
    weights[1] = replace(weights[1], shape=(rows, row_bytes), stride=(row_bytes, 1))
    layers = (
        trace.layers[0],
        replace(trace.layers[1], weights=(1, 2), tile_unit_rows=1),
    )
    offsets = (4096, 4096 + 512, 4096 + round_up(512 + sizes[1], 64))
    end = round_up(offsets[2] + sizes[2])
    return replace(
        base,
        trace=replace(trace, weights=tuple(weights), layers=layers),
        cells=(CellSpec(layers=(0, 2), offset_bytes=4096, size_bytes=end - 4096, digest=""),),
        weight_offsets_bytes=offsets,
    )


def test_four_hundred_layers_that_can_be_tiled_are_planned() -> None:
    """What takes longest: some layers are too large to be swapped in time, many are small."""
    cells = [(1 + index * 37 % 97) * 8 * 4096 for index in range(400)]
    profile = _tileable(simulated_profile(cell_bytes=cells, steps=range(400)), 4096)
    budget_bytes = profile.weight_bytes // 16
    plan = make_plan(profile, _DEVICE_OF_ROBOTS, budget_bytes=budget_bytes)
    assert plan.peak_bytes <= budget_bytes
    assert plan.predicted_latency_s <= 1.1 * plan.bound_s
