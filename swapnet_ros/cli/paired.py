"""Measure a swapped network against the plain one in memory: in turn, as ratios of pairs."""

from __future__ import annotations

import copy
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from swapnet_core import SwappedModel, SwapRuntime
from swapnet_core.errors import InputError
from swapnet_ros.cli.networks import NamedNetwork

_BATCH = 3
_SETTLE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedResult:
    """One comparison. Times are seconds and medians, sizes bytes.

    Attributes:
        is_exact: every output was equal bit for bit.
        ratios: swapped over plain latency, one per pair.
        ratio: their median.
        bound_s: no schedule is faster: `max(plain_s, read_s)`.
        read_s: bytes read per inference over the measured bandwidth.
        bandwidth_bytes_per_s: of direct reads, measured beside compute.
        load_average: of the machine in the last minute, when the measurement began.
    """

    network: str
    demand_bytes: int
    budget_bytes: int
    peak_bytes: int
    resident_bytes: int
    read_bytes: int
    is_exact: bool
    plain_s: float
    swapped_s: float
    predicted_s: float
    stall_s: float
    ratios: tuple[float, ...]
    ratio: float
    read_s: float
    bound_s: float
    bandwidth_bytes_per_s: float
    load_average: float
    machine: str

    @property
    def ratio_to_bound(self) -> float:
        """Swapped latency over the bound."""
        return self.swapped_s / self.bound_s

    def to_json(self) -> dict[str, Any]:
        """Return all figures as plain numbers and strings."""
        return {**asdict(self), "ratio_to_bound": self.ratio_to_bound}


def choose_budget(demand_bytes: int, budget_bytes: int | None, ratio: float | None) -> int:
    """Turn `--budget` or `--budget-ratio` into bytes.

    Raises:
        InputError: none or both are given, or the ratio is not above 0.
    """
    if (budget_bytes is None) == (ratio is None):
        raise InputError("give one of --budget and --budget-ratio")
    if budget_bytes is not None:
        return budget_bytes
    if ratio is None or ratio <= 0:
        raise InputError(f"a budget ratio of {ratio} is not possible; it is demand / budget")
    return int(demand_bytes / ratio)


def measure_pairs(
    network: NamedNetwork,
    *,
    budget_bytes: int | None,
    budget_ratio: float | None,
    pairs: int,
    cache_dir: Path | None,
    progress: Callable[[int], None],
) -> PairedResult:
    """Alternate the plain network in memory with the swapped one.

    Args:
        network: to measure.
        budget_bytes: or None where `budget_ratio` is given.
        budget_ratio: demand over budget, or None.
        pairs: how many times both are measured; each time three inferences in a row.
        cache_dir: for the block file.
        progress: told the number of finished pairs.

    Raises:
        BudgetTooSmallError: the network does not fit.
        InputError: the budget is not given well.
    """
    load_average = os.getloadavg()[0]
    plain = network.build()

    def infer_plain(*inputs: Any) -> Any:
        with torch.inference_mode():
            return plain(*inputs)

    with SwapRuntime(budget=2**62, cache_dir=cache_dir) as runtime:
        model = runtime.load(network.name, copy.deepcopy(plain), network.inputs)
        demand_bytes = model.stats().demand_bytes
        budget = choose_budget(demand_bytes, budget_bytes, budget_ratio)
        runtime.set_budget(budget)
        expected = runtime.call(lambda: infer_plain(*network.inputs))
        is_exact = _is_equal(model(*network.inputs), expected)
        times = _alternate(infer_plain, model, runtime, network, pairs, progress)
        is_exact = is_exact and _is_equal(model(*network.inputs), expected)
        return _summarize(network, runtime, model, times, is_exact, load_average)


@dataclass(frozen=True, slots=True)
class _Times:
    plain_s: list[float]
    swapped_s: list[float]
    stall_s: float
    inferences: int
    read_bytes: int


def _alternate(
    infer_plain: Callable[..., Any],
    model: SwappedModel,
    runtime: SwapRuntime,
    network: NamedNetwork,
    pairs: int,
    progress: Callable[[int], None],
) -> _Times:
    plain_s, swapped_s = [], []
    _time_batch(model, network.inputs)
    before = model.stats()
    for pair in range(pairs):
        # On the same thread as the swapped one: a second set of compute threads would slow both.
        plain_s.append(runtime.call(lambda: _time_batch(infer_plain, network.inputs)))
        swapped_s.append(_time_batch(model, network.inputs))
        # The head of the next inference is still coming in: not at the plain one's expense.
        time.sleep(_SETTLE_S)
        progress(pair + 1)
    after = model.stats()
    return _Times(
        plain_s,
        swapped_s,
        stall_s=after.stall_s - before.stall_s,
        inferences=after.inferences - before.inferences,
        read_bytes=after.bytes_read - before.bytes_read,
    )


def _time_batch(run: Callable[..., Any], inputs: tuple[Any, ...]) -> float:
    """Median latency of some inferences in a row, after one that is not counted."""
    run(*inputs)
    times = []
    for _ in range(_BATCH):
        begin_s = time.perf_counter()
        run(*inputs)
        times.append(time.perf_counter() - begin_s)
    return statistics.median(times)


def _summarize(
    network: NamedNetwork,
    runtime: SwapRuntime,
    model: SwappedModel,
    times: _Times,
    is_exact: bool,
    load_average: float,
) -> PairedResult:
    stats, report = model.stats(), runtime.report()
    ratios = [s / p for s, p in zip(times.swapped_s, times.plain_s, strict=True)]
    plain_s = statistics.median(times.plain_s)
    read_bytes = times.read_bytes // times.inferences
    bandwidth = runtime.device_profile.read_bandwidth_bytes_per_s
    read_s = read_bytes / bandwidth
    return PairedResult(
        network=network.name,
        demand_bytes=stats.demand_bytes,
        budget_bytes=report.budget_bytes,
        peak_bytes=report.peak_bytes,
        resident_bytes=stats.resident_bytes,
        read_bytes=read_bytes,
        is_exact=is_exact,
        plain_s=plain_s,
        swapped_s=statistics.median(times.swapped_s),
        predicted_s=stats.predicted_latency_s,
        stall_s=times.stall_s / times.inferences,
        ratios=tuple(ratios),
        ratio=statistics.median(ratios),
        read_s=read_s,
        bound_s=max(plain_s, read_s),
        bandwidth_bytes_per_s=bandwidth,
        load_average=load_average,
        machine=f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
    )


def _is_equal(one: Any, other: Any) -> bool:
    pairs = zip(tree_leaves(one), tree_leaves(other), strict=True)
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)
