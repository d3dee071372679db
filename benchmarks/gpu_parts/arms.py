"""One network on a device: plain in memory, and swapped inside a budget."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from gpu_parts.overlap import measure_overlap
from swapnet_core import BudgetTooSmallError, SwappedModel, SwapRuntime
from swapnet_core.testing import loaded_profile
from swapnet_ros.cli.networks import NamedNetwork

_PAIRS = 10
_BATCH = 5
_WARM = 12  # enough for plans to be made by what inferences took
_SETTLE_S = 0.05
PLENTY = 2**40


def use_deterministic_algorithms() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def measure(network: NamedNetwork, ratio: float, device: str, cache_dir: Path) -> dict[str, Any]:
    """Compare outputs, memory and latency at demand / ratio.

    The swapped network is alone on the device while memory is measured.

    Returns:
        Figures as JSON takes them, on a discrete GPU also with all weights in host memory
        (`from_host`); `error` where the budget is too small.
    """
    place = place_of(device)
    inputs = tree_map_only(torch.Tensor, lambda tensor: tensor.to(place), network.inputs)
    plain = network.build().to(place)
    expected = infer(plain, inputs)
    del plain
    release(place)
    base_bytes = allocated_bytes(place)
    with SwapRuntime(2**50, device=device, cache_dir=cache_dir) as runtime:
        model = runtime.load(network.name, network.build(), inputs)
        figures: dict[str, Any] = {"demand_bytes": model.stats().demand_bytes}
        budget_bytes = int(figures["demand_bytes"] / ratio)
        try:
            runtime.set_budget(budget_bytes)
        except BudgetTooSmallError as error:
            return {"error": str(error), "needed_bytes": error.needed_bytes}
        figures.update(_alone(runtime, model, inputs, expected, place))
        figures["peak_bytes"] = max(0, figures["peak_bytes"] - base_bytes)
        figures.update(_in_turn(runtime, model, network.build().to(place), inputs))
    if device.startswith("cuda"):
        figures["from_host"] = measure_at(network, budget_bytes, device, cache_dir, PLENTY)
    return figures


def measure_at(
    network: NamedNetwork, budget_bytes: int, device: str, cache_dir: Path, host_budget: int = 0
) -> dict[str, Any]:
    """Measure the swapped network's latency at a budget, or at the smallest that it needs."""
    place = place_of(device)
    inputs = tree_map_only(torch.Tensor, lambda tensor: tensor.to(place), network.inputs)
    with SwapRuntime(2**50, device=device, cache_dir=cache_dir, host_budget=host_budget) as runtime:
        model = runtime.load(network.name, network.build(), inputs)
        try:
            runtime.set_budget(budget_bytes)
        except BudgetTooSmallError as error:
            runtime.set_budget(error.needed_bytes)
        times_s = time_all(lambda: model(*inputs), place)
        stats, report, known = model.stats(), runtime.report(), runtime.device_profile
        bytes_per_s = known.copy_bandwidth_bytes_per_s or known.read_bandwidth_bytes_per_s
        return {
            "budget_bytes": report.budget_bytes,
            "host_bytes": report.host_bytes,
            "latency_s": statistics.median(times_s),
            "bus_bound_s": stats.streamed_bytes / bytes_per_s,
        }


def time_all(run: Callable[[], Any], place: torch.device) -> list[float]:
    """Time calls, after some that do not count."""
    for _ in range(_WARM):
        run()
    return [time_one(run, place) for _ in range(_PAIRS)]


def time_one(run: Callable[[], Any], place: torch.device) -> float:
    begin_s = time.perf_counter()
    run()
    _wait(place)
    return time.perf_counter() - begin_s


def place_of(device: str) -> torch.device:
    """Return torch's name of a device."""
    index = device.partition(":")[2] or "0"
    return torch.device("cpu") if device == "cpu" else torch.device(f"cuda:{index}")


def infer(network: torch.nn.Module, inputs: tuple[Any, ...]) -> Any:
    with torch.inference_mode():
        return network(*inputs)


def release(place: torch.device) -> None:
    """Give back what is kept for later."""
    gc.collect()
    if place.type == "cuda":
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()


def allocated_bytes(place: torch.device) -> int:
    return torch.cuda.memory_allocated(place) if place.type == "cuda" else 0


def peak_of(run: Callable[[], Any], place: torch.device) -> int:
    """Return the most that torch's allocator handed out meanwhile; 0 on the CPU."""
    if place.type != "cuda":
        run()
        return 0
    torch.cuda.reset_peak_memory_stats(place)
    run()
    return torch.cuda.max_memory_allocated(place)


def differs_by(output: Any, expected: Any) -> float:
    """Return the largest difference of two outputs; 0.0 where they are equal bit for bit."""
    pairs = zip(tree_leaves(output), tree_leaves(expected), strict=True)
    tensors = [(one, two) for one, two in pairs if isinstance(two, torch.Tensor)]
    return max(
        (0.0 if torch.equal(one, two) else float((one - two).abs().max())) for one, two in tensors
    )


def _alone(
    runtime: SwapRuntime,
    model: SwappedModel,
    inputs: tuple[Any, ...],
    expected: Any,
    place: torch.device,
) -> dict[str, Any]:
    """Run the swapped network with nothing else on the device."""
    differences: list[float] = []

    def run() -> None:
        differences.extend(differs_by(model(*inputs), expected) for _ in range(_WARM))

    run()  # plans are made anew by the speeds that inferences had
    runtime.set_budget(runtime.report().budget_bytes)
    peak_bytes = peak_of(run, place)
    plan, report, timeline = model.plan, runtime.report(), model.timeline
    trace = loaded_profile(runtime, model.name).trace
    bandwidth = runtime.device_profile.read_bandwidth_bytes_per_s
    return {
        "budget_bytes": report.budget_bytes,
        "peak_bytes": peak_bytes,
        "staging_bytes": report.staging_bytes,
        "is_exact": plan.is_exact,
        "largest_difference": max(differences),
        "blocks": len(plan.blocks),
        "streamed_bytes": plan.streamed_bytes,
        "resident_bytes": plan.resident_bytes,
        "read_bandwidth_bytes_per_s": bandwidth,
        "traced_compute_s": trace.compute_s,
        "bound_s": max(trace.compute_s, plan.streamed_bytes / bandwidth),
        "predicted_s": plan.predicted_latency_s,
        "stalls_s": [] if timeline is None else [use.stall_s for use in timeline.uses],
        "overlap": measure_overlap(lambda: model(*inputs), place),
    }


def _in_turn(
    runtime: SwapRuntime, model: SwappedModel, plain: torch.nn.Module, inputs: tuple[Any, ...]
) -> dict[str, Any]:
    """Let the plain network in memory and the swapped one take turns, on the same thread."""
    place = next(plain.parameters()).device
    plain_s, swapped_s = [], []
    for _ in range(_PAIRS):
        plain_s.append(runtime.call(lambda: _batch(lambda: infer(plain, inputs), place)))
        swapped_s.append(_batch(lambda: model(*inputs), place))
        time.sleep(_SETTLE_S)  # the head of the next inference is still coming in
    ratios = [swapped / alone for swapped, alone in zip(swapped_s, plain_s, strict=True)]
    return {
        "plain_s": statistics.median(plain_s),
        "swapped_s": statistics.median(swapped_s),
        "ratio_of_pairs": statistics.median(ratios),
        "ratios": ratios,
    }


def _batch(run: Callable[[], Any], place: torch.device) -> float:
    run()
    return statistics.median(time_one(run, place) for _ in range(_BATCH))


def _wait(place: torch.device) -> None:
    if place.type == "cuda":
        torch.cuda.synchronize(place)
