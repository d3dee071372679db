"""A network's weights on storage: in execution order, aligned for direct reads, checked.

[Note: places]
`<cache>/networks/<digest>/weights.safetensors` has the weights; see `file_layout`. `manifest.json`
beside it holds what that format has no place for: cells, strides, aliases and digests. The
directory's name is the digest of all that, so two networks never collide and equal ones share.

[Note: crash safety]
Both files are written into a temporary directory, synced, and the directory is renamed: a crash
leaves the old state or nothing. A process that loses a race against another finds a complete
directory and uses it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swapnet_core.errors import BlockCorruptError, StorageError
from swapnet_core.file_layout import FileLayout, plan_layout
from swapnet_core.sizes import KIB, format_size
from swapnet_core.specs import CellSpec, LayerSpec, WeightSpec

FORMAT_VERSION = 2
_DATA_NAME = "weights.safetensors"
_MANIFEST_NAME = "manifest.json"
_CHECKED_NAME = "checked.json"
_CHUNK_BYTES = 4 * 1024 * KIB
_DIRTY_BYTES = 8 * 1024 * KIB

ReadWeight = Callable[[int], memoryview]
"""Gives the bytes of the weight with this index, in storage order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFile:
    """An opened block file: where everything lies.

    Attributes:
        digest: of the content; also the directory's name.
        path: the data file.
        cells: in file order.
        weight_offsets_bytes: place of every weight, by index.
    """

    digest: str
    path: Path
    cells: tuple[CellSpec, ...]
    weight_offsets_bytes: tuple[int, ...]


def write_block_file(
    root: Path,
    weights: Sequence[WeightSpec],
    layers: Sequence[LayerSpec],
    read_weight: ReadWeight,
) -> BlockFile:
    """Store weights in the order of their layers.

    Args:
        root: cache directory; created where absent.
        weights: every stored tensor; each belongs to exactly one layer.
        layers: in execution order.
        read_weight: asked once per weight, in file order.

    Returns:
        The finished file. Where an equal one is there already, that one.

    Raises:
        StorageError: the cache directory cannot be written, or is full.
    """
    layout = plan_layout(weights, layers, format_version=FORMAT_VERSION)
    needed_bytes = layout.cell_ranges_bytes[-1][1] if layout.cell_ranges_bytes else 0
    networks = root / "networks"
    with _storage_errors(root, needed_bytes):
        networks.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=networks))
    try:
        with _storage_errors(root, needed_bytes):
            digests = _write_data(temporary / _DATA_NAME, layout, layers, weights, read_weight)
            return _finish(temporary, networks, layout, digests, weights, layers)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def open_block_file(root: Path, digest: str) -> BlockFile:
    """Open a stored network; check all digests where that was not done since it was written.

    Raises:
        BlockCorruptError: a file is missing, truncated or changed.
        StorageError: the cache directory cannot be read.
    """
    directory = root / "networks" / digest
    block_file = read_manifest(root, digest)
    if not _is_checked(directory):
        verify(block_file)
        _mark_checked(directory)
    return block_file


def verify(block_file: BlockFile) -> None:
    """Read the whole file and compare every cell with its digest.

    Raises:
        BlockCorruptError: naming the file and the first damaged cell.
        StorageError: the file cannot be read.
    """
    path = block_file.path
    try:
        with path.open("rb", buffering=0) as stream:
            for number, cell in enumerate(block_file.cells):
                stream.seek(cell.offset_bytes)
                if _digest_of_next(stream, cell.size_bytes) != cell.digest:
                    raise BlockCorruptError(
                        f"{path} is damaged in block {number} (bytes {cell.offset_bytes} to "
                        f"{cell.offset_bytes + cell.size_bytes}): its digest does not match",
                        path=path,
                        block=number,
                    )
    except BlockCorruptError:
        raise
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error}", path=path) from error


def discard(root: Path, digest: str) -> None:
    """Remove a stored network, e.g. a damaged one before it is rebuilt."""
    shutil.rmtree(root / "networks" / digest, ignore_errors=True)


def _write_data(
    path: Path,
    layout: FileLayout,
    layers: Sequence[LayerSpec],
    weights: Sequence[WeightSpec],
    read_weight: ReadWeight,
) -> list[str]:
    """Write header and tensors; return the digest of every cell."""
    digests = []
    with path.open("wb") as stream:
        stream.write(layout.header)
        dropped = 0
        for (first, last), (_, end) in zip(
            layout.cell_layers, layout.cell_ranges_bytes, strict=True
        ):
            hasher = hashlib.sha256()
            for layer in layers[first:last]:
                for index in layer.weights:
                    gap_bytes = layout.weight_offsets_bytes[index] - stream.tell()
                    _write(stream, hasher, bytes(gap_bytes))
                    _write(stream, hasher, read_weight(index))
            _write(stream, hasher, bytes(end - stream.tell()))
            digests.append(hasher.hexdigest())
            if end - dropped > _DIRTY_BYTES:
                drop_written_pages(stream)
                dropped = end
        stream.flush()
        os.fsync(stream.fileno())
        drop_written_pages(stream)
    return digests


def _write(stream: Any, hasher: Any, data: bytes | memoryview) -> None:
    for begin in range(0, len(data), _CHUNK_BYTES):
        chunk = data[begin : begin + _CHUNK_BYTES]
        hasher.update(chunk)
        stream.write(chunk)


def drop_written_pages(stream: Any) -> None:
    """Keep the page cache out of the budget while a large network is written."""
    stream.flush()
    os.fdatasync(stream.fileno())
    os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _finish(
    temporary: Path,
    networks: Path,
    layout: FileLayout,
    digests: list[str],
    weights: Sequence[WeightSpec],
    layers: Sequence[LayerSpec],
) -> BlockFile:
    cells = tuple(
        CellSpec(layers=span, offset_bytes=begin, size_bytes=end - begin, digest=digest)
        for span, (begin, end), digest in zip(
            layout.cell_layers, layout.cell_ranges_bytes, digests, strict=True
        )
    )
    manifest = {
        "format_version": FORMAT_VERSION,
        "cells": [asdict(cell) for cell in cells],
        "weights": [asdict(weight) for weight in weights],
        "weight_offsets_bytes": layout.weight_offsets_bytes,
        # Only what shapes the file: networks whose layers run differently share equal weights.
        "layers": [
            {"name": layer.name, "weights": layer.weights, "is_pinned": layer.is_pinned}
            for layer in layers
        ],
    }
    text = json.dumps(manifest)
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    (temporary / _MANIFEST_NAME).write_text(text)
    _sync(temporary / _MANIFEST_NAME)
    _mark_checked(temporary)
    target = networks / digest
    with contextlib.suppress(OSError):
        # Another process, or an earlier load, has the same network there: keep that one.
        os.rename(temporary, target)
    _sync(networks)
    return read_manifest(networks.parent, digest)


def read_manifest(root: Path, digest: str) -> BlockFile:
    """Open a stored network without checking its bytes.

    Raises:
        BlockCorruptError: the manifest is missing or changed, or the data file is too short.
    """
    directory = root / "networks" / digest
    path = directory / _MANIFEST_NAME
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BlockCorruptError(f"cannot read {path}: {error}", path=path) from error
    if hashlib.sha256(text).hexdigest()[:32] != digest:
        raise BlockCorruptError(f"{path} is damaged: its digest does not match", path=path)
    data = json.loads(text)
    cells = tuple(CellSpec(**{**cell, "layers": tuple(cell["layers"])}) for cell in data["cells"])
    data_path = directory / _DATA_NAME
    end = cells[-1].offset_bytes + cells[-1].size_bytes if cells else 0
    size = data_path.stat().st_size if data_path.exists() else -1
    if size < end:
        raise BlockCorruptError(
            f"{data_path} is truncated: {end} bytes are expected, {max(size, 0)} are there",
            path=data_path,
        )
    return BlockFile(
        digest=digest,
        path=data_path,
        cells=cells,
        weight_offsets_bytes=tuple(data["weight_offsets_bytes"]),
    )


def _fingerprint(directory: Path) -> dict[str, int]:
    stat = (directory / _DATA_NAME).stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "inode": stat.st_ino}


def _is_checked(directory: Path) -> bool:
    try:
        noted = json.loads((directory / _CHECKED_NAME).read_text())
    except (OSError, ValueError):
        return False
    return bool(noted == _fingerprint(directory))


def _mark_checked(directory: Path) -> None:
    with contextlib.suppress(OSError):  # a read-only cache is checked at every opening
        (directory / _CHECKED_NAME).write_text(json.dumps(_fingerprint(directory)))


def _digest_of_next(stream: Any, size_bytes: int) -> str:
    hasher = hashlib.sha256()
    left = size_bytes
    while left:
        chunk = stream.read(min(left, _CHUNK_BYTES))
        if not chunk:
            break
        hasher.update(chunk)
        left -= len(chunk)
    return hasher.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _storage_errors(root: Path, needed_bytes: int) -> Iterator[None]:
    """Translate what the operating system says about the cache directory."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = (
                f"no room in the cache directory {root}: a network needs "
                f"{format_size(needed_bytes)} ({format_size(_free_bytes(root))} are free); free "
                "some, or pass another cache_dir"
            )
        else:
            message = f"cannot write the cache directory {root}: {error}; pass another cache_dir"
        raise StorageError(message, path=root) from error


def _free_bytes(root: Path) -> int:
    while not root.exists() and root != root.parent:
        root = root.parent
    return shutil.disk_usage(root).free
