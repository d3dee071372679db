"""Reads around the page cache, straight into the memory where compute uses the bytes."""

from __future__ import annotations

import errno
import logging
import os
import threading
from pathlib import Path

from swapnet_core.errors import BlockCorruptError, RuntimeClosedError, StorageError

_LOG = logging.getLogger(__name__)
_O_DIRECT = getattr(os, "O_DIRECT", 0)
_warned_devices: set[int] = set()
_warned_lock = threading.Lock()


class DirectReader:
    """Reads ranges of one file. `read_into` may be called from several threads at once.

    Where the file system has no direct I/O, reads are buffered and their pages are dropped from
    the page cache afterwards; that is said once per file system.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            StorageError: it cannot be opened.
        """
        self.path = path
        self._closed = False
        self._fd, self._is_direct = _open(path)

    @property
    def is_direct(self) -> bool:
        """Whether reads go around the page cache."""
        return self._is_direct

    def read_into(self, buffer: memoryview, offset_bytes: int) -> None:
        """Fill a buffer from the file.

        Args:
            buffer: writable; address and length are multiples of 4 KiB.
            offset_bytes: where to start in the file; a multiple of 4 KiB.

        Raises:
            BlockCorruptError: the file ends before the buffer is full.
            RuntimeClosedError: the reader was closed.
            StorageError: the read failed.
        """
        if self._closed:
            raise RuntimeClosedError(f"the reader of {self.path} is closed")
        done = self._read_some(buffer, offset_bytes)
        while done < len(buffer):
            count = self._read_some(buffer[done:], offset_bytes + done)
            if count == 0:
                raise BlockCorruptError(
                    f"{self.path} is truncated: {len(buffer)} bytes at offset {offset_bytes} are "
                    f"expected, {done} are there; load the network again to rebuild it",
                    path=self.path,
                )
            done += count
        if not self._is_direct:
            os.posix_fadvise(self._fd, offset_bytes, len(buffer), os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close the file; no read may be under way."""
        if not self._closed:
            self._closed = True
            os.close(self._fd)

    def _read_some(self, buffer: memoryview, offset_bytes: int) -> int:
        try:
            return os.preadv(self._fd, [buffer], offset_bytes)
        except OSError as error:
            if error.errno == errno.EINVAL and self._is_direct:
                self._fall_back_to_buffered()
                return self._read_some(buffer, offset_bytes)
            raise StorageError(f"cannot read {self.path}: {error}", path=self.path) from error

    def _fall_back_to_buffered(self) -> None:
        """Some file systems accept the flag when opening and refuse it when reading."""
        buffered = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(buffered, self._fd, inheritable=False)
        os.close(buffered)
        self._is_direct = False
        _warn_no_direct_io(self.path)

    def __repr__(self) -> str:
        state = "closed" if self._closed else ("direct" if self._is_direct else "buffered")
        return f"<DirectReader {self.path.name}, {state}>"


def _open(path: Path) -> tuple[int, bool]:
    if _O_DIRECT:
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | _O_DIRECT), True
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise StorageError(f"cannot open {path}: {error}", path=path) from error
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error}", path=path) from error
    _warn_no_direct_io(path)
    return descriptor, False


def _warn_no_direct_io(path: Path) -> None:
    device = os.stat(path).st_dev
    with _warned_lock:
        if device in _warned_devices:
            return
        _warned_devices.add(device)
    _LOG.warning(
        "the file system of %s has no direct I/O: reads go through the page cache and cost an "
        "extra copy; put the cache directory on a local disk (ext4, xfs, btrfs)",
        path.parent,
    )
