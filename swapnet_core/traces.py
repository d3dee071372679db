"""Traces in the cache directory, each with the block file of its network."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from swapnet_core import blockfile, memory
from swapnet_core.assembly import Assembly
from swapnet_core.errors import BlockCorruptError, StorageError
from swapnet_core.specs import NetworkProfile, NetworkTrace
from swapnet_core.trace_json import trace_from_json, trace_to_json
from swapnet_core.tracer import TRACE_VERSION

_LOG = logging.getLogger(__name__)

Identity = bytes | memoryview


def name_trace(assembly: Assembly, inputs: Any, hardware: str, identity: Iterable[Identity]) -> str:
    """Name a trace by all that it depends on.

    Args:
        assembly: of the network.
        inputs: that it is traced with.
        hardware: that it runs on.
        identity: bytes by which its weights are told from others.
    """
    hasher = hashlib.sha256()
    facts = {
        "format": blockfile.FORMAT_VERSION,
        "trace": TRACE_VERSION,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "hardware": hardware,
        "caches": memory.has_thread_caches(),
        "weights": [(w.name, w.dtype, w.shape, w.stride) for w in assembly.weights],
        "inputs": [
            (str(leaf.dtype), tuple(leaf.shape)) if isinstance(leaf, torch.Tensor) else repr(leaf)
            for leaf in tree_leaves(inputs)
        ],
        "code": sorted({_code_of(type(module)) for module in assembly.network.modules()}),
        "modules": [
            (path, module.extra_repr()) for path, module in assembly.network.named_modules()
        ],
    }
    hasher.update(json.dumps(facts, default=str).encode())
    for data in identity:
        hasher.update(data)
    return hasher.hexdigest()[:32]


def _code_of(kind: type) -> str:
    """Tell classes apart, and versions of one class whose forward was edited."""
    code = getattr(getattr(kind, "forward", None), "__code__", None)
    body = hashlib.sha256(code.co_code + repr(code.co_names).encode()).hexdigest() if code else ""
    return f"{kind.__module__}.{kind.__qualname__} {body}"


def find(
    root: Path, key: str, assembly: Assembly
) -> tuple[NetworkProfile, blockfile.BlockFile] | None:
    """Look a network up in the cache; a damaged entry is removed, and said."""
    try:
        noted = json.loads((root / "traces" / f"{key}.json").read_text())
        found = trace_from_json(noted["trace"])
        digest = str(noted["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        block_file = blockfile.open_block_file(root, digest)
    except BlockCorruptError as error:
        _LOG.warning("%s; it is rebuilt from the network's weights", error)
        blockfile.discard(root, digest)
        return None
    if found.weights != assembly.weights:
        return None
    return _profile_of(found, block_file), block_file


def store(
    root: Path, key: str, found: NetworkTrace, read: Callable[[int], memoryview]
) -> tuple[NetworkProfile, blockfile.BlockFile]:
    """Write a network's block file, and keep its trace.

    Args:
        root: cache directory.
        key: from `name_trace`.
        found: the trace.
        read: gives a weight's bytes in storage order.

    Raises:
        StorageError: the directory cannot be written.
    """
    block_file = blockfile.write_block_file(root, found.weights, found.layers, read)
    traces = root / "traces"
    temporary = traces / f".{key}-{os.getpid()}-{threading.get_ident()}"
    try:
        traces.mkdir(exist_ok=True)
        text = json.dumps({"digest": block_file.digest, "trace": trace_to_json(found)})
        temporary.write_text(text)
        temporary.replace(traces / f"{key}.json")
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"cannot write the cache directory {root}: {error}; pass another cache_dir", path=root
        ) from error
    return _profile_of(found, block_file), block_file


def _profile_of(found: NetworkTrace, block_file: blockfile.BlockFile) -> NetworkProfile:
    return NetworkProfile(
        digest=block_file.digest,
        trace=found,
        cells=block_file.cells,
        weight_offsets_bytes=block_file.weight_offsets_bytes,
    )
