"""Other tools that run a network larger than the device's memory, where they are installed."""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_map_only

from gpu_parts.arms import (
    PLENTY,
    allocated_bytes,
    infer,
    measure_at,
    peak_of,
    place_of,
    release,
    time_all,
)
from swapnet_ros.cli.networks import NamedNetwork

Offload = Callable[[torch.nn.Module, torch.device, Path], None]


def _to_host_by_accelerate(network: torch.nn.Module, place: torch.device, _: Path) -> None:
    from accelerate import cpu_offload

    cpu_offload(network, execution_device=place)


def _to_disk_by_accelerate(network: torch.nn.Module, place: torch.device, folder: Path) -> None:
    from accelerate import disk_offload

    disk_offload(network, str(folder), execution_device=place)


def _to_host_by_diffusers(network: torch.nn.Module, place: torch.device, _: Path) -> None:
    from diffusers.hooks import apply_group_offloading

    apply_group_offloading(
        network,
        onload_device=place,
        offload_device=torch.device("cpu"),
        offload_type="leaf_level",
        use_stream=True,
    )


def _to_disk_by_diffusers(network: torch.nn.Module, place: torch.device, folder: Path) -> None:
    from diffusers.hooks import apply_group_offloading

    apply_group_offloading(
        network,
        onload_device=place,
        offload_device=torch.device("cpu"),
        offload_type="leaf_level",
        use_stream=True,
        offload_to_disk_path=str(folder),
    )


_RIVALS: dict[str, tuple[str, Offload, int]] = {  # the package, its way, our host memory
    "accelerate cpu_offload": ("accelerate", _to_host_by_accelerate, PLENTY),
    "accelerate disk_offload": ("accelerate", _to_disk_by_accelerate, 0),
    "diffusers group offloading, memory": ("diffusers", _to_host_by_diffusers, PLENTY),
    "diffusers group offloading, disk": ("diffusers", _to_disk_by_diffusers, 0),
}


def compare(network: NamedNetwork, device: str, cache_dir: Path) -> dict[str, Any]:
    """Measure every rival, and the swapped network at the same peak of device memory."""
    figures: dict[str, Any] = {}
    for name, (package, offload, host_budget) in _RIVALS.items():
        if importlib.util.find_spec(package) is None:
            figures[name] = {"not_run": f"{package} is not installed"}
            continue
        try:
            theirs = _measure(network, offload, device, cache_dir)
        except Exception as error:  # theirs: it is reported, and the others go on
            figures[name] = {"error": f"{type(error).__name__}: {error}"}
            continue
        figures[name] = {
            "theirs": theirs,
            "ours": measure_at(network, theirs["peak_bytes"], device, cache_dir, host_budget),
        }
    return figures


def _measure(
    network: NamedNetwork, offload: Offload, device: str, cache_dir: Path
) -> dict[str, Any]:
    place = place_of(device)
    with tempfile.TemporaryDirectory(dir=cache_dir) as folder:
        inputs = tree_map_only(torch.Tensor, lambda tensor: tensor.to(place), network.inputs)
        release(place)
        base_bytes = allocated_bytes(place)
        module = network.build()
        offload(module, place, Path(folder))
        times_s: list[float] = []

        def run() -> None:
            times_s.extend(time_all(lambda: infer(module, inputs), place))

        peak_bytes = peak_of(run, place) - base_bytes
        return {"latency_s": statistics.median(times_s), "peak_bytes": peak_bytes}
