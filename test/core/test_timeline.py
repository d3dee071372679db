"""The simulated pipeline against cases that can be reckoned by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapnet_core.specs import DeviceProfile
from swapnet_core.timeline import StreamedUse, find_gates, simulate

_DEVICE = DeviceProfile(read_bandwidth_bytes_per_s=1000.0, read_latency_s=0.0, compute_slowdown=0.0)


def _use(size_bytes: int, compute_s: float, gate: int) -> StreamedUse:
    return StreamedUse(size_bytes=size_bytes, compute_s=compute_s, gate=gate)


def test_without_streamed_blocks_only_compute_remains() -> None:
    timeline = simulate([], _DEVICE, head_compute_s=0.3)
    assert timeline.latency_s == 0.3
    assert timeline.stall_s == 0.0


def test_one_slot_makes_reading_and_compute_take_turns() -> None:
    uses = [_use(100, 0.2, 1), _use(100, 0.2, 1)]
    timeline = simulate(uses, _DEVICE, head_compute_s=0.0)
    assert timeline.latency_s == pytest.approx(2 * 0.2 + 2 * 0.1)
    assert timeline.stall_s == pytest.approx(0.2)


def test_two_slots_hide_reads_behind_longer_compute() -> None:
    uses = [_use(100, 0.2, 2) for _ in range(4)]
    timeline = simulate(uses, _DEVICE, head_compute_s=0.0)
    assert timeline.latency_s == pytest.approx(0.8)
    assert timeline.stall_s == pytest.approx(0.0)


def test_where_reads_take_longer_the_bandwidth_decides() -> None:
    uses = [_use(500, 0.1, 2) for _ in range(4)]
    timeline = simulate(uses, _DEVICE, head_compute_s=0.0)
    assert timeline.latency_s == pytest.approx(4 * 0.5)
    assert timeline.stall_s == pytest.approx(4 * 0.4)


def test_compute_slows_down_while_reads_run() -> None:
    device = DeviceProfile(
        read_bandwidth_bytes_per_s=1000.0, read_latency_s=0.0, compute_slowdown=1.0
    )
    uses = [_use(100, 0.2, 2) for _ in range(4)]
    # 0.1 s of each use's compute runs at half speed beside the next read
    assert simulate(uses, device, head_compute_s=0.0).latency_s == pytest.approx(4 * 0.25)


def test_gates_point_to_the_newest_use_in_the_same_bytes() -> None:
    assert find_gates([(0, 10), (10, 20), (0, 10), (5, 15)]) == [1, 2, 2, 1]
    assert find_gates([(0, 10), (10, 20), (20, 30)]) == [3, 3, 3]
    assert find_gates([(0, 10), (10, 20), (0, 10), (10, 20)]) == [2, 2, 2, 2]


_uses = st.lists(
    st.tuples(st.integers(0, 1000), st.floats(0.0, 1.0), st.integers(1, 12)),
    min_size=1,
    max_size=12,
)


@given(_uses, st.floats(0.0, 0.5), st.floats(0.0, 1.0))
def test_latency_is_compute_and_stall_and_never_beats_the_bound(
    raw: list[tuple[int, float, int]], slowdown: float, head_s: float
) -> None:
    device = DeviceProfile(
        read_bandwidth_bytes_per_s=1000.0, read_latency_s=1e-4, compute_slowdown=slowdown
    )
    uses = [_use(size, compute, min(gate, len(raw))) for size, compute, gate in raw]
    timeline = simulate(uses, device, head_compute_s=head_s)
    compute_s = head_s + sum(use.compute_s for use in uses)
    assert timeline.latency_s >= compute_s + timeline.stall_s - 1e-9
    assert timeline.latency_s <= compute_s * (1 + slowdown) + timeline.stall_s + 1e-9
    assert sum(timeline.stalls_s) == pytest.approx(timeline.stall_s)
    assert len(timeline.stalls_s) == len(uses)
