"""Weights files that the core reads itself: torch's and safetensors'."""

from __future__ import annotations

from pathlib import Path

from swapnet_ros.perception.errors import WeightsError

CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt", ".th")


def check_checkpoint(path: Path) -> Path:
    """Make sure that a checkpoint can be opened and has a known ending, without reading it.

    Raises:
        WeightsError: the ending is not a known one, or the file cannot be opened.
    """
    if path.suffix not in CHECKPOINT_SUFFIXES:
        known = ", ".join(CHECKPOINT_SUFFIXES)
        message = f"weights file {path} does not fit this network; it takes {known}"
        raise WeightsError(message, path=path)
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        message = f"weights file {path} cannot be read: {error.strerror}"
        raise WeightsError(message, path=path) from error
