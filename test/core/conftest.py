"""Fixtures of the core's tests."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from swapnet_core import device_profile
from swapnet_core.testing import open_leases


@pytest.fixture(scope="session")
def measured_storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory in which the device is measured already."""
    root = tmp_path_factory.mktemp("measured")
    device_profile.load_or_measure(root)
    return root


@pytest.fixture
def cache_dir(measured_storage: Path, tmp_path: Path) -> Iterator[Path]:
    """A cache directory of the test's own."""
    root = tmp_path / "cache"
    shutil.copytree(measured_storage, root)
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(autouse=True)
def no_leases_left() -> Iterator[None]:
    """Fail a test after which a ledger still holds leases."""
    before = open_leases()
    yield
    if open_leases() != before:
        gc.collect()
    left = [ledger for ledger in open_leases() if ledger not in before]
    assert not left, f"the test leaks leases: {', '.join(left)}"
