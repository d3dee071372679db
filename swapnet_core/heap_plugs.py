"""Holes in malloc's heap are taken, so that activations lie close together.

[Note: plugs]
malloc serves a request from the smallest hole that is large enough. Loading leaves holes of all
sizes behind, so activations of each size find places of their own all over the heap, and memory is
held in all of these. So what is free is returned to the system, and then the larger holes are
taken, without touching them. That costs addresses, and a page for each, but no other memory.
Activations then come from the heap's end, close together.

Source:
    glibc's malloc/malloc.c: bins are searched for the best fit; `mallinfo2` tells what all arenas
    have from the system, and what is mapped apart.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import NamedTuple

from swapnet_core import memory
from swapnet_core.sizes import KIB, MIB

_LARGEST_BYTES = 16 * MIB
_SMALLEST_BYTES = 256 * KIB
"""Smaller holes are left for what is small."""
_MOST_PLUGS = 1024


class HeapPlugs:
    """Holds the plugs of one runtime, in the heap of the thread that asks. For one thread."""

    def __init__(self) -> None:
        self._plugs: list[int] = []

    def renew(self) -> None:
        """Return malloc's free memory to the system, and take the holes of now.

        While activations are live there are holes between them, which are not to be taken.
        """
        self.remove()
        memory.return_free_memory()
        calls = _heap_calls()
        if calls is not None:
            with memory.ends_returned():
                self._plugs = _take_holes(calls)

    def remove(self) -> None:
        """Let go of all plugs. Idempotent."""
        calls = _heap_calls()
        plugs, self._plugs = self._plugs, []
        for address in plugs:
            assert calls is not None, "who has taken holes has the calls"
            calls.free(address)

    def __repr__(self) -> str:
        return f"<HeapPlugs in {len(self._plugs)} holes>"


class _HeapCalls(NamedTuple):
    """Of the C library. They do not let other threads run: each of them takes microseconds.

    Attributes:
        from_system: bytes that malloc has from the system, as far as differences matter.
    """

    malloc: Callable[[int], int | None]
    free: Callable[[int], None]
    from_system: Callable[[], int]


_FIELDS = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class _MallInfo(ctypes.Structure):
    """`struct mallinfo2`, since glibc 2.33."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _FIELDS)


class _OldMallInfo(ctypes.Structure):
    """`struct mallinfo`, whose figures wrap around at 4 GiB."""

    _fields_ = tuple((name, ctypes.c_int) for name in _FIELDS)


@functools.cache
def _heap_calls() -> _HeapCalls | None:
    if memory.glibc() is None:
        return None
    libc = ctypes.PyDLL("libc.so.6")
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    libc.free.restype, libc.free.argtypes = None, (ctypes.c_void_p,)
    has_new = hasattr(libc, "mallinfo2")
    info = libc.mallinfo2 if has_new else libc.mallinfo
    info.restype = _MallInfo if has_new else _OldMallInfo

    def from_system() -> int:
        found = info()
        return int(found.arena + found.hblkhd)

    return _HeapCalls(libc.malloc, libc.free, from_system)


def _take_holes(calls: _HeapCalls) -> list[int]:
    """Take all holes, large ones in several parts, until the system has to give more."""
    plugs: list[int] = []
    size = _LARGEST_BYTES
    before = calls.from_system()
    while size >= _SMALLEST_BYTES and len(plugs) < _MOST_PLUGS:
        address = calls.malloc(size)
        if address is not None and calls.from_system() == before:
            plugs.append(address)
            continue
        if address is not None:
            calls.free(address)
        before = calls.from_system()
        size //= 2
    return plugs
