"""The owner of slot memory: every region is leased before it exists."""

from __future__ import annotations

import threading

from swapnet_core.backends.base import Backend, Region
from swapnet_core.errors import InvariantError, OutOfMemoryError
from swapnet_core.ledger import Lease, MemoryLedger
from swapnet_core.sizes import format_size
from swapnet_core.specs import round_up


class Arena:
    """Hands out regions of one backend's memory, counted by one ledger. Any thread."""

    def __init__(self, backend: Backend, ledger: MemoryLedger) -> None:
        self.backend = backend
        self._ledger = ledger
        self._lock = threading.Lock()
        self._leases: dict[int, Lease] = {}

    def allocate(self, owner: str, size_bytes: int) -> Region:
        """Lease and reserve a region.

        Args:
            owner: named in errors.
            size_bytes: rounded up to pages.

        Raises:
            BudgetTooSmallError: the bytes are not free; nothing is held.
            OutOfMemoryError: the system refuses them; nothing is held.
        """
        lease = self._ledger.lease(owner, round_up(size_bytes))
        try:
            region = self.backend.allocate(size_bytes)
        except (MemoryError, OSError) as error:
            lease.release()
            raise OutOfMemoryError(
                f"the system refuses {format_size(size_bytes)} for {owner}: {error}; set a smaller "
                "budget, or raise the limit on the process's memory",
                needed_bytes=size_bytes,
            ) from error
        except BaseException:
            lease.release()
            raise
        with self._lock:
            self._leases[id(region)] = lease
        return region

    def lease_rest(self, owner: str) -> Lease:
        """Take the right to what nobody holds, for memory that is allocated elsewhere."""
        return self._ledger.lease_rest(owner)

    def release(self, region: Region) -> None:
        """Free a region and give its lease back.

        Raises:
            InvariantError: the region is not ours, or was released before.
        """
        with self._lock:
            lease = self._leases.pop(id(region), None)
        if lease is None:
            raise InvariantError(f"{region!r} is not held by this arena")
        region.free()
        lease.release()

    def __repr__(self) -> str:
        with self._lock:
            held = sum(lease.size_bytes for lease in self._leases.values())
            return f"<Arena {format_size(held)}, {len(self._leases)} regions>"
