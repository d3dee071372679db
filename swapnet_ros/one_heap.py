"""How a process that holds networks has its heap: said before anything else, or it is too late.

By default glibc gives threads heaps of their own, up to a number that it works out once: when a
second thread asks for memory, which happens while cv2 is imported. The core's word
(`swapnet_core.memory`) then comes too late. Images and results spread over several heaps, each of
which keeps what is freed. And every thread has a cache of small pieces, which lets activations lie
less closely: VGG-19 holds 62 MiB with it, and 37 without. It can be switched off by an environment
variable only, so the program is executed once more. Imports nothing of ours: that would take
seconds.

Source:
    glibc's malloc/arena.c, `arena_get2`: `narenas_limit` is static. Its manual, "Memory Allocation
    Tunables". [Note: caches of threads] in `swapnet_core/memory.py`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

_M_ARENA_MAX = -8
_TUNABLES = "GLIBC_TUNABLES"
_CACHES = "glibc.malloc.tcache_count="


def start_with_one_heap() -> None:
    """Set the heap up for a program; executes it again the first time. For its very beginning.

    Whoever has set `glibc.malloc.tcache_count` in `GLIBC_TUNABLES` keeps what was set.
    """
    tunables = os.environ.get(_TUNABLES, "")
    if _glibc() is not None and _CACHES not in tunables and sys.executable:
        os.environ[_TUNABLES] = ":".join([tunables, f"{_CACHES}0"] if tunables else [f"{_CACHES}0"])
        sys.stdout.flush()
        sys.stderr.flush()
        with contextlib.suppress(OSError):  # it works without, too
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    keep_one_heap()


def keep_one_heap() -> None:
    """Let all threads share one heap; nothing where the C library is not glibc."""
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_ARENA_MAX, 1)


def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return libc if hasattr(libc, "mallopt") else None
