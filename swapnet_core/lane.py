"""One network's blocks on their way into memory, as the stream and the runner see them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from swapnet_core.backends.base import REQUEST_BYTES, ComputeQueue, Landing, Mark, Region
from swapnet_core.backends.shelf import Shelf, ShelfPlace
from swapnet_core.host_tier import Place, choose_places
from swapnet_core.reports import BlockRead
from swapnet_core.requests import cut_evenly
from swapnet_core.specs import BlockSpec, SwapPlan, bytes_spec

_INFERENCES_OF_READS = 3

ReadInto = Callable[[memoryview, int], None]
"""Fills a buffer from an offset of the block file."""


class Server(Protocol):
    """Who reads the pieces. `lock` guards all state of its streams; `wake` needs it."""

    lock: threading.Lock

    @property
    def queue(self) -> ComputeQueue:
        """Where the networks of its streams compute."""
        ...

    def wake(self) -> None:
        """Look for work again."""
        ...


class Streaming(Protocol):
    """What a lane asks of the stream that it belongs to; see `Stream`."""

    @property
    def queue(self) -> ComputeQueue:
        """Where the networks compute."""
        ...

    def begin(self, lane: Lane, first_use: int) -> None:
        """See `Lane.begin`."""
        ...

    def enter(self, lane: Lane, use: int) -> float:
        """See `Lane.enter`."""
        ...

    def finish(self, lane: Lane) -> None:
        """See `Lane.finish`."""
        ...

    def abort(self, lane: Lane) -> None:
        """See `Lane.abort`."""
        ...

    def freeze(self, lane: Lane, held_use: int) -> list[tuple[int, int]]:
        """See `Lane.freeze`."""
        ...


class Lane:
    """One network's part of a stream. Its plan and addresses are fixed for its life.

    `begin`, `enter`, `finish`, `abort` and `freeze` are called by the thread that runs the
    network. The rest is the stream's, and guarded by its lock.
    """

    def __init__(
        self,
        stream: Streaming,
        plan: SwapPlan,
        region: Region,
        read_into: ReadInto,
        shelf: Shelf | None = None,
    ) -> None:
        self.plan = plan
        self.region = region
        self.read_into = read_into
        self.is_open = True
        self.bytes_read = 0
        self.error: BaseException | None = None
        self.held: dict[int, Occupant] = {}
        self.slots = [_slot(block) for block in plan.blocks]
        self.requests = [cut_evenly(block.size_bytes, REQUEST_BYTES) for block in plan.blocks]
        per_inference = sum(len(self.requests[block]) for block in plan.uses)
        self.reads: deque[BlockRead] = deque(maxlen=_INFERENCES_OF_READS * per_inference)
        self.queue = stream.queue
        self._stream = stream
        self._shelf = shelf
        self._places = {} if shelf is None else _lay_out(plan, shelf)

    def open_landing(self, piece: Piece) -> Landing:
        """Prepare a piece's reading; for the reading thread that has it."""
        occupant = piece.occupant
        begin, released = occupant.begin + piece.offset_bytes, occupant.released
        place = self._places.get((occupant.block, piece.offset_bytes))
        if self._shelf is None or place is None:
            return self.region.open_landing(begin, piece.size_bytes, released)
        slot = self.region.weight_view(begin, bytes_spec(piece.size_bytes))
        return self._shelf.open_landing(place, slot, released)

    def begin(self, first_use: int = 0) -> None:
        """Start an inference: its uses are numbered from 0 by `enter`.

        Args:
            first_use: of those before it, nothing is wanted any more.

        Raises:
            RuntimeClosedError: the lane was closed.
        """
        self._stream.begin(self, first_use)

    def enter(self, use: int) -> float:
        """Release the uses before this one, and wait until its block is in its slot.

        Where compute runs behind the host's back, the block's reads have been issued when this
        returns, and the compute queue waits for them; see [Note: the host runs ahead].

        Args:
            use: index into the plan's uses, in increasing order within an inference.

        Returns:
            Seconds that the host has waited.

        Raises:
            StorageError: the block could not be read.
            RuntimeClosedError: the lane was closed meanwhile.
        """
        self.queue.release()
        waited_s = self._stream.enter(self, use)
        arrivals = self.held[self.plan.uses[use]].arrivals
        self.queue.admit(arrivals)
        arrivals.clear()
        return waited_s

    def finish(self) -> None:
        """End a complete inference; fetching runs on into the next one."""
        self.queue.release()
        self._stream.finish(self)

    def abort(self) -> None:
        """End an inference that broke off; the next one starts afresh."""
        self.queue.release()
        self._stream.abort(self)

    def freeze(self, held_use: int) -> list[tuple[int, int]]:
        """Stop fetching for the rest of this inference, and give up every slot not in use.

        Args:
            held_use: the use whose block stays, or -1.

        Returns:
            `(begin, end)` of the streaming region's bytes that nobody uses now.
        """
        spans = self._stream.freeze(self, held_use)
        self.queue.join()  # who overwrites the slots comes after what was on its way there
        return spans

    def holds(self, block: int, use: int) -> bool:
        """Tell whether a block is resident, or is the one of the use entered last."""
        return self.plan.blocks[block].is_resident or (use >= 0 and self.plan.uses[use] == block)

    def __repr__(self) -> str:
        whole = sum(occupant.is_whole for occupant in list(self.held.values()))
        return f"<Lane {whole}/{len(self.plan.blocks)} blocks in place>"


@dataclass(slots=True, eq=False)
class Occupant:
    """A block that lies in its slot, or is on its way there.

    Attributes:
        begin: first byte of the slot in the lane's region.
        end: behind its last byte.
        pending: its reads that have not landed.
        is_broken: one of them failed or was dropped; never to be used.
        released: what the device must have passed before the slot is written.
        arrivals: what it must have passed before the block is used.
        numbers: uses that it was fetched for, in increasing order; see [Note: slot reuse].
    """

    lane: Lane
    block: int
    begin: int
    end: int
    pending: int = 0
    is_broken: bool = False
    released: Mark | None = None
    arrivals: list[Mark] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    @property
    def is_resident(self) -> bool:
        """Whether the block stays, and is nothing that the order of fetches is about."""
        return self.lane.plan.blocks[self.block].is_resident

    @property
    def is_whole(self) -> bool:
        """Whether all of its bytes are in place, or issued to the device."""
        return self.pending == 0 and not self.is_broken

    def is_wanted_from(self, released: int) -> bool:
        """Tell whether a use that is not released yet was counted on it."""
        return bool(self.numbers) and self.numbers[-1] >= released


@dataclass(slots=True)
class Piece:
    """One read request. `prepare` and `read` are for the reading thread that has it.

    Attributes:
        begin_s: when the reading began, by `time.perf_counter`; 0 before that.
        end_s: when it ended.
        arrival: what the device must pass before the bytes are in the slot; None: they are.
        read_bytes: that storage gave; 0 where they were in host memory.
    """

    occupant: Occupant
    offset_bytes: int
    size_bytes: int
    begin_s: float = 0.0
    end_s: float = 0.0
    arrival: Mark | None = None
    read_bytes: int = 0
    _landing: Landing | None = None
    _error: BaseException | None = None

    @property
    def span(self) -> BlockRead:
        """The reading, for the record of inferences."""
        return BlockRead(
            block=self.occupant.block,
            offset_bytes=self.offset_bytes,
            size_bytes=self.size_bytes,
            begin_s=self.begin_s,
            end_s=self.end_s,
        )

    @property
    def is_into_new_pages(self) -> bool:
        """Whether memory may be touched for the first time: by a network's first reads."""
        lane = self.occupant.lane
        return lane.bytes_read < lane.plan.region_bytes

    def prepare(self) -> None:
        """Find out where to read to; waits for the device where it has to."""
        try:
            self._landing = self.occupant.lane.open_landing(self)
        except BaseException as error:
            self._error = error  # `read` tells

    def read(self) -> BaseException | None:
        """Read the piece into its slot; an error is returned, for the inference to raise."""
        self.begin_s = time.perf_counter()
        landing = self._landing
        if landing is None:
            return self._error
        lane = self.occupant.lane
        block = lane.plan.blocks[self.occupant.block]
        try:
            if not landing.is_filled:
                lane.read_into(landing.target, block.file_offset_bytes + self.offset_bytes)
                self.read_bytes = self.size_bytes
        except BaseException as error:
            landing.cancel()
            return error
        finally:
            self.end_s = time.perf_counter()
        try:
            self.arrival = landing.deliver()
        except BaseException as error:
            return error
        return None


def _lay_out(plan: SwapPlan, shelf: Shelf) -> dict[Place, ShelfPlace]:
    """Give requests their places in host memory."""
    return {
        place: shelf.place(begin, end - begin)
        for place, (begin, end) in choose_places(plan, REQUEST_BYTES).items()
    }


def _slot(block: BlockSpec) -> tuple[int, int]:
    """Return its first byte, and the one behind its last, in the lane's region."""
    return block.slot_offset_bytes, block.slot_offset_bytes + block.size_bytes
