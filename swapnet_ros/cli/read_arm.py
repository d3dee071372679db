"""What reading costs by itself: how fast a block file comes, and by how much it slows compute."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from swapnet_core.backends.cpu import CpuRegion
from swapnet_core.lane import REQUEST_BYTES
from swapnet_core.reader import DirectReader
from swapnet_core.specs import PAGE_BYTES, bytes_spec
from swapnet_core.swapper import READING_THREADS
from swapnet_core.thread_priority import raise_priority

_MOST_BYTES = 256 * 2**20
_REQUESTS_IN_MEMORY = 16
"""More than processors' caches hold: what is read lies in memory, as blocks do."""


class ReadArm:
    """Reads a block file as the fetch threads do, into memory of its own that nobody uses."""

    def __init__(self, path: Path, priority: int = 0) -> None:
        """Open the file.

        Args:
            path: of the block file.
            priority: of the fetch threads; see `RuntimeReport.read_priority`.

        Raises:
            StorageError: it cannot be opened.
        """
        self._reader = DirectReader(path)
        size_bytes = path.stat().st_size
        self._requests = max(1, min(size_bytes, _MOST_BYTES) // REQUEST_BYTES)
        self._request_bytes = min(REQUEST_BYTES, size_bytes // PAGE_BYTES * PAGE_BYTES)
        memory_bytes = _REQUESTS_IN_MEMORY * REQUEST_BYTES
        self._region = CpuRegion(memory_bytes)
        self._region.weight_view(0, bytes_spec(memory_bytes)).zero_()  # the system makes its pages
        self._threads = ThreadPoolExecutor(
            READING_THREADS, initializer=raise_priority, initargs=(priority,)
        )
        self._bandwidths: list[float] = []
        self._beside: list[float] = []

    def take_turn(self) -> None:
        """Read once, while nothing computes.

        Raises:
            StorageError: a read failed.
        """
        begin_s = time.perf_counter()
        for share in self._start(self._requests, []):
            share.result()
        duration_s = time.perf_counter() - begin_s
        self._bandwidths.append(self._requests * self._request_bytes / duration_s)

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """The median of the turns."""
        return statistics.median(self._bandwidths)

    @property
    def beside_bytes_per_s(self) -> float:
        """The median while something was done beside the reads; where none was, as without."""
        return statistics.median(self._beside) if self._beside else self.bandwidth_bytes_per_s

    @contextlib.contextmanager
    def reading(self, size_bytes: int) -> Iterator[None]:
        """Read so much, from the file's beginning and round again, beside what is done inside.

        Waits in the end until all is read.

        Raises:
            StorageError: a read failed.
        """
        ends_s: list[float] = []
        begin_s = time.perf_counter()
        shares = self._start(round(size_bytes / self._request_bytes), ends_s)
        yield
        end_s = time.perf_counter()
        for share in shares:
            share.result()
        if ends_s:
            self._beside.append(
                self._count_bytes(ends_s, end_s) / (min(end_s, max(ends_s)) - begin_s)
            )

    def _count_bytes(self, ends_s: Sequence[float], end_s: float) -> int:
        """Count what was read until some moment, and what was under way then, as a whole."""
        done = sum(read_s <= end_s for read_s in ends_s)
        return min(done + READING_THREADS, len(ends_s)) * self._request_bytes

    def _start(self, count: int, ends_s: list[float]) -> list[Future[None]]:
        return [
            self._threads.submit(self._read, range(first, count, READING_THREADS), ends_s)
            for first in range(READING_THREADS)
        ]

    def _read(self, numbers: range, ends_s: list[float]) -> None:
        for number in numbers:
            begin_bytes = number % _REQUESTS_IN_MEMORY * REQUEST_BYTES
            landing = self._region.open_landing(begin_bytes, self._request_bytes, None)
            offset_bytes = number % self._requests * REQUEST_BYTES
            self._reader.read_into(landing.target, offset_bytes)
            landing.deliver()
            ends_s.append(time.perf_counter())

    def __enter__(self) -> ReadArm:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()
        self._region.free()
        self._reader.close()

    def __repr__(self) -> str:
        return f"<ReadArm of {self._reader!r}, {len(self._bandwidths)} turns>"
