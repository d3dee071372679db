"""Threads share one heap, where that is said in time."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

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


# Tells how often it began, what it was called with, and whether threads have caches.
_PROGRAM = """
import os, sys
from swapnet_ros.one_heap import start_with_one_heap
print("began")
start_with_one_heap()
from swapnet_core import memory
print(sys.argv, memory.has_thread_caches(), os.environ.get("GLIBC_TUNABLES"))
"""


def _run_program(way: list[str], tunables: str | None) -> list[str]:
    environment = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}
    if tunables is not None:
        environment["GLIBC_TUNABLES"] = tunables
    command = [sys.executable, *way, "a word", "--option=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.splitlines()


@pytest.fixture(params=["file", "module", "text"])
def way(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """A way of starting a program."""
    (tmp_path / "some_program.py").write_text(_PROGRAM)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    ways = {
        "file": [str(tmp_path / "some_program.py")],
        "module": ["-X", "utf8", "-m", "some_program"],
        "text": ["-c", _PROGRAM],
    }
    return ways[request.param]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc")
def test_a_program_is_executed_once_more_as_it_was_called(way: list[str]) -> None:
    *begins, last = _run_program(way, None)
    assert begins == ["began", "began"]
    assert last.endswith("'a word', '--option=*'] False glibc.malloc.tcache_count=0")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc")
@pytest.mark.parametrize(
    ("tunables", "begins", "end"),
    [
        ("glibc.malloc.perturb=3", 2, "False glibc.malloc.perturb=3:glibc.malloc.tcache_count=0"),
        ("glibc.malloc.tcache_count=0", 1, "False glibc.malloc.tcache_count=0"),
        ("glibc.malloc.tcache_count=3", 1, "True glibc.malloc.tcache_count=3"),
    ],
)
def test_what_the_user_has_set_stays(tunables: str, begins: int, end: str) -> None:
    lines = _run_program(["-c", _PROGRAM], tunables)
    assert lines[:-1] == ["began"] * begins
    assert lines[-1].endswith(end)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc")
def test_it_goes_on_where_it_cannot_be_executed_again() -> None:
    broken = _PROGRAM.replace('print("began")', "print('began'); sys.executable = '/nowhere'")
    began, last = _run_program(["-c", broken], None)
    assert began == "began"
    assert "'--option=*'] True" in last


# Is signalled between the two executions, and has its handler again after the second one began.
_SIGNALLED = """
import os, signal, sys
from swapnet_ros import one_heap
signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
execute = os.execv
def signalled(*command):
    os.kill(os.getpid(), signal.SIGTERM)
    execute(*command)
os.execv = signalled
one_heap.start_with_one_heap()
print("goes on")
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc")
def test_a_signal_meanwhile_comes_to_its_handler() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}
    done = subprocess.run(
        [sys.executable, "-c", _SIGNALLED], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc")
def test_nothing_stays_blocked_and_no_mark_is_left() -> None:
    program = (
        _PROGRAM
        + """
import signal
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), "SWAPNET_EXECUTED_AGAIN" in os.environ)
"""
    )
    assert _run_program(["-c", program], None)[-1] == "set() False"
    broken = program.replace('print("began")', "sys.executable = '/nowhere'")
    assert _run_program(["-c", broken], None)[-1] == "set() False"
