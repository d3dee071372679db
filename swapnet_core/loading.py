"""From a network to its profile and block file: from the cache, or by tracing it."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from swapnet_core import blockfile, memory
from swapnet_core.assembly import Assembly, build_network, build_skeleton, check_names, load_buffers
from swapnet_core.backends.cpu import HOST_COPIES
from swapnet_core.copies import PrivateCopies
from swapnet_core.errors import (
    BlockCorruptError,
    NetworkError,
    StorageError,
    SwapNetError,
    WeightsMismatchError,
)
from swapnet_core.sizes import KIB
from swapnet_core.sources import Weights, open_weights
from swapnet_core.specs import (
    NetworkProfile,
    NetworkTrace,
    WeightSpec,
    trace_from_json,
    trace_to_json,
)
from swapnet_core.tensors import element_type, to_bytes
from swapnet_core.tracer import (
    TRACE_VERSION,
    Compute,
    InMemoryLender,
    OnFree,
    TracedCall,
    trace,
)

_LOG = logging.getLogger(__name__)
_BOOKKEEPING_BYTES = 512 * KIB
_BOOKKEEPING_PER_WEIGHT_BYTES = 6 * KIB
_SKELETON_PER_MODULE_BYTES = 5 * KIB

Network = nn.Module | Callable[[], nn.Module]
Identity = bytes | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """The inputs that a network is traced with."""

    inputs: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A network that is ready to be planned: stored, attached, its own memory still held."""

    assembly: Assembly
    profile: NetworkProfile
    block_file: blockfile.BlockFile


class SourceLender:
    """Lends weights that are read one by one from where they come from."""

    def __init__(self, weights: tuple[WeightSpec, ...], source: Weights) -> None:
        self._copies = PrivateCopies(weights, self._fill, HOST_COPIES)
        self._weights = weights
        self._source = source

    @property
    def live_bytes(self) -> int:
        """Bytes of lent weights that are still alive."""
        return self._copies.live_bytes

    def lend(self, weight: int, on_free: OnFree) -> torch.Tensor:
        """Read a weight into memory of its own."""
        return self._copies.make(weight, on_free)

    def read(self, weight: int) -> memoryview:
        """Return a weight's bytes in storage order.

        Raises:
            WeightsMismatchError: its shape differs from the network's, or it cannot be read.
        """
        spec = self._weights[weight]
        try:
            # Files written by safetensors' `save_model` hold one of a tied weight's names.
            name = next(n for n in (spec.name, *spec.aliases) if n in self._source)
            tensor = self._source[name].detach().to("cpu")
        except SwapNetError:
            raise
        except (StopIteration, KeyError, OSError, RuntimeError, ValueError) as error:
            raise WeightsMismatchError(f"cannot read {spec.name!r}: {error}") from error
        if tuple(tensor.shape) != spec.shape:
            raise WeightsMismatchError(
                f"parameter {spec.name!r} is {tuple(tensor.shape)} in the weights, "
                f"{spec.shape} in the network"
            )
        return to_bytes(tensor.to(element_type(spec)), spec)

    def _fill(self, weight: int, target: memoryview) -> int:
        data = self.read(weight)
        target[: len(data)] = data
        return 0


def prepare(
    root: Path,
    network: Network,
    example: Example,
    weights: str | Path | Weights | None,
    compute: Compute,
) -> Prepared:
    """Trace and store a network, or find it in the cache.

    Hashing and storing take place on the calling thread, while others compute: as long as the
    bytes take, seconds for a large network. One at a time: memory is measured.

    Args:
        root: cache directory.
        network: a module in eval mode, or a callable that builds one.
        example: inputs of the size that will be used.
        weights: for a callable: a file, or a mapping from state-dict names to tensors.
        compute: runs the network, one inference per call.

    Returns:
        The network with its assembly attached. Detach it if it is not kept.

    Raises:
        NetworkError, WeightsMismatchError, StorageError: see each.
    """
    try:
        # Weights are made as ever, also where the caller is in inference mode.
        with memory.tensors_out_of_heap(), torch.inference_mode(False):
            opened = _open(network, weights)
        return _prepare(root, opened, example, compute)
    finally:
        gc.collect()
        memory.return_free_memory()


def _prepare(root: Path, opened: _Opened, example: Example, compute: Compute) -> Prepared:
    assembly, lender = opened.assembly, opened.lender
    key = _key(assembly, example, opened.identity)
    assembly.attach(_NotYet())
    try:
        found = _find(root, key, assembly)
        if found is None:
            call = TracedCall(
                compute=compute,
                run=lambda: _run(assembly, example),
                set_source=lambda source: setattr(assembly, "source", source),
                weights=assembly.weights,
                tile_units_rows=assembly.tile_units_rows,
                lender=lender,
                buffer_bytes=assembly.buffer_bytes,
            )
            traced = _with_bookkeeping(trace(call), opened)
            found = _store(root, key, traced, _reader_of(assembly, lender))
    except BaseException:
        assembly.detach()
        raise
    profile, block_file = found
    return Prepared(assembly=assembly, profile=profile, block_file=block_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A network whose weights can be read.

    Attributes:
        assembly: not attached.
        lender: of the weights.
        identity: bytes by which the weights are told from others.
        skeleton_modules: how many modules the core made to hold no weights.
    """

    assembly: Assembly
    lender: InMemoryLender | SourceLender
    identity: Iterator[Identity]
    skeleton_modules: int


class _NotYet:
    """Stands in before the first pass; nothing may be accessed then."""

    def access(self, weight: int) -> torch.Tensor:
        raise NetworkError(f"weight {weight} is accessed while the network is being loaded")


def _open(network: Network, weights: str | Path | Weights | None) -> _Opened:
    if isinstance(network, nn.Module):
        if weights is not None:
            raise NetworkError(
                "weights are for a callable that builds the network; a module has its own"
            )
        return _open_module(network)
    if weights is None:
        return _open_module(build_network(network))
    return _open_skeleton(network, weights)


def _open_skeleton(build: Callable[[], nn.Module], weights: str | Path | Weights) -> _Opened:
    source = open_weights(weights)
    assembly = Assembly(build_skeleton(build))
    check_names(assembly, source)
    load_buffers(assembly.network, source)
    lender = SourceLender(assembly.weights, source)
    is_file = not isinstance(weights, Mapping)
    return _Opened(
        assembly=assembly,
        lender=lender,
        identity=_file_identity(Path(str(weights))) if is_file else _content(assembly, lender),
        skeleton_modules=sum(1 for _ in assembly.network.modules()),
    )


def _open_module(network: nn.Module) -> _Opened:
    assembly = Assembly(network)
    for spec, tensor in zip(assembly.weights, assembly.tensors, strict=True):
        if tensor.device.type != "cpu":
            raise NetworkError(
                f"parameter {spec.name!r} is on device {tensor.device}; move the network to the "
                "CPU first, or pass a callable with weights"
            )
    lender = InMemoryLender(assembly.tensors)
    identity = _content(assembly, lender)
    return _Opened(assembly=assembly, lender=lender, identity=identity, skeleton_modules=0)


def _reader_of(
    assembly: Assembly, lender: InMemoryLender | SourceLender
) -> Callable[[int], memoryview]:
    if isinstance(lender, SourceLender):
        return lender.read
    return lambda weight: to_bytes(assembly.tensors[weight], assembly.weights[weight])


def _file_identity(path: Path) -> Iterator[Identity]:
    stat = path.stat()
    yield f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}".encode()


def _content(assembly: Assembly, lender: InMemoryLender | SourceLender) -> Iterator[Identity]:
    read = _reader_of(assembly, lender)
    return (read(weight) for weight in range(len(assembly.weights)))


def _run(assembly: Assembly, example: Example) -> Any:
    with torch.inference_mode():
        return assembly.network(*example.inputs, **example.kwargs)


def _key(assembly: Assembly, example: Example, identity: Iterator[Identity]) -> str:
    """Name a trace by all that it depends on."""
    hasher = hashlib.sha256()
    facts = {
        "format": blockfile.FORMAT_VERSION,
        "trace": TRACE_VERSION,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "weights": [(w.name, w.dtype, w.shape, w.stride) for w in assembly.weights],
        "inputs": [
            (str(leaf.dtype), tuple(leaf.shape)) if isinstance(leaf, torch.Tensor) else repr(leaf)
            for leaf in tree_leaves((example.inputs, dict(example.kwargs)))
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


def _find(
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
    return _profile(found, block_file), block_file


def _store(
    root: Path, key: str, found: NetworkTrace, read: Callable[[int], memoryview]
) -> tuple[NetworkProfile, blockfile.BlockFile]:
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
    return _profile(found, block_file), block_file


def _with_bookkeeping(found: NetworkTrace, opened: _Opened) -> NetworkTrace:
    """Count what stays beside the activations as long as the network is loaded.

    The skeleton, the trace, the block file's manifest, bound parameters, plans, the lane, kernel
    stacks. Estimated: while they are made, other networks run, whose memory goes up and down.
    """
    per_weight = _BOOKKEEPING_PER_WEIGHT_BYTES * len(found.weights)
    skeleton = _SKELETON_PER_MODULE_BYTES * opened.skeleton_modules
    kept_bytes = _BOOKKEEPING_BYTES + per_weight + skeleton
    return replace(found, activation_bytes=found.activation_bytes + kept_bytes)


def _profile(found: NetworkTrace, block_file: blockfile.BlockFile) -> NetworkProfile:
    return NetworkProfile(
        digest=block_file.digest,
        trace=found,
        cells=block_file.cells,
        weight_offsets_bytes=block_file.weight_offsets_bytes,
    )
