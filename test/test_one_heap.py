"""Threads share one heap, where that is said in time."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# A heap of a thread's own lies on a boundary of 64 MiB.
_HEAPS = """
import re, threading
from pathlib import Path
from swapnet_ros.one_heap import keep_one_heap
{first}
kept = []
threads = [threading.Thread(target=lambda: kept.append(bytes(100_000))) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
maps = Path("/proc/self/maps").read_text()
begins = re.findall(r"^([0-9a-f]+)-\\S+ rw-p 00000000 00:00 0 *$", maps, re.M)
print(sum(int(begin, 16) % 2**26 == 0 for begin in begins))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc")
@pytest.mark.parametrize(("first", "has_others"), [("", True), ("keep_one_heap()", False)])
def test_threads_have_no_heaps_of_their_own(first, has_others):
    code = _HEAPS.format(first=first)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (int(done.stdout) > 0) is has_others
