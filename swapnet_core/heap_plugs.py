"""Holes in malloc's heap are taken, so that activations lie close together.

[Note: plugs]
malloc serves a request from the smallest hole that is large enough. Loading leaves holes of all
sizes behind, so activations of each size find places of their own all over the heap, and memory is
held in all of these. So what is free is returned to the system, and then the larger holes are
taken, without touching them. That costs addresses, and a page for each, but no other memory.
Activations then come from the heap's end, close together. One hole is made for small objects, so
that these do not come from there.

[Note: the first place]
torch aligns tensors to 64 bytes. For that malloc looks for 96 bytes more than a tensor takes, and
what it does not need of them it gives back at once. So the place that a tensor leaves is too small
for the next tensor of the same size, unless what lies beside it is free, too. Where the free end of
the heap begins 32 bytes behind a multiple of 64, nothing is given back behind the first tensor, and
its place serves the next one. That decides how all others come to lie: UFLD-ResNet18 with 28 MiB
live holds 28 or 42, FCN-ResNet101 at 520 pixels with 124 live 149 or 173, the same ones every time
(`benchmarks/first_place.py`). So the free end is made to begin there before every inference.

Source:
    glibc's malloc/malloc.c: bins are searched for the best fit; `_int_memalign` asks for a piece
    that is larger by the alignment and the smallest piece, and cuts both ends off, but no end
    smaller than that; `mallinfo2` tells what all arenas have from the system, and what is mapped
    apart.
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
_FOR_SMALL_BYTES = MIB
_ALIGNMENT_BYTES = 64
_FIRST_PLACE_BYTES = 32
_HEADER_BYTES = 2 * ctypes.sizeof(ctypes.c_size_t)
"""Between a piece's beginning and its address. A piece ends half as much behind what was asked."""
_MOST_TIMES_MOVED = 8
"""Between two times that all is made anew: that often what is taken at the end is held, too."""


class HeapPlugs:
    """Holds the plugs of one runtime, in the heap of the thread that asks. For one thread."""

    def __init__(self, first_place_bytes: int = _FIRST_PLACE_BYTES) -> None:
        """Take nothing yet.

        Args:
            first_place_bytes: where the free end of the heap is to begin, behind a multiple of the
                alignment.
        """
        self._first_place_bytes = first_place_bytes
        self._plugs: list[int] = []
        self._end = 0
        self._times_moved = 0

    def renew(self) -> None:
        """Return malloc's free memory to the system, and take the holes of now.

        While activations are live there are holes between them, which are not to be taken.
        """
        self.remove()
        memory.return_free_memory()
        calls = _heap_calls()
        if calls is None:
            return
        with memory.ends_returned():
            self._plugs = _take_holes(calls)
            for_small = calls.malloc(_FOR_SMALL_BYTES)
            self._take_end(calls)
            self._times_moved = 0
            if for_small is not None:
                calls.free(for_small)

    def line_up(self) -> None:
        """Let the free end of the heap begin where it should again, if small objects lie there now.

        Takes microseconds. To be called between inferences. An output that somebody still has may
        lie there, too: that will go again.
        """
        calls = _heap_calls()
        if calls is None or not self._plugs or self._times_moved == _MOST_TIMES_MOVED:
            return
        if 0 < _find_end(calls) - self._end < _SMALLEST_BYTES:
            self._take_end(calls)
            self._times_moved += 1

    def _take_end(self, calls: _HeapCalls) -> None:
        """Take so much that what is free behind it begins where it should."""
        gap = (self._first_place_bytes - _find_end(calls)) % _ALIGNMENT_BYTES
        address = calls.malloc(_SMALLEST_BYTES + gap - _HEADER_BYTES // 2)
        if address is not None:
            self._plugs.append(address)
        self._end = _find_end(calls)

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


def _find_end(calls: _HeapCalls) -> int:
    """Return where the free end of the heap begins, if all larger holes are taken."""
    address = calls.malloc(_SMALLEST_BYTES)
    if address is None:
        return 0
    calls.free(address)
    return address - _HEADER_BYTES


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
