"""How much memory this process holds, as the kernel counts it; and keeping malloc from hoarding.

[Note: caches of threads]
torch aligns tensors, and malloc cuts what remains of a piece from its end: some ten bytes. These go
into a cache of the thread, out of which a small object gets them next. The piece that a tensor
leaves is then too small for the next tensor of the same size, by these bytes. Without the caches
they join it again, and activations lie as closely as they can. The caches can be switched off only
where a process begins, by its environment; see `one_heap.py` in `swapnet_ros`.

[Note: large tensors]
malloc has pieces above some size mapped apart, 32 MiB at most. Tensors would have to be faulted in
anew every time (FCN-ResNet101 at 520 pixels: 94 000 pages per inference), and could not lie
in what the heap keeps, so that both would be held at once. So while a network runs nothing is
mapped apart. At other times it is: who lets go of a large buffer wants it to go to the system.

Source:
    proc(5): `RssAnon` is private memory, `VmHWM` the peak of all resident memory since it was
    reset by writing 5 to `/proc/self/clear_refs`.
    glibc's malloc/malloc.c and arena.c: `mtrim` passes over the end of all heaps but the main one;
    `heap_trim` sees to it after a `free` of 64 KiB and more; `_int_memalign` frees the rest of a
    piece, and `_int_free` gives the thread's cache what it has a place for.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_STATUS = Path("/proc/self/status")
_STATM = b"/proc/self/statm"
_STATM_BYTES = 128
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_FIRST_ENVIRONMENT = Path("/proc/self/environ")
NO_THREAD_CACHES = "glibc.malloc.tcache_count=0"
"""In the variable `GLIBC_TUNABLES`; see [Note: caches of threads]."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8
_LOADING_MMAP_THRESHOLD_BYTES = 128 * 1024
_MMAP_THRESHOLD_BYTES = 32 * 1024 * 1024
"""The most that can be set."""
_MOST_MAPPED_APART = 65536
_MOST_KEPT_AT_END_BYTES = 2**31 - 1
"""`mallopt` takes an int."""
_kept_at_end_bytes = 64 * 1024 * 1024
_LARGER_PIECE_BYTES = 96 * 1024
"""What `free` takes as an occasion to look at its heap's end, and is no mapping of its own."""


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
    """Give what malloc keeps for later back to the system, so that it is not measured.

    From the end of a heap, `malloc_trim` returns memory only where it is the process's first one.
    A thread that began before anyone said that there should be one heap may have its own; there,
    letting go of a larger piece does it.
    """
    libc = glibc()
    if libc is None:
        return
    with ends_returned():
        libc.free(libc.malloc(_LARGER_PIECE_BYTES))
    libc.malloc_trim(0)


@contextlib.contextmanager
def ends_returned() -> Iterator[None]:
    """Let malloc return the end of a heap to the system whenever something larger is freed."""
    libc = glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_M_TRIM_THRESHOLD, 0)
    try:
        yield
    finally:
        libc.mallopt(_M_TRIM_THRESHOLD, _kept_at_end_bytes)


def keep_at_heap_end(size_bytes: int) -> None:
    """Let malloc keep so much at the end of the heap, or what it was let before if that is more.

    It returns the end to the system as soon as that is larger. Inferences whose activations lie
    there would then fault them in again every time.
    """
    global _kept_at_end_bytes
    _kept_at_end_bytes = max(_kept_at_end_bytes, min(size_bytes, _MOST_KEPT_AT_END_BYTES))
    libc = glibc()
    if libc is not None:
        libc.mallopt(_M_TRIM_THRESHOLD, _kept_at_end_bytes)


def keep_activations_in_heap() -> None:
    """Set malloc up for inferences: one heap, from which activations come without page faults.

    With glibc's defaults every thread has a heap of its own, and gives memory back and takes it
    again all the time: ResNet-101 then faults 13 000 pages in per inference, RetinaNet 788 000;
    with this and `large_tensors_in_heap` none and 15 000 (`benchmarks/malloc.py`). RetinaNet's heap
    keeps more then, 622 instead of 255 MiB, unless someone sees to it: `heap_watch.py` does.
    Affects the whole process.
    """
    libc = _quick_libc()
    if glibc() is not None:
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_TRIM_THRESHOLD, _kept_at_end_bytes)
    _APART.enter()


@contextlib.contextmanager
def tensors_out_of_heap() -> Iterator[None]:
    """Set malloc up for what leaves small long-lived objects behind: loading, first inferences.

    Tensors get pages of their own then. In the heap they would leave holes between those objects,
    and later activations would spread over all of them: 52 MiB instead of 15 for ResNet-101.
    Until the last thread that wants it has left.
    """
    _APART.enter(loading=1)
    try:
        yield
    finally:
        _APART.enter(loading=-1)


@contextlib.contextmanager
def large_tensors_in_heap() -> Iterator[None]:
    """Set malloc up for running a network; see [Note: large tensors].

    Where somebody loads at the same time, what that needs is done instead.
    """
    _APART.enter(running=1)
    try:
        yield
    finally:
        _APART.enter(running=-1)


class _Apart:
    """Decides from which size on pieces are mapped apart in the whole process. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loading = 0
        self._running = 0
        self._set: tuple[int, int] | None = None

    def enter(self, *, loading: int = 0, running: int = 0) -> None:
        """Count who loads, and who runs."""
        with self._lock:
            self._loading += loading
            self._running += running
            self._tell()

    def _tell(self) -> None:
        """Tell malloc, if it does not know."""
        if self._loading:
            wanted = (_LOADING_MMAP_THRESHOLD_BYTES, _MOST_MAPPED_APART)
        else:
            wanted = (_MMAP_THRESHOLD_BYTES, 0 if self._running else _MOST_MAPPED_APART)
        if glibc() is None or wanted == self._set:
            return
        libc = _quick_libc()
        libc.mallopt(_M_MMAP_THRESHOLD, wanted[0])
        libc.mallopt(_M_MMAP_MAX, wanted[1])
        self._set = wanted


_APART = _Apart()


def resident_bytes() -> int:
    """Private resident memory by the cheapest way there is; 0 where the kernel does not tell.

    An ordinary read lets other threads run meanwhile, and then waits for the interpreter.
    """
    libc = _quick_libc()
    descriptor = libc.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)
    if descriptor < 0:
        return 0
    buffer = ctypes.create_string_buffer(_STATM_BYTES)
    count = libc.read(descriptor, buffer, _STATM_BYTES - 1)
    libc.close(descriptor)
    if count <= 0:
        return 0
    _, resident, shared, *_ = buffer.value.split()
    return (int(resident) - int(shared)) * _PAGE_BYTES


@functools.cache
def has_thread_caches() -> bool:
    """Tell whether small pieces go into caches of threads; see [Note: caches of threads].

    What the C library found when the process began, whatever the environment says by now.
    """
    try:
        environment = _FIRST_ENVIRONMENT.read_bytes()
    except OSError:
        return True
    # glibc before 2.38 has put a zero behind each of its tunables meanwhile.
    tunables = environment.replace(b"GLIBC_TUNABLES=", b"").replace(b":", b"\0").split(b"\0")
    return NO_THREAD_CACHES.encode() not in tunables


@functools.cache
def _quick_libc() -> ctypes.PyDLL:
    """The C library, called without letting other threads run."""
    libc = ctypes.PyDLL(None)
    libc.read.restype = ctypes.c_ssize_t
    libc.read.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
    return libc


def _read_status() -> dict[str, int]:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines if line.startswith(("VmHWM", "Rss")))
    return {field[0].rstrip(":"): int(field[1]) * 1024 for field in fields}


@functools.cache
def glibc() -> ctypes.CDLL | None:
    """The C library, where it is the GNU one."""
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    if not hasattr(libc, "malloc_trim"):
        return None
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    libc.free.restype, libc.free.argtypes = None, (ctypes.c_void_p,)
    return libc
