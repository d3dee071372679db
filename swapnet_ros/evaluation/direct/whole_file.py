"""Files of a report that are written as a whole."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from swapnet_core.errors import SwapNetError


class ReportError(SwapNetError):
    """A file of a report cannot be written; the message names it and says what helps."""

    @classmethod
    def of(cls, path: Path, error: OSError) -> ReportError:
        """Say which file it is, and why."""
        return cls(
            f"{path} cannot be written: {error.strerror or error}. What was evaluated before is "
            "kept; --resume goes on with it"
        )


def replace_text(path: Path, text: str) -> None:
    """Write a file; an older one is replaced in one step, also where the power fails.

    Raises:
        ReportError: it cannot be written; the older one is as it was.
    """
    unfinished = path.with_name(f".{path.name}")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name with no content
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):  # the first error is told
            unfinished.unlink()
        raise ReportError.of(path, error) from error
