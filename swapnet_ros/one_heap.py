"""One heap for the whole process, which has to be said before the second thread asks for memory.

By default glibc gives threads heaps of their own, up to a number that it works out once: when a
second thread asks for memory, which happens while cv2 is imported. The core's word
(`swapnet_core.memory`) then comes too late. Images and results spread over several heaps, each of
which keeps what is freed. So a program that holds networks says this first. Imports nothing of
ours: that would take seconds.

Source:
    glibc's malloc/arena.c, `arena_get2`: `narenas_limit` is static.
"""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8


def keep_one_heap() -> None:
    """Let all threads share one heap; nothing where the C library is not glibc."""
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)
