"""A network's modules without their weights, and the one door through which weights are reached.

[Note: the parameter table]
`nn.Module.__getattr__` looks parameters up in `module._parameters`. Each module's dict there is
replaced by a `ParameterTable`, whose look-ups ask the assembly's present source. So every access
is seen, by whoever makes it: the owner's forward, a parent that reads a child's weight without
calling it (`nn.MultiheadAttention`), a parametrization, a loop over `parameters()`. Nothing else
about the modules changes: no hooks that would switch fused kernels off, no replaced forward.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, ItemsView, Mapping, Sequence, ValuesView
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from swapnet_core.errors import NetworkError, WeightsMismatchError
from swapnet_core.specs import WeightSpec
from swapnet_core.tensors import describe_weight
from swapnet_core.tiles import tile_unit_rows


class WeightAccess(Protocol):
    """Answers every access to a weight."""

    def access(self, weight: int) -> torch.Tensor:
        """Return the tensor of the weight with this index."""
        ...


class ParameterTable(dict[str, Any]):
    """The parameters of one module; see [Note: the parameter table]."""

    __slots__ = ("_assembly", "_indices")

    def __init__(
        self, assembly: Assembly, names: Mapping[str, Any], indices: dict[str, int]
    ) -> None:
        super().__init__(names)
        self._assembly = assembly
        self._indices = indices

    def __getitem__(self, name: str) -> Any:
        index = self._indices.get(name)
        if index is None:
            return super().__getitem__(name)
        return self._assembly.source.access(index)

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self._indices:
            raise NetworkError(
                f"parameter {name!r} belongs to a swapped network and cannot be replaced; close "
                "its model, change the network that you build, and load it again"
            )
        super().__setitem__(name, value)

    def get(self, name: str, default: Any = None) -> Any:
        """Look up like `[]`, or return the default."""
        try:
            return self[name]
        except KeyError:
            return default

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # a view all the same
        """Iterate over names and tensors; each tensor is accessed when its turn comes."""
        return ItemsView(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]  # likewise
        """Iterate over tensors; each is accessed when its turn comes."""
        return ValuesView(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # A copied or pickled network is an ordinary one, with its real weights.
        return (dict, (dict(self.items()),))


class Assembly:
    """A network whose weights come from one replaceable source.

    `source` is set by the thread that runs the network; look-ups may come from any thread.
    """

    source: WeightAccess

    def __init__(self, network: nn.Module) -> None:
        """Find all weights. The network is unchanged until `attach`.

        Raises:
            NetworkError: it is not in eval mode, scripted, or loaded already.
        """
        _check_network(network)
        self.network = network
        self.tensors: list[torch.Tensor] = []
        self._indices: dict[int, int] = {}
        self._names: list[list[str]] = []
        self._owners: list[tuple[nn.Module, dict[str, int]]] = []
        self._plain: list[dict[str, Any]] = []
        self._hooks: list[Any] = []
        self._moved: list[tuple[nn.Module, str, torch.device]] = []
        for path, module in network.named_modules():
            self._collect(path, module)
        self.weights: tuple[WeightSpec, ...] = tuple(
            describe_weight(names[0], tuple(names[1:]), tensor)
            for names, tensor in zip(self._names, self.tensors, strict=True)
        )

    @property
    def buffer_bytes(self) -> int:
        """Bytes of all buffers; they stay in memory."""
        return sum(self.buffer_sizes_bytes)

    @property
    def buffer_sizes_bytes(self) -> list[int]:
        """Bytes of every buffer."""
        return [b.numel() * b.element_size() for b in self.network.buffers()]

    @property
    def tile_units_rows(self) -> dict[int, int]:
        """Map the weights that may be run by tiles to the rows of which tiles are multiples."""
        units = {}
        for module, indices in self._owners:
            weight = indices.get("weight")
            if weight is not None:
                units[weight] = tile_unit_rows(module, self.weights[weight])
        return {weight: rows for weight, rows in units.items() if rows}

    def attach(self, source: WeightAccess) -> None:
        """Route every access to the source."""
        self.source = source
        for module, indices in self._owners:
            plain = module.__dict__["_parameters"]
            self._plain.append(plain)
            module.__dict__["_parameters"] = ParameterTable(self, plain, indices)
            if isinstance(module, nn.RNNBase):
                self._hooks.append(module.register_forward_pre_hook(_refresh_flat_weights))

    def move_buffers(self, device: torch.device) -> None:
        """Put the buffers on the device where the network runs, until `detach`.

        As `nn.Module.to` does it; tensors that are no buffers stay where they are.
        """
        self._moved = [
            (module, name, buffer.device)
            for module in self.network.modules()
            for name, buffer in module.__dict__["_buffers"].items()
            if buffer is not None and buffer.device != device
        ]
        _move_to([(module, name, device) for module, name, _ in self._moved])

    def forget_tensors(self) -> None:
        """Let go of the weights' own memory; from here on only the source has them."""
        for table, (_, indices) in zip(self._plain, self._owners, strict=True):
            for name in indices:
                table[name] = _on_meta(table[name])
        for module, indices in self._owners:
            for name in indices:
                dict.__setitem__(module.__dict__["_parameters"], name, None)
            if isinstance(module, nn.RNNBase):
                module.__dict__["_flat_weights"] = []
        self.tensors = []

    def detach(self) -> None:
        """Make the network an ordinary one again: as before, or on the meta device."""
        for hook in self._hooks:
            hook.remove()
        for (module, _), plain in zip(self._owners, self._plain, strict=True):
            module.__dict__["_parameters"] = plain
        _move_to(self._moved)
        self._hooks, self._plain, self._moved = [], [], []

    def _collect(self, path: str, module: nn.Module) -> None:
        found = {}
        for name, tensor in module.__dict__["_parameters"].items():
            if tensor is None:
                continue
            index = self._indices.setdefault(id(tensor), len(self.tensors))
            if index == len(self.tensors):
                self.tensors.append(tensor)
                self._names.append([])
            self._names[index].append(f"{path}.{name}" if path else name)
            found[name] = index
        if found:
            self._owners.append((module, found))


def build_network(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network and put it into eval mode.

    Raises:
        NetworkError: `build` failed, or made something else.
    """
    try:
        network = build()
    except Exception as error:
        raise NetworkError(f"cannot build the network: {error}") from error
    if not isinstance(network, nn.Module):
        raise NetworkError(f"the factory made a {type(network).__name__}, not an nn.Module")
    return network.eval()


def build_skeleton(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network whose parameters have no storage; buffers keep their real values.

    Args:
        build: makes the network. Parameters lose their storage one by one as they are registered.

    Raises:
        NetworkError: `build` failed, or made something else.
    """
    builder = threading.get_ident()

    # torch annotates the hook as returning nothing, and documents that it may replace.
    def drop_storage(_module: nn.Module, _name: str, tensor: nn.Parameter) -> Any:
        if threading.get_ident() != builder or tensor.is_meta:
            return None
        return _on_meta(tensor)

    handle = register_module_parameter_registration_hook(drop_storage)
    try:
        return build_network(build)
    finally:
        handle.remove()


def _move_to(places: Sequence[tuple[nn.Module, str, torch.device]]) -> None:
    """Move buffers; those that modules share stay shared."""
    buffers = [module.__dict__["_buffers"][name] for module, name, _ in places]
    devices = [device for _, _, device in places]
    moved = {id(b): b.to(device) for b, device in zip(buffers, devices, strict=True)}
    for (module, name, _), buffer in zip(places, buffers, strict=True):
        module.__dict__["_buffers"][name] = moved[id(buffer)]


def _on_meta(tensor: torch.Tensor) -> nn.Parameter:
    """Keep what a parameter is without its bytes; detached, or its graph would keep them alive."""
    return nn.Parameter(tensor.detach().to("meta"), requires_grad=tensor.requires_grad)


def check_names(assembly: Assembly, weights: Mapping[str, torch.Tensor]) -> None:
    """Compare the names of a network and its weights.

    Raises:
        WeightsMismatchError: naming what is missing and what is too much.
    """
    network = assembly.network
    wanted = {name for w in assembly.weights for name in (w.name, *w.aliases)}
    buffers = {name for name, _ in network.named_buffers(remove_duplicate=False)}
    counters = {name for name in buffers if name.endswith("num_batches_tracked")}
    there = set(weights)
    persistent = set(network.state_dict(keep_vars=True)) & buffers
    absent = {w.name for w in assembly.weights if there.isdisjoint((w.name, *w.aliases))}
    missing = sorted(absent | (persistent - counters - there))
    unknown = sorted(name for name in there - wanted - buffers if not name.startswith("__pad__"))
    if missing or unknown:
        parts = [
            f"{label} {', '.join(names[:4])}{f' and {len(names) - 4} more' * (len(names) > 4)}"
            for label, names in (("missing:", missing), ("not in the network:", unknown))
            if names
        ]
        raise WeightsMismatchError(f"weights and network do not match; {'; '.join(parts)}")


def load_buffers(network: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy the buffers that the weights hold into the network.

    Raises:
        WeightsMismatchError: a shape differs.
        NetworkError: a buffer is computed from parameters, and the weights do not hold it.
    """
    for path, module in network.named_modules():
        for key, buffer in module.named_buffers(recurse=False):
            name = f"{path}.{key}" if path else key
            if name in weights:
                _load_buffer(module, key, buffer, weights[name], name)
            elif buffer.is_meta:
                raise NetworkError(
                    f"buffer {name!r} is computed from parameters while the network is built, "
                    "and the weights do not hold it; pass the network as a module"
                )


def _load_buffer(
    module: nn.Module, key: str, buffer: torch.Tensor, stored: torch.Tensor, name: str
) -> None:
    if stored.shape != buffer.shape:
        raise WeightsMismatchError(
            f"buffer {name!r} is {tuple(stored.shape)} in the weights, "
            f"{tuple(buffer.shape)} in the network"
        )
    if buffer.is_meta:  # it was computed from parameters, which had no storage
        module.register_buffer(key, stored.detach().to(buffer.dtype, copy=True))
    else:
        buffer.copy_(stored)


def _check_network(network: nn.Module) -> None:
    for path, module in network.named_modules():
        name = path or type(module).__name__
        if isinstance(module, torch.jit.ScriptModule):
            raise NetworkError(f"module {name!r} is scripted; pass the eager module it came from")
        if isinstance(module.__dict__.get("_parameters"), ParameterTable):
            raise NetworkError(f"module {name!r} is loaded already; close its model first")
        if module.training:
            raise NetworkError(f"module {name!r} is in training mode; call network.eval() first")
        for key, tensor in module.__dict__["_parameters"].items():
            if isinstance(tensor, nn.parameter.UninitializedParameter):
                raise NetworkError(
                    f"parameter {key!r} of {name!r} has no shape yet; run the network once first"
                )


def _refresh_flat_weights(module: nn.RNNBase, _inputs: Any) -> None:
    """nn.RNN, LSTM and GRU read a list of their own instead of their parameters."""
    module.__dict__["_flat_weights"] = [
        getattr(module, name) if hasattr(module, name) else None
        for name in module._flat_weights_names
    ]
