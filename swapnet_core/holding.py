"""One set of weights in memory: its slots under the plan in force.

Networks with equal weights share one: they are stored once, held once, and read once for
whichever of them runs next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from swapnet_core.arena import Arena
from swapnet_core.backends.base import Backend, Region
from swapnet_core.backends.shelf import Shelf
from swapnet_core.blockfile import BlockFile
from swapnet_core.errors import RuntimeClosedError
from swapnet_core.lane import Lane
from swapnet_core.ledger import Lease
from swapnet_core.reader import DirectReader
from swapnet_core.regions import JoinedRegion
from swapnet_core.specs import PAGE_BYTES, NetworkProfile, SwapPlan
from swapnet_core.stream import Stream

OpenStream = Callable[[], tuple[Stream, Region]]
"""Gives the stream that brings blocks in, and its region; opens them where they are not open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """What a network runs by: a plan, and where its slots are."""

    plan: SwapPlan
    lane: Lane
    region: Region


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What is to be sat by; see `Holding.assign`."""

    name: str
    plan: SwapPlan
    open_stream: OpenStream


class Holding:
    """The weights of one network, or of several with equal weights.

    For the inference thread; `bytes_read` and `plan` for any.
    """

    def __init__(self, profile: NetworkProfile, block_file: BlockFile, arena: Arena) -> None:
        """Open the block file; nothing is held before `assign` and `seat`.

        Raises:
            StorageError: it cannot be opened.
        """
        self.profile = profile
        self._arena = arena
        self._reader = DirectReader(block_file.path)
        self._stream: Stream | None = None
        self._seat: Seat | None = None
        self._residents: Region | None = None
        self._shelf: Shelf | None = None
        self._wish: _Wish | None = None
        self._bytes_read = 0

    @property
    def plan(self) -> SwapPlan | None:
        """The plan in force; None while suspended."""
        seat = self._seat
        return seat.plan if seat is not None else None

    @property
    def backend(self) -> Backend:
        """The device on which the weights are used."""
        return self._arena.backend

    @property
    def is_direct(self) -> bool:
        """Whether reads go around the page cache."""
        return self._reader.is_direct

    @property
    def bytes_read(self) -> int:
        """By all networks that share the weights, since they were loaded."""
        seat = self._seat
        return self._bytes_read + (seat.lane.bytes_read if seat is not None else 0)

    @property
    def lane(self) -> Lane | None:
        """The present lane; None while suspended."""
        seat = self._seat
        return seat.lane if seat is not None else None

    def seat(self) -> Seat:
        """Return what to run by; what failed before is tried again.

        Raises:
            BudgetTooSmallError: the slots' bytes cannot be leased.
            OutOfMemoryError: the system refuses them.
            StorageError: a resident block cannot be read.
            RuntimeClosedError: there is no plan because the network was closed.
        """
        if self._seat is not None:
            return self._seat
        if self._wish is None:
            raise RuntimeClosedError("the network is closed")
        return self._sit(self._wish)

    def lease_rest(self) -> Lease:
        """Take what is free in the budget, for weights that are used out of order."""
        return self._arena.lease_rest("weights used out of order")

    def assign(self, name: str, plan: SwapPlan, open_stream: OpenStream) -> None:
        """Give the slots back; `seat` leases those of another plan, and reads its residents.

        Args:
            name: of the residents' lease.
            plan: its streamed blocks lie within the stream.
            open_stream: gives the stream when it is needed.
        """
        self.suspend()
        self._wish = _Wish(name=name, plan=plan, open_stream=open_stream)

    def suspend(self) -> None:
        """Give the slots back. Idempotent; nothing runs until a plan is assigned again."""
        self._wish = None
        seat, self._seat = self._seat, None
        if seat is not None and self._stream is not None:
            self._stream.close_lane(seat.lane)
            self._bytes_read += seat.lane.bytes_read
        if self._residents is not None:
            self._arena.release(self._residents)
        if self._shelf is not None:
            self._arena.close_shelf(self._shelf)
        self._stream = self._residents = self._shelf = None

    def fill_copy(self, weight: int, target: memoryview) -> int:
        """Read whole pages around a weight; return where in them it starts.

        Raises:
            StorageError: they cannot be read.
        """
        offset = self.profile.weight_offsets_bytes[weight]
        start = offset % PAGE_BYTES
        end = self.profile.trace.weights[weight].size_bytes + start
        pages = -(-end // PAGE_BYTES) * PAGE_BYTES
        self._reader.read_into(target[:pages], offset - start)
        return start

    def close(self) -> None:
        """Give everything back. Idempotent."""
        self.suspend()
        self._reader.close()

    def _sit(self, wish: _Wish) -> Seat:
        plan = wish.plan
        stream, streaming = wish.open_stream()
        with contextlib.ExitStack() as undo:
            residents = self._arena.allocate(wish.name, plan.region_bytes - plan.stream_bytes)
            undo.callback(self._arena.release, residents)
            region = JoinedRegion(plan, streaming, residents)
            shelf = self._arena.open_shelf(f"host memory, {wish.name}", plan.host_bytes)
            if shelf is not None:
                undo.callback(self._arena.close_shelf, shelf)
            lane = stream.open_lane(plan, region, self._reader.read_into, shelf)
            undo.pop_all()
        self._stream, self._residents, self._shelf = stream, residents, shelf
        self._seat = Seat(plan=plan, lane=lane, region=region)
        return self._seat

    def __repr__(self) -> str:
        return f"<Holding of {self.profile.digest[:8]}, {self._seat}>"
