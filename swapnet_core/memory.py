"""How much memory this process holds, as the kernel counts it; and keeping malloc from hoarding.

Source:
    proc(5): `RssAnon` is private memory, `VmHWM` the peak of all resident memory since it was
    reset by writing 5 to `/proc/self/clear_refs`.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MMAP_THRESHOLD_BYTES = 32 * 1024 * 1024
_TRIM_THRESHOLD_BYTES = 64 * 1024 * 1024


def anonymous_bytes() -> int:
    """Return the process's private resident memory; 0 where the kernel does not tell."""
    return _read_status().get("RssAnon", 0)


def reset_peak() -> None:
    """Start a new measurement of the peak."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return  # a hardened container: peak_anonymous_bytes then tells the present instead


def peak_anonymous_bytes() -> int:
    """Return the peak of private resident memory since `reset_peak`.

    File pages (code of libraries) are taken out as of now: they are not the network's.
    """
    status = _read_status()
    peak = status.get("VmHWM", 0) - status.get("RssFile", 0) - status.get("RssShmem", 0)
    return max(peak, status.get("RssAnon", 0))


def return_free_memory() -> None:
    """Give what malloc keeps for later back to the system, so that it is not measured."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def limit_malloc() -> None:
    """Stop malloc from keeping several times the activations of a network.

    With glibc's defaults every thread has a heap of its own, and freed activations of up to
    32 MiB stay in it: ResNet-101 then holds 36 MiB for 11 MiB of live activations, RetinaNet
    430 for 196 (`benchmarks/malloc.py`). One heap with fixed thresholds holds 18 and 280, and
    is not slower. Affects the whole process.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)


def _read_status() -> dict[str, int]:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines if line.startswith(("VmHWM", "Rss")))
    return {field[0].rstrip(":"): int(field[1]) * 1024 for field in fields}


def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return libc if hasattr(libc, "malloc_trim") else None
