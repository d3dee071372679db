"""Slots in the host's memory: large pages, and no byte beyond the region."""

from __future__ import annotations

import gc
import mmap
import re
from pathlib import Path

import pytest
import torch

from swapnet_core import memory
from swapnet_core.backends.cpu import CpuRegion
from swapnet_core.specs import bytes_spec

_MIB = 2**20
_LARGE_PAGE_BYTES = 2 * _MIB
_THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def _bytes_of(region: CpuRegion) -> torch.Tensor:
    return region.weight_view(0, bytes_spec(region.size_bytes))


def _large_pages_at(address: int) -> int:
    """Bytes of the mapping around an address that lie in large pages."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        span = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if span is not None:
            inside = int(span[1], 16) <= address < int(span[2], 16)
        elif inside and line.startswith("AnonHugePages:"):
            return int(line.split()[1]) * 1024
    return 0


@pytest.mark.parametrize("size_mib", [2, 3, 5, 17])
def test_a_region_begins_with_a_large_page(size_mib: int) -> None:
    region = CpuRegion(size_mib * _MIB)
    assert region.size_bytes == size_mib * _MIB
    assert _bytes_of(region).data_ptr() % _LARGE_PAGE_BYTES == 0


@pytest.mark.skipif(
    not _THP.exists() or "[never]" in _THP.read_text(), reason="the system has no large pages"
)
def test_whole_large_pages_are_used_and_the_rest_is_small_ones() -> None:
    region = CpuRegion(5 * _MIB)
    data = _bytes_of(region)
    data.fill_(1)
    # The last MiB must not be part of one: it would hold a MiB that nobody counts.
    assert _LARGE_PAGE_BYTES <= _large_pages_at(data.data_ptr()) <= 4 * _MIB


def test_no_more_is_held_than_the_region_has_and_nothing_after_it_is_freed() -> None:
    gc.collect()
    memory.return_free_memory()
    before = memory.anonymous_bytes()
    region = CpuRegion(45 * _MIB)
    _bytes_of(region).fill_(1)
    assert 44 * _MIB <= memory.anonymous_bytes() - before <= 46 * _MIB
    region.free()
    assert memory.anonymous_bytes() - before <= _MIB


def test_bytes_that_are_given_up_are_the_right_ones() -> None:
    region = CpuRegion(6 * _MIB)
    data = _bytes_of(region)
    data.fill_(7)
    region.give_up([(_MIB, 3 * _MIB), (5 * _MIB, 5 * _MIB)], 0)
    assert data[:_MIB].eq(7).all()
    assert data[3 * _MIB :].eq(7).all()
    assert data[_MIB : 3 * _MIB].eq(0).all()


def test_reads_go_where_weights_are() -> None:
    region = CpuRegion(4 * _MIB)
    landing = region.open_landing(3 * _MIB, 8192, None)
    landing.target[:] = bytes([5]) * 8192
    landing.deliver()
    data = _bytes_of(region)
    assert data[3 * _MIB : 3 * _MIB + 8192].eq(5).all()
    assert data.sum() == 5 * 8192


def test_a_system_without_large_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    data = _bytes_of(CpuRegion(4 * _MIB))
    data.fill_(3)
    assert data.eq(3).all()
