"""Regions are leased before they exist, and given back with them."""

from __future__ import annotations

import pytest

from swapnet_core.arena import Arena
from swapnet_core.backends.cpu import CpuBackend
from swapnet_core.errors import BudgetTooSmallError, InvariantError
from swapnet_core.ledger import MemoryLedger
from swapnet_core.specs import PAGE_BYTES


def test_a_region_is_leased_in_pages_until_it_is_released() -> None:
    ledger = MemoryLedger(4 * PAGE_BYTES)
    arena = Arena(CpuBackend(), ledger)
    region = arena.allocate("slots", PAGE_BYTES + 1)
    assert ledger.snapshot().leased_bytes == 2 * PAGE_BYTES <= region.size_bytes
    with pytest.raises(BudgetTooSmallError, match="residents"):
        arena.allocate("residents", 3 * PAGE_BYTES)
    assert ledger.snapshot().leases == 1
    arena.release(region)
    assert ledger.snapshot().leased_bytes == 0
    with pytest.raises(InvariantError, match="not held"):
        arena.release(region)


def test_the_rest_is_what_no_region_holds_and_belongs_to_no_region() -> None:
    ledger = MemoryLedger(4 * PAGE_BYTES)
    arena = Arena(CpuBackend(), ledger)
    region = arena.allocate("slots", PAGE_BYTES)
    rest = arena.lease_rest("weights used out of order")
    assert rest.size_bytes == 3 * PAGE_BYTES
    assert "1 regions" in repr(arena)
    with pytest.raises(BudgetTooSmallError):
        arena.allocate("more", 1)
    rest.release()
    arena.release(region)
    assert ledger.snapshot().leases == 0


def test_a_region_that_cannot_be_had_leaves_no_lease() -> None:
    ledger = MemoryLedger(2**62)
    arena = Arena(CpuBackend(), ledger)
    with pytest.raises((OSError, MemoryError, OverflowError)):
        arena.allocate("slots", 2**61)
    assert ledger.snapshot().leased_bytes == ledger.snapshot().leases == 0
