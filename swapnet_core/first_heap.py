"""Starts a thread whose memory comes from the process's first heap.

[Note: the first heap]
glibc has several heaps, and gives a thread one of them when it first asks for memory: one whose
thread has ended, or else a new one, or else the next in turn. Only the first heap keeps at its end
what it is told to keep, and grows beyond 64 MiB. In another one a network faults all activations in
anew in every inference, and holds more than it was measured to. That there should be one heap only
(`memory.keep_activations_in_heap`) comes too late where threads ran before: those of an importing
program, of a camera or of DDS. So threads are started until one has the first heap. Those that
have others wait meanwhile, or else they would be given these again.

Source:
    glibc's malloc/arena.c: `arena_get2` with `get_free_list` and `reused_arena`, which goes round
    all heaps; `HEAP_MAX_SIZE`; `heap_trim`. malloc/malloc.c: `NON_MAIN_ARENA`, a bit of the size
    that is written in front of each piece.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable

from swapnet_core import memory

_HEAPS_PER_CORE = 8
"""The most that glibc makes, unless it is told otherwise."""
_ROUNDS = 3
"""Those without a thread come first, and then all in turn; one to spare."""
_MOST_THREADS = 512
_NOT_THE_FIRST = 0x4
_PIECE_BYTES = 4000
"""More than threads have caches for, and less than what is mapped apart."""
_SIZE_BYTES = ctypes.sizeof(ctypes.c_size_t)


def start_in_first_heap(run: Callable[[], None], name: str) -> threading.Thread:
    """Start a daemon thread that has the first heap, if one can be had; see [Note: the first heap].

    Args:
        run: what the thread does.
        name: of the thread.

    Returns:
        The thread, which runs.

    Raises:
        RuntimeError: not even one thread can be had.
    """
    candidates: list[_Candidate] = []
    most = min(_ROUNDS * _HEAPS_PER_CORE * (os.cpu_count() or 1), _MOST_THREADS)
    while len(candidates) < most and not (candidates and candidates[-1].has_first_heap):
        try:
            candidates.append(_Candidate(run, name))
        except RuntimeError:  # no more threads can be had
            if not candidates:
                raise
            break
    *others, chosen = candidates
    chosen.let_run()
    for other in others:
        other.end()
    return chosen.thread


def is_in_first_heap() -> bool:
    """Tell whether the caller has the first heap; always where malloc is not glibc's."""
    libc = memory.glibc()
    if libc is None:
        return True
    address = libc.malloc(_PIECE_BYTES)
    if address is None:
        return True
    size = ctypes.c_size_t.from_address(address - _SIZE_BYTES).value
    libc.free(address)
    return not size & _NOT_THE_FIRST


class _Candidate:
    """A thread that has told which heap it was given, and waits for what to do."""

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._run = run
        self._has_told, self._may_go_on = threading.Event(), threading.Event()
        self._is_chosen = False
        self.has_first_heap = False
        self.thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self.thread.start()
        self._has_told.wait()

    def let_run(self) -> None:
        self._is_chosen = True
        self._may_go_on.set()

    def end(self) -> None:
        self._may_go_on.set()
        self.thread.join()

    def _serve(self) -> None:
        try:
            self.has_first_heap = is_in_first_heap()
        finally:
            self._has_told.set()
        self._may_go_on.wait()
        if self._is_chosen:
            self._run()
