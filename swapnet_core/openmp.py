"""One set of compute threads in the process, as far as that can be had.

[Note: one pool]
libgomp gives every thread that computes in parallel a pool of its own, and keeps it. When all pools
together have more threads than there are processors, waiting threads do not spin any more but
sleep, and every operator pays for waking them, even if the other pool idles: 1.7 times as long for
a small convolution (`benchmarks/one_pool.py`). So a thread that hands a job over gives its pool
back; the next parallel operator there makes a new one.

Source:
    libgomp of GCC: `gomp_throttled_spin_count_var` and `gomp_managed_threads` in `wait.h` and
    `team.c`; `omp_pause_resource_all` frees the calling thread's pool.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

_SOFT = 1  # omp_pause_soft
_MAPS = Path("/proc/self/maps")


def release_pool() -> None:
    """Give the calling thread's pool back; it must not be inside of a parallel operator."""
    library = _libgomp()
    if library is not None:
        library.omp_pause_resource_all(_SOFT)


def use_one_thread() -> None:
    """Let the calling thread compute alone from now on, without a pool."""
    import torch

    torch.get_num_threads()  # torch sets the number at a thread's first use: not after us
    library = _libgomp()
    if library is not None:
        library.omp_set_num_threads(1)
        library.omp_pause_resource_all(_SOFT)


@functools.cache
def _libgomp() -> ctypes.CDLL | None:
    """Find the library that torch has loaded; None where it uses another one."""
    try:
        lines = _MAPS.read_text().splitlines()
    except OSError:
        return None
    paths = {line.split()[-1] for line in lines if "/libgomp" in line}
    if len(paths) != 1:
        return None
    try:
        library = ctypes.CDLL(paths.pop())
    except OSError:
        return None
    return library if hasattr(library, "omp_pause_resource_all") else None
