"""Networks run in the process's first heap, whatever heaps there were before."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading

import pytest

from swapnet_core import SwapRuntime, first_heap
from swapnet_core.first_heap import is_in_first_heap, start_in_first_heap

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc's malloc")

# Threads that ran before anyone said that there should be one heap have heaps of their own.
_CHILD = """
import ctypes, sys, threading

libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
count, stay = int(sys.argv[1]), sys.argv[2] == "stay"
have_memory, end = threading.Barrier(count + 1), threading.Event()

def run_before():
    libc.free(libc.malloc(4000))
    have_memory.wait()
    if stay:
        end.wait()

before = [threading.Thread(target=run_before) for _ in range(count)]
for thread in before:
    thread.start()
have_memory.wait()
if not stay:
    for thread in before:
        thread.join()

from swapnet_core import SwapRuntime
from swapnet_core.first_heap import is_in_first_heap

ordinary = []
thread = threading.Thread(target=lambda: ordinary.append(is_in_first_heap()))
for _ in range(2):
    with SwapRuntime(budget="64MiB") as runtime:
        print(runtime._dispatcher.run_exclusive(is_in_first_heap))
thread.start()
thread.join()
print(*ordinary, threading.active_count() - 1 - (len(before) if stay else 0))
end.set()
"""


@pytest.mark.parametrize("count", [1, 5, 30])
@pytest.mark.parametrize("fate", ["stay", "end"])
def test_networks_run_in_the_first_heap(count: int, fate: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(count), fate], capture_output=True, text=True, check=True
    )
    *of_networks, others = done.stdout.splitlines()
    assert of_networks == ["True", "True"]
    # An ordinary thread has another heap there, and no thread that was tried is left.
    assert others == "False 0" or (others == "True 0" and (count, fate) == (1, "stay"))


def test_the_main_thread_has_the_first_heap() -> None:
    assert is_in_first_heap()


def test_a_runtime_in_this_process_runs_there() -> None:
    with SwapRuntime(budget="64MiB") as runtime:
        assert runtime._dispatcher.run_exclusive(is_in_first_heap)


def test_where_it_cannot_be_had_the_thread_runs_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(first_heap, "is_in_first_heap", lambda: False)
    before, ran = threading.active_count(), threading.Event()
    start_in_first_heap(ran.set, "chosen").join()
    assert ran.is_set()
    assert threading.active_count() == before


@pytest.mark.parametrize("possible", [0, 1, 3])
def test_as_many_threads_are_tried_as_there_can_be(
    monkeypatch: pytest.MonkeyPatch, possible: int
) -> None:
    start, started = threading.Thread.start, []

    def start_few(thread: threading.Thread) -> None:
        if len(started) == possible:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(first_heap, "is_in_first_heap", lambda: False)
    monkeypatch.setattr(threading.Thread, "start", start_few)
    ran = threading.Event()
    if possible == 0:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            start_in_first_heap(ran.set, "chosen")
        return
    start_in_first_heap(ran.set, "chosen").join()
    assert ran.is_set()
    assert not any(thread.is_alive() for thread in started)
