"""Files that grow while an evaluation runs, and go on growing when it is resumed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from swapnet_core.errors import InputError
from swapnet_ros.evaluation.direct.whole_file import ReportError


class GrownFile:
    """One such file. Use from one thread.

    What is added has left the process when `append` returns, and is on the disk after `sync`. Where
    the disk has no room for it, the file stays as it was before.
    """

    def __init__(self, path: Path, *, resume_at: int) -> None:
        """Open a file at the end of what is kept of it.

        Args:
            path: the file; what it holds beyond `resume_at` is given up.
            resume_at: bytes to keep; 0: begin anew.

        Raises:
            InputError: there is no such file, or it is shorter than `resume_at`.
            ReportError: it cannot be written.
        """
        self._path = path
        self._end = b""
        if resume_at:
            _require_bytes(path, resume_at)
        self.position = resume_at
        """Bytes so far, without the end."""
        try:
            # unbuffered: bytes that do not fit on the disk must not wait for the next try
            self._file = path.open("r+b" if resume_at else "wb", buffering=0)
            self._file.truncate(resume_at)
        except OSError as error:
            raise ReportError.of(path, error) from error

    def __repr__(self) -> str:
        return f"<GrownFile {self._path}, {self.position} bytes>"

    def append(self, data: bytes, *, end: bytes = b"") -> None:
        """Add data.

        Args:
            data: stays.
            end: stands behind it until something is added again.

        Raises:
            ReportError: they cannot be written; the file is as it was before.
        """
        try:
            self._write(data + end)
        except OSError as error:
            with suppress(OSError):  # its room was there before; the first error is told
                self._write(self._end)
            raise ReportError.of(self._path, error) from error
        self.position += len(data)
        self._end = end

    def sync(self) -> None:
        """Wait until all of the file is on the disk, whatever happens to the computer then.

        Raises:
            ReportError: it cannot be written there.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ReportError.of(self._path, error) from error

    def close(self) -> None:
        """Close the file; may be called again."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        self._file.seek(self.position)
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        self._file.truncate()


def _require_bytes(path: Path, size: int) -> None:
    """Make sure that a file still has what is to be kept of it."""
    try:
        found = path.stat().st_size
    except FileNotFoundError as error:
        raise InputError(f"{path} is gone; start again without --resume") from error
    if found < size:
        raise InputError(
            f"{path} has {found} bytes, and had {size} when the evaluation was stopped, so it "
            "was changed since; start again without --resume"
        )
