"""Plans: every promise of `make_plan`, for any network, device and budget."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swapnet_core.errors import BudgetTooSmallError
from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.specs import NO_STEP, DeviceProfile, NetworkProfile, SwapPlan
from swapnet_core.testing import SIMULATED_DEVICE, simulated_profile
from swapnet_core.timeline import StreamedUse, find_gates, simulate

_KIB = 1024
_CELL = 64 * _KIB
_SLOW_STORAGE = DeviceProfile(
    read_bandwidth_bytes_per_s=1e6, read_latency_s=1e-4, compute_slowdown=0.0
)


@st.composite
def profiles(draw: st.DrawFn) -> NetworkProfile:
    """Networks with repeated, pinned and unused layers, of any size and speed."""
    pages = draw(st.lists(st.integers(1, 600), min_size=1, max_size=24))
    count = len(pages)
    pinned = draw(st.sets(st.integers(0, count - 1), max_size=2))
    usable = [index for index in range(count) if index not in pinned]
    order = draw(st.lists(st.sampled_from(usable), max_size=40)) if usable else []
    steps = [cell for index, cell in enumerate(order) if index == 0 or order[index - 1] != cell]
    return simulated_profile(
        cell_bytes=[size * 4096 for size in pages],
        steps=steps,
        pinned=sorted(pinned),
        step_compute_s=draw(
            st.lists(st.floats(0.0, 0.02), min_size=len(steps), max_size=len(steps))
        ),
        activation_bytes=draw(st.integers(0, 1 << 20)),
        buffer_bytes=draw(st.integers(0, 1 << 16)),
    )


devices = st.builds(
    DeviceProfile,
    read_bandwidth_bytes_per_s=st.floats(1e6, 1e10),
    read_latency_s=st.floats(0.0, 1e-3),
    compute_slowdown=st.floats(0.0, 0.5),
)


@settings(max_examples=60, deadline=None)
@given(profiles(), devices, st.floats(0.0, 1.1))
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


@settings(max_examples=60, deadline=None)
@given(profiles(), devices, st.floats(0.0, 1.0))
def test_no_plan_is_slower_than_streaming_everything_through_its_budget(
    profile: NetworkProfile, device: DeviceProfile, share: float
) -> None:
    smallest = smallest_budget_bytes(profile)
    budget_bytes = smallest + int(max(0, profile.demand_bytes - smallest) * share)
    plan = make_plan(profile, device, budget_bytes=budget_bytes)
    plain_s = _stream_all(profile, device, plan, budget_bytes)
    if plain_s is not None:
        assert plan.predicted_latency_s <= plain_s * (1 + 1e-9) + 1e-6


def _stream_all(
    profile: NetworkProfile, device: DeviceProfile, plan: SwapPlan, budget_bytes: int
) -> float | None:
    """Predict the plan's own blocks in a ring without residents; None where some must stay."""
    room_bytes = budget_bytes - plan.fixed_bytes
    if any(layer.is_pinned for layer in profile.trace.layers):
        return None
    slots, cursor = [], 0
    for block in plan.blocks:
        if block.size_bytes > room_bytes:
            return None
        if cursor + block.size_bytes > room_bytes:
            cursor = 0
        slots.append((cursor, cursor + block.size_bytes))
        cursor += block.size_bytes
    cell_block = {c: i for i, block in enumerate(plan.blocks) for c in block.weights}
    uses: list[int] = []
    compute_s: list[float] = []
    for layer, duration_s in zip(profile.trace.steps, profile.trace.step_compute_s, strict=True):
        if not uses or uses[-1] != cell_block[layer]:
            uses.append(cell_block[layer])
            compute_s.append(0.0)
        compute_s[-1] += duration_s
    gates = find_gates([slots[block] for block in uses])
    streamed = [
        StreamedUse(
            size_bytes=0 if uses[index - gate] == block else plan.blocks[block].size_bytes,
            compute_s=compute_s[index],
            gate=gate,
        )
        for index, (block, gate) in enumerate(zip(uses, gates, strict=True))
    ]
    return simulate(streamed, device, head_compute_s=profile.trace.head_compute_s).latency_s


@settings(max_examples=30, deadline=None)
@given(profiles(), st.integers(1, 1 << 20))
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
