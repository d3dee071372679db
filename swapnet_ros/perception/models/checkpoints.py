"""Whole state dicts from the files that torch users have."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from swapnet_ros.perception.errors import WeightsError

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".safetensors")


def read_checkpoint(path: Path) -> Mapping[str, Tensor]:
    """Read all tensors of a `.pth`, `.pt` or `.safetensors` file.

    Args:
        path: the file; a pickled one may hold nothing but tensors in containers.

    Returns:
        The tensors on the CPU by state-dict name.

    Raises:
        WeightsError: the file cannot be read, or holds no state dict.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise WeightsError(f"weights file {path} cannot be read: {error}", path=path) from error
    if not isinstance(loaded, Mapping):
        kind = type(loaded).__name__
        raise WeightsError(f"weights file {path} holds a {kind}, not a state dict", path=path)
    return loaded


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
