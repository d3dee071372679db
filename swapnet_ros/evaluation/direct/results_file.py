"""`results.json`: one line per frame, valid JSON after every one of them.

[Note: one file that grows]
Results are written as they come, so that ten thousand frames need no more memory than ten. After
every frame the file is closed with a tail that says that it is not complete, and the next frame is
written over that tail: whenever the process ends, what it leaves can be read. A frame with its own
tail is longer than the tail that it replaces, so nothing of that stays behind.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swapnet_ros.evaluation.direct.grown_file import GrownFile

_FRAME = '{"frame": '
_INCOMPLETE: Mapping[str, Any] = {"complete": False}


class ResultsFile:
    """Writes one file of results. Use from one thread."""

    def __init__(self, path: Path, header: Mapping[str, Any], *, resume_at: int = 0) -> None:
        """Begin a file, or go on with one.

        Args:
            path: the file; what it held beyond `resume_at` is given up.
            header: what stands before the frames.
            resume_at: bytes to keep, as `position` told them; 0: none.

        Raises:
            InputError: the file is gone, or shorter than `resume_at`.
            ReportError: it cannot be written.
        """
        self._file = GrownFile(path, resume_at=resume_at)
        self._is_first = not resume_at
        opening = "" if resume_at else _encode(header).removesuffix("}") + ', "frames": ['
        self._file.append(opening.encode(), end=_tail(_INCOMPLETE))

    def __repr__(self) -> str:
        return f"<ResultsFile {self._file!r}>"

    @property
    def position(self) -> int:
        """Bytes of the header and the frames so far, all of them on the disk's side."""
        return self._file.position

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a frame; its first key is `frame`.

        Raises:
            ReportError: it cannot be written; the file is as it was before.
        """
        line = ("\n" if self._is_first else ",\n") + _encode(record)
        self._file.append(line.encode(), end=_tail(_INCOMPLETE))
        self._is_first = False

    def finish(self, tail: Mapping[str, Any]) -> None:
        """Say what stands after the frames; more frames would replace it.

        Raises:
            ReportError: it cannot be written; the file is as it was before.
        """
        self._file.append(b"", end=_tail(tail))

    def sync(self) -> None:
        """See `GrownFile.sync`.

        Raises:
            ReportError: it cannot be written to the disk.
        """
        self._file.sync()

    def close(self) -> None:
        """Close the file; may be called again."""
        self._file.close()


def read_frames(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the frames of a file of results, one at a time.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith(_FRAME):
                yield json.loads(line.rstrip().removesuffix(","))


def read_tail(path: Path) -> dict[str, Any]:
    """Return what stands after the frames.

    Raises:
        OSError: the file cannot be read.
    """
    tail = "{}"
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith("], "):
                tail = "{" + line.removeprefix("], ")
    found: dict[str, Any] = json.loads(tail)
    return found


def _tail(content: Mapping[str, Any]) -> bytes:
    return f"\n], {_encode(content).removeprefix('{')}\n".encode()


def _encode(value: Mapping[str, Any]) -> str:
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    except ValueError:  # a network gave a number that is none, which JSON has no word for
        return json.dumps(_with_null(value), allow_nan=False, ensure_ascii=False)


def _with_null(value: Any) -> Any:
    """The value with null in the place of every NaN and infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _with_null(each) for key, each in value.items()}
    return [_with_null(each) for each in value] if isinstance(value, (list, tuple)) else value
