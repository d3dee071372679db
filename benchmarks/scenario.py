"""Four full-size networks of self-driving under one budget, each at its rate, with deadlines.

    python benchmarks/scenario.py [--seconds 90] [--json out/scenario.json]

Random weights; the rates are scaled so that compute takes 70 % of the inference thread's time here.
Memory without limit, each ratio of demand to budget, and prefetch across networks on and off take
turns in slices, so that a drift of the machine's speed hits all alike. Without that prefetch a
network fetches its own next head only. Do nothing else on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from swapnet_core import SwappedModel, SwapRuntime
from swapnet_core.errors import BudgetTooSmallError, DeadlineMissedError
from swapnet_core.reports import ModelStats, summarize_latencies
from swapnet_ros.cli.fresh_cache import fresh_cache
from swapnet_ros.cli.networks import NamedNetwork, named_network
from swapnet_ros.cli.outputs import largest_difference
from swapnet_ros.one_heap import start_with_one_heap

_RATIOS = (2.32, 3.5, 5.81)
_UNLIMITED_BYTES = 2**62
_COMPUTE_SHARE = 0.7
_SLICE_S = 15.0
_JITTER = 0.1
_MIB = 2**20


@dataclass(frozen=True)
class Task:
    """A task of the scenario: which network, and how often beside the others."""

    name: str
    network: str
    shape: tuple[int, ...] | None
    relative_rate: float


TASKS = (
    Task("object_detection", "yolov3", None, 1.0),
    Task("lane_detection", "ufld_resnet18", None, 2.0),
    Task("semantic_segmentation", "fcn_resnet101", (1, 3, 224, 224), 0.5),
    Task("traffic_sign", "resnet101", (1, 3, 224, 224), 1.0),
)


@dataclass
class Tally:
    """What became of one task's jobs in one arm."""

    submitted: int = 0
    dropped: int = 0
    late: int = 0
    responses_s: list[float] = field(default_factory=list)


@dataclass
class Arm:
    """One setting, over all its slices."""

    ratio: float | None
    prefetches: bool
    budget_bytes: int
    tallies: dict[str, Tally]
    elapsed_s: float = 0.0
    busy_s: float = 0.0
    stall_s: float = 0.0
    read_bytes: int = 0
    difference: float = 0.0
    trouble: str = ""

    @property
    def title(self) -> str:
        """How the table names it."""
        if self.ratio is None:
            return "unlimited"
        return f"{self.ratio}, prefetch {'on' if self.prefetches else 'off'}"


@dataclass
class Site:
    """The loaded networks, and what is expected of them."""

    runtime: SwapRuntime
    models: dict[str, SwappedModel]
    inputs: dict[str, tuple[Any, ...]]
    expected: dict[str, Any]
    periods_s: dict[str, float]


class _Deaf:
    """Stands in for the placement: it is told what comes next, and does nothing about it."""

    def expect(self, holdings: Sequence[object]) -> None:
        pass


def main() -> None:
    """Measure, and print Markdown tables."""
    options = _parse()
    networks = {task.name: named_network(task.network, task.shape) for task in TASKS}
    plain_s, expected = _measure_plain(networks)
    rates_hz = _rates(plain_s)
    with (
        fresh_cache(options.cache_dir) as root,
        SwapRuntime(budget=_UNLIMITED_BYTES, cache_dir=root) as runtime,
    ):
        models = {
            name: runtime.load(name, network.build(), network.inputs, rate_hz=rates_hz[name])
            for name, network in networks.items()
        }
        inputs = {name: network.inputs for name, network in networks.items()}
        periods_s = {name: 1.0 / rate_hz for name, rate_hz in rates_hz.items()}
        site = Site(runtime, models, inputs, expected, periods_s)
        demand_bytes = runtime.report().demand_bytes
        _print_tasks(site, plain_s, demand_bytes)
        arms = _arms(demand_bytes, options.ratios)
        for number in range(max(1, round(options.seconds / _SLICE_S))):
            for arm in arms:
                _run_slice(site, arm, seed=number)
        _print_arms(arms)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        facts = {"plain_s": plain_s, "rates_hz": rates_hz, "demand_bytes": demand_bytes}
        found = {**facts, "machine": _machine(), "arms": [asdict(arm) for arm in arms]}
        options.json.write_text(json.dumps(found, indent=2))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=90.0, help="Of load, for each arm.")
    parser.add_argument("--ratios", nargs="+", type=float, default=_RATIOS)
    parser.add_argument("--cache-dir", type=Path, help="For a fresh cache in it.")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _measure_plain(networks: dict[str, NamedNetwork]) -> tuple[dict[str, float], dict[str, Any]]:
    """Return each network's latency in memory, and its output."""
    latencies_s, outputs = {}, {}
    with SwapRuntime(budget=_UNLIMITED_BYTES) as runtime:
        for name, network in networks.items():
            plain = network.build()

            def infer(plain: Any = plain, network: NamedNetwork = network) -> Any:
                with torch.inference_mode():
                    return plain(*network.inputs)

            outputs[name] = runtime.call(infer)
            latencies_s[name] = statistics.median(_time(runtime, infer) for _ in range(7))
    return latencies_s, outputs


def _time(runtime: SwapRuntime, infer: Any) -> float:
    begin_s = time.perf_counter()
    runtime.call(infer)
    return time.perf_counter() - begin_s


def _rates(plain_s: dict[str, float]) -> dict[str, float]:
    share = sum(task.relative_rate * plain_s[task.name] for task in TASKS)
    return {task.name: task.relative_rate * _COMPUTE_SHARE / share for task in TASKS}


def _arms(demand_bytes: int, ratios: Sequence[float]) -> list[Arm]:
    """Order them so that neighbours differ in their budget, and on and off alternate."""

    def arm(ratio: float | None, prefetches: bool) -> Arm:
        budget_bytes = _UNLIMITED_BYTES if ratio is None else int(demand_bytes / ratio)
        return Arm(ratio, prefetches, budget_bytes, {task.name: Tally() for task in TASKS})

    first = [arm(ratio, number % 2 == 0) for number, ratio in enumerate(ratios)]
    second = [arm(ratio, number % 2 == 1) for number, ratio in enumerate(ratios)]
    return [arm(None, True), *first, *([arm(None, True)] if len(ratios) == 1 else []), *second]


def _run_slice(site: Site, arm: Arm, seed: int) -> None:
    if arm.trouble:
        return
    dispatcher = site.runtime._dispatcher
    placement = dispatcher._placement
    if not arm.prefetches:
        dispatcher._placement = _Deaf()
    try:
        site.runtime.set_budget(arm.budget_bytes)
        for name, model in site.models.items():  # warm up: residents and kernels are in place
            difference = largest_difference(model(*site.inputs[name]), site.expected[name])
            arm.difference = max(arm.difference, difference)
        before, begin_s = _stats(site), time.monotonic()
        _drive(site, arm, seed)
        arm.elapsed_s += time.monotonic() - begin_s
        _add_up(arm, before, _stats(site))
    except BudgetTooSmallError as error:
        arm.trouble = f"needs at least {error.needed_bytes / _MIB:.1f} MiB"
    finally:
        dispatcher._placement = placement


def _drive(site: Site, arm: Arm, seed: int) -> None:
    """Submit jobs at their times, whatever became of those before, and wait for all."""
    futures = []
    begin_s = time.monotonic()
    for due_s, name in _arrivals(site.periods_s, seed):
        time.sleep(max(0.0, begin_s + due_s - time.monotonic()))
        futures.append(_submit(site, arm.tallies[name], name))
    for future in futures:
        future.exception()


def _arrivals(periods_s: dict[str, float], seed: int) -> list[tuple[float, str]]:
    """Return `(seconds, task)` in order: periodic, each with a phase and some jitter."""
    draw = random.Random(seed)

    def times(period_s: float) -> Iterator[float]:
        due_s = draw.uniform(0.0, period_s)
        while due_s < _SLICE_S:
            yield due_s + draw.uniform(0.0, _JITTER) * period_s
            due_s += period_s

    return sorted((due_s, name) for name, period in periods_s.items() for due_s in times(period))


def _submit(site: Site, tally: Tally, name: str) -> Future[Any]:
    period_s = site.periods_s[name]
    begin_s = time.monotonic()

    def note(future: Future[Any]) -> None:
        response_s = time.monotonic() - begin_s
        if isinstance(future.exception(), DeadlineMissedError):
            tally.dropped += 1
            return
        tally.responses_s.append(response_s)
        tally.late += response_s > period_s

    tally.submitted += 1
    future = site.models[name].submit(*site.inputs[name], deadline_s=period_s)
    future.add_done_callback(note)
    return future


def _stats(site: Site) -> list[ModelStats]:
    return [model.stats() for model in site.models.values()]


def _add_up(arm: Arm, before: list[ModelStats], after: list[ModelStats]) -> None:
    for one, other in zip(before, after, strict=True):
        arm.stall_s += other.stall_s - one.stall_s
        arm.busy_s += other.stall_s + other.compute_s - one.stall_s - one.compute_s
        arm.read_bytes += other.bytes_read - one.bytes_read


def _print_tasks(site: Site, plain_s: dict[str, float], demand_bytes: int) -> None:
    print(f"{_machine()}; demand together {demand_bytes / _MIB:.1f} MiB\n")
    print(
        "| task | network | demand, MiB | plain, ms | rate, Hz | period, ms |\n" + "|---" * 6 + "|"
    )
    for task in TASKS:
        period_s = site.periods_s[task.name]
        demand = site.models[task.name].stats().demand_bytes / _MIB
        print(
            f"| {task.name} | {task.network} | {demand:.1f} | {plain_s[task.name] * 1e3:.0f} | "
            f"{1 / period_s:.2f} | {period_s * 1e3:.0f} |"
        )
    print(flush=True)


def _print_arms(arms: list[Arm]) -> None:
    names = " | ".join(f"{task.name}: p50 / p99, ms" for task in TASKS)
    print(
        "| demand / budget | budget, MiB | jobs | missed (dropped + late) | busy | stall | "
        f"read, MiB/s | {names} | outputs |\n{'|---' * (8 + len(TASKS))}|"
    )
    for arm in arms:
        print(f"| {' | '.join(_cells(arm))} |")


def _cells(arm: Arm) -> list[str]:
    budget = "all" if arm.ratio is None else f"{arm.budget_bytes / _MIB:.1f}"
    if arm.trouble:
        return [arm.title, budget, arm.trouble, *[""] * (5 + len(TASKS))]
    tallies = arm.tallies.values()
    jobs = sum(tally.submitted for tally in tallies)
    dropped, late = sum(t.dropped for t in tallies), sum(t.late for t in tallies)
    return [
        arm.title,
        budget,
        str(jobs),
        f"{(dropped + late) / jobs:.1%} ({dropped} + {late})",
        f"{arm.busy_s / arm.elapsed_s:.0%}",
        f"{arm.stall_s / arm.elapsed_s:.1%}",
        f"{arm.read_bytes / arm.elapsed_s / _MIB:.0f}",
        *(_latencies(arm.tallies[task.name]) for task in TASKS),
        "equal" if arm.difference == 0.0 else f"within {arm.difference:.1e}",
    ]


def _latencies(tally: Tally) -> str:
    stats = summarize_latencies(tally.responses_s)
    return "-" if stats is None else f"{stats.p50 * 1e3:.0f} / {stats.p99 * 1e3:.0f}"


def _machine() -> str:
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    start_with_one_heap()
    main()
