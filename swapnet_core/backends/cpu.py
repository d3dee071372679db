"""The CPU: slots are page-aligned anonymous memory that reads fill and compute uses directly."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import numpy as np
import torch

from swapnet_core.backends.base import CopyMemory, Fill, Mark, PrivateBytes, Span
from swapnet_core.backends.large_pages import anonymous_pages, map_large_pages
from swapnet_core.backends.tensor_region import TensorRegion
from swapnet_core.errors import InputError
from swapnet_core.specs import PAGE_BYTES, round_up


class HostQueue:
    """What was issued is done: there is nothing to wait for. Any thread."""

    released = None

    def release(self) -> None:
        """Nothing is under way."""

    def admit(self, arrivals: Sequence[Mark]) -> None:
        """They are here."""

    def join(self) -> None:
        """There are no copies."""

    def caller(self) -> None:
        """The caller's work is done."""

    def running(self) -> AbstractContextManager[None]:
        """Every thread's present device has a CPU."""
        return contextlib.nullcontext()

    def bring(self, inputs: Any, caller: object | None) -> Any:
        """Return the inputs as they are."""
        return inputs

    def issue(self, run: Callable[[], None]) -> None:
        """Do it."""
        run()

    def open_graphs(self) -> None:
        """There are none."""

    def begin(self) -> None:
        """The runner takes the times."""

    def finish(self, output: Any, caller: object | None) -> None:
        """It is there."""

    def waits(self) -> None:
        """The runner has taken the times."""


class HostCopies:
    """Private copies in pages of their own: dropping one returns them to the system at once."""

    def make(self, size_bytes: int, fill: Fill) -> PrivateBytes:
        """Read a weight into fresh memory."""
        memory = anonymous_pages(size_bytes + PAGE_BYTES)
        start = fill(memoryview(memory))
        array = np.frombuffer(memory, dtype=np.uint8)
        data = torch.from_numpy(array)[start : start + size_bytes]
        return PrivateBytes(data=data, owner=array, held_bytes=len(memory))

    def check_over(self) -> None:
        """Nothing is overwritten: copies live as long as they are referred to."""


class HostLanding:
    """A read that goes straight into its slot."""

    __slots__ = ("target",)
    is_filled = False

    def __init__(self, target: memoryview) -> None:
        self.target = target

    def deliver(self) -> None:
        """The bytes are there."""
        self.target.release()

    def cancel(self) -> None:
        """Let go of the slot."""
        self.target.release()


NO_SHELF = "host_budget is for device='cuda': elsewhere the budget is of the host's memory itself"
HOST_QUEUE = HostQueue()
HOST_COPIES = HostCopies()


class CpuRegion(TensorRegion):
    """Anonymous memory; nearly all pages cost nothing until a read touches them. Any thread."""

    def __init__(self, size_bytes: int) -> None:
        size_bytes = round_up(max(size_bytes, 1))
        self._memory, self._begin_bytes = map_large_pages(size_bytes)
        super().__init__(
            torch.frombuffer(
                self._memory, dtype=torch.uint8, offset=self._begin_bytes, count=size_bytes
            )
        )
        self._host = memoryview(self._memory)[self._begin_bytes :][: self._size_bytes]

    def open_landing(
        self, offset_bytes: int, size_bytes: int, released: Mark | None
    ) -> HostLanding:
        """Let a read go straight into the slot."""
        return HostLanding(self._host[offset_bytes : offset_bytes + size_bytes])

    def give_up(self, spans: Sequence[Span], rest_bytes: int) -> CopyMemory:
        """Give pages back to the system, from which the copies get theirs."""
        for begin, end in spans:
            if begin < end:
                self._memory.madvise(mmap.MADV_DONTNEED, self._begin_bytes + begin, end - begin)
        return HOST_COPIES

    def free(self) -> None:
        """Give the memory back to the system. Views that are still around read zeros."""
        # The mapping itself goes when the last tensor over it goes; its pages go now.
        self._memory.madvise(mmap.MADV_DONTNEED, self._begin_bytes, self._size_bytes)

    def __repr__(self) -> str:
        return f"<CpuRegion {self._size_bytes} bytes>"


class CpuBackend:
    """Networks run on the CPU."""

    kind = "cpu"
    device = torch.device("cpu")
    queue = HOST_QUEUE
    copies = HOST_COPIES
    staging_bytes = 0

    def allocate(self, size_bytes: int) -> CpuRegion:
        """Reserve a region."""
        return CpuRegion(size_bytes)

    def open_shelf(self, size_bytes: int) -> NoReturn:
        """Refuse: slots are in the host's memory."""
        raise InputError(NO_SHELF)

    def close(self) -> None:
        """There is nothing beside the regions."""

    def __repr__(self) -> str:
        return "<CpuBackend>"
