"""The simulated pipeline against cases that can be reckoned by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapnet_core.timeline import Timeline, Uses, find_gates, read_anew, simulate


def _simulate(
    uses: list[tuple[float, float, int]],
    *,
    slowdown: float = 0.0,
    wake_s: float = 0.0,
    head_s: float = 0.0,
) -> Timeline:
    """Simulate uses given as `(read_s, compute_s, gate)`."""
    sequence = Uses(
        read_s=[use[0] for use in uses],
        compute_s=[use[1] for use in uses],
        gates=[use[2] for use in uses],
        head_compute_s=head_s,
    )
    return simulate(sequence, compute_slowdown=slowdown, wake_s=wake_s)


def test_without_streamed_blocks_only_compute_remains() -> None:
    timeline = _simulate([], head_s=0.3)
    assert timeline.latency_s == 0.3
    assert timeline.stall_s == 0.0


def test_one_slot_makes_reading_and_compute_take_turns() -> None:
    timeline = _simulate([(0.1, 0.2, 1), (0.1, 0.2, 1)])
    assert timeline.latency_s == pytest.approx(2 * 0.2 + 2 * 0.1)
    assert timeline.stall_s == pytest.approx(0.2)
    assert timeline.is_queued == (False, False)


def test_two_slots_hide_reads_behind_longer_compute() -> None:
    timeline = _simulate([(0.1, 0.2, 2)] * 4)
    assert timeline.latency_s == pytest.approx(0.8)
    assert timeline.stall_s == pytest.approx(0.0)


def test_where_reads_take_longer_the_bandwidth_decides() -> None:
    timeline = _simulate([(0.5, 0.1, 2)] * 4)
    assert timeline.latency_s == pytest.approx(4 * 0.5)
    assert timeline.stall_s == pytest.approx(4 * 0.4)
    assert timeline.is_queued == (True,) * 4


def test_compute_slows_down_while_reads_run() -> None:
    # 0.1 s of each use's compute runs at half speed beside the next read
    assert _simulate([(0.1, 0.2, 2)] * 4, slowdown=1.0).latency_s == pytest.approx(4 * 0.25)


def test_each_read_wakes_a_thread_at_the_expense_of_compute() -> None:
    timeline = _simulate([(0.1, 0.2, 2), (0.0, 0.2, 2), (0.1, 0.2, 2)], wake_s=0.01)
    assert timeline.latency_s == pytest.approx(3 * 0.2 + 2 * 0.01)


def test_a_read_of_nothing_costs_nothing() -> None:
    timeline = _simulate([(0.0, 0.2, 2), (0.1, 0.2, 1)], slowdown=1.0)
    assert timeline.latency_s == pytest.approx(0.2 + 0.1 + 0.2)


def test_gates_point_to_the_newest_use_of_another_block_in_the_same_bytes() -> None:
    slots = [(0, 10), (10, 20), (0, 10), (5, 15)]
    assert find_gates([0, 1, 2, 3], slots) == ([1, 2, 2, 1], [False] * 4)
    slots = [(0, 10), (10, 20), (0, 10), (10, 20)]
    assert find_gates([0, 1, 2, 3], slots) == ([2, 2, 2, 2], [False] * 4)


def test_what_nothing_overwrites_is_still_in_place() -> None:
    assert find_gates([0, 1, 2], [(0, 10), (10, 20), (20, 30)]) == ([3] * 3, [True] * 3)
    # block 0 is used twice before block 2 takes its bytes
    slots = [(0, 10), (10, 20), (0, 10)]
    assert find_gates([0, 1, 0, 2], slots) == ([1, 4, 4, 1], [False, True, True, False])


def test_what_others_may_have_overwritten_is_read_anew_after_its_own_last_use() -> None:
    # block 0 is used twice: what was read for its first use is still there at the second
    blocks = [0, 1, 0, 2]
    gates, in_place = find_gates(blocks, [(0, 10), (10, 20), (20, 30)])
    assert in_place == [True] * 4
    read_anew(blocks, gates, in_place)
    assert in_place == [False, False, True, False]
    assert gates == [2, 4, 4, 4]


_uses = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(1, 12)),
    min_size=1,
    max_size=12,
)


@given(_uses, st.floats(0.0, 0.5), st.floats(0.0, 1.0))
def test_latency_is_compute_and_stall_and_never_beats_the_bound(
    raw: list[tuple[float, float, int]], slowdown: float, head_s: float
) -> None:
    uses = [(read_s, compute_s, min(gate, len(raw))) for read_s, compute_s, gate in raw]
    timeline = _simulate(uses, slowdown=slowdown, head_s=head_s)
    compute_s = head_s + sum(use[1] for use in uses)
    assert timeline.latency_s >= compute_s + timeline.stall_s - 1e-9
    assert timeline.latency_s <= compute_s * (1 + slowdown) + timeline.stall_s + 1e-9
    assert sum(timeline.stalls_s) == pytest.approx(timeline.stall_s)
    assert len(timeline.stalls_s) == len(timeline.is_queued) == len(uses)


@given(_uses, st.floats(0.0, 0.5), st.floats(0.0, 1.0))
def test_it_is_what_a_clock_that_ticks_from_event_to_event_shows(
    raw: list[tuple[float, float, int]], slowdown: float, head_s: float
) -> None:
    uses = [(read_s, compute_s, min(gate, len(raw))) for read_s, compute_s, gate in raw]
    timeline = _simulate(uses, slowdown=slowdown, head_s=head_s)
    assert timeline.latency_s == pytest.approx(_by_events(uses, slowdown, head_s), abs=1e-7)


def _by_events(uses: list[tuple[float, float, int]], slowdown: float, head_s: float) -> float:
    """Simulate three inferences the slow way: one event after the other, no closed forms."""
    count, now, start = len(uses), 0.0, 0.0
    released = read = 0  # uses given back; reads finished
    reading: float | None = None  # what the read under way still takes
    for number in range(3 * count):
        released = number
        if number % count == 0:
            start = now
        # at the start of an inference the head's compute comes before the wait
        work = [head_s, None] if number % count == 0 else [None]
        for left in [*work, uses[number % count][1]]:
            while left is None or left > 1e-12:
                if reading is None and read - uses[read % count][2] < released:
                    reading = uses[read % count][0]
                if left is None and read > number:
                    break
                speed = 1.0 / (1.0 + slowdown) if reading is not None else 1.0
                spans = [] if left is None else [left / speed]
                if reading is not None:
                    spans.append(reading)
                span = min(spans)
                now += span
                if left is not None:
                    left -= span * speed
                if reading is not None:
                    reading -= span
                    if reading <= 1e-12:
                        reading, read = None, read + 1
    return now - start
