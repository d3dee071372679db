"""A discrete GPU: slots in device memory, filled through staging by copies beside compute."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from swapnet_core.backends.base import Mark, Span
from swapnet_core.backends.cuda_calls import CudaCalls
from swapnet_core.backends.device_copies import DeviceCopies, GivenUpSlots
from swapnet_core.backends.device_queue import DeviceQueue
from swapnet_core.backends.shelf import Shelf
from swapnet_core.backends.staging import StagedLanding, StagingRing
from swapnet_core.backends.tensor_region import TensorRegion
from swapnet_core.specs import round_up


class CudaRegion(TensorRegion):
    """One tensor of torch's allocator, so that it counts in `max_memory_allocated`. Any thread."""

    def __init__(
        self, calls: CudaCalls, queue: DeviceQueue, ring: StagingRing, size_bytes: int
    ) -> None:
        super().__init__(calls.allocate(round_up(max(size_bytes, 1))))
        self._calls = calls
        self._queue = queue
        self._ring = ring

    def open_landing(
        self, offset_bytes: int, size_bytes: int, released: Mark | None
    ) -> StagedLanding:
        """Let a read go to staging, and from there into the slot. See `Region`."""
        slot = self._bytes[offset_bytes : offset_bytes + size_bytes]
        return self._ring.open_landing(slot, released)

    def give_up(self, spans: Sequence[Span], rest_bytes: int) -> GivenUpSlots:
        """Let copies lie where slots were. See `Region`."""
        return GivenUpSlots(self._calls, self._bytes, spans, rest_bytes)

    def free(self) -> None:
        """Give the memory back, behind the copies that go there. See `Region`."""
        self._queue.join()
        self._calls.release(self._bytes)

    def __repr__(self) -> str:
        return f"<CudaRegion {self._size_bytes} bytes on {self._calls.device}>"


class CudaBackend:
    """Networks run on a GPU with memory of its own."""

    kind = "cuda"

    def __init__(self, calls: CudaCalls) -> None:
        self.device = calls.device
        self.queue = DeviceQueue(calls)
        self.copies = DeviceCopies(calls)
        self._calls = calls
        self._lock = threading.Lock()
        self._ring: StagingRing | None = None

    @property
    def staging_bytes(self) -> int:
        """Of the ring, once there is a region."""
        ring = self._ring
        return ring.size_bytes if ring is not None else 0

    def allocate(self, size_bytes: int) -> CudaRegion:
        """Reserve a region; with the first one, the staging ring.

        Raises:
            OutOfMemoryError: the device has no such memory, or the host none to be pinned.
        """
        with self._lock:
            if self._ring is None:
                self._ring = StagingRing(self._calls)
        return CudaRegion(self._calls, self.queue, self._ring, size_bytes)

    def open_shelf(self, size_bytes: int) -> Shelf:
        """See `Backend`."""
        return Shelf(self._calls, size_bytes)

    def close(self) -> None:
        """Give the staging ring back. Idempotent."""
        with self._lock:
            ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()

    def __repr__(self) -> str:
        return f"<CudaBackend {self._calls!r}>"
