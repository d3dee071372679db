"""The order in which blocks are fetched: for the present inference and for those expected next.

[Note: slot reuse]
Every streamed block has one fixed slot in the streaming region, which all networks use in turn,
and slots overlap. The present inference and those expected after it are one sequence of uses,
numbered without gaps. Fetches are started in that order. The fetch of a use may start when no
block whose slot overlaps is still wanted: every use of it that was fetched for has been released,
and none of its reads is under way. A use is released when the next one is entered: on the CPU the
layer has returned by then; for devices that run behind the host, see [Note: the host runs ahead]
in `backends/base.py`. Bytes that nobody has overwritten are not read again. So a fetch never
writes where compute reads, and no fetch waits for a release that waits for the fetch: the oldest
unreleased use is always either in its slot or next to be fetched.

[Note: expectations]
What comes after the present inference is a guess. Where another network is begun than was
expected, the numbers given to the expected one are taken back: its blocks lie there unwanted,
and are overwritten, or used if its turn comes before that.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from swapnet_core.backends.base import Region
from swapnet_core.backends.shelf import Shelf
from swapnet_core.errors import RuntimeClosedError
from swapnet_core.lane import Lane, Occupant, Piece, ReadInto, Server
from swapnet_core.slots import Slots
from swapnet_core.specs import SwapPlan

_MOST_EXPECTED = 3


class _Run(NamedTuple):
    """One inference in the sequence: its uses have the numbers from `base` on, before `end`."""

    lane: Lane
    base: int
    end: int

    @classmethod
    def starting(cls, lane: Lane, base: int) -> _Run:
        return cls(lane, base, base + len(lane.plan.uses))


class Stream:
    """One streaming region and the networks that use it in turn. Any thread.

    Lanes are begun and finished by one thread, one at a time.
    """

    def __init__(self, server: Server, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.queue = server.queue
        self._server = server
        self._landed = threading.Condition(server.lock)
        self._waiting = 0
        self._lanes: list[Lane] = []
        self._slots = Slots()
        self._pieces: deque[Piece] = deque()
        self._in_flight = 0
        self._runs: list[_Run] = []
        self._next_fetch = 0
        self._released = 0
        self._is_running = False
        self._is_guess = False  # the first run is expected only: it has not begun
        self._is_frozen = False
        self._is_open = True

    def open_lane(
        self, plan: SwapPlan, region: Region, read_into: ReadInto, shelf: Shelf | None = None
    ) -> Lane:
        """Take a network up; its residents are in place when this returns.

        Args:
            plan: its slots for streamed blocks lie within this stream.
            region: of all the plan's slots.
            read_into: of the network's block file.
            shelf: where some requests stay, of the plan's `host_bytes`.

        Raises:
            StorageError: a resident block cannot be read; the lane is closed again.
            RuntimeClosedError: the stream is closed.
        """
        lane = Lane(self, plan, region, read_into, shelf)
        self.queue.release()  # the region may lie where others computed until now
        with self._server.lock:
            if not self._is_open:
                raise RuntimeClosedError("the runtime is closed")
            self._lanes.append(lane)
            for index, block in enumerate(plan.blocks):
                if block.is_resident:
                    self._place(lane, index)
            self._server.wake()
        try:
            self._wait_for_residents(lane)
        except BaseException:
            self.close_lane(lane)
            raise
        self.queue.join()
        return lane

    def close_lane(self, lane: Lane) -> None:
        """Let a network go; its region is not written to any more when this returns."""
        with self._server.lock:
            lane.is_open = False
            self._tell()
            self._drop_pieces(lane)
            while any(occupant.pending for occupant in lane.held.values()):
                self._wait()
            self._slots.forget_lane(lane)
            lane.held.clear()
            if lane in self._lanes:
                self._lanes.remove(lane)
            self._unexpect(lane)

    def shut(self) -> None:
        """Hand out no more reads, and wake whoever waits for one. Needs the lock."""
        self._is_open = False
        for lane in self._lanes:
            lane.is_open = False
        self._tell()

    def expect(self, lanes: Sequence[Lane]) -> None:
        """Say which networks will probably run, in order; while one runs, it is the first.

        Without being told, the stream expects the present network again.
        """
        with self._server.lock:
            if not self._is_open:
                return
            coming = [lane for lane in lanes if lane.is_open]
            first = self._runs[0].lane if self._runs else None
            if coming and (first is None or (self._is_guess and coming[0] is not first)):
                self._start_over(coming[:1])
                self._is_guess = True
            if coming and (self._is_running or self._is_guess) and coming[0] is self._runs[0].lane:
                del coming[0]
            if self._runs:
                self._set_expected(coming)
                self._look_ahead()

    def begin(self, lane: Lane, first_use: int = 0) -> None:
        """See `Lane.begin`."""
        with self._server.lock:
            self._require_open(lane)
            if lane.error is not None or self._is_frozen or not self._come_to(lane):
                lane.error = None
                self._start_over([lane])
            self._is_running, self._is_guess = True, False
            self._released += first_use
            self._next_fetch = max(self._next_fetch, self._released)
            self._set_expected([run.lane for run in self._runs[1:]])
            self._look_ahead()

    def enter(self, lane: Lane, use: int) -> float:
        """See `Lane.enter`."""
        with self._server.lock:
            self._require_open(lane)
            number = self._released = self._runs[0].base + use
            self._look_ahead()
            if self._is_there(lane, use, number):
                return 0.0
            begin_s = time.perf_counter()
            self._wait_for_use(lane, use, number)
            return time.perf_counter() - begin_s

    def finish(self, lane: Lane) -> None:
        """See `Lane.finish`."""
        with self._server.lock:
            self._is_running = False
            if self._runs and self._runs[0].lane is lane:
                self._released = self._runs[0].end
                self._look_ahead()

    def abort(self, lane: Lane) -> None:
        """See `Lane.abort`."""
        with self._server.lock:
            self._is_running = False
            lane.error = None
            if lane.is_open:
                self._start_over([lane])
                self._is_guess = True
                self._look_ahead()

    def freeze(self, lane: Lane, held_use: int) -> list[tuple[int, int]]:
        """See `Lane.freeze`."""
        held = lane.plan.uses[held_use] if held_use >= 0 else -1
        with self._server.lock:
            self._is_frozen = True
            for other in self._lanes:
                self._drop_pieces(other)
            while self._in_flight:
                self._wait()
            kept = self._slots.keep_only(lane, held)
        if kept is None:
            return [(0, self.size_bytes)]
        return [(0, kept.begin), (kept.end, self.size_bytes)]

    def next_piece(self) -> Piece | None:
        """Hand out the next read, or None while none may start. Needs the lock."""
        if not self._is_open:
            return None
        if not self._pieces:
            self._start_fetches()
        if not self._pieces:
            return None
        self._in_flight += 1
        return self._pieces.popleft()

    def has_more(self) -> bool:
        """Tell whether another read may start at once. Needs the lock."""
        return bool(self._pieces)

    def land(self, piece: Piece, error: BaseException | None) -> None:
        """Take note of a finished read. Needs the lock."""
        self._in_flight -= 1
        occupant, lane = piece.occupant, piece.occupant.lane
        occupant.pending -= 1
        if error is None:
            lane.bytes_read += piece.read_bytes
            lane.reads.append(piece.span)
            if piece.arrival is not None:
                occupant.arrivals.append(piece.arrival)
        else:
            lane.error = error
            occupant.is_broken = True
            self._drop_pieces(lane)
        self._forget_if_broken(occupant)
        self._tell()

    # Below: with the lock.

    def _come_to(self, lane: Lane) -> bool:
        """Make the expected run of a lane the present one; False where another was expected."""
        first = 0 if self._is_guess else 1
        if len(self._runs) <= first or self._runs[first].lane is not lane:
            return False
        del self._runs[:first]
        self._released = self._runs[0].base
        return True

    def _set_expected(self, lanes: Sequence[Lane]) -> None:
        """Put these behind the present inference, and take back what was given to others."""
        wanted = list(lanes[:_MOST_EXPECTED]) or [self._runs[0].lane]
        same = 1
        while same < len(self._runs) and self._runs[same].lane in wanted[same - 1 : same]:
            same += 1
        if len(self._runs) > same:
            self._take_back(self._runs[same].base)
            del self._runs[same:]
        for lane in wanted[same - 1 :]:
            self._runs.append(_Run.starting(lane, self._runs[-1].end))

    def _take_back(self, base: int) -> None:
        """Fetches for the uses from `base` on were for nothing; see [Note: expectations]."""
        self._next_fetch = min(self._next_fetch, base)
        self._slots.take_back(base)

    def _unexpect(self, lane: Lane) -> None:
        """Take a lane's runs out of the order, and what comes after them; the rest stands."""
        first = next((n for n, run in enumerate(self._runs) if run.lane is lane), None)
        if first == 0:
            self._start_over([])
        elif first is not None:
            self._take_back(self._runs[first].base)
            del self._runs[first:]

    def _start_over(self, lanes: Sequence[Lane]) -> None:
        """Forget the order so far; what lies whole in its slot is kept, and residents come."""
        base = self._runs[-1].end if self._runs else 0
        self._drop(lambda occupant: not occupant.is_resident)
        self._slots.take_all_back()
        self._runs = [_Run.starting(lane, base) for lane in lanes]
        self._next_fetch = self._released = base
        self._is_frozen = False

    def _look_ahead(self) -> None:
        """Wake a reading thread, but only for a read: each wake-up costs compute its core."""
        if self._is_open and not self._pieces:
            self._start_fetches()
            if self._pieces:
                self._server.wake()

    def _start_fetches(self) -> None:
        if self._slots.is_stuck(self._released):
            return
        while not self._pieces and not self._is_frozen and self._start_fetch():
            pass

    def _start_fetch(self) -> bool:
        """Fetch for the next use; False where that has to wait. See [Note: slot reuse]."""
        number = self._next_fetch
        for run in self._runs:
            if run.base <= number < run.end:
                break
        else:
            return False
        lane = run.lane
        if lane.error is not None:
            return False
        block = lane.plan.uses[number - run.base]
        occupant = lane.held.get(block)
        if occupant is None:
            if not self._slots.make_room(*lane.slots[block], self._released):
                return False
            occupant = self._place(lane, block)
            self._slots.add(occupant)
        elif occupant.is_broken:
            return False  # its other reads are still under way
        else:
            occupant.numbers = [n for n in occupant.numbers if n >= self._released]
            self._tell()
        occupant.numbers.append(number)
        self._next_fetch = number + 1
        return True

    def _place(self, lane: Lane, block: int) -> Occupant:
        begin, end = lane.slots[block]
        requests = lane.requests[block]
        occupant = Occupant(lane, block, begin, end, len(requests), released=self.queue.released)
        lane.held[block] = occupant
        for offset_bytes, size_bytes in requests:
            self._pieces.append(Piece(occupant, offset_bytes, size_bytes))
        return occupant

    def _drop_pieces(self, lane: Lane) -> None:
        """Take back a lane's reads that have not started."""
        self._drop(lambda occupant: occupant.lane is lane)

    def _drop(self, is_dropped: Callable[[Occupant], bool]) -> None:
        """Take back reads that have not started; what they were part of is broken."""
        pieces, self._pieces = self._pieces, deque()
        for piece in pieces:
            if not is_dropped(piece.occupant):
                self._pieces.append(piece)
                continue
            piece.occupant.pending -= 1
            piece.occupant.is_broken = True
            self._forget_if_broken(piece.occupant)

    def _forget_if_broken(self, occupant: Occupant) -> None:
        if occupant.is_broken and occupant.pending == 0:
            occupant.lane.held.pop(occupant.block, None)
            self._slots.forget(occupant)

    def _wait_for_use(self, lane: Lane, use: int, number: int) -> None:
        while True:
            self._require_open(lane)
            if self._is_there(lane, use, number):
                return
            if lane.error is not None:
                raise lane.error
            self._wait()

    def _is_there(self, lane: Lane, use: int, number: int) -> bool:
        occupant = lane.held.get(lane.plan.uses[use])
        return self._next_fetch > number and occupant is not None and occupant.is_whole

    def _wait_for_residents(self, lane: Lane) -> None:
        residents = [i for i, block in enumerate(lane.plan.blocks) if block.is_resident]
        with self._server.lock:
            while not all(i in lane.held and lane.held[i].is_whole for i in residents):
                self._require_open(lane)
                if lane.error is not None:
                    raise lane.error
                self._wait()

    def _wait(self) -> None:
        self._waiting += 1
        try:
            self._landed.wait()
        finally:
            self._waiting -= 1

    def _tell(self) -> None:
        """Wake who waits for what comes."""
        if self._waiting:
            self._landed.notify_all()

    def _require_open(self, lane: Lane) -> None:
        if not lane.is_open:
            raise RuntimeClosedError("the network was closed")

    def __repr__(self) -> str:
        return f"<Stream {len(self._lanes)} lanes, {len(self._slots)} blocks in place>"
