"""The way from storage into device memory: a ring of pinned host memory that reads fill."""

from __future__ import annotations

from dataclasses import dataclass
from queue import SimpleQueue

import torch

from swapnet_core.backends.base import REQUEST_BYTES, Mark
from swapnet_core.backends.cuda_calls import CudaCalls, Queue
from swapnet_core.backends.pinned import PinnedPages

CHUNKS = 8
"""Two reading threads fill one each, beside copies that wait for the device."""


@dataclass(slots=True, eq=False)
class _Chunk:
    """A part of the ring.

    Attributes:
        view: the same bytes as `tensor`.
        arrival: of its newest copy; the chunk may be filled again behind it.
    """

    tensor: torch.Tensor
    view: memoryview
    arrival: Mark | None = None


class StagingRing:
    """Pinned memory of exact size, in chunks of one read each. Any thread.

    How far the host runs ahead of the device ends here: a read waits for a chunk, a chunk for its
    copy, and the copy for compute. There are more chunks than reading threads, so one is always
    there or on its way back.
    """

    def __init__(self, calls: CudaCalls) -> None:
        """Allocate and pin it.

        Raises:
            OutOfMemoryError: the system refuses pinned memory.
        """
        self._calls = calls
        self._pages = PinnedPages(calls, CHUNKS * REQUEST_BYTES)
        self._chunks: SimpleQueue[_Chunk] = SimpleQueue()
        for begin in range(0, self.size_bytes, REQUEST_BYTES):
            end = begin + REQUEST_BYTES
            self._chunks.put(_Chunk(self._pages.tensor[begin:end], self._pages.view[begin:end]))

    @property
    def size_bytes(self) -> int:
        """Of all chunks."""
        return self._pages.size_bytes

    def open_landing(self, slot: torch.Tensor, released: Mark | None) -> StagedLanding:
        """Take a chunk, once the device has copied what was in it.

        Args:
            slot: uint8, on the device: where the bytes go.
            released: what the device must have passed before they are written.
        """
        chunk = self._chunks.get()
        try:
            if chunk.arrival is not None:
                chunk.arrival.wait()
        except BaseException:
            self._chunks.put(chunk)
            raise
        return StagedLanding(self, chunk, slot, released)

    def put_back(self, chunk: _Chunk) -> None:
        """Let others have a chunk; behind its arrival, if it has one."""
        self._chunks.put(chunk)

    def issue(self, chunk: _Chunk, slot: torch.Tensor, released: Mark | None) -> Mark:
        """Issue the copy of a chunk; other threads may issue theirs in between."""
        if released is not None:
            self._calls.let_wait(Queue.COPY, released)
        self._calls.copy(Queue.COPY, slot, chunk.tensor[: slot.numel()])
        chunk.arrival = self._calls.record(Queue.COPY)
        return chunk.arrival

    def close(self) -> None:
        """Unpin it, when the copies are done. No landing is open."""
        self._pages.close()

    def __repr__(self) -> str:
        return f"<StagingRing {CHUNKS} chunks, {self._chunks.qsize()} at hand>"


class StagedLanding:
    """A read into a chunk, to be copied into its slot. See `Landing`."""

    is_filled = False

    def __init__(
        self, ring: StagingRing, chunk: _Chunk, slot: torch.Tensor, released: Mark | None
    ) -> None:
        self._ring = ring
        self._chunk = chunk
        self._slot = slot
        self._released = released
        self.target = chunk.view[: slot.numel()]

    def deliver(self) -> Mark:
        """See `Landing`."""
        try:
            return self._ring.issue(self._chunk, self._slot, self._released)
        finally:
            self.cancel()

    def cancel(self) -> None:
        """See `Landing`."""
        self.target.release()
        self._ring.put_back(self._chunk)
