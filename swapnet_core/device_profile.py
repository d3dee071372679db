"""Measure storage and machine once: read bandwidth and latency, and what reads cost compute."""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import torch

from swapnet_core.backends.base import REQUEST_BYTES
from swapnet_core.blockfile import drop_written_pages
from swapnet_core.errors import StorageError
from swapnet_core.reader import DirectReader
from swapnet_core.sizes import MIB
from swapnet_core.specs import DeviceProfile
from swapnet_core.swapper import READING_THREADS

_LOG = logging.getLogger(__name__)
_VERSION = 4
_PROBE_BYTES = 64 * MIB
_SLICES = 9
_SLICE_S = 0.08
_SMALL_READ_BYTES = 64 * 1024
_SMALL_READS = 48
_SMALL_ROUNDS = 5
_LEAST_LATENCY_S = 1e-5
_LEAST_SLOWDOWN = 0.05
"""Reads take CPU time even where the probe's convolution does not feel it. So no read is free, and
of two plans that hide theirs the one that reads less is better."""


def load_or_measure(root: Path) -> DeviceProfile:
    """Return the profile of a cache directory's storage, measured the first time (about 2 s).

    Args:
        root: cache directory; created where absent.

    Raises:
        StorageError: the directory cannot be written, or has no room for a probe of 64 MiB.
    """
    path = root / "device.json"
    try:
        root.mkdir(parents=True, exist_ok=True)
        key = _machine(root)
    except OSError as error:
        raise StorageError(
            f"cannot use the cache directory {root}: {error}; pass another cache_dir", path=root
        ) from error
    try:
        noted = json.loads(path.read_text())
        if noted["machine"] == key:
            return DeviceProfile(**noted["profile"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never measured here, or by another version: measured now
    profile = measure(root)
    temporary = root / f".device-{os.getpid()}-{threading.get_ident()}.json"
    try:
        temporary.write_text(json.dumps({"machine": key, "profile": asdict(profile)}))
        temporary.replace(path)
    except OSError as error:
        _LOG.warning("cannot keep the device profile in %s: %s", root, error)
    return profile


def measure(root: Path) -> DeviceProfile:
    """Measure reads beside compute in a directory.

    Raises:
        StorageError: no probe file can be written there.
    """
    path = root / f".probe-{os.getpid()}-{threading.get_ident()}"
    try:
        _write_probe(path)
        reader = DirectReader(path)
        try:
            small_s = _small_read_s(reader)
            bandwidth, slowdown = _measure_contention(reader)
        finally:
            reader.close()
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"cannot write the cache directory {root}: {error}; pass another cache_dir", path=root
        ) from error
    finally:
        path.unlink(missing_ok=True)
    return DeviceProfile(
        read_bandwidth_bytes_per_s=bandwidth,
        read_latency_s=max(_LEAST_LATENCY_S, small_s - _SMALL_READ_BYTES / bandwidth),
        compute_slowdown=slowdown,
    )


def _machine(root: Path) -> dict[str, object]:
    return {
        "version": _VERSION,
        "node": platform.node(),
        "kernel": platform.release(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "storage": os.stat(root).st_dev,
    }


def _write_probe(path: Path) -> None:
    chunk = os.urandom(MIB)
    with path.open("wb") as stream:
        for number in range(_PROBE_BYTES // MIB):
            stream.write(chunk)
            if number % 8 == 7:
                drop_written_pages(stream)


def _small_read_s(reader: DirectReader) -> float:
    """Time per small read where all threads read: what their fixed costs overlap is no cost."""
    times_s = []
    with ThreadPoolExecutor(READING_THREADS) as threads:
        for _ in range(_SMALL_ROUNDS):
            begin_s = time.perf_counter()
            list(threads.map(lambda first: _read_small(reader, first), range(READING_THREADS)))
            times_s.append((time.perf_counter() - begin_s) / _SMALL_READS)
    return statistics.median(times_s)


def _read_small(reader: DirectReader, first: int) -> None:
    """Do one thread's share of the small reads, each in another place."""
    with mmap.mmap(-1, _SMALL_READ_BYTES) as memory, memoryview(memory) as buffer:
        for number in range(first, _SMALL_READS, READING_THREADS):
            reader.read_into(buffer, number * MIB)


def _convolution() -> Callable[[], object]:
    """Return a convolution that keeps all cores busy."""
    convolution = torch.nn.Conv2d(64, 64, 3, padding=1)
    image = torch.zeros(1, 64, 56, 56)

    def step() -> object:
        with torch.inference_mode():
            return convolution(image)

    return step


def _rate_hz(step: Callable[[], object], duration_s: float) -> float:
    begin_s = time.perf_counter()
    count = 0
    while time.perf_counter() - begin_s < duration_s:
        step()
        count += 1
    return count / (time.perf_counter() - begin_s)


def _measure_contention(reader: DirectReader) -> tuple[float, float]:
    """Return bytes per second beside compute, and by which share compute is slower meanwhile.

    Machines drift, and others run on them. So compute alone and compute beside reads take turns,
    in slices, and medians count.

    Raises:
        StorageError: the probe cannot be read.
    """
    step = _convolution()
    slowdowns = []
    with _ReadingThreads(reader) as reading:
        _rate_hz(step, _SLICE_S)  # kernels are chosen, threads are started
        for _ in range(_SLICES):
            alone_hz = _rate_hz(step, _SLICE_S)
            with reading.going_on():
                busy_hz = _rate_hz(step, _SLICE_S)
            slowdowns.append(alone_hz / busy_hz - 1.0)
    request_s = reading.median_request_s()
    bandwidth = READING_THREADS * REQUEST_BYTES / request_s
    return bandwidth, max(_LEAST_SLOWDOWN, statistics.median(slowdowns))


class _ReadingThreads:
    """Threads that read a probe over and over, while they are let to. For one thread."""

    def __init__(self, reader: DirectReader) -> None:
        self._reader = reader
        self._may_read = threading.Event()
        self._is_open = True
        self._times_s: list[float] = []
        self._error: StorageError | None = None
        self._threads = [
            threading.Thread(target=self._serve, args=(number,), name=f"swapnet-probe-{number}")
            for number in range(READING_THREADS)
        ]

    def __enter__(self) -> _ReadingThreads:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_open = False
        self._may_read.set()
        for thread in self._threads:
            thread.join()

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Let them read."""
        self._may_read.set()
        try:
            yield
        finally:
            self._may_read.clear()

    def median_request_s(self) -> float:
        """Return how long a read took; after they have ended.

        Raises:
            StorageError: a read failed.
        """
        if self._error is not None:
            raise self._error
        return statistics.median(self._times_s)

    def _serve(self, number: int) -> None:
        try:
            self._read(number * REQUEST_BYTES)
        except StorageError as error:
            self._error = error

    def _read(self, offset: int) -> None:
        with mmap.mmap(-1, REQUEST_BYTES) as memory, memoryview(memory) as buffer:
            while self._may_read.wait() and self._is_open:
                begin_s = time.perf_counter()
                self._reader.read_into(buffer, offset)
                self._times_s.append(time.perf_counter() - begin_s)
                offset = (offset + READING_THREADS * REQUEST_BYTES) % _PROBE_BYTES
