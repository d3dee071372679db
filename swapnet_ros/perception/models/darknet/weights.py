"""Darknet's weights files, read one tensor at a time under state-dict names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from swapnet_ros.perception.errors import WeightsError
from swapnet_ros.perception.models.darknet.layers import Convolution, NetworkDefinition

_VALUE_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """Where a weights file keeps one tensor: float32, little endian, at `offset_bytes`."""

    name: str
    layer: Convolution
    shape: tuple[int, ...]
    offset_bytes: int

    @property
    def size_bytes(self) -> int:
        """Bytes that the tensor takes in the file."""
        return _VALUE_BYTES * math.prod(self.shape)

    @property
    def end_bytes(self) -> int:
        """Offset of the first byte after the tensor."""
        return self.offset_bytes + self.size_bytes


class DarknetWeights(Mapping[str, Tensor]):
    """The tensors of a `.weights` file under the state-dict names of `DarknetNetwork`.

    The file is checked against the network when the mapping is made; afterwards every look-up reads
    that one tensor and keeps nothing. Reads are plain ones rather than through a map of the file,
    so that the file's pages never count as memory of this process.

    Darknet does not write `num_batches_tracked`, which a state dict has: it is 0.

    Threads: any thread may read; the object never changes.

    Args:
        path: the weights file.
        definition: the network it should belong to.

    Raises:
        WeightsError: the file cannot be read, or is shorter or longer than the network's weights.

    Source:
        AlexeyAB/darknet, src/parser.c `load_weights_upto` and `load_convolutional_weights`: three
        int32 (major, minor, revision), the number of images seen (int64 from version 0.2 on, else
        int32), then for each convolution its biases, with batch normalisation also scales, means
        and variances, then its kernel.
    """

    def __init__(self, path: Path, definition: NetworkDefinition) -> None:
        self.path = path
        size_bytes, header_bytes = _measure(path)
        self._stored = _lay_out(definition, header_bytes)
        self._counters = tuple(
            f"layers.{layer.index}.norm.num_batches_tracked"
            for layer in definition.convolutions
            if layer.has_norm
        )
        _check_size(path, definition, size_bytes, list(self._stored.values()), header_bytes)

    def __getitem__(self, name: str) -> Tensor:
        """Read one tensor.

        Raises:
            KeyError: the network has no tensor of that name.
            WeightsError: the file can no longer be read.
        """
        if name in self._counters:
            return torch.tensor(0)
        stored = self._stored[name]
        count = math.prod(stored.shape)
        try:
            values = np.fromfile(self.path, dtype="<f4", count=count, offset=stored.offset_bytes)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if len(values) != count:
            raise WeightsError(f"{self.path} became shorter while in use", path=self.path)
        return torch.from_numpy(values.reshape(stored.shape))

    def __iter__(self) -> Iterator[str]:
        yield from self._stored
        yield from self._counters

    def __len__(self) -> int:
        return len(self._stored) + len(self._counters)

    def __contains__(self, name: object) -> bool:
        return name in self._stored or name in self._counters

    def __repr__(self) -> str:
        return f"<DarknetWeights {self.path.name}, {len(self)} tensors>"


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(f"weights file {path} cannot be read: {error.strerror}", path=path)


def _measure(path: Path) -> tuple[int, int]:
    """Bytes of the file, and of its header."""
    try:
        size_bytes = path.stat().st_size
        version = np.fromfile(path, dtype="<i4", count=2)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(version) < 2:
        raise WeightsError(
            f"{path} is no Darknet weights file: {size_bytes} bytes are less than a header",
            path=path,
            actual_bytes=size_bytes,
        )
    major, minor = (int(number) for number in version)
    return size_bytes, 12 + (8 if major * 10 + minor >= 2 else 4)


def _lay_out(definition: NetworkDefinition, header_bytes: int) -> dict[str, StoredTensor]:
    stored: dict[str, StoredTensor] = {}
    offset_bytes = header_bytes
    for layer in definition.convolutions:
        for suffix, shape in _tensors_in_file_order(layer):
            name = f"layers.{layer.index}.{suffix}"
            tensor = StoredTensor(name=name, layer=layer, shape=shape, offset_bytes=offset_bytes)
            stored[name] = tensor
            offset_bytes = tensor.end_bytes
    return stored


def _tensors_in_file_order(layer: Convolution) -> Iterator[tuple[str, tuple[int, ...]]]:
    filters = layer.shape.channels
    if layer.has_norm:
        for suffix in ("bias", "weight", "running_mean", "running_var"):
            yield f"norm.{suffix}", (filters,)
    else:
        yield "conv.bias", (filters,)
    channels = layer.in_channels // layer.groups
    yield "conv.weight", (filters, channels, layer.kernel, layer.kernel)


def _check_size(
    path: Path,
    definition: NetworkDefinition,
    actual_bytes: int,
    stored: list[StoredTensor],
    header_bytes: int,
) -> None:
    expected_bytes = stored[-1].end_bytes if stored else header_bytes
    if actual_bytes == expected_bytes:
        return
    figures = f"{definition.path} needs {expected_bytes} bytes, but {path} has {actual_bytes}"
    if actual_bytes < expected_bytes:
        layer = next(tensor.layer for tensor in stored if tensor.end_bytes > actual_bytes)
        last = definition.convolutions[-1].index
        figures += f" and ends in layer {layer.index} of {last} (line {layer.line} of the cfg)"
    raise WeightsError(
        f"{figures}: the file is incomplete or belongs to another network",
        path=path,
        expected_bytes=expected_bytes,
        actual_bytes=actual_bytes,
    )
