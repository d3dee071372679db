"""How fast a block file can be read while nothing computes: what bounds are made of."""

from __future__ import annotations

import mmap
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from swapnet_core.lane import REQUEST_BYTES
from swapnet_core.reader import DirectReader
from swapnet_core.swapper import READING_THREADS

_MOST_BYTES = 256 * 2**20


class ReadArm:
    """Reads a block file as the fetch threads do, from its beginning, while nothing computes."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            StorageError: it cannot be opened.
        """
        self._reader = DirectReader(path)
        self._requests = max(1, min(path.stat().st_size, _MOST_BYTES) // REQUEST_BYTES)
        self._request_bytes = min(
            REQUEST_BYTES, path.stat().st_size // mmap.PAGESIZE * mmap.PAGESIZE
        )
        self._bandwidths: list[float] = []

    def take_turn(self) -> None:
        """Read once.

        Raises:
            StorageError: a read failed.
        """
        with ThreadPoolExecutor(READING_THREADS) as threads:
            begin_s = time.perf_counter()
            list(threads.map(self._read, range(READING_THREADS)))
            duration_s = time.perf_counter() - begin_s
        self._bandwidths.append(self._requests * self._request_bytes / duration_s)

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """The median of the turns."""
        return statistics.median(self._bandwidths)

    def _read(self, first: int) -> None:
        with mmap.mmap(-1, self._request_bytes) as memory, memoryview(memory) as buffer:
            for request in range(first, self._requests, READING_THREADS):
                self._reader.read_into(buffer, request * REQUEST_BYTES)

    def __enter__(self) -> ReadArm:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def __repr__(self) -> str:
        return f"<ReadArm of {self._reader!r}, {len(self._bandwidths)} turns>"
