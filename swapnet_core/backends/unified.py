"""A GPU that shares the host's DRAM (Jetson): reads land where the GPU uses the bytes, no copy.

[Note: mapped slots]
Slots are ordinary pages of the host that are registered with CUDA: locked, and mapped into the
GPU's address space. The rules for using them from both sides, and what keeps them:

- *Ordering* (CUDA C++ Programming Guide, "Mapped Memory"): the application must keep the host's and
  the device's accesses apart by streams or events. A read writes only after the host has waited for
  the mark behind the last kernel that uses the slot; kernels that use the new bytes are issued only
  after the read has returned, and a kernel sees what the host wrote before it was issued.
- *Coherence* (CUDA for Tegra, "I/O Coherency"; CUDA Runtime API, cudaHostRegister): registering
  needs an I/O coherent device, where the GPU's accesses see the CPU's caches (compute capability
  7.2 and later: Xavier, Orin, Thor). Others are refused when the backend is opened.
- *Address* (CUDA Runtime API, cudaHostGetDevicePointer): the GPU's address of the pages may differ
  from the host's, so it is asked for.
- *Pages*: what is pinned stays pinned. To give single pages back (MADV_DONTNEED) would leave the
  GPU on the old pages and the host on new ones, so it is done only after unregistering.
- *Alignment*: pages of 4 KiB for direct reads; weights at 256 B, see [Note: layout].
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import NoReturn

import torch

from swapnet_core.backends.base import Mark, Span
from swapnet_core.backends.cpu import NO_SHELF, HostLanding
from swapnet_core.backends.cuda_calls import CudaCalls, Queue
from swapnet_core.backends.device_copies import DeviceCopies, GivenUpSlots
from swapnet_core.backends.device_queue import DeviceQueue
from swapnet_core.backends.large_pages import anonymous_pages
from swapnet_core.backends.tensor_region import TensorRegion
from swapnet_core.errors import InputError


class UnifiedRegion(TensorRegion):
    """Pinned pages of the host as a tensor on the device; see [Note: mapped slots]. Any thread."""

    def __init__(self, calls: CudaCalls, queue: DeviceQueue, size_bytes: int) -> None:
        self._calls = calls
        self._queue = queue
        self._memory = anonymous_pages(size_bytes)
        with torch.inference_mode(False):
            self._pages = torch.frombuffer(self._memory, dtype=torch.uint8)
        calls.pin(self._pages)
        try:
            super().__init__(calls.alias_pinned(self._pages).tensor)
        except BaseException:
            calls.unpin(self._pages)
            raise
        self._host = memoryview(self._memory)

    def open_landing(
        self, offset_bytes: int, size_bytes: int, released: Mark | None
    ) -> HostLanding:
        """Wait until the device has done with the slot, and read straight into it."""
        if released is not None:
            released.wait()
        return HostLanding(self._host[offset_bytes : offset_bytes + size_bytes])

    def give_up(self, spans: Sequence[Span], rest_bytes: int) -> GivenUpSlots:
        """Let copies lie where slots were. See `Region`."""
        return GivenUpSlots(self._calls, self._bytes, spans, rest_bytes)

    def free(self) -> None:
        """Give the pages back, when the device has done with them. See `Region`."""
        self._calls.record(Queue.COMPUTE).wait()
        self._calls.unpin(self._pages)
        # The mapping itself goes when the last tensor over it goes; its pages go now.
        self._memory.madvise(mmap.MADV_DONTNEED, 0, self._size_bytes)

    def __repr__(self) -> str:
        return f"<UnifiedRegion {self._size_bytes} bytes on {self._calls.device}>"


class UnifiedBackend:
    """Networks run on a GPU in the host's memory."""

    kind = "unified"
    staging_bytes = 0

    def __init__(self, calls: CudaCalls) -> None:
        self.device = calls.device
        self.queue = DeviceQueue(calls)
        self.copies = DeviceCopies(calls)
        self._calls = calls

    def allocate(self, size_bytes: int) -> UnifiedRegion:
        """Reserve a region.

        Raises:
            OutOfMemoryError: the system lets no such memory be pinned.
        """
        return UnifiedRegion(self._calls, self.queue, size_bytes)

    def open_shelf(self, size_bytes: int) -> NoReturn:
        """Refuse: slots are in the host's memory."""
        raise InputError(NO_SHELF)

    def close(self) -> None:
        """There is nothing beside the regions."""

    def __repr__(self) -> str:
        return f"<UnifiedBackend {self._calls!r}>"
