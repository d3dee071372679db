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

import ctypes
import os
import signal
import sys

_M_ARENA_MAX = -8
_TUNABLES = "GLIBC_TUNABLES"
_CACHES = "glibc.malloc.tcache_count="
_MARK = "SWAPNET_EXECUTED_AGAIN"
"""Says to the program executed again that it is that, and which signals wait for it."""
_SIGNALS = {signal.SIGINT, signal.SIGTERM}


def start_with_one_heap() -> None:
    """Set the heap up for a program; executes it again the first time. For its very beginning.

    Whoever has set `glibc.malloc.tcache_count` in `GLIBC_TUNABLES` keeps what was set. Signals that
    end the program wait meanwhile: its handlers are not there yet when it begins again.
    """
    _let_waiting_signals_in()
    if _glibc() is not None and _CACHES not in os.environ.get(_TUNABLES, "") and sys.executable:
        _execute_again()
    keep_one_heap()


def _execute_again() -> None:
    """Does not return, unless the system refuses: then the program goes on as it is."""
    before = dict(os.environ)
    others = [before[_TUNABLES]] if before.get(_TUNABLES) else []
    waiting = _SIGNALS - signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    os.environ[_TUNABLES] = ":".join([*others, f"{_CACHES}0"])
    os.environ[_MARK] = " ".join(str(int(number)) for number in (os.getpid(), *waiting))
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except OSError:
        os.environ.clear()
        os.environ.update(before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, waiting)


def _let_waiting_signals_in() -> None:
    process, *waiting = os.environ.pop(_MARK, "0").split()
    if int(process) == os.getpid():  # or else a parent has left the mark
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [int(number) for number in waiting])


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
