"""Large pages up to a region's last byte, and not one byte behind it."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from swapnet_core.backends import large_pages
from swapnet_core.backends.large_pages import LARGE_PAGE_BYTES, map_large_pages
from swapnet_core.specs import PAGE_BYTES

_MIB = 2**20
_THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_PAGEMAP = Path("/proc/self/pagemap")
_IS_PRESENT = 1 << 63
_NUMBER = (1 << 55) - 1
_MADV_COLLAPSE = 25

needs_large_pages = pytest.mark.skipif(
    not _THP.exists() or "[never]" in _THP.read_text(), reason="the system has no large pages"
)


def _address(pages: mmap.mmap) -> int:
    return torch.frombuffer(pages, dtype=torch.uint8).data_ptr()


def _entries(pages: mmap.mmap, begin: int, end: int) -> list[int]:
    """What the system says of each page that is held between two bytes of a mapping."""
    first = (_address(pages) + begin) // PAGE_BYTES
    count = (end - begin) // PAGE_BYTES
    with _PAGEMAP.open("rb") as table:
        table.seek(8 * first)
        entries = struct.unpack(f"{count}Q", table.read(8 * count))
    return [entry for entry in entries if entry & _IS_PRESENT]


def _held_bytes(pages: mmap.mmap) -> int:
    return len(_entries(pages, 0, len(pages))) * PAGE_BYTES


def _fill(pages: mmap.mmap, begin: int, size_bytes: int) -> None:
    np.frombuffer(pages, dtype=np.uint8, count=size_bytes, offset=begin).fill(7)


@pytest.mark.parametrize("size_bytes", [PAGE_BYTES, 2 * _MIB, 3 * _MIB, 7 * _MIB - PAGE_BYTES])
def test_exactly_what_was_asked_for_is_held(size_bytes: int) -> None:
    pages, begin = map_large_pages(size_bytes)
    assert (_address(pages) + begin) % LARGE_PAGE_BYTES == 0
    assert _held_bytes(pages) <= size_bytes % LARGE_PAGE_BYTES
    _fill(pages, begin, size_bytes)
    assert _held_bytes(pages) == size_bytes


@needs_large_pages
def test_the_end_lies_in_one_stretch() -> None:
    size_bytes = 5 * _MIB + 3 * PAGE_BYTES
    pages, begin = map_large_pages(size_bytes)
    _fill(pages, begin, size_bytes)
    rest = _entries(pages, begin + 4 * _MIB, begin + size_bytes)
    numbers = [entry & _NUMBER for entry in rest]
    if not any(numbers):
        pytest.skip("only root may see where pages lie")
    assert numbers[0] % (LARGE_PAGE_BYTES // PAGE_BYTES) == 0, "where a large page began"
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@needs_large_pages
def test_never_more_is_held_than_was_asked_for_not_even_for_a_moment() -> None:
    size_bytes = 2 * _MIB + PAGE_BYTES
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is held now
    before = _status_bytes("VmHWM")
    made = [map_large_pages(size_bytes)]
    # The system counts a thread's pages in batches.
    assert _status_bytes("VmHWM") - before <= size_bytes + _MIB // 2
    del made


def _status_bytes(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))


@needs_large_pages
def test_the_system_does_not_make_a_large_page_of_the_end_later() -> None:
    size_bytes = 3 * _MIB
    pages, begin = map_large_pages(size_bytes)
    _fill(pages, begin, size_bytes)
    with contextlib.suppress(OSError):
        # What the system does by itself now and then.
        pages.madvise(_MADV_COLLAPSE, begin + 2 * _MIB, LARGE_PAGE_BYTES)
    assert _held_bytes(pages) == size_bytes


@needs_large_pages
def test_what_is_given_up_at_the_end_comes_back_without_what_is_behind_it() -> None:
    size_bytes = 3 * _MIB
    pages, begin = map_large_pages(size_bytes)
    _fill(pages, begin, size_bytes)
    pages.madvise(mmap.MADV_DONTNEED, begin + 2 * _MIB, _MIB)
    assert _held_bytes(pages) == 2 * _MIB
    _fill(pages, begin, size_bytes)
    assert _held_bytes(pages) == size_bytes


class _Refusing(mmap.mmap):
    """What a system was built without."""

    refused: frozenset[int] = frozenset()

    def madvise(self, option: int, start: int = 0, length: int | None = None) -> None:
        if option in self.refused:
            raise OSError(22, os.strerror(22))
        super().madvise(option, start, len(self) if length is None else length)


@pytest.mark.parametrize("refused", ["MADV_HUGEPAGE", "MADV_FREE"])
def test_a_system_that_was_built_without_it(monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    def take(size_bytes: int) -> mmap.mmap:
        return _Refusing(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    monkeypatch.setattr(_Refusing, "refused", frozenset([getattr(mmap, refused)]))
    monkeypatch.setattr(large_pages, "anonymous_pages", take)
    pages, begin = map_large_pages(5 * _MIB)
    _fill(pages, begin, 5 * _MIB)
    assert _held_bytes(pages) == 5 * _MIB


@pytest.mark.parametrize("missing", ["MADV_HUGEPAGE", "MADV_FREE"])
def test_a_python_that_does_not_know_it(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delattr(mmap, missing, raising=False)
    pages, begin = map_large_pages(5 * _MIB)
    _fill(pages, begin, 5 * _MIB)
    assert _held_bytes(pages) == 5 * _MIB
