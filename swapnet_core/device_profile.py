"""Measure storage and machine once: read bandwidth and latency, and what reads cost compute."""

from __future__ import annotations

import json
import logging
import mmap
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from swapnet_core.blockfile import drop_written_pages
from swapnet_core.errors import StorageError
from swapnet_core.lane import REQUEST_BYTES
from swapnet_core.reader import DirectReader
from swapnet_core.sizes import MIB
from swapnet_core.specs import DeviceProfile
from swapnet_core.swapper import READING_THREADS

_LOG = logging.getLogger(__name__)
_VERSION = 1
_PROBE_BYTES = 64 * MIB
_MEASURE_S = 0.4
_SMALL_READ_BYTES = 64 * 1024


def load_or_measure(root: Path) -> DeviceProfile:
    """Return the profile of a cache directory's storage, measured the first time (about 1.5 s).

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
            latency_s = _small_read_s(reader)
            alone_hz = _compute_hz()
            bandwidth, busy_hz = _compute_while_reading(reader)
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
        read_latency_s=latency_s,
        compute_slowdown=max(0.0, alone_hz / busy_hz - 1.0),
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
    """Median time of a small read: nearly all of it is the fixed cost."""
    times = []
    with mmap.mmap(-1, _SMALL_READ_BYTES) as memory, memoryview(memory) as buffer:
        for number in range(16):
            begin_s = time.perf_counter()
            reader.read_into(buffer, number * REQUEST_BYTES)
            times.append(time.perf_counter() - begin_s)
    return statistics.median(times)


def _compute_hz() -> float:
    """Rate of a convolution that keeps all cores busy."""
    step = _convolution()
    for _ in range(3):
        step()
    begin_s = time.perf_counter()
    count = 0
    while time.perf_counter() - begin_s < _MEASURE_S:
        step()
        count += 1
    return count / (time.perf_counter() - begin_s)


def _convolution() -> Callable[[], object]:
    convolution = torch.nn.Conv2d(64, 64, 3, padding=1)
    image = torch.zeros(1, 64, 56, 56)

    def step() -> object:
        with torch.inference_mode():
            return convolution(image)

    return step


def _compute_while_reading(reader: DirectReader) -> tuple[float, float]:
    """Return bytes per second and compute rate while both go on."""
    stop = threading.Event()
    counts = [0] * READING_THREADS

    def read(number: int) -> None:
        with mmap.mmap(-1, REQUEST_BYTES) as memory, memoryview(memory) as buffer:
            offset = number * REQUEST_BYTES
            while not stop.is_set():
                reader.read_into(buffer, offset)
                counts[number] += REQUEST_BYTES
                offset = (offset + READING_THREADS * REQUEST_BYTES) % _PROBE_BYTES

    threads = [
        threading.Thread(target=read, args=(number,), name=f"swapnet-probe-{number}")
        for number in range(READING_THREADS)
    ]
    for thread in threads:
        thread.start()
    try:
        begin_s, begin_bytes = time.perf_counter(), sum(counts)
        rate_hz = _compute_hz()
        bandwidth = (sum(counts) - begin_bytes) / (time.perf_counter() - begin_s)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return max(bandwidth, 1.0), rate_hz
