"""Profiles without running: from the cache, or by tracing a network once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from swapnet_core import memory
from swapnet_core.cache import default_cache_dir
from swapnet_core.hardware import Hardware, choose_hardware
from swapnet_core.loading import Example, prepare
from swapnet_core.scheduler import Scheduler
from swapnet_core.sources import Weights
from swapnet_core.specs import NetworkProfile


def profile_network(
    network: nn.Module | Callable[[], nn.Module],
    example_inputs: tuple[Any, ...],
    *,
    weights: str | Path | Weights | None = None,
    cache_dir: str | Path | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> NetworkProfile:
    """Learn all that planning needs to know of a network, and leave the network as it was.

    A network that the cache knows is not run. Otherwise it is traced as `SwapRuntime.load` does,
    and its block file is written, so that a later `load` has both.

    Args:
        network: a module in eval mode, or a callable that builds one.
        example_inputs: positional inputs of the size that will be used.
        weights: with a callable: a file, or a mapping from state-dict names to tensors.
        cache_dir: for block files and profiles; by default that of `SwapRuntime`.
        example_kwargs: keyword inputs of the example.
        device: that it will run on, as for `SwapRuntime`; what the CPU takes says little of a GPU.

    Raises:
        InputError: there is no such device, or `example_inputs` is no tuple.
        NetworkError: it cannot be traced.
        StorageError: the cache directory cannot be used.
        WeightsMismatchError: weights and network do not belong together.
    """
    root = Path(cache_dir) if cache_dir is not None else default_cache_dir()
    example = Example.of(example_inputs, example_kwargs)
    return profile_on(choose_hardware(device), root, network, example, weights)


def profile_on(
    hardware: Hardware,
    root: Path,
    network: nn.Module | Callable[[], nn.Module],
    example: Example,
    weights: str | Path | Weights | None = None,
) -> NetworkProfile:
    """Do what `profile_network` does, for hardware that is known already.

    Args:
        hardware: that the network will run on.
        root: cache directory.
        network: see `profile_network`.
        example: to trace it with.
        weights: see `profile_network`.

    Raises:
        NetworkError, StorageError, WeightsMismatchError: see `profile_network`.
    """
    memory.keep_activations_in_heap()
    # On a thread like the one that will run it: compute times and malloc's peak are that one's.
    scheduler = Scheduler()
    try:
        prepared = prepare(root, network, example, weights, scheduler.run, hardware)
    finally:
        scheduler.close()
    prepared.assembly.detach()
    return prepared.profile
