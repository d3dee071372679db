"""Weights files that the core reads itself: torch's and safetensors'."""

from __future__ import annotations

import zipfile
from pathlib import Path

from swapnet_core.sources import open_weights
from swapnet_ros.perception.errors import WeightsError

CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt", ".th")

TORCHSCRIPT_ADVICE = (
    "{path} is a TorchScript file: its program runs outside of Python, where weights cannot be "
    "swapped. Save its weights with torch.save(torch.jit.load('{path}').state_dict(), "
    "'weights.pth') and give them with the network that they came from (a name, or "
    "package.module:factory); or export that network with torch.export.save and give the .pt2 file "
    "as network."
)


def check_checkpoint(path: Path) -> Path:
    """Make sure that a checkpoint can be opened and has a known ending, without reading it.

    Raises:
        WeightsError: the ending is not a known one, the file cannot be opened, or it holds a
            TorchScript program.
    """
    if path.suffix not in CHECKPOINT_SUFFIXES:
        known = ", ".join(CHECKPOINT_SUFFIXES)
        message = f"weights file {path} does not fit this network; it takes {known}"
        raise WeightsError(message, path=path)
    try:
        is_program = is_torchscript(path)
    except OSError as error:
        message = f"weights file {path} cannot be read: {error.strerror}"
        raise WeightsError(message, path=path) from error
    if is_program:
        raise WeightsError(TORCHSCRIPT_ADVICE.format(path=path), path=path)
    return path


def is_torchscript(path: Path) -> bool:
    """Whether a file holds a TorchScript program.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        if not zipfile.is_zipfile(stream):
            return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def holds_names(path: Path, prefix: str) -> bool:
    """Whether a checkpoint has tensors whose names start like this.

    Raises:
        WeightsMismatchError: the file is damaged or holds no state dict.
    """
    return any(name.startswith(prefix) for name in open_weights(path))
