"""From a network to its profile and block file: from the cache, or by tracing it."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from swapnet_core import blockfile, memory, traces
from swapnet_core.assembly import Assembly, build_network, build_skeleton, check_names, load_buffers
from swapnet_core.backends.base import Backend, CopyMemory
from swapnet_core.copies import PrivateCopies
from swapnet_core.errors import InputError, NetworkError, SwapNetError, WeightsMismatchError
from swapnet_core.gauges import Overhead
from swapnet_core.hardware import Hardware, on_cpu
from swapnet_core.sizes import KIB
from swapnet_core.sources import Weights, open_weights
from swapnet_core.specs import NetworkProfile, NetworkTrace, WeightSpec
from swapnet_core.tensors import element_type, to_bytes
from swapnet_core.traced_call import Compute, InMemoryLender, OnFree, TracedCall
from swapnet_core.tracer import trace
from swapnet_core.traces import Identity

_BOOKKEEPING_BYTES = 2048 * KIB
_BOOKKEEPING_PER_WEIGHT_BYTES = 6 * KIB
_BOOKKEEPING_PER_MODULE_BYTES = 5 * KIB

Network = nn.Module | Callable[[], nn.Module]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """The inputs that a network is traced with."""

    inputs: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @classmethod
    def of(cls, inputs: tuple[Any, ...], kwargs: Mapping[str, Any] | None) -> Example:
        """Take what a user gives.

        Raises:
            InputError: the inputs are not a tuple, but e.g. one tensor.
        """
        if not isinstance(inputs, tuple):
            raise InputError(
                f"example_inputs is a {type(inputs).__name__}; it must be the tuple of positional "
                "inputs, e.g. (image,)"
            )
        return cls(inputs=inputs, kwargs=dict(kwargs or {}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A network that is ready to be planned: stored, attached, its own memory still held."""

    assembly: Assembly
    profile: NetworkProfile
    block_file: blockfile.BlockFile


class SourceLender:
    """Lends weights that are read one by one from where they come from."""

    def __init__(
        self, weights: tuple[WeightSpec, ...], source: Weights, memory: CopyMemory
    ) -> None:
        self._copies = PrivateCopies(weights, self._fill, memory)
        self._weights = weights
        self._source = source

    @property
    def live_bytes(self) -> int:
        """Bytes of lent weights that are still alive."""
        return self._copies.live_bytes

    def lend(self, weight: int, on_free: OnFree) -> torch.Tensor:
        """Read a weight into memory of its own, on the device."""
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
    hardware: Hardware | None = None,
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
        hardware: that it runs on; by default the CPU.

    Returns:
        The network with its assembly attached, and its buffers on the device. Detach it if it is
        not kept.

    Raises:
        NetworkError, WeightsMismatchError, StorageError: see each.
    """
    hardware = hardware or on_cpu()
    caller = hardware.backend.queue.caller()
    try:
        # Weights are made as ever, also where the caller is in inference mode.
        with memory.tensors_out_of_heap(), torch.inference_mode(False):
            opened = _open(network, weights, hardware.backend)
        run = functools.partial(_run, opened.assembly, example, hardware.backend, caller)
        return _prepare(root, opened, example, _Runs(compute, run, hardware))
    finally:
        gc.collect()
        memory.return_free_memory()


@dataclass(frozen=True, slots=True)
class _Runs:
    """How a network is run in a trace: `run` by `compute`, on `hardware`."""

    compute: Compute
    run: Callable[[], Any]
    hardware: Hardware


def _prepare(root: Path, opened: _Opened, example: Example, runs: _Runs) -> Prepared:
    assembly, lender = opened.assembly, opened.lender
    inputs = (example.inputs, dict(example.kwargs))
    key = traces.name_trace(assembly, inputs, runs.hardware.name, opened.identity)
    assembly.attach(_NotYet())
    try:
        with torch.inference_mode(False):
            assembly.move_buffers(runs.hardware.backend.device)
        found = traces.find(root, key, assembly)
        if found is None:
            gauge = runs.hardware.gauge
            call = TracedCall(
                compute=runs.compute,
                run=runs.run,
                set_source=lambda source: setattr(assembly, "source", source),
                weights=assembly.weights,
                tile_units_rows=assembly.tile_units_rows,
                lender=lender,
                buffer_bytes=gauge.overhead.of_buffers(assembly.buffer_sizes_bytes),
                gauge=gauge,
            )
            traced = _with_overhead(trace(call), opened, gauge.overhead)
            found = traces.store(root, key, traced, _reader_of(assembly, lender))
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
        is_own: whether the core had its modules built.
    """

    assembly: Assembly
    lender: InMemoryLender | SourceLender
    identity: Iterator[Identity]
    is_own: bool


class _NotYet:
    """Stands in before the first pass; nothing may be accessed then."""

    def access(self, weight: int) -> torch.Tensor:
        raise NetworkError(f"weight {weight} is accessed while the network is being loaded")


def _open(network: Network, weights: str | Path | Weights | None, backend: Backend) -> _Opened:
    if isinstance(network, nn.Module):
        if weights is not None:
            raise NetworkError(
                "weights are for a callable that builds the network; a module has its own"
            )
        return _open_module(network, backend, is_own=False)
    if weights is None:
        return _open_module(build_network(network), backend, is_own=True)
    return _open_skeleton(network, weights, backend.copies)


def _open_skeleton(
    build: Callable[[], nn.Module], weights: str | Path | Weights, copies: CopyMemory
) -> _Opened:
    source = open_weights(weights)
    assembly = Assembly(build_skeleton(build))
    check_names(assembly, source)
    load_buffers(assembly.network, source)
    lender = SourceLender(assembly.weights, source, copies)
    is_file = not isinstance(weights, Mapping)
    return _Opened(
        assembly=assembly,
        lender=lender,
        identity=_file_identity(Path(str(weights))) if is_file else _content(assembly, lender),
        is_own=True,
    )


def _open_module(network: nn.Module, backend: Backend, *, is_own: bool) -> _Opened:
    """Open a network that has its weights, on whatever devices.

    Where they are not all on the device that it runs on, they are lent one by one from where they
    are: then a weight is not recognised that the network reads by another way than its parameters.
    """
    assembly = Assembly(network)
    lender: InMemoryLender | SourceLender
    if all(tensor.device == backend.device for tensor in assembly.tensors):
        lender = InMemoryLender(assembly.tensors)
    else:
        named = zip(assembly.weights, assembly.tensors, strict=True)
        source = {spec.name: _with_bytes(spec, tensor) for spec, tensor in named}
        lender = SourceLender(assembly.weights, source, backend.copies)
    identity = _content(assembly, lender)
    return _Opened(assembly=assembly, lender=lender, identity=identity, is_own=is_own)


def _with_bytes(spec: WeightSpec, tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_meta:
        raise NetworkError(
            f"parameter {spec.name!r} is on device meta, without bytes; pass a callable that "
            "builds the network, with weights"
        )
    return tensor


def _reader_of(
    assembly: Assembly, lender: InMemoryLender | SourceLender
) -> Callable[[int], memoryview]:
    if isinstance(lender, SourceLender):
        return lender.read
    return lambda weight: to_bytes(assembly.tensors[weight].cpu(), assembly.weights[weight])


def _file_identity(path: Path) -> Iterator[Identity]:
    stat = path.stat()
    yield f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}".encode()


def _content(assembly: Assembly, lender: InMemoryLender | SourceLender) -> Iterator[Identity]:
    read = _reader_of(assembly, lender)
    return (read(weight) for weight in range(len(assembly.weights)))


def _run(assembly: Assembly, example: Example, backend: Backend, caller: object | None) -> Any:
    with backend.queue.running(), torch.inference_mode():
        inputs, kwargs = backend.queue.bring((example.inputs, dict(example.kwargs)), caller)
        return assembly.network(*inputs, **kwargs)


def _with_overhead(found: NetworkTrace, opened: _Opened, overhead: Overhead) -> NetworkTrace:
    """Count what stays beside the activations as long as the network is loaded.

    On the host: modules that the core had built, the trace, the block file's manifest, bound
    parameters, plans, the lane, kernel stacks. Estimated: while they are made, other networks run,
    whose memory goes up and down. On a device: by what the streaming region, and the network's
    residents, may cost more than their sizes.
    """
    kept_bytes = overhead.region_bytes
    if overhead.counts_host:
        per_weight = _BOOKKEEPING_PER_WEIGHT_BYTES * len(found.weights)
        kept_bytes += _BOOKKEEPING_BYTES + per_weight
        if opened.is_own:
            modules = sum(1 for _ in opened.assembly.network.modules())
            kept_bytes += _BOOKKEEPING_PER_MODULE_BYTES * modules
    return replace(
        found.holding_more(kept_bytes), buffer_bytes=found.buffer_bytes + overhead.region_bytes
    )
