"""What a process that was killed leaves of Fast DDS in shared memory.

A participant keeps the images that it sends in a segment of its own, a file in /dev/shm, and holds
a lock on a file beside it for as long as it lives. Killed, it cannot remove them, and Fast DDS
leaves it to the command `fastdds shm clean`, which is not on the package index.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterable
from pathlib import Path

_FOLDER = Path("/dev/shm")
_NAME = re.compile(r"fastdds_[0-9a-f]{16}")  # the ports of the domain are called differently


def segments_of(pid: int) -> frozenset[Path]:
    """Return the segments that a process has open, its own and those of others."""
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    paths = (Path(line.split(maxsplit=5)[5]) for line in lines if str(_FOLDER) in line)
    return frozenset(path for path in paths if _NAME.fullmatch(path.name))


def remove_abandoned(segments: Iterable[Path]) -> int:
    """Remove those segments whose owner is dead.

    Returns:
        The memory that they took, in bytes.
    """
    freed_bytes = 0
    for segment in segments:
        lock = segment.with_name(f"{segment.name}_el")
        if segment.exists() and lock.exists() and _is_free(lock):
            freed_bytes += segment.stat().st_blocks * 512
            segment.unlink()
            lock.unlink()
    return freed_bytes


def _is_free(lock: Path) -> bool:
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
