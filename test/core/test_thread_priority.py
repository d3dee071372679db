"""Reading threads are in real time where that is allowed, and ordinary where it is not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from swapnet_core import InputError, SwapRuntime
from swapnet_core.hardware import choose_hardware, on_cpu
from swapnet_core.swapper import FetchPool
from swapnet_core.thread_priority import LOWEST, allowed_priority, raise_priority

WaitUntil = Callable[[Callable[[], bool]], None]

_PROCESSORS = len(os.sched_getaffinity(0))

_CHILD = """
import os, resource, sys
from swapnet_core.thread_priority import allowed_priority

exec(sys.argv[2])
print(allowed_priority(int(sys.argv[1])))
"""
_BE_A_USER = """
try:
    resource.setrlimit(resource.RLIMIT_RTPRIO, ({0}, {0}))
except ValueError:
    sys.exit("this process cannot raise the limit")
if os.getuid() == 0:
    os.setresuid(65534, 65534, 65534)  # without root's rights
"""

needs_right = pytest.mark.skipif(
    not allowed_priority(LOWEST), reason="this process may have no real-time priority"
)


def _in_child(priority: int, prepare: str) -> int:
    """What a process gets that asks for a priority."""
    command = [sys.executable, "-c", _CHILD, str(priority), prepare]
    done = subprocess.run(command, capture_output=True, text=True)
    if "cannot raise" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_without_the_right_threads_are_ordinary() -> None:
    assert _in_child(1, _BE_A_USER.format(0)) == 0


def test_users_get_what_their_limit_allows() -> None:
    assert _in_child(5, _BE_A_USER.format(5)) == 5
    assert _in_child(6, _BE_A_USER.format(5)) == 0


@needs_right
@pytest.mark.parametrize(
    ("prepare", "priority"),
    [
        ("os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(7))", 7),
        ("os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))", 0),
        ("os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))", 0),
        ("os.nice(5)", 0),
    ],
)
def test_what_the_process_was_told_stands(prepare: str, priority: int) -> None:
    assert _in_child(1, prepare) == priority


def test_who_asks_for_none_gets_none() -> None:
    assert raise_priority(0) == 0
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@needs_right
def test_who_asks_keeps_its_own_priority() -> None:
    assert allowed_priority(3) == 3
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.parametrize("priority", [-1, 100])
def test_impossible_priorities_are_refused(priority: int) -> None:
    with pytest.raises(InputError, match=f"{priority} is not possible.* 1 to 99, and 0"):
        SwapRuntime("1GiB", read_priority=priority)


def _policies() -> set[tuple[int, int]]:
    """Of the threads that read: policy and priority."""
    ids = [t.native_id or 0 for t in threading.enumerate() if t.name.startswith("swapnet-fetch")]
    assert ids
    return {
        (os.sched_getscheduler(number), os.sched_getparam(number).sched_priority) for number in ids
    }


@pytest.fixture
def compute_on() -> Iterator[Callable[[int], None]]:
    """`compute_on(2)`: torch has so many threads, until the test's end."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def no_spare_processor(compute_on: Callable[[int], None]) -> None:
    compute_on(_PROCESSORS)


@pytest.fixture
def no_readers_before() -> None:
    names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("swapnet-fetch") for name in names)


@needs_right
@pytest.mark.usefixtures("no_readers_before", "no_spare_processor")
@pytest.mark.parametrize("priority", [0, 1, 4])
def test_the_reading_threads_of_a_runtime_have_it(
    priority: int, cache_dir: Path, wait_until: WaitUntil
) -> None:
    network = nn.Sequential(*(nn.Linear(64, 64) for _ in range(8))).eval()
    inputs = (torch.randn(1, 64),)
    with torch.inference_mode():
        right = network(*inputs)
    with SwapRuntime("64MiB", cache_dir=cache_dir, read_priority=priority) as runtime:
        assert runtime.report().read_priority == priority
        fifo = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        wait_until(lambda: _policies() == {(fifo, priority) if priority else (os.SCHED_OTHER, 0)})
        model = runtime.load("net", network, inputs)
        runtime.set_budget(runtime.report().demand_bytes - 40 * 1024)
        assert torch.equal(model(*inputs), right)
        assert model.stats().bytes_read > 0
        assert runtime.call(lambda: os.sched_getscheduler(0)) == os.SCHED_OTHER


@needs_right
@pytest.mark.usefixtures("no_readers_before", "no_spare_processor")
def test_the_lowest_is_what_a_runtime_takes_by_itself(cache_dir: Path) -> None:
    with SwapRuntime("64MiB", cache_dir=cache_dir) as runtime:
        assert runtime.report().read_priority == LOWEST


@pytest.mark.skipif(_PROCESSORS < 2, reason="there is one processor")
@pytest.mark.usefixtures("no_readers_before")
def test_where_compute_leaves_a_processor_threads_are_ordinary(
    compute_on: Callable[[int], None], cache_dir: Path
) -> None:
    compute_on(_PROCESSORS - 1)
    with SwapRuntime("64MiB", cache_dir=cache_dir, read_priority=4) as runtime:
        assert runtime.report().read_priority == 0
        assert _policies() == {(os.SCHED_OTHER, 0)}


def test_pools_and_devices_by_themselves_have_none() -> None:
    pool = FetchPool()
    try:
        assert _policies() == {(os.SCHED_OTHER, 0)}
    finally:
        pool.close()
    assert on_cpu().read_priority == 0
    assert choose_hardware("cpu", 0).read_priority == 0
