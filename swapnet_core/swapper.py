"""The fetch side of the pipeline: reading threads that bring blocks in ahead of their use.

All state is guarded by the pool's one lock. Reads happen outside it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from swapnet_core.backends.base import Region
from swapnet_core.errors import RuntimeClosedError
from swapnet_core.lane import Lane, Piece, ReadInto
from swapnet_core.specs import SwapPlan

READING_THREADS = 2


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
            for lane in self._lanes:
                lane.shut()  # or who waits for a block would wait for ever
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
            error = piece.read()
            with self.lock:
                self._land(piece, error)

    def _next_piece(self) -> Piece | None:
        for lane in self._lanes:
            piece = lane.next_piece()
            if piece is not None:
                return piece
        return None

    def _take_off(self) -> None:
        if self._in_flight == 0:
            self._flight_began_s = time.monotonic()
        self._in_flight += 1

    def _land(self, piece: Piece, error: BaseException | None) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._reading_s += time.monotonic() - self._flight_began_s
        if error is None:
            self._bytes_read += piece.size_bytes
        piece.lane.land(piece, error)

    def __repr__(self) -> str:
        return f"<FetchPool {len(self._threads)} threads, {len(self._lanes)} lanes>"
