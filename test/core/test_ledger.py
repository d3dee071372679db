"""The ledger: leases never pass the budget, and are released exactly once."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapnet_core.errors import BudgetTooSmallError, InvariantError
from swapnet_core.ledger import MemoryLedger


def test_a_lease_counts_until_it_is_released() -> None:
    ledger = MemoryLedger(100)
    lease = ledger.lease("slots", 60)
    assert ledger.snapshot().leased_bytes == 60
    assert ledger.snapshot().leases == 1
    lease.release()
    assert ledger.snapshot().leased_bytes == 0
    assert ledger.snapshot().peak_bytes == 60


def test_a_lease_beyond_the_budget_takes_nothing_and_tells_what_it_needs() -> None:
    ledger = MemoryLedger(100)
    lease = ledger.lease("slots", 60)
    with pytest.raises(BudgetTooSmallError, match="activations") as refused:
        ledger.lease("activations", 41)
    assert refused.value.needed_bytes == 101
    assert refused.value.budget_bytes == 100
    assert ledger.snapshot().leased_bytes == 60
    lease.release()


def test_a_lease_released_twice_is_our_bug() -> None:
    lease = MemoryLedger(100).lease("slots", 60)
    lease.release()
    with pytest.raises(InvariantError, match="twice"):
        lease.release()


def test_the_ceiling_does_not_sink_below_what_is_leased() -> None:
    ledger = MemoryLedger(100)
    lease = ledger.lease("slots", 60)
    with pytest.raises(BudgetTooSmallError) as refused:
        ledger.set_budget(59)
    assert refused.value.needed_bytes == 60
    assert ledger.budget_bytes == 100
    ledger.set_budget(60)
    assert ledger.snapshot().peak_bytes == 60
    lease.release()


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=40))
def test_any_history_stays_below_the_budget(history: list[tuple[bool, int]]) -> None:
    ledger = MemoryLedger(100)
    held = []
    for takes, size_bytes in history:
        if takes:
            try:
                held.append(ledger.lease("x", size_bytes))
            except BudgetTooSmallError:
                assert sum(lease.size_bytes for lease in held) + size_bytes > 100
        elif held:
            held.pop(size_bytes % len(held)).release()
        state = ledger.snapshot()
        assert state.leased_bytes == sum(lease.size_bytes for lease in held) <= state.peak_bytes
        assert state.peak_bytes <= 100
    for lease in held:
        lease.release()


@given(st.integers(0, 100))
def test_the_rest_is_all_that_is_free_and_nothing_more_fits(taken_bytes: int) -> None:
    ledger = MemoryLedger(100)
    lease = ledger.lease("slots", taken_bytes)
    rest = ledger.lease_rest("faults")
    assert rest.size_bytes == 100 - taken_bytes
    assert ledger.snapshot().leased_bytes == ledger.snapshot().peak_bytes == 100
    assert ledger.lease_rest("nothing").size_bytes == 0
    with pytest.raises(BudgetTooSmallError):
        ledger.lease("more", 1)
    rest.release()
    assert ledger.snapshot().leased_bytes == taken_bytes
    lease.release()
    with pytest.raises(InvariantError, match="faults"):
        rest.release()


def test_threads_that_race_for_the_last_bytes_never_both_get_them() -> None:
    ledger = MemoryLedger(10)
    barrier = threading.Barrier(4)
    refusals = []

    def take_and_give() -> None:
        barrier.wait()
        for _ in range(500):
            try:
                ledger.lease("x", 6).release()
            except BudgetTooSmallError:
                refusals.append(1)

    threads = [threading.Thread(target=take_and_give) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.snapshot().leased_bytes == 0
    assert ledger.snapshot().peak_bytes == 6


def test_the_repr_tells_the_state() -> None:
    ledger = MemoryLedger(128 * 2**20)
    lease = ledger.lease("slots", 96 * 2**20)
    assert repr(ledger) == "<MemoryLedger 96/128 MiB, 1 leases>"
    assert "slots 96.0 MiB, open" in repr(lease)
    lease.release()
    assert "released" in repr(lease)
