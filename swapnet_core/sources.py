"""Where weights come from before they are in a block file: one tensor at a time."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from swapnet_core.errors import WeightsMismatchError

Weights = Mapping[str, torch.Tensor]
"""State-dict names to tensors; a tensor is made, or read, when it is asked for."""


class SafetensorsWeights(Mapping[str, torch.Tensor]):
    """The tensors of a `.safetensors` file, read when asked for."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            WeightsMismatchError: it is not a safetensors file, or truncated.
        """
        self._path = path
        try:
            with safe_open(str(path), framework="pt") as stream:
                names: list[str] = list(stream.keys())
            self._names = [name for name in names if not name.startswith("__pad__")]
        except (SafetensorError, OSError) as error:
            raise WeightsMismatchError(f"cannot read weights from {path}: {error}") from error

    def __getitem__(self, name: str) -> torch.Tensor:
        # Opened anew for each tensor: a mapping that stays open keeps its pages in memory.
        with safe_open(str(self._path), framework="pt") as stream:
            try:
                tensor: torch.Tensor = stream.get_tensor(name)
            except SafetensorError as error:
                raise KeyError(name) from error
            return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def open_weights(source: str | Path | Weights) -> Weights:
    """Open a weights file, or take a mapping as it is.

    Args:
        source: path of a `.safetensors`, `.pth` or `.pt` file (a state dict, or a dict with one
            under `state_dict` or `model`), or a mapping from state-dict names to tensors.

    Raises:
        WeightsMismatchError: the file is missing, of another kind, damaged, or no state dict.
    """
    if isinstance(source, Mapping):
        return source
    path = Path(source)
    if not path.is_file():
        raise WeightsMismatchError(f"there is no weights file {path}")
    if path.suffix == ".safetensors":
        return SafetensorsWeights(path)
    if path.suffix in (".pth", ".pt", ".th"):
        return _open_pickled(path)
    raise WeightsMismatchError(
        f"{path}: weights are read from .safetensors, .pth, .pt and .th files, not {path.suffix!r}"
    )


def _open_pickled(path: Path) -> Weights:
    try:
        data: Any = _load_mapped(path)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsMismatchError(f"cannot read weights from {path}: {error}") from error
    for key in ("state_dict", "model"):
        if isinstance(data, Mapping) and isinstance(data.get(key), Mapping):
            data = data[key]
    if not isinstance(data, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in data.values()
    ):
        raise WeightsMismatchError(f"{path} holds no state dict (names to tensors)")
    return {str(name).removeprefix("module."): tensor for name, tensor in data.items()}


def _load_mapped(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)  # the format before 2020
