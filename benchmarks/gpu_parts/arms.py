"""One network on a device: plain in memory, and swapped inside budgets, in several ways."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map_only

from gpu_parts.networks import NamedNetwork
from gpu_parts.overlap import measure_overlap
from swapnet_core import BudgetTooSmallError, SwappedModel, SwapRuntime

_PAIRS = 5
_BATCH = 3
_PEAK = 3
_WARM = 9  # enough for plans to be made by what inferences took
_SETTLE_S = 0.05
_WHATEVER = 2**50
PLENTY = 2**40


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A way to run the swapped network.

    Attributes:
        host_budget: of pinned host memory: 0, or room for all that is streamed.
        cuda_graphs: whether it is captured and replayed.
    """

    name: str
    host_budget: int
    cuda_graphs: bool


ARMS = (
    Arm(name="from storage", host_budget=0, cuda_graphs=False),
    Arm(name="from host memory", host_budget=PLENTY, cuda_graphs=False),
    Arm(name="graphs, from host memory", host_budget=PLENTY, cuda_graphs=True),
    Arm(name="graphs, from storage", host_budget=0, cuda_graphs=True),
)


@dataclass(frozen=True, slots=True, eq=False)
class _Plain:
    """The network in memory: on the host, unless it is its turn."""

    network: nn.Module
    inputs: tuple[Any, ...]
    place: torch.device

    def infer(self) -> Any:
        return infer(self.network, self.inputs)

    def come(self) -> None:
        self.network.to(self.place)

    def go(self) -> None:
        self.network.to("cpu")
        release(self.place)


def use_deterministic_algorithms() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def measure(
    network: NamedNetwork, ratios: Sequence[float], device: str, cache_dir: Path
) -> list[dict[str, Any]]:
    """Compare outputs, memory and latency at demand / ratio, in every arm that the device has.

    The swapped network is alone on the device while memory is measured. The pool of graphs comes on
    top of the budget, so that arms with and without them have the same plan.

    Returns:
        Per ratio and arm, figures as JSON takes them; `needed_bytes` where the budget is too small.
    """
    place = place_of(device)
    inputs = tree_map_only(torch.Tensor, lambda tensor: tensor.to(place), network.inputs)
    plain = _Plain(network.build(), inputs, place)
    plain.come()
    expected = plain.infer()
    plain.go()
    rows = []
    for arm in ARMS:
        if arm.host_budget and not device.startswith("cuda"):
            continue  # slots are in host memory
        base_bytes = allocated_bytes(place)
        with open_arm(arm.host_budget, device, cache_dir) as runtime:
            model = runtime.load(network.name, network.build(), inputs, cuda_graphs=arm.cuda_graphs)
            model(*inputs)
            graphs = model.stats().cuda_graphs
            pool_bytes = 0 if graphs is None else graphs.size_bytes
            for ratio in ratios:
                budget_bytes = int(model.stats().demand_bytes / ratio) + pool_bytes
                figures = _measure_at(runtime, model, budget_bytes, plain, expected, base_bytes)
                rows.append({"network": network.name, "arm": arm.name, "ratio": ratio, **figures})
    return rows


def open_arm(host_budget: int, device: str, cache_dir: Path) -> SwapRuntime:
    """Open a runtime that has room for whatever is loaded."""
    return SwapRuntime(_WHATEVER, device=device, cache_dir=cache_dir, host_budget=host_budget)


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


def infer(network: nn.Module, inputs: tuple[Any, ...]) -> Any:
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


def _measure_at(
    runtime: SwapRuntime,
    model: SwappedModel,
    budget_bytes: int,
    plain: _Plain,
    expected: Any,
    base_bytes: int,
) -> dict[str, Any]:
    try:
        runtime.set_budget(budget_bytes)
    except BudgetTooSmallError as error:
        return {"refused": str(error), "needed_bytes": error.needed_bytes}
    differences: list[float] = []

    def run(times: int) -> None:
        differences.extend(differs_by(model(*plain.inputs), expected) for _ in range(times))

    run(_WARM)
    runtime.set_budget(runtime.report().budget_bytes)  # plans by the speeds that inferences had
    peak_bytes = max(0, peak_of(lambda: run(_PEAK), plain.place) - base_bytes)
    overlap = measure_overlap(lambda: model(*plain.inputs), plain.place)
    times = _in_turn(runtime, model, plain)
    return {
        "demand_bytes": model.stats().demand_bytes,
        "peak_bytes": peak_bytes,
        "largest_difference": max(differences),
        **_facts(runtime, model),
        **times,
        **_bounds(runtime, model, times),
        "overlap": overlap,
    }


def _facts(runtime: SwapRuntime, model: SwappedModel) -> dict[str, Any]:
    plan, report, timeline = model.plan, runtime.report(), model.timeline
    graphs = model.stats().cuda_graphs
    return {
        "budget_bytes": report.budget_bytes,
        "staging_bytes": report.staging_bytes,
        "host_bytes": report.host_bytes,
        "is_exact": plan.is_exact,
        "blocks": len(plan.blocks),
        "uses": len(plan.uses),
        "streamed_bytes": plan.streamed_bytes,
        "resident_bytes": plan.resident_bytes,
        "predicted_s": plan.predicted_latency_s,
        "timeline": [] if timeline is None else [asdict(use) for use in timeline.uses],
        "cuda_graphs": None if graphs is None else asdict(graphs),
    }


def _bounds(runtime: SwapRuntime, model: SwappedModel, times: dict[str, Any]) -> dict[str, Any]:
    """Return how near the latency is to `max(compute, bytes / bandwidth)`.

    Compute is the plain network's, the bandwidth that of the slower way: from storage, or over the
    bus where all that is streamed lies in host memory.
    """
    device, plan = runtime.device_profile, model.plan
    bandwidth = device.with_host_share(
        min(1.0, plan.host_bytes / plan.streamed_bytes) if plan.streamed_bytes else 0.0
    ).read_bandwidth_bytes_per_s
    bound_s = max(times["plain_s"], plan.streamed_bytes / bandwidth)
    return {
        "read_bandwidth_bytes_per_s": device.read_bandwidth_bytes_per_s,
        "copy_bandwidth_bytes_per_s": device.copy_bandwidth_bytes_per_s,
        "bound_s": bound_s,
        "ratio_to_bound": times["swapped_s"] / bound_s,
    }


def _in_turn(runtime: SwapRuntime, model: SwappedModel, plain: _Plain) -> dict[str, Any]:
    """Let the plain network in memory and the swapped one take turns, on the same thread."""
    plain.come()
    plain_s, swapped_s = [], []
    for _ in range(_PAIRS):
        plain_s.append(runtime.call(lambda: _batch(plain.infer, plain.place)))
        swapped_s.append(_batch(lambda: model(*plain.inputs), plain.place))
        time.sleep(_SETTLE_S)  # the head of the next inference is still coming in
    plain.go()
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
