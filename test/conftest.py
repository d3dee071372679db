"""Fixtures of every test: the evaluation data, and a guard against leaked threads and files."""

from __future__ import annotations

import functools
import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from swapnet_core import device_profile

_ROOT = Path(__file__).resolve().parents[1]
_DATA = "SWAPNET_DATA"
_GRACE_S = 2.0

# Everybody's run, and CI's, has the same examples; `make search` looks for new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("search", print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Fast DDS keeps its shared-memory segments for the life of the process.
_KEPT_BY_DDS = ("/dev/shm/fastrtps_", "/dev/shm/fastdds_")
# So does matplotlib with the fonts that it has used.
_KEPT_BY_MATPLOTLIB = "/mpl-data/fonts/"
# And so does CUDA with the device, which it opens again for new kinds of work.
_KEPT_BY_CUDA = "/dev/nvidia"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU here")
    if item.get_closest_marker("gpu") is not None:
        _wake_gpu()


@functools.cache
def _wake_gpu() -> None:
    """Let CUDA and its libraries open what they keep for the life of the process."""
    place = torch.device("cuda", 0)
    image = torch.nn.functional.conv2d(
        torch.ones(1, 8, 8, 8, device=place), torch.ones(8, 8, 3, 3, device=place)
    )
    event = torch.cuda.Event(blocking=True)
    (image.flatten(1) @ image.flatten(1).t()).cpu()
    event.record()
    event.synchronize()


def pytest_collection_finish() -> None:
    """Take what the imports have made out of the collector's sight.

    Every load collects garbage twice, and these half a million objects made that half a second.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Give it back: else libraries complain at the end about what was never collected."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def measured_storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory in which the device is measured already, which takes two seconds."""
    root = tmp_path_factory.mktemp("measured")
    device_profile.load_or_measure(root)
    return root


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real images, clips and small weights; the test skips where it is absent."""
    folder = Path(os.environ.get(_DATA, _ROOT.parent / "shared" / "data"))
    if not (folder / "weights").is_dir():
        pytest.skip(f"no evaluation data at {folder}: set {_DATA} to its folder")
    return folder


def _open_files() -> dict[int, str]:
    """Map this process's file descriptors to what they are open on."""
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            found[int(entry)] = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            continue  # the descriptor of the listing itself
    return {
        fd: target
        for fd, target in found.items()
        if not target.startswith((*_KEPT_BY_DDS, _KEPT_BY_CUDA))
        and _KEPT_BY_MATPLOTLIB not in target
    }


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves a thread or a file descriptor behind."""
    threads, files = set(threading.enumerate()), _open_files()
    yield
    deadline = time.monotonic() + _GRACE_S
    while leaked := _leaked(threads, files):
        if time.monotonic() > deadline:
            pytest.fail(f"the test leaks {', '.join(leaked)}")
        gc.collect()
        time.sleep(0.02)


def _leaked(threads: set[threading.Thread], files: dict[int, str]) -> list[str]:
    left = [f"thread {thread.name}" for thread in threading.enumerate() if thread not in threads]
    now = _open_files()
    return left + [f"file {now[fd]}" for fd in now if files.get(fd) != now[fd]]
