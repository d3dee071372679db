"""Files of a report that are written as a whole."""

from __future__ import annotations

from pathlib import Path

from swapnet_core.errors import SwapNetError
from swapnet_ros.evaluation.whole_text import write_whole


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
    """Write a file of a report as `write_whole` does.

    Raises:
        ReportError: it cannot be written; the older one is as it was.
    """
    try:
        write_whole(path, text)
    except OSError as error:
        raise ReportError.of(path, error) from error
