"""The owner of slot memory: every region is leased before it exists."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from swapnet_core.backends.base import Backend, Region
from swapnet_core.backends.shelf import Shelf
from swapnet_core.errors import InvariantError, OutOfMemoryError
from swapnet_core.ledger import Lease, MemoryLedger
from swapnet_core.sizes import format_size
from swapnet_core.specs import round_up


class Arena:
    """Hands out regions of one backend's memory, counted by one ledger. Any thread."""

    def __init__(
        self, backend: Backend, ledger: MemoryLedger, host_ledger: MemoryLedger | None = None
    ) -> None:
        """Hold nothing yet.

        Args:
            backend: of the regions.
            ledger: counts them.
            host_ledger: counts the shelves; by default there is no memory for any.
        """
        self._host_ledger = host_ledger or MemoryLedger(0)
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
        with self._kept(lease, owner, size_bytes):
            region = self.backend.allocate(size_bytes)
        with self._lock:
            self._leases[id(region)] = lease
        return region

    @property
    def host_ledger(self) -> MemoryLedger:
        """Counts the shelves."""
        return self._host_ledger

    def open_shelf(self, owner: str, size_bytes: int) -> Shelf | None:
        """Lease and pin host memory; none where none is asked for.

        Raises:
            BudgetTooSmallError, OutOfMemoryError: see `allocate`.
        """
        if not size_bytes:
            return None
        lease = self._host_ledger.lease(owner, round_up(size_bytes))
        with self._kept(lease, owner, size_bytes):
            shelf = self.backend.open_shelf(size_bytes)
        with self._lock:
            self._leases[id(shelf)] = lease
        return shelf

    def close_shelf(self, shelf: Shelf) -> None:
        """Unpin a shelf and give its lease back."""
        with self._lock:
            lease = self._leases.pop(id(shelf))
        shelf.close()
        lease.release()

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

    @contextlib.contextmanager
    def _kept(self, lease: Lease, owner: str, size_bytes: int) -> Iterator[None]:
        """Give a lease back where its memory cannot be had."""
        try:
            yield
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

    def __repr__(self) -> str:
        with self._lock:
            held = sum(lease.size_bytes for lease in self._leases.values())
            return f"<Arena {format_size(held)}, {len(self._leases)} regions>"
