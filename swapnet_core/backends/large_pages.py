"""Anonymous memory whose large pages reach up to its last byte.

[Note: the end of a region]
A direct read tells the device a list of stretches of memory. A large page is one stretch. Small
pages lie anywhere and are one stretch each, which can take a device several times as long. Behind
a region's last whole large page there is no room for another one: it would hold bytes that nobody
counts. So one is taken there all the same, before anything else of the region is touched, and what
is too much of it is given back at once. The system cuts it into small pages for that, but those
that stay still lie one behind the other, so they are one stretch.
"""

from __future__ import annotations

import contextlib
import mmap

import numpy as np
import torch

from swapnet_core.specs import round_up

LARGE_PAGE_BYTES = 2 * 1024 * 1024


def anonymous_pages(size_bytes: int) -> mmap.mmap:
    """Take private memory in whole pages, which cost nothing until they are touched."""
    return mmap.mmap(-1, round_up(max(size_bytes, 1)), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def map_large_pages(size_bytes: int) -> tuple[mmap.mmap, int]:
    """Take private memory in large pages, as far as the system has them.

    Nothing of it is held yet but less than a large page at its end; see [Note: the end of a
    region]. It may hold any bytes there. Never is more held than `size_bytes`, not for a moment.

    Args:
        size_bytes: a multiple of `PAGE_BYTES`.

    Returns:
        Memory, and where in it the `size_bytes` begin: at an address that is a multiple of
        `LARGE_PAGE_BYTES`. The bytes around them must not be touched.
    """
    pages = anonymous_pages(size_bytes + 2 * LARGE_PAGE_BYTES)
    begin = -torch.frombuffer(pages, dtype=torch.uint8).data_ptr() % LARGE_PAGE_BYTES
    if hasattr(mmap, "MADV_HUGEPAGE") and size_bytes >= LARGE_PAGE_BYTES:
        with contextlib.suppress(OSError):  # a system that was built without large pages
            pages.madvise(mmap.MADV_HUGEPAGE, begin, round_up(size_bytes, LARGE_PAGE_BYTES))
            _cut_last(pages, begin, begin + size_bytes)
    return pages, begin


def _cut_last(pages: mmap.mmap, begin: int, end: int) -> None:
    """Hold the beginning of a large page behind the whole ones."""
    rest_bytes = (end - begin) % LARGE_PAGE_BYTES
    if not rest_bytes:
        return
    last = end - rest_bytes
    # Where a page is cut, the system takes back all parts that are zero.
    np.frombuffer(pages, dtype=np.uint8, count=LARGE_PAGE_BYTES, offset=last).fill(1)
    surplus_bytes = LARGE_PAGE_BYTES - rest_bytes
    if hasattr(mmap, "MADV_FREE"):
        with contextlib.suppress(OSError):
            # Cuts the page now, so that others get what is given back next. Else the system cuts it
            # when memory gets short.
            pages.madvise(mmap.MADV_FREE, end, surplus_bytes)
    pages.madvise(mmap.MADV_DONTNEED, end, surplus_bytes)
    # Or the system would make a whole one of it again.
    pages.madvise(mmap.MADV_NOHUGEPAGE, last, LARGE_PAGE_BYTES)
