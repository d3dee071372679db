"""Reads around the page cache, and where there are none."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest

from swapnet_core import reader
from swapnet_core.errors import BlockCorruptError, RuntimeClosedError, StorageError
from swapnet_core.reader import DirectReader

_PAGE = 4096


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(b"".join(bytes([page]) * _PAGE for page in range(16)))
    return path


@pytest.fixture
def buffer() -> memoryview:
    return memoryview(mmap.mmap(-1, 4 * _PAGE))


@pytest.fixture
def unwarned(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process: no file system was warned about yet."""
    monkeypatch.setattr(reader, "_warned_devices", set())


def test_any_pages_are_read_into_any_pages(stored: Path, buffer: memoryview) -> None:
    source = DirectReader(stored)
    for first, count in ((0, 1), (3, 4), (12, 4), (15, 1)):
        with buffer[: count * _PAGE] as target:
            source.read_into(target, first * _PAGE)
            assert bytes(target) == stored.read_bytes()[first * _PAGE : (first + count) * _PAGE]
    source.close()


def test_the_end_of_the_file_is_damage(stored: Path, buffer: memoryview) -> None:
    source = DirectReader(stored)
    with pytest.raises(BlockCorruptError, match=r"file\.bin is truncated: 16384 .* 4096 are there"):
        source.read_into(buffer, 15 * _PAGE)
    source.close()


def test_a_closed_reader_says_so(stored: Path, buffer: memoryview) -> None:
    source = DirectReader(stored)
    source.close()
    source.close()
    assert "closed" in repr(source)
    with pytest.raises(RuntimeClosedError):
        source.read_into(buffer, 0)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="absent"):
        DirectReader(tmp_path / "absent")


# No file system of the machines that this was tried on refuses O_DIRECT (tmpfs has it since
# Linux 6.5), so that the two ways of refusing are made at the boundary to the kernel.


@pytest.mark.usefixtures("unwarned")
def test_refused_when_opening_it_reads_through_the_cache_and_says_so_once(
    stored: Path,
    buffer: memoryview,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real_open = os.open

    def refuse(path: object, flags: int, *rest: object, **named: object) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real_open(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    for _ in range(2):
        source = DirectReader(stored)
        assert not source.is_direct
        source.read_into(buffer, 4 * _PAGE)
        assert bytes(buffer) == stored.read_bytes()[4 * _PAGE : 8 * _PAGE]
        source.close()
    assert caplog.text.count("no direct I/O") == 1
    assert str(stored.parent) in caplog.text


@pytest.mark.usefixtures("unwarned")
def test_refused_when_reading_it_goes_on_through_the_cache(
    stored: Path,
    buffer: memoryview,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real_read = os.preadv
    direct: list[int] = []

    def refuse_once(descriptor: int, buffers: object, offset: int) -> int:
        if not direct:
            direct.append(descriptor)
            raise OSError(errno.EINVAL, "Invalid argument")
        return real_read(descriptor, buffers, offset)

    source = DirectReader(stored)
    assert source.is_direct
    monkeypatch.setattr(os, "preadv", refuse_once)
    source.read_into(buffer, 0)
    assert bytes(buffer) == stored.read_bytes()[: 4 * _PAGE]
    assert not source.is_direct
    assert "no direct I/O" in caplog.text
    source.close()


def test_a_failing_disk_is_a_storage_error(
    stored: Path, buffer: memoryview, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    source = DirectReader(stored)
    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(StorageError, match=r"cannot read .*file\.bin.*Input/output") as refused:
        source.read_into(buffer, 0)
    assert refused.value.path == stored
    source.close()
