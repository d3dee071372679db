"""Plans are the fastest: than streaming everything, and of few cells than any other plan.

Hypothesis draws networks and devices, where a test has none of its own, as `conftest.py` says.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.specs import DeviceProfile, NetworkProfile, SwapPlan
from swapnet_core.testing import simulated_profile
from swapnet_core.timeline import Uses, find_gates, simulate

Layouts = Callable[[Sequence[int], int], Iterator[list[tuple[int, int]]]]
"""Slots for streamed blocks of these sizes in so much memory."""


@settings(max_examples=60, deadline=None)
@given(profile=..., device=..., share=st.floats(0.0, 1.0))
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
    return _simulate(profile, device, uses, compute_s, slots, sizes=_sizes(plan))


def _sizes(plan: SwapPlan) -> list[int]:
    return [block.size_bytes for block in plan.blocks]


def _simulate(
    profile: NetworkProfile,
    device: DeviceProfile,
    uses: Sequence[int],
    compute_s: Sequence[float],
    slots: Sequence[tuple[int, int]],
    *,
    sizes: Sequence[int],
    head_s: float = 0.0,
) -> float:
    gates, in_place = find_gates(uses, slots)
    read_s = [
        0.0 if stays else device.read_s(sizes[block])
        for block, stays in zip(uses, in_place, strict=True)
    ]
    head_s += profile.trace.head_compute_s
    sequence = Uses(read_s=read_s, compute_s=compute_s, gates=gates, head_compute_s=head_s)
    return simulate(
        sequence, compute_slowdown=device.compute_slowdown, wake_s=device.wake_s
    ).latency_s


@st.composite
def few_cells(draw: st.DrawFn, least: int, most: int, *, repeats: bool) -> NetworkProfile:
    """Networks of so many cells, each used once or (with repeats) in any order."""
    count = draw(st.integers(least, most))
    steps = list(range(count))
    if repeats:
        order = draw(st.lists(st.sampled_from(steps), max_size=4))
        steps += [c for i, c in enumerate(order) if c != (order[i - 1] if i else count - 1)]
    return simulated_profile(
        cell_bytes=[draw(st.integers(1, 12)) * 4096 for _ in range(count)],
        steps=steps,
        step_compute_s=[draw(st.floats(0.0, 0.02)) for _ in steps],
    )


_slow_devices = st.builds(
    DeviceProfile,
    read_bandwidth_bytes_per_s=st.floats(1e6, 2e7),
    read_latency_s=st.floats(0.0, 1e-3),
    compute_slowdown=st.floats(0.0, 0.5),
)


@settings(max_examples=40, deadline=None)
@given(few_cells(1, 4, repeats=True), _slow_devices, st.floats(0.0, 1.0))
def test_no_plan_whatever_is_faster(
    profile: NetworkProfile, device: DeviceProfile, share: float
) -> None:
    """All partitions, all sets of residents, all layouts of slots."""
    _compare_with_all(profile, device, share, _all_layouts)


@settings(max_examples=25, deadline=None)
@given(few_cells(5, 6, repeats=False), _slow_devices, st.floats(0.0, 1.0))
def test_no_partition_with_any_residents_is_faster_in_a_ring(
    profile: NetworkProfile, device: DeviceProfile, share: float
) -> None:
    """All partitions, all sets of residents, streamed blocks in a ring in the rest."""
    _compare_with_all(profile, device, share, _ring)


def _compare_with_all(
    profile: NetworkProfile, device: DeviceProfile, share: float, layouts: Layouts
) -> None:
    smallest = smallest_budget_bytes(profile)
    budget_bytes = smallest + int((profile.demand_bytes - smallest) * share)
    plan = make_plan(profile, device, budget_bytes=budget_bytes)
    room_bytes = budget_bytes // 4096 * 4096
    fastest_s = min(_all_latencies(profile, device, room_bytes, layouts))
    assert plan.predicted_latency_s <= fastest_s * (1 + 1e-9)


def _all_latencies(
    profile: NetworkProfile, device: DeviceProfile, room_bytes: int, layouts: Layouts
) -> Iterator[float]:
    count = len(profile.cells)
    for cuts in itertools.product((False, True), repeat=count - 1):
        cell_block = [0, *itertools.accumulate(cuts)]
        sizes = [0] * (cell_block[-1] + 1)
        for cell, block in enumerate(cell_block):
            sizes[block] += profile.cells[cell].size_bytes
        for keeps in itertools.product((False, True), repeat=len(sizes)):
            left = room_bytes - sum(itertools.compress(sizes, keeps))
            if left < 0:
                continue
            order, compute_s, head_s = _streamed(profile, cell_block, keeps)
            streamed = [0 if keep else size for size, keep in zip(sizes, keeps, strict=True)]
            for slots in layouts(streamed, left):
                yield _simulate(
                    profile, device, order, compute_s, slots, sizes=sizes, head_s=head_s
                )


def _streamed(
    profile: NetworkProfile, cell_block: Sequence[int], keeps: Sequence[bool]
) -> tuple[list[int], list[float], float]:
    """Return the streamed uses, the compute from each to the next, and that before the first."""
    order: list[int] = []
    compute_s: list[float] = []
    head_s = 0.0
    for cell, duration_s in zip(profile.trace.steps, profile.trace.step_compute_s, strict=True):
        block = cell_block[cell]
        if not keeps[block] and (not order or order[-1] != block):
            order.append(block)
            compute_s.append(0.0)
        if order:
            compute_s[-1] += duration_s
        else:
            head_s += duration_s
    return order, compute_s, head_s


def _all_layouts(sizes: Sequence[int], room_bytes: int) -> Iterator[list[tuple[int, int]]]:
    """Every begin that is a sum of other sizes: other layouts can be pushed together."""
    begins = []
    for index, size in enumerate(sizes):
        others = [*sizes[:index], *sizes[index + 1 :]]
        picks = itertools.product((False, True), repeat=len(others))
        sums = {sum(itertools.compress(others, pick)) for pick in picks} if size else {0}
        begins.append([begin for begin in sums if begin + size <= room_bytes])
    for layout in itertools.product(*begins):
        yield [(begin, begin + size) for begin, size in zip(layout, sizes, strict=True)]


def _ring(sizes: Sequence[int], room_bytes: int) -> Iterator[list[tuple[int, int]]]:
    if max(sizes) > room_bytes:
        return
    slots, cursor = [], 0
    for size in sizes:
        cursor = 0 if cursor + size > room_bytes else cursor
        slots.append((cursor, cursor + size))
        cursor += size
    yield slots
