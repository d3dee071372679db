"""Other tools that run a network larger than the device's memory, where they are installed."""

from __future__ import annotations

import functools
import importlib.util
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from gpu_parts.arms import (
    PLENTY,
    allocated_bytes,
    open_arm,
    peak_of,
    place_of,
    release,
    time_all,
)
from gpu_parts.networks import NamedNetwork
from swapnet_core import BudgetTooSmallError, SwappedModel


def _to_host_by_accelerate(network: nn.Module, place: torch.device, _: Path) -> None:
    from accelerate import cpu_offload

    cpu_offload(network, execution_device=place)


def _to_disk_by_accelerate(network: nn.Module, place: torch.device, folder: Path) -> None:
    from accelerate import disk_offload

    disk_offload(network, str(folder), execution_device=place)


def _by_diffusers(
    network: nn.Module, place: torch.device, folder: Path, *, to_disk: bool = False
) -> None:
    from diffusers.hooks import apply_group_offloading

    apply_group_offloading(
        network,
        onload_device=place,
        offload_device=torch.device("cpu"),
        offload_type="leaf_level",
        use_stream=True,
        **({"offload_to_disk_path": str(folder)} if to_disk else {}),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rival:
    """Another tool.

    Attributes:
        offload: lets it take a network over; gets the device, and a folder to write to.
        host_budget: what the swapped network has of host memory beside it.
    """

    name: str
    package: str
    offload: Callable[[nn.Module, torch.device, Path], None]
    host_budget: int


_RIVALS = (
    _Rival(
        name="accelerate cpu_offload",
        package="accelerate",
        offload=_to_host_by_accelerate,
        host_budget=PLENTY,
    ),
    _Rival(
        name="accelerate disk_offload",
        package="accelerate",
        offload=_to_disk_by_accelerate,
        host_budget=0,
    ),
    _Rival(
        name="diffusers group offloading, memory",
        package="diffusers",
        offload=_by_diffusers,
        host_budget=PLENTY,
    ),
    _Rival(
        name="diffusers group offloading, disk",
        package="diffusers",
        offload=functools.partial(_by_diffusers, to_disk=True),
        host_budget=0,
    ),
)


def compare(network: NamedNetwork, device: str, cache_dir: Path) -> list[dict[str, Any]]:
    """Measure every rival, and the swapped network at the same peak of device memory."""
    rows = []
    for rival in _RIVALS:
        row = {"network": network.name, "arm": rival.name}
        if importlib.util.find_spec(rival.package) is None:
            remedy = f"python3 -m pip install {rival.package}"
            row["not_run"] = f"{rival.package} is not installed; {remedy}"
        else:
            row |= _compare(rival, network, device, cache_dir)
        rows.append(row)
    return rows


def _compare(rival: _Rival, network: NamedNetwork, device: str, cache_dir: Path) -> dict[str, Any]:
    place = place_of(device)
    inputs = tree_map_only(torch.Tensor, lambda tensor: tensor.to(place), network.inputs)
    try:
        theirs = _run_theirs(rival, network, inputs, place, cache_dir)
    except Exception as error:  # theirs: it is reported, and the others go on
        return {"failed": f"{type(error).__name__}: {error}"}
    finally:
        release(place)
    host_budget = rival.host_budget if device.startswith("cuda") else 0
    with open_arm(host_budget, device, cache_dir) as runtime:
        ours = {}
        for cuda_graphs in (False, True):
            model = runtime.load(network.name, network.build(), inputs, cuda_graphs=cuda_graphs)
            try:
                runtime.set_budget(max(1, theirs["peak_bytes"]))
            except BudgetTooSmallError as error:
                runtime.set_budget(error.needed_bytes)
            times_s = time_all(functools.partial(model, *inputs), place)
            ours["with graphs" if cuda_graphs else "without graphs"] = {
                "latency_s": statistics.median(times_s),
                "budget_bytes": runtime.report().budget_bytes,
                "is_replayed": _is_replayed(model),
            }
            model.close()
            runtime.set_budget(2**50)
    return {"theirs": theirs, "ours": ours}


def _is_replayed(model: SwappedModel) -> bool:
    graphs = model.stats().cuda_graphs
    return graphs is not None and graphs.is_used


def _run_theirs(
    rival: _Rival,
    network: NamedNetwork,
    inputs: tuple[Any, ...],
    place: torch.device,
    cache_dir: Path,
) -> dict[str, Any]:
    release(place)
    base_bytes = allocated_bytes(place)
    times_s: list[float] = []
    with tempfile.TemporaryDirectory(dir=cache_dir) as folder, torch.no_grad():
        module = network.build()
        rival.offload(module, place, Path(folder))

        def run() -> None:
            times_s.extend(time_all(lambda: module(*inputs), place))

        peak_bytes = peak_of(run, place) - base_bytes
    return {"latency_s": statistics.median(times_s), "peak_bytes": peak_bytes}
