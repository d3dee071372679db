"""The blocks of one plan on their way through one region of memory.

[Note: slot reuse]
Every streamed block has one fixed slot, and slots overlap. A lane numbers the uses of its blocks
0, 1, 2, ... through one inference and on into the next. Fetches are started in that order. The
fetch of a use may start when no block whose slot overlaps is still needed: every use of it that
was fetched for has been released. A use is released when the next one is entered: on the CPU the
layer has returned by then. Bytes that nobody has overwritten are not read again. So a fetch never
writes where compute reads, and no fetch waits for a release that waits for the fetch: the oldest
unreleased use is always either in its slot or next to be fetched.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from swapnet_core.backends.base import Region
from swapnet_core.errors import InvariantError, RuntimeClosedError
from swapnet_core.sizes import MIB
from swapnet_core.specs import BlockSpec, SwapPlan

REQUEST_BYTES = 4 * MIB

ReadInto = Callable[[memoryview, int], None]
"""Fills a buffer from an offset of the block file."""


@dataclass(slots=True)
class Piece:
    """One read request."""

    lane: Lane
    block: int
    offset_bytes: int
    size_bytes: int

    def read(self) -> BaseException | None:
        """Read the piece into its slot; an error is returned, for the inference to raise."""
        block = self.lane.plan.blocks[self.block]
        target = self.lane.region.host_view(
            block.slot_offset_bytes + self.offset_bytes, self.size_bytes
        )
        try:
            self.lane.read_into(target, block.file_offset_bytes + self.offset_bytes)
        except BaseException as error:
            return error
        finally:
            target.release()
        return None


class Server(Protocol):
    """Who reads the pieces. `lock` guards all state of its lanes; both methods need it."""

    lock: threading.Lock

    def put_first(self, lane: Lane) -> None:
        """Serve this lane before the others."""
        ...

    def wake(self) -> None:
        """Look for work again."""
        ...


class Lane:
    """The blocks of one plan on their way through one region.

    `begin`, `enter`, `finish` and `freeze` are called by the thread that runs the network; the
    rest by the pool, which holds its lock.
    """

    def __init__(self, server: Server, plan: SwapPlan, region: Region, read_into: ReadInto) -> None:
        self.plan = plan
        self.region = region
        self.read_into = read_into
        self.is_open = True
        self.bytes_read = 0
        self._server = server
        self._landed = threading.Condition(server.lock)
        self._overlaps = _find_overlaps(plan.blocks)
        blocks = len(plan.blocks)
        self._is_valid = [False] * blocks
        self._pieces_left = [0] * blocks
        self._newest_use = [-1] * blocks
        self._pieces: deque[Piece] = deque()
        self._in_flight = 0
        self._error: BaseException | None = None
        self._is_frozen = False
        self._base = 0
        self._next_fetch = 0
        self._released = 0
        self._fetch_residents()

    def begin(self) -> None:
        """Start an inference: its uses are numbered from 0 by `enter`.

        Raises:
            RuntimeClosedError: the lane was closed.
        """
        with self._server.lock:
            self._require_open()
            self._server.put_first(self)
            if self._error is not None or self._is_frozen:
                self._restart()
            self._server.wake()

    def enter(self, use: int) -> float:
        """Release the uses before this one, and wait until its block is in its slot.

        Args:
            use: index into the plan's uses, in increasing order within an inference.

        Returns:
            Seconds that were waited.

        Raises:
            StorageError: the block could not be read.
            RuntimeClosedError: the lane was closed meanwhile.
        """
        number = self._base + use
        block = self.plan.uses[use]
        with self._server.lock:
            self._released = number
            self._look_ahead()
            if self._next_fetch > number and self._is_valid[block]:
                return 0.0
            begin_s = time.perf_counter()
            while not (self._next_fetch > number and self._is_valid[block]):
                self._require_open()
                if self._error is not None:
                    raise self._error
                self._landed.wait()
            return time.perf_counter() - begin_s

    def finish(self) -> None:
        """End a complete inference; fetching runs on into the next one."""
        with self._server.lock:
            self._base += len(self.plan.uses)
            self._released = self._base
            self._look_ahead()

    def abort(self) -> None:
        """End an inference that broke off; the next one starts afresh."""
        with self._server.lock:
            self._restart()
            self._server.wake()

    def freeze(self, held_use: int) -> list[tuple[int, int]]:
        """Stop fetching for the rest of this inference, and give up every slot not in use.

        Args:
            held_use: the use whose block stays, or -1.

        Returns:
            `(begin, end)` of the region's bytes that nobody uses now.
        """
        held = self.plan.uses[held_use] if held_use >= 0 else -1
        with self._server.lock:
            self._is_frozen = True
            self._pieces.clear()
            self.wait_until_quiet()
            ends = [0]
            for index, block in enumerate(self.plan.blocks):
                if not block.is_resident:
                    ends.append(block.slot_offset_bytes + block.size_bytes)
                    self._is_valid[index] = self._is_valid[index] and index == held
        if held < 0 or self.plan.blocks[held].is_resident:
            return [(0, max(ends))]
        begin = self.plan.blocks[held].slot_offset_bytes
        return [(0, begin), (begin + self.plan.blocks[held].size_bytes, max(ends))]

    def holds(self, block: int, use: int) -> bool:
        """Tell whether a block is resident, or is the one of the use entered last."""
        return self.plan.blocks[block].is_resident or (use >= 0 and self.plan.uses[use] == block)

    def wait_for_residents(self) -> None:
        """Wait until all residents are in place.

        Raises:
            StorageError: one of them could not be read.
            RuntimeClosedError: the lane was closed meanwhile.
        """
        residents = [i for i, block in enumerate(self.plan.blocks) if block.is_resident]
        with self._server.lock:
            while not all(self._is_valid[index] for index in residents):
                self._require_open()
                if self._error is not None:
                    raise self._error
                self._landed.wait()

    def wait_until_quiet(self) -> None:
        """Wait for the reads under way. Needs the lock."""
        while self._in_flight:
            self._landed.wait()

    def shut(self) -> None:
        """Hand out no more reads, and wake whoever waits for one. Needs the lock."""
        self.is_open = False
        self._landed.notify_all()

    def has_more(self) -> bool:
        """Tell whether another read may start at once. Needs the lock."""
        return bool(self._pieces)

    def next_piece(self) -> Piece | None:
        """Hand out the next read, or None while none may start. Needs the lock."""
        if not self.is_open or self._is_frozen or self._error is not None:
            return None
        self._start_fetches()
        if not self._pieces:
            return None
        self._in_flight += 1
        return self._pieces.popleft()

    def land(self, piece: Piece, error: BaseException | None) -> None:
        """Take note of a finished read. Needs the lock."""
        self._in_flight -= 1
        if error is not None:
            self._error = error
            self._pieces.clear()
        else:
            self.bytes_read += piece.size_bytes
            self._pieces_left[piece.block] -= 1
            self._is_valid[piece.block] = self._pieces_left[piece.block] == 0
        self._landed.notify_all()

    def _look_ahead(self) -> None:
        """Wake a reading thread, but only for a read: each wake-up costs compute its core."""
        if self.is_open and not self._is_frozen and self._error is None and not self._pieces:
            self._start_fetches()
            if self._pieces:
                self._server.wake()

    def _start_fetches(self) -> None:
        while not self._pieces and self._can_fetch():
            self._start_fetch()

    def _can_fetch(self) -> bool:
        """See [Note: slot reuse]; never more than one inference ahead."""
        uses = self.plan.uses
        if not uses or self._next_fetch >= self._released + len(uses):
            return False
        block = uses[self._next_fetch % len(uses)]
        if self._is_valid[block] or self._pieces_left[block]:
            return True
        return all(self._newest_use[other] < self._released for other in self._overlaps[block])

    def _start_fetch(self) -> None:
        block = self.plan.uses[self._next_fetch % len(self.plan.uses)]
        self._newest_use[block] = self._next_fetch
        self._next_fetch += 1
        if self._is_valid[block] or self._pieces_left[block]:
            self._landed.notify_all()
            return
        for other in self._overlaps[block]:
            self._is_valid[other] = False
        self._cut(block)

    def _cut(self, block: int) -> None:
        size_bytes = self.plan.blocks[block].size_bytes
        for offset in range(0, size_bytes, REQUEST_BYTES):
            length = min(REQUEST_BYTES, size_bytes - offset)
            self._pieces.append(Piece(self, block, offset, length))
            self._pieces_left[block] += 1

    def _fetch_residents(self) -> None:
        for index, block in enumerate(self.plan.blocks):
            if block.is_resident:
                self._cut(index)

    def _restart(self) -> None:
        """Forget the order so far; what lies whole in its slot is kept."""
        self._pieces.clear()
        self.wait_until_quiet()
        self._error = None
        self._is_frozen = False
        self._base = self._next_fetch = self._released = 0
        self._newest_use = [-1] * len(self.plan.blocks)
        self._pieces_left = [0] * len(self.plan.blocks)
        for index, block in enumerate(self.plan.blocks):
            if block.is_resident and not self._is_valid[index]:
                raise InvariantError(f"resident block {index} lost its bytes")

    def _require_open(self) -> None:
        if not self.is_open:
            raise RuntimeClosedError("the network was closed")

    def __repr__(self) -> str:
        valid = sum(self._is_valid)
        return f"<Lane {valid}/{len(self._is_valid)} blocks in place, next {self._next_fetch}>"


def _find_overlaps(blocks: tuple[BlockSpec, ...]) -> tuple[tuple[int, ...], ...]:
    """Find for every block the others whose slots share bytes with its own."""
    spans = [(b.slot_offset_bytes, b.slot_offset_bytes + b.size_bytes) for b in blocks]
    return tuple(
        tuple(
            other
            for other, (begin, end) in enumerate(spans)
            if other != index and begin < spans[index][1] and spans[index][0] < end
        )
        for index in range(len(spans))
    )
