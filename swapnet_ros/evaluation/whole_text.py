"""Text files that are there as a whole, or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file; an older one is replaced in one step, also where the power fails.

    Raises:
        OSError: it cannot be written; the older one is as it was.
    """
    unfinished = path.with_name(f".{path.name}")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name with no content
        unfinished.replace(path)
    except OSError:
        with suppress(OSError):  # the first error is told
            unfinished.unlink()
        raise
