"""Measure storage and machine once: read bandwidth and latency, and what reads cost compute.

Reads go where those of blocks go: on a discrete GPU through staging into its memory. A read counts
as long as it keeps its thread: where storage is slower than the copies, the copies hide.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from swapnet_core.backends.base import REQUEST_BYTES, Backend, Region
from swapnet_core.blockfile import drop_written_pages
from swapnet_core.errors import StorageError
from swapnet_core.hardware import Hardware, choose_hardware
from swapnet_core.reader import DirectReader
from swapnet_core.sizes import MIB
from swapnet_core.specs import DeviceProfile
from swapnet_core.swapper import READING_THREADS
from swapnet_core.thread_priority import raise_priority

_LOG = logging.getLogger(__name__)
_VERSION = 4
_PROBE_BYTES = 64 * MIB
_SLICES = 9
_SLICE_S = 0.08
_SMALL_READ_BYTES = 64 * 1024
_SMALL_READS = 48
_SMALL_ROUNDS = 5
_COPIES = 64
_LEAST_LATENCY_S = 1e-5
_LEAST_SLOWDOWN = 0.05
"""Reads take CPU time even where the probe's convolution does not feel it. So no read is free, and
of two plans that hide theirs the one that reads less is better."""


def load_or_measure(root: Path, hardware: Hardware | None = None) -> DeviceProfile:
    """Return the profile of a cache directory's storage, measured the first time (about 2 s).

    Args:
        root: cache directory; created where absent.
        hardware: that networks run on; by default the CPU.

    Raises:
        StorageError: the directory cannot be written, or has no room for a probe of 64 MiB.
    """
    hardware = hardware or choose_hardware("cpu")
    path = root / f"device{_suffix(hardware)}.json"
    try:
        root.mkdir(parents=True, exist_ok=True)
        key = _machine(root, hardware)
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
    profile = measure(root, hardware)
    temporary = root / f".device-{os.getpid()}-{threading.get_ident()}.json"
    try:
        temporary.write_text(json.dumps({"machine": key, "profile": asdict(profile)}))
        temporary.replace(path)
    except OSError as error:
        _LOG.warning("cannot keep the device profile in %s: %s", root, error)
    return profile


def measure(root: Path, hardware: Hardware | None = None) -> DeviceProfile:
    """Measure reads beside compute in a directory, on the thread that runs networks.

    Args:
        root: an existing directory.
        hardware: that networks run on; by default the CPU.

    Raises:
        StorageError: no probe file can be written there.
    """
    hardware = hardware or choose_hardware("cpu")
    backend = hardware.backend
    path = root / f".probe-{os.getpid()}-{threading.get_ident()}"
    try:
        _write_probe(path)
        with contextlib.ExitStack() as opened, backend.queue.running():
            reader = DirectReader(path)
            opened.callback(reader.close)
            region = backend.allocate(READING_THREADS * REQUEST_BYTES)
            opened.callback(region.free)
            backend.queue.release()
            probe = _Probe(reader, region, backend, hardware.read_priority)
            small_s = _small_read_s(probe)
            bandwidth, slowdown = _measure_contention(probe)
            copy_bandwidth = _measure_copies(probe) if backend.staging_bytes else None
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
        wake_s=hardware.wake_s,
        copy_bandwidth_bytes_per_s=copy_bandwidth,
    )


def _suffix(hardware: Hardware) -> str:
    """Tell the files of one cache directory apart; nothing for the CPU."""
    if hardware.backend.kind == "cpu":
        return ""
    return f"-{hardware.backend.kind}-{hashlib.sha256(hardware.name.encode()).hexdigest()[:8]}"


def _machine(root: Path, hardware: Hardware) -> dict[str, object]:
    return {
        "hardware": hardware.name,
        "version": _VERSION,
        "node": platform.node(),
        "kernel": platform.release(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "read_priority": hardware.read_priority,
        "storage": os.stat(root).st_dev,
    }


def _write_probe(path: Path) -> None:
    chunk = os.urandom(MIB)
    with path.open("wb") as stream:
        for number in range(_PROBE_BYTES // MIB):
            stream.write(chunk)
            if number % 8 == 7:
                drop_written_pages(stream)


@dataclass(frozen=True, slots=True)
class _Probe:
    """A file to read from, and a region with room for one request of each thread."""

    reader: DirectReader
    region: Region
    backend: Backend
    priority: int

    def read(self, number: int, offset_bytes: int, size_bytes: int) -> float:
        """Do a thread's read as a fetch does it; return how long it took."""
        released = self.backend.queue.released
        begin_s = time.perf_counter()
        landing = self.region.open_landing(number * REQUEST_BYTES, size_bytes, released)
        try:
            self.reader.read_into(landing.target, offset_bytes)
        except BaseException:
            landing.cancel()
            raise
        landing.deliver()
        return time.perf_counter() - begin_s


def _small_read_s(probe: _Probe) -> float:
    """Time per small read where all threads read: what their fixed costs overlap is no cost."""
    times_s = []
    with ThreadPoolExecutor(
        READING_THREADS, initializer=raise_priority, initargs=(probe.priority,)
    ) as threads:
        for _ in range(_SMALL_ROUNDS):
            begin_s = time.perf_counter()
            list(threads.map(lambda number: _read_small(probe, number), range(READING_THREADS)))
            times_s.append((time.perf_counter() - begin_s) / _SMALL_READS)
    return statistics.median(times_s)


def _read_small(probe: _Probe, thread: int) -> None:
    """Do one thread's share of the small reads, each in another place."""
    for number in range(thread, _SMALL_READS, READING_THREADS):
        probe.read(thread, number * MIB, _SMALL_READ_BYTES)


def _convolution(backend: Backend) -> Callable[[], object]:
    """Return a convolution that keeps the device busy."""
    convolution = torch.nn.Conv2d(64, 64, 3, padding=1).to(backend.device)
    image = torch.zeros(1, 64, 56, 56, device=backend.device)

    def step() -> object:
        with torch.inference_mode():
            output = convolution(image)
        backend.queue.finish(output, None)
        return output

    return step


def _measure_copies(probe: _Probe) -> float:
    """Return bytes per second of copies from staging, one after the other."""
    queue = probe.backend.queue
    queue.finish(None, None)
    begin_s = time.perf_counter()
    for _ in range(_COPIES):
        probe.region.open_landing(0, REQUEST_BYTES, queue.released).deliver()
    queue.join()
    queue.finish(None, None)
    return _COPIES * REQUEST_BYTES / (time.perf_counter() - begin_s)


def _rate_hz(step: Callable[[], object], duration_s: float) -> float:
    begin_s = time.perf_counter()
    count = 0
    while time.perf_counter() - begin_s < duration_s:
        step()
        count += 1
    return count / (time.perf_counter() - begin_s)


def _measure_contention(probe: _Probe) -> tuple[float, float]:
    """Return bytes per second beside compute, and by which share compute is slower meanwhile.

    Machines drift, and others run on them. So compute alone and compute beside reads take turns,
    in slices, and medians count.

    Raises:
        StorageError: the probe cannot be read.
    """
    step = _convolution(probe.backend)
    slowdowns = []
    with _ReadingThreads(probe) as reading:
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

    def __init__(self, probe: _Probe) -> None:
        self._probe = probe
        self._may_read = threading.Event()
        self._is_open = True
        self._times_s: list[float] = []
        self._error: Exception | None = None
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
            Exception: whatever the device says.
        """
        if self._error is not None:
            raise self._error
        return statistics.median(self._times_s)

    def _serve(self, number: int) -> None:
        try:
            raise_priority(self._probe.priority)
            self._read(number)
        except Exception as error:  # for `median_request_s`
            self._error = error

    def _read(self, number: int) -> None:
        offset = number * REQUEST_BYTES
        while self._may_read.wait() and self._is_open:
            self._times_s.append(self._probe.read(number, offset, REQUEST_BYTES))
            offset = (offset + READING_THREADS * REQUEST_BYTES) % _PROBE_BYTES
