"""The CPU: slots are page-aligned anonymous memory that reads fill and compute uses directly."""

from __future__ import annotations

import mmap

import torch

from swapnet_core.specs import WeightSpec, round_up
from swapnet_core.tensors import view_bytes

_HUGE_PAGE_BYTES = 2 * 1024 * 1024


class CpuRegion:
    """Anonymous memory; pages cost nothing until a read touches them. Any thread."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = round_up(max(size_bytes, 1))
        self._memory = mmap.mmap(-1, self._size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if self._size_bytes >= 4 * _HUGE_PAGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
            # Fewer pages to pin per direct read, fewer TLB misses in compute.
            self._memory.madvise(mmap.MADV_HUGEPAGE, 0, self._size_bytes)
        self._bytes = torch.frombuffer(self._memory, dtype=torch.uint8)
        self._host = memoryview(self._memory)

    @property
    def size_bytes(self) -> int:
        """Length of the region."""
        return self._size_bytes

    def host_view(self, offset_bytes: int, size_bytes: int) -> memoryview:
        """Return the writable bytes into which a read may go."""
        return self._host[offset_bytes : offset_bytes + size_bytes]

    def weight_view(self, offset_bytes: int, weight: WeightSpec) -> torch.Tensor:
        """Return a tensor over the region's bytes, without copying them."""
        return view_bytes(self._bytes[offset_bytes : offset_bytes + weight.size_bytes], weight)

    def holds(self, tensor: torch.Tensor) -> bool:
        """Tell whether a tensor's storage is this region."""
        begin = self._bytes.data_ptr()
        return begin <= tensor.untyped_storage().data_ptr() < begin + self._size_bytes

    def discard(self, offset_bytes: int, size_bytes: int) -> None:
        """Give pages back to the system; they come back as zeros when touched."""
        if size_bytes:
            self._memory.madvise(mmap.MADV_DONTNEED, offset_bytes, size_bytes)

    def free(self) -> None:
        """Give the memory back to the system. Views that are still around read zeros."""
        # The mapping itself goes when the last tensor over it goes; its pages go now.
        self._memory.madvise(mmap.MADV_DONTNEED, 0, self._size_bytes)

    def __repr__(self) -> str:
        return f"<CpuRegion {self._size_bytes} bytes>"


class CpuBackend:
    """Networks run on the CPU."""

    device = torch.device("cpu")

    def allocate(self, size_bytes: int) -> CpuRegion:
        """Reserve a region."""
        return CpuRegion(size_bytes)

    def __repr__(self) -> str:
        return "<CpuBackend>"
