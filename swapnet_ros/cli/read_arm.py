"""What reading costs by itself: how fast a block file comes, and by how much it slows compute."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from swapnet_core.backends.cpu import CpuRegion
from swapnet_core.lane import REQUEST_BYTES
from swapnet_core.reader import DirectReader
from swapnet_core.specs import PAGE_BYTES, bytes_spec
from swapnet_core.swapper import READING_THREADS

_MOST_BYTES = 256 * 2**20
_REQUESTS_IN_MEMORY = 16
"""More than processors' caches hold: what is read lies in memory, as blocks do."""


class ReadArm:
    """Reads a block file as the fetch threads do, into memory of its own that nobody uses."""

    def __init__(self, path: Path) -> None:
        """Open the file.

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
        self._threads = ThreadPoolExecutor(READING_THREADS)
        self._bandwidths: list[float] = []

    def take_turn(self) -> None:
        """Read once, while nothing computes.

        Raises:
            StorageError: a read failed.
        """
        begin_s = time.perf_counter()
        with self.reading(self._requests * self._request_bytes):
            pass
        duration_s = time.perf_counter() - begin_s
        self._bandwidths.append(self._requests * self._request_bytes / duration_s)

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """The median of the turns."""
        return statistics.median(self._bandwidths)

    @contextlib.contextmanager
    def reading(self, size_bytes: int) -> Iterator[None]:
        """Read so much, from the file's beginning and round again, beside what is done inside.

        Waits in the end until all is read.

        Raises:
            StorageError: a read failed.
        """
        count = round(size_bytes / self._request_bytes)
        shares = [
            self._threads.submit(self._read, range(first, count, READING_THREADS))
            for first in range(READING_THREADS)
        ]
        yield
        for share in shares:
            share.result()

    def _read(self, numbers: range) -> None:
        for number in numbers:
            begin_bytes = number % _REQUESTS_IN_MEMORY * REQUEST_BYTES
            landing = self._region.open_landing(begin_bytes, self._request_bytes, None)
            offset_bytes = number % self._requests * REQUEST_BYTES
            self._reader.read_into(landing.target, offset_bytes)
            landing.deliver()

    def __enter__(self) -> ReadArm:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()
        self._region.free()
        self._reader.close()

    def __repr__(self) -> str:
        return f"<ReadArm of {self._reader!r}, {len(self._bandwidths)} turns>"
