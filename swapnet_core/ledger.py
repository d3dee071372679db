"""The only counter of bytes: leases never pass the budget."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from swapnet_core.errors import BudgetTooSmallError, InvariantError
from swapnet_core.sizes import MIB, format_size


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSnapshot:
    """State of a ledger at one moment, in bytes."""

    budget_bytes: int
    leased_bytes: int
    peak_bytes: int
    leases: int


class Lease:
    """The right to hold a number of bytes; released exactly once. Any thread."""

    __slots__ = ("_is_open", "_ledger", "owner", "size_bytes")

    def __init__(self, ledger: MemoryLedger, owner: str, size_bytes: int) -> None:
        self._ledger = ledger
        self._is_open = True
        self.owner = owner
        self.size_bytes = size_bytes

    def release(self) -> None:
        """Give the bytes back.

        Raises:
            InvariantError: released before.
        """
        if not self._is_open:
            raise InvariantError(f"{self!r} is released twice")
        self._is_open = False
        self._ledger._give_back(self)

    def __repr__(self) -> str:
        state = "open" if self._is_open else "released"
        return f"<Lease {self.owner} {format_size(self.size_bytes)}, {state}>"


class MemoryLedger:
    """Counts leases against a budget. Any thread."""

    def __init__(self, budget_bytes: int) -> None:
        self._lock = threading.Lock()
        self._budget_bytes = budget_bytes
        self._leased_bytes = 0
        self._peak_bytes = 0
        self._leases = 0

    @property
    def budget_bytes(self) -> int:
        """The ceiling in force."""
        return self._budget_bytes

    def lease(self, owner: str, size_bytes: int) -> Lease:
        """Take `size_bytes`.

        Raises:
            BudgetTooSmallError: they are not free; nothing was taken.
        """
        with self._lock:
            needed = self._leased_bytes + size_bytes
            if needed > self._budget_bytes:
                raise BudgetTooSmallError(
                    f"{owner} needs {format_size(size_bytes)}, but of the budget of "
                    f"{format_size(self._budget_bytes)} only "
                    f"{format_size(self._budget_bytes - self._leased_bytes)} are free",
                    needed_bytes=needed,
                    budget_bytes=self._budget_bytes,
                )
            self._leased_bytes = needed
            self._peak_bytes = max(self._peak_bytes, needed)
            self._leases += 1
        return Lease(self, owner, size_bytes)

    def lease_rest(self, owner: str) -> Lease:
        """Take all that is free, maybe nothing."""
        with self._lock:
            size_bytes = self._budget_bytes - self._leased_bytes
            self._leased_bytes = self._peak_bytes = self._budget_bytes
            self._leases += 1
        return Lease(self, owner, size_bytes)

    def set_budget(self, budget_bytes: int) -> None:
        """Move the ceiling; the peak is counted anew from here.

        Raises:
            BudgetTooSmallError: more than that is leased; the ceiling stays.
        """
        with self._lock:
            if self._leased_bytes > budget_bytes:
                raise BudgetTooSmallError(
                    f"the budget cannot become {format_size(budget_bytes)} while "
                    f"{format_size(self._leased_bytes)} are leased",
                    needed_bytes=self._leased_bytes,
                    budget_bytes=budget_bytes,
                )
            self._budget_bytes = budget_bytes
            self._peak_bytes = self._leased_bytes

    def snapshot(self) -> LedgerSnapshot:
        """Return the state of this moment."""
        with self._lock:
            return LedgerSnapshot(
                budget_bytes=self._budget_bytes,
                leased_bytes=self._leased_bytes,
                peak_bytes=self._peak_bytes,
                leases=self._leases,
            )

    def _give_back(self, lease: Lease) -> None:
        with self._lock:
            self._leased_bytes -= lease.size_bytes
            self._leases -= 1

    def __repr__(self) -> str:
        state = self.snapshot()
        return (
            f"<MemoryLedger {state.leased_bytes / MIB:.0f}/{state.budget_bytes / MIB:.0f} MiB, "
            f"{state.leases} leases>"
        )
