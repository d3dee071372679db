"""What is measured of storage and machine."""

from pathlib import Path

import pytest

from swapnet_core import StorageError, device_profile
from swapnet_core.simulated_cuda import SimulatedCuda, simulated_hardware


def test_what_is_measured_is_plausible_and_leaves_nothing_behind(tmp_path: Path) -> None:
    profile = device_profile.measure(tmp_path)

    assert profile.read_bandwidth_bytes_per_s > 0.0
    assert profile.read_latency_s > 0.0
    assert profile.compute_slowdown >= 0.0
    assert not list(tmp_path.iterdir())


def test_on_a_device_it_is_measured_through_staging_and_kept_apart(tmp_path: Path) -> None:
    calls = SimulatedCuda()
    hardware = simulated_hardware(calls, "cuda")

    profile = device_profile.load_or_measure(tmp_path, hardware)

    assert "copy copy" in calls.log
    assert profile.copy_bandwidth_bytes_per_s is not None
    assert device_profile.load_or_measure(tmp_path, hardware) == profile
    assert not (tmp_path / "device.json").exists()  # the CPU's
    hardware.backend.close()
    assert calls.held.device_bytes == calls.held.pinned_bytes == 0


def test_it_is_measured_once(tmp_path: Path) -> None:
    assert device_profile.load_or_measure(tmp_path) == device_profile.load_or_measure(tmp_path)


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")

    with pytest.raises(StorageError, match="cannot use the cache directory"):
        device_profile.load_or_measure(path)
