"""The fetch side of the pipeline: reading threads that bring blocks in ahead of their use.

[Note: slot reuse]
Every streamed block has one fixed slot, and slots overlap. A lane numbers the uses of its blocks
0, 1, 2, ... through one inference and on into the next. Fetches are started in that order. The
fetch of a use may start when no block whose slot overlaps is still needed: every use of it that
was fetched for has been released. A use is released when the next one is entered: on the CPU the
layer has returned by then. Bytes that nobody has overwritten are not read again. So a fetch never
writes where compute reads, and no fetch waits for a release that waits for the fetch: the oldest
unreleased use is always either in its slot or next to be fetched.

All state is guarded by the pool's one lock. Reads happen outside it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from swapnet_core.backends.base import Region
from swapnet_core.errors import InvariantError, RuntimeClosedError
from swapnet_core.sizes import MIB
from swapnet_core.specs import BlockSpec, SwapPlan

READING_THREADS = 2
REQUEST_BYTES = 2 * MIB

ReadInto = Callable[[memoryview, int], None]
"""Fills a buffer from an offset of the block file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSnapshot:
    """Totals since the pool was opened.

    Attributes:
        bytes_read: by all lanes.
        reading_s: time during which at least one read was under way.
    """

    bytes_read: int
    reading_s: float
    lanes: int


@dataclass(slots=True)
class _Piece:
    """One read request."""

    lane: Lane
    block: int
    offset_bytes: int
    size_bytes: int


class FetchPool:
    """Reading threads that serve any number of lanes. Any thread."""

    def __init__(self, threads: int = READING_THREADS) -> None:
        self.lock = threading.Lock()
        self._work = threading.Condition(self.lock)
        self._lanes: list[Lane] = []
        self._is_open = True
        self._in_flight = 0
        self._flight_began_s = 0.0
        self._bytes_read = 0
        self._reading_s = 0.0
        self._threads = [
            threading.Thread(target=self._serve, name=f"swapnet-fetch-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def open_lane(self, plan: SwapPlan, region: Region, read_into: ReadInto) -> Lane:
        """Start serving a plan; its residents are in place when this returns.

        Raises:
            StorageError: a resident block cannot be read; the lane is closed again.
            RuntimeClosedError: the pool is closed.
        """
        lane = Lane(self, plan, region, read_into)
        with self.lock:
            if not self._is_open:
                raise RuntimeClosedError("the runtime is closed")
            self._lanes.append(lane)
            self._work.notify_all()
        try:
            lane.wait_for_residents()
        except BaseException:
            self.close_lane(lane)
            raise
        return lane

    def close_lane(self, lane: Lane) -> None:
        """Stop serving a lane; its region is not written to any more when this returns."""
        with self.lock:
            lane.shut()
            if lane in self._lanes:
                self._lanes.remove(lane)
            lane.wait_until_quiet()

    def put_first(self, lane: Lane) -> None:
        """Serve this lane before the others: its network is running. Needs the lock."""
        if self._lanes and self._lanes[0] is not lane and lane in self._lanes:
            self._lanes.remove(lane)
            self._lanes.insert(0, lane)

    def wake(self) -> None:
        """Look for work again. Needs the lock."""
        self._work.notify()

    def close(self) -> None:
        """End the threads after the reads that are under way. Idempotent."""
        with self.lock:
            self._is_open = False
            self._work.notify_all()
        for thread in self._threads:
            thread.join()

    def snapshot(self) -> PoolSnapshot:
        """Return the totals of this moment."""
        with self.lock:
            return PoolSnapshot(
                bytes_read=self._bytes_read, reading_s=self._reading_s, lanes=len(self._lanes)
            )

    def _serve(self) -> None:
        while True:
            with self.lock:
                piece = self._next_piece()
                while piece is None and self._is_open:
                    self._work.wait()
                    piece = self._next_piece()
                if piece is None or not self._is_open:
                    return
                self._take_off()
                if piece.lane.has_more():
                    self._work.notify()
            error = _read(piece)
            with self.lock:
                self._land(piece, error)

    def _next_piece(self) -> _Piece | None:
        for lane in self._lanes:
            piece = lane.next_piece()
            if piece is not None:
                return piece
        return None

    def _take_off(self) -> None:
        if self._in_flight == 0:
            self._flight_began_s = time.monotonic()
        self._in_flight += 1

    def _land(self, piece: _Piece, error: BaseException | None) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._reading_s += time.monotonic() - self._flight_began_s
        if error is None:
            self._bytes_read += piece.size_bytes
        piece.lane.land(piece, error)

    def __repr__(self) -> str:
        return f"<FetchPool {len(self._threads)} threads, {len(self._lanes)} lanes>"


def _read(piece: _Piece) -> BaseException | None:
    """Read one piece; an error is handed to the lane, whose inference raises it."""
    block = piece.lane.plan.blocks[piece.block]
    target = piece.lane.region.host_view(
        block.slot_offset_bytes + piece.offset_bytes, piece.size_bytes
    )
    try:
        piece.lane.read_into(target, block.file_offset_bytes + piece.offset_bytes)
    except BaseException as error:
        return error
    finally:
        target.release()
    return None


class Lane:
    """The blocks of one plan on their way through one region.

    `begin`, `enter`, `finish` and `freeze` are called by the thread that runs the network; the
    rest by the pool, which holds its lock.
    """

    def __init__(
        self, pool: FetchPool, plan: SwapPlan, region: Region, read_into: ReadInto
    ) -> None:
        self.plan = plan
        self.region = region
        self.read_into = read_into
        self.is_open = True
        self.bytes_read = 0
        self._pool = pool
        self._landed = threading.Condition(pool.lock)
        self._overlaps = _find_overlaps(plan.blocks)
        blocks = len(plan.blocks)
        self._is_valid = [False] * blocks
        self._pieces_left = [0] * blocks
        self._newest_use = [-1] * blocks
        self._pieces: deque[_Piece] = deque()
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
        with self._pool.lock:
            self._require_open()
            self._pool.put_first(self)
            if self._error is not None or self._is_frozen:
                self._restart()
            self._pool.wake()

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
        with self._pool.lock:
            self._released = number
            self._pool.wake()
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
        with self._pool.lock:
            self._base += len(self.plan.uses)
            self._released = self._base
            self._pool.wake()

    def abort(self) -> None:
        """End an inference that broke off; the next one starts afresh."""
        with self._pool.lock:
            self._restart()
            self._pool.wake()

    def freeze(self, held_use: int) -> list[tuple[int, int]]:
        """Stop fetching for the rest of this inference, and give up every slot not in use.

        Args:
            held_use: the use whose block stays, or -1.

        Returns:
            `(begin, end)` of the region's bytes that nobody uses now.
        """
        held = self.plan.uses[held_use] if held_use >= 0 else -1
        with self._pool.lock:
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
        """
        residents = [i for i, block in enumerate(self.plan.blocks) if block.is_resident]
        with self._pool.lock:
            while not all(self._is_valid[index] for index in residents):
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

    def next_piece(self) -> _Piece | None:
        """Hand out the next read, or None while none may start. Needs the lock."""
        if not self.is_open or self._is_frozen or self._error is not None:
            return None
        while not self._pieces and self._can_fetch():
            self._start_fetch()
        if not self._pieces:
            return None
        self._in_flight += 1
        return self._pieces.popleft()

    def land(self, piece: _Piece, error: BaseException | None) -> None:
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
            self._pieces.append(_Piece(self, block, offset, length))
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
