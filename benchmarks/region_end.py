"""How fast direct reads fill the end of a region, behind its last whole large page.

    python benchmarks/region_end.py [--rounds 10] [--mib 0.8] [FOLDER]

In turns: into a large page, into small pages as the system gives them, and into the beginning of a
large page whose end was given back (see `swapnet_core/backends/large_pages.py`). Every turn maps
memory anew. On a machine that has just started small pages may lie in order by chance; so every
second page of some memory is given back before, as others do in time.
"""

from __future__ import annotations

import argparse
import mmap
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from swapnet_core.backends.large_pages import (
    LARGE_PAGE_BYTES,
    anonymous_pages,
    map_large_pages,
)
from swapnet_core.reader import DirectReader
from swapnet_core.specs import PAGE_BYTES, round_up

_FILE_BYTES = 128 * 2**20
_SCATTERED_BYTES = 256 * 2**20
_READS = 100
_ARMS = ("a large page", "small pages", "the beginning of a large page")


def main() -> None:
    """Measure, and print a Markdown table."""
    options = _parse()
    size_bytes = round_up(int(options.mib * 2**20))
    bandwidths: dict[str, list[float]] = {arm: [] for arm in _ARMS}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "blocks"
        path.write_bytes(np.random.default_rng(0).bytes(_FILE_BYTES))
        reader = DirectReader(path)
        scattered = _scatter()
        for number in range(options.rounds):
            for arm in _ARMS if number % 2 else reversed(_ARMS):
                bandwidths[arm].append(_read(reader, arm, size_bytes))
        scattered.close()
        reader.close()
    print(f"{size_bytes / 2**20:.1f} MiB per read\n")
    print("| into | GB/s | least | most |\n|---|---|---|---|")
    for arm, found in bandwidths.items():
        median = statistics.median(found)
        print(f"| {arm} | {median / 1e9:.2f} | {min(found) / 1e9:.2f} | {max(found) / 1e9:.2f} |")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folder", nargs="?", type=Path, help="Of the file; on the storage to be measured."
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--mib", type=float, default=0.8, help="Of a read; below 2.")
    options = parser.parse_args()
    if not 0 < options.mib < 2:
        parser.error("--mib is of the end of a region, which is below 2")
    return options


def _scatter() -> mmap.mmap:
    """Leave the system with free pages that lie apart."""
    pages = anonymous_pages(_SCATTERED_BYTES)
    pages.madvise(mmap.MADV_NOHUGEPAGE)
    np.frombuffer(pages, dtype=np.uint8)[::PAGE_BYTES] = 1
    for begin in range(0, _SCATTERED_BYTES, 2 * PAGE_BYTES):
        pages.madvise(mmap.MADV_DONTNEED, begin, PAGE_BYTES)
    return pages


def _read(reader: DirectReader, arm: str, size_bytes: int) -> float:
    """Return the median bandwidth of some reads, in bytes per second."""
    if arm == "small pages":
        pages, begin = anonymous_pages(size_bytes), 0
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    else:
        whole = arm == "a large page"
        pages, begin = map_large_pages(LARGE_PAGE_BYTES + (0 if whole else size_bytes))
        begin += 0 if whole else LARGE_PAGE_BYTES
    target = memoryview(pages)[begin : begin + size_bytes]
    target[:] = bytes(size_bytes)  # the system makes its pages
    times_s = []
    for number in range(_READS):
        offset_bytes = number * size_bytes % (_FILE_BYTES - size_bytes) // PAGE_BYTES * PAGE_BYTES
        begin_s = time.perf_counter()
        reader.read_into(target, offset_bytes)
        times_s.append(time.perf_counter() - begin_s)
    return size_bytes / statistics.median(times_s)


if __name__ == "__main__":
    main()
