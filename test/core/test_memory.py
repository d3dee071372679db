"""What malloc keeps is given back to the system, whichever heap it is kept in."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Threads that run at once, before anybody speaks of one heap, have heaps of their own.
_OWN_HEAP = """
import ctypes, threading
from swapnet_core import memory
libc = memory.glibc()
size = 20 * 2**20
held = []

def work():
    barrier.wait()
    libc.free(libc.malloc(2000))
    barrier.wait()
    if threading.current_thread() is not threads[-1]:
        return
    memory.keep_activations_in_heap()
    before = memory.anonymous_bytes()
    piece = libc.malloc(size)
    ctypes.memset(piece, 1, size)
    libc.free(piece)
    held.append(memory.anonymous_bytes() - before)
    libc.malloc_trim(0)
    held.append(memory.anonymous_bytes() - before)
    memory.return_free_memory()
    held.append(memory.anonymous_bytes() - before)

barrier = threading.Barrier(4)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*held)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc")
def test_a_heap_of_a_threads_own_is_returned_too() -> None:
    command = [sys.executable, "-c", _OWN_HEAP]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    freed, trimmed, returned = (int(word) for word in done.stdout.split())
    assert freed > 19 * 2**20
    assert trimmed > 19 * 2**20, "malloc_trim does it now: the other way is not needed any more"
    assert returned < 2**20


# Tells by how many MiB the process grows, and how many pages it faults in, per time.
_LARGE_PIECE = """
import ctypes, resource
from swapnet_core import memory
libc, size = memory.glibc(), 80 * 2**20
memory.keep_activations_in_heap()
memory.keep_at_heap_end(100 * 2**20)
running, loading = memory.large_tensors_in_heap, memory.tensors_out_of_heap

def grow():
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    before = memory.anonymous_bytes()
    piece = libc.malloc(size)
    ctypes.memset(piece, 1, size)
    libc.free(piece)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    print(memory.anonymous_bytes() - before >> 20, faults)

with running():
    grow()
    grow()
    memory.return_free_memory()
    with loading():
        grow()
    grow()
    grow()
memory.return_free_memory()
grow()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc")
def test_large_tensors_lie_in_the_heap_only_while_a_network_runs() -> None:
    command = [sys.executable, "-c", _LARGE_PIECE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, again, loading, behind, back, after = (
        tuple(int(word) for word in line.split()) for line in done.stdout.splitlines()
    )
    pages = 80 * 2**20 // 4096
    assert first[0] >= 79
    assert behind[0] >= 79
    assert loading[0] == 0
    assert after[0] == 0
    assert min(faults for _, faults in (first, loading, behind, after)) > 0.9 * pages
    assert max(again[1], back[1]) < 0.01 * pages
