"""Pinned host memory in which some of a plan's requests stay, once they have been read."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from swapnet_core.backends.base import Mark
from swapnet_core.backends.cuda_calls import CudaCalls, Queue
from swapnet_core.backends.pinned import PinnedPages


@dataclass(slots=True, eq=False)
class ShelfPlace:
    """The bytes of one request; filled by its first read, and never written again."""

    tensor: torch.Tensor
    is_filled: bool = False


class Shelf:
    """One pinned region of exact size. For the reading threads; one at a time per place.

    A place's request is read into it, and copied into its slot from there; when the block is wanted
    again, it is only copied.
    """

    def __init__(self, calls: CudaCalls, size_bytes: int) -> None:
        """Allocate and pin it.

        Raises:
            OutOfMemoryError: the system refuses pinned memory.
        """
        self._calls = calls
        self._pages = PinnedPages(calls, size_bytes)

    @property
    def size_bytes(self) -> int:
        """Of the region."""
        return self._pages.size_bytes

    def place(self, offset_bytes: int, size_bytes: int) -> ShelfPlace:
        """Return a place that nothing has been read into; each is asked for once."""
        return ShelfPlace(self._pages.tensor[offset_bytes : offset_bytes + size_bytes])

    def open_landing(
        self, place: ShelfPlace, slot: torch.Tensor, released: Mark | None
    ) -> ShelfLanding:
        """Prepare a read of a place's request.

        Args:
            place: of this shelf.
            slot: uint8, on the device: where the bytes go in the end.
            released: what the device must have passed before they are written.
        """
        return ShelfLanding(self._calls, place, slot, released)

    def close(self) -> None:
        """Unpin it, when the copies are done. No landing is open."""
        self._pages.close()

    def __repr__(self) -> str:
        return f"<Shelf {self.size_bytes} bytes>"


class ShelfLanding:
    """A read into a place of a shelf, to be copied into its slot. See `Landing`."""

    def __init__(
        self, calls: CudaCalls, place: ShelfPlace, slot: torch.Tensor, released: Mark | None
    ) -> None:
        self._calls = calls
        self._place = place
        self._slot = slot
        self._released = released
        self.is_filled = place.is_filled
        self.target = place.tensor.numpy().data

    def deliver(self) -> Mark:
        """See `Landing`."""
        self.target.release()
        self._place.is_filled = True
        if self._released is not None:
            self._calls.let_wait(Queue.COPY, self._released)
        self._calls.copy(Queue.COPY, self._slot, self._place.tensor)
        return self._calls.record(Queue.COPY)

    def cancel(self) -> None:
        """See `Landing`."""
        self.target.release()
