"""Private copies of weights on a CUDA device: in memory of their own, or in given-up slots."""

from __future__ import annotations

import gc
import weakref
from collections import deque
from collections.abc import Sequence

import torch

from swapnet_core.backends.base import Fill, PrivateBytes, Span
from swapnet_core.backends.cuda_calls import Aliased, CudaCalls
from swapnet_core.backends.large_pages import anonymous_pages
from swapnet_core.errors import NetworkError
from swapnet_core.specs import PAGE_BYTES, round_up

ALLOCATION_BYTES = 512
"""torch's allocator gives multiples of this (`kMinBlockSize` in its CUDACachingAllocator.cpp)."""


class DeviceCopies:
    """Copies in memory of torch's allocator. See `CopyMemory`."""

    def __init__(self, calls: CudaCalls) -> None:
        self._calls = calls

    def make(self, size_bytes: int, fill: Fill) -> PrivateBytes:
        """Read a weight to the host, and copy it."""
        source = read_to_host(size_bytes, fill)
        device = self._calls.device
        with torch.inference_mode(False):
            memory = torch.empty(max(size_bytes, 1), dtype=torch.uint8, device=device)
        aliased = self._calls.alias(memory)
        aliased.tensor[:size_bytes].copy_(source)
        held_bytes = round_up(memory.numel(), ALLOCATION_BYTES)
        return _private(aliased, size_bytes, held_bytes)

    def check_over(self) -> None:
        """Nothing is overwritten: copies live as long as they are referred to."""


class GivenUpSlots:
    """Copies in parts of a region, until the end of an inference. See `CopyMemory`.

    For the thread of the inferences. A region's memory cannot be given back in parts, so the
    copies lie in it. What is fetched for the next inference overwrites them: in the order of the
    compute queue, after all that this inference does with them.
    """

    def __init__(
        self, calls: CudaCalls, region: torch.Tensor, spans: Sequence[Span], rest_bytes: int
    ) -> None:
        """Start with all spans free.

        Args:
            calls: of the device.
            region: uint8, on the device.
            spans: of it that copies may have.
            rest_bytes: for copies that fit into none of them.
        """
        self._calls = calls
        self._region = region
        self._free = [span for span in spans if span[0] < span[1]]
        self._rest_bytes = rest_bytes
        self._elsewhere = DeviceCopies(calls)
        self._dead: deque[Span] = deque()  # appended by finalizers: deque.append takes no lock
        self._dead_elsewhere: deque[int] = deque()
        self._live = 0

    def make(self, size_bytes: int, fill: Fill) -> PrivateBytes:
        """See `CopyMemory`."""
        self._bury()
        taken_bytes = round_up(max(size_bytes, 1), ALLOCATION_BYTES)
        begin = self._take(taken_bytes)
        if begin is None:
            return self._make_elsewhere(taken_bytes, size_bytes, fill)
        source = read_to_host(size_bytes, fill)
        end = begin + taken_bytes
        aliased = self._calls.alias(self._region[begin:end])
        weakref.finalize(aliased.owner, self._dead.append, (begin, end))
        self._live += 1
        aliased.tensor[:size_bytes].copy_(source)
        return _private(aliased, size_bytes, taken_bytes)

    def check_over(self) -> None:
        """See `CopyMemory`."""
        self._bury()
        if self._live:
            gc.collect()
            self._bury()
        if self._live:
            raise NetworkError(
                "the network keeps a weight after the inference that it used out of the traced "
                "order; its bytes will be overwritten: load it with an example that takes the "
                "same branch"
            )

    def _make_elsewhere(self, taken_bytes: int, size_bytes: int, fill: Fill) -> PrivateBytes:
        if taken_bytes > self._rest_bytes:
            raise MemoryError(f"no given-up slots have {taken_bytes} bytes in a row")
        made = self._elsewhere.make(size_bytes, fill)
        self._rest_bytes -= taken_bytes
        weakref.finalize(made.owner, self._dead_elsewhere.append, taken_bytes)
        return made

    def _take(self, size_bytes: int) -> int | None:
        """Take the first free bytes in a row."""
        for number, (begin, end) in enumerate(self._free):
            if end - begin >= size_bytes:
                self._free[number] = (begin + size_bytes, end)
                return begin
        return None

    def _bury(self) -> None:
        """Take back what copies had that have died since."""
        while self._dead_elsewhere:
            self._rest_bytes += self._dead_elsewhere.popleft()
        while self._dead:
            self._free.append(self._dead.popleft())
            self._live -= 1
        joined: list[Span] = []
        for begin, end in sorted(self._free):
            if joined and joined[-1][1] == begin:
                joined[-1] = (joined[-1][0], end)
            elif begin < end:
                joined.append((begin, end))
        self._free = joined


def read_to_host(size_bytes: int, fill: Fill) -> torch.Tensor:
    """Read a weight into pages of the host; uint8 [size_bytes]."""
    memory = anonymous_pages(size_bytes + PAGE_BYTES)
    start = fill(memoryview(memory))
    with torch.inference_mode(False):
        return torch.frombuffer(memory, dtype=torch.uint8)[start : start + size_bytes]


def _private(aliased: Aliased, size_bytes: int, held_bytes: int) -> PrivateBytes:
    data = aliased.tensor[:size_bytes]
    return PrivateBytes(data=data, owner=aliased.owner, held_bytes=held_bytes)
