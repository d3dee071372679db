"""The fetch side of the pipeline: reading threads that bring blocks in ahead of their use.

All state is guarded by the pool's one lock. Reads happen outside it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from swapnet_core.backends.base import ComputeQueue
from swapnet_core.backends.cpu import HOST_QUEUE
from swapnet_core.errors import RuntimeClosedError
from swapnet_core.lane import Piece
from swapnet_core.speeds import ReadSpeed
from swapnet_core.stream import Stream
from swapnet_core.thread_priority import raise_priority

READING_THREADS = 2
_Work = tuple[Stream, Piece]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSnapshot:
    """Totals since the pool was opened.

    Attributes:
        bytes_read: by all lanes.
        reading_s: time during which at least one read was under way.
    """

    bytes_read: int
    reading_s: float
    streams: int

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Achieved while reading; 0 before the first read."""
        return self.bytes_read / self.reading_s if self.reading_s > 0.0 else 0.0


class FetchPool:
    """Reading threads that serve any number of streams. Any thread."""

    def __init__(
        self,
        queue: ComputeQueue = HOST_QUEUE,
        *,
        threads: int = READING_THREADS,
        priority: int = 0,
    ) -> None:
        """Start the threads.

        Args:
            queue: where the networks compute whose blocks are read.
            threads: how many read.
            priority: real-time priority that they get where it is allowed; 0: none.
        """
        self.queue = queue
        self.lock = threading.Lock()
        self._is_behind = queue is not HOST_QUEUE
        # Of the threads that wait for work. A condition does the same with several times the code,
        # which a thread that was asleep finds nowhere in the processor's caches.
        self._gates: list[threading.Lock] = []
        self._streams: list[Stream] = []
        self._priority = priority
        self._is_open = True
        self._in_flight = 0
        self._flight_began_s = 0.0
        self._flight_bytes = 0
        self._flight_blocks = 0
        self._flight_touched_new_pages = False
        self._speed = ReadSpeed()
        self._bytes_read = 0
        self._reading_s = 0.0
        self._threads = [
            threading.Thread(target=self._serve, name=f"swapnet-fetch-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def open_stream(self, size_bytes: int) -> Stream:
        """Start serving a streaming region of some size.

        Raises:
            RuntimeClosedError: the pool is closed.
        """
        stream = Stream(self, size_bytes)
        with self.lock:
            if not self._is_open:
                raise RuntimeClosedError("the runtime is closed")
            self._streams.append(stream)
        return stream

    def close_stream(self, stream: Stream) -> None:
        """Stop serving a stream, whose lanes are closed. Idempotent."""
        with self.lock:
            stream.shut()
            if stream in self._streams:
                self._streams.remove(stream)

    def wake(self) -> None:
        """Look for work again. Needs the lock."""
        if self._gates:
            self._gates.pop().release()

    def close(self) -> None:
        """End the threads after the reads that are under way. Idempotent."""
        with self.lock:
            self._is_open = False
            while self._gates:
                self.wake()
            for stream in self._streams:
                stream.shut()  # or who waits for a block would wait for ever
        for thread in self._threads:
            thread.join()

    def snapshot(self) -> PoolSnapshot:
        """Return the totals of this moment."""
        with self.lock:
            return PoolSnapshot(
                bytes_read=self._bytes_read,
                reading_s=self._reading_s,
                streams=len(self._streams),
            )

    def bandwidth_of_late(self, latency_s: float) -> float | None:
        """Return bytes per second of the last reads; see `ReadSpeed.bandwidth_bytes_per_s`."""
        with self.lock:
            return self._speed.bandwidth_bytes_per_s(latency_s)

    def _serve(self) -> None:
        raise_priority(self._priority)
        gate = threading.Lock()
        gate.acquire()
        work: _Work | None = None
        error: BaseException | None = None
        while True:
            with self.lock:
                if work is not None:
                    self._land(*work, error)
                work = error = None  # keep nothing alive while waiting
                if not self._is_open:
                    return
                work = self._take()
                if work is None:
                    self._gates.append(gate)
            if work is None:
                gate.acquire()
            else:
                error = self._read(work[1])

    def _take(self) -> _Work | None:
        for stream in self._streams:
            piece = stream.next_piece()
            if piece is not None:
                if stream.has_more():
                    self.wake()
                if not self._is_behind:
                    self._take_off()
                return stream, piece
        return None

    def _read(self, piece: Piece) -> BaseException | None:
        piece.prepare()
        if self._is_behind:
            with self.lock:  # only now: to wait for the device is not to read
                self._take_off()
        return piece.read()

    def _take_off(self) -> None:
        if self._in_flight == 0:
            self._flight_began_s = time.monotonic()
        self._in_flight += 1

    def _land(self, stream: Stream, piece: Piece, error: BaseException | None) -> None:
        self._in_flight -= 1
        if error is None:
            self._bytes_read += piece.read_bytes
            self._flight_bytes += piece.read_bytes
            self._flight_blocks += piece.offset_bytes == 0 and piece.read_bytes > 0
            self._flight_touched_new_pages |= piece.is_into_new_pages
        if self._in_flight == 0:
            self._end_flight(time.monotonic() - self._flight_began_s)
        stream.land(piece, error)

    def _end_flight(self, duration_s: float) -> None:
        self._reading_s += duration_s
        if not self._flight_touched_new_pages:  # the system makes those first, which takes long
            self._speed.add(
                size_bytes=self._flight_bytes, blocks=self._flight_blocks, duration_s=duration_s
            )
        self._flight_bytes = self._flight_blocks = 0
        self._flight_touched_new_pages = False

    def __repr__(self) -> str:
        return f"<FetchPool {len(self._threads)} threads, {len(self._streams)} streams>"
