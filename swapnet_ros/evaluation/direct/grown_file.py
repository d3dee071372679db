"""Files that grow while an evaluation runs, and go on growing when it is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from swapnet_core.errors import InputError


def open_grown(path: Path, *, resume_at: int) -> BinaryIO:
    """Open a file at the end of what is kept of it.

    Args:
        path: the file; what it holds beyond `resume_at` is given up.
        resume_at: bytes to keep; 0: begin anew.

    Raises:
        InputError: there is no such file, or it is shorter than `resume_at`.
    """
    if not resume_at:
        return path.open("wb")
    try:
        file = path.open("r+b")
    except FileNotFoundError as error:
        raise InputError(f"{path} is gone; start again without --resume") from error
    size = file.seek(0, 2)
    if size < resume_at:
        file.close()
        raise InputError(
            f"{path} has {size} bytes, and had {resume_at} when the evaluation was stopped, so it "
            "was changed since; start again without --resume"
        )
    file.seek(resume_at)
    file.truncate()
    return file
