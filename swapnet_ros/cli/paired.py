"""Measure a swapped network against the plain one in memory: in turn, as ratios of pairs."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch

from swapnet_core import SwappedModel, SwapRuntime, blockfile
from swapnet_core.bounds import least_delay_s
from swapnet_core.errors import BudgetTooSmallError, InputError
from swapnet_core.specs import DeviceProfile, NetworkProfile, SwapPlan
from swapnet_core.testing import impose_plan
from swapnet_ros.cli.bench_result import PairedResult, PlanFigures
from swapnet_ros.cli.fresh_cache import fresh_cache
from swapnet_ros.cli.networks import NamedNetwork
from swapnet_ros.cli.outputs import largest_difference
from swapnet_ros.cli.prediction import predict_latency_s
from swapnet_ros.cli.read_arm import ReadArm

_BATCH = 3
_SETTLE_S = 0.05
_INFERENCES_TO_LEARN = 10

ChoosePlan = Callable[[NetworkProfile, DeviceProfile, int], SwapPlan]
"""Makes a plan for a budget in bytes; raises `BudgetTooSmallError` where there is none."""


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


@contextlib.contextmanager
def compute_threads(count: int | None) -> Iterator[None]:
    """Let so many threads compute inside.

    Args:
        count: None: as many as before.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def measure_pairs(
    network: NamedNetwork,
    *,
    budget_bytes: Callable[[int], int],
    rival: ChoosePlan | None,
    pairs: int,
    cache_dir: Path | None,
    progress: Callable[[int], None],
) -> PairedResult:
    """Alternate the plain network in memory with the swapped one, and with a rival plan.

    All run on the same thread: a second set of compute threads would slow each of them.

    Args:
        network: to measure.
        budget_bytes: from the network's demand in bytes to the budget in bytes.
        rival: another way to choose a plan, to be measured in turn; None: only the core's.
        pairs: how many times each is measured; each time three inferences in a row.
        cache_dir: in which a fresh cache is made.
        progress: told the number of finished pairs.

    Raises:
        BudgetTooSmallError: the network does not fit.
        InputError: the budget is not given well.
    """
    budget_bytes(0)  # a mistake is told before a network is built, traced and stored
    load_average = os.getloadavg()[0]
    with contextlib.ExitStack() as exits:
        plain = network.build()
        root = exits.enter_context(fresh_cache(cache_dir))
        runtime = exits.enter_context(SwapRuntime(budget=2**62, device="cpu", cache_dir=root))
        model = _load(runtime, network, plain, budget_bytes)
        plain_arm = _PlainArm(runtime, plain, network.inputs)
        _learn_speeds(runtime, model, network.inputs)
        own_arm = _SwappedArm(runtime, model, model.plan, plain_arm)
        rival_arm, reason = _rival_arm(runtime, model, rival, plain_arm)
        priority = runtime.report().read_priority
        reads = exits.enter_context(ReadArm(_block_file(root, model), priority))
        beside = functools.partial(reads.reading, own_arm.plan.streamed_bytes)
        beside_arm = _PlainArm(runtime, plain, network.inputs, beside)
        _take_turns((plain_arm, own_arm, beside_arm, rival_arm, reads), pairs, progress)
        return PairedResult(
            network=network.name,
            demand_bytes=model.stats().demand_bytes,
            budget_bytes=runtime.report().budget_bytes,
            peak_bytes=runtime.report().peak_bytes,
            swapped=own_arm.figures(),
            rival=None if rival_arm is None else rival_arm.figures(),
            rival_reason=reason,
            load_average=load_average,
            threads=torch.get_num_threads(),
            read_priority=priority,
            machine=f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
            **_bounds(runtime, own_arm, plain_arm, beside_arm, reads),
        )


def _bounds(
    runtime: SwapRuntime, own: _SwappedArm, plain: _PlainArm, beside: _PlainArm, reads: ReadArm
) -> dict[str, float]:
    """Return what the bounds are made of, by its name in the result."""
    bandwidth = max(reads.bandwidth_bytes_per_s, runtime.report().read_bandwidth_bytes_per_s)
    plain_s = statistics.median(plain.latencies_s)
    beside_reads_s = statistics.median(beside.latencies_s)
    beside_bytes_per_s = reads.beside_bytes_per_s
    least_delay = functools.partial(_least_delay_s, own.profile, own.plan, bandwidth)
    return {
        "plain_s": plain_s,
        "beside_reads_s": beside_reads_s,
        "with_reads_s": statistics.median(beside.both_s),
        "least_delay_s": least_delay(plain_s),
        "least_delay_beside_s": least_delay(max(plain_s, beside_reads_s), beside_bytes_per_s),
        "bandwidth_bytes_per_s": bandwidth,
        "beside_bytes_per_s": beside_bytes_per_s,
    }


def _load(
    runtime: SwapRuntime,
    network: NamedNetwork,
    plain: torch.nn.Module,
    budget_bytes: Callable[[int], int],
) -> SwappedModel:
    model = runtime.load(network.name, copy.deepcopy(plain), network.inputs)
    runtime.set_budget(budget_bytes(model.stats().demand_bytes))
    return model


class _Arm(Protocol):
    def take_turn(self) -> None:
        """Measure once."""


def _take_turns(arms: Sequence[_Arm | None], pairs: int, progress: Callable[[int], None]) -> None:
    for pair in range(pairs):
        for arm in filter(None, arms):
            arm.take_turn()
        progress(pair + 1)


class _PlainArm:
    """The network in memory, beside something else where that is asked for."""

    def __init__(
        self,
        runtime: SwapRuntime,
        network: torch.nn.Module,
        inputs: tuple[Any, ...],
        beside: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self._runtime = runtime
        self._network = network
        self._beside = beside
        self.inputs = inputs
        self.latencies_s: list[float] = []
        self.both_s: list[float] = []
        self.output = runtime.call(self._infer)

    def take_turn(self) -> None:
        """Measure some inferences in a row, after one that does not count."""
        _, *times_s = self._runtime.call(lambda: [self._time_one() for _ in range(1 + _BATCH)])
        latencies_s, both_s = zip(*times_s, strict=True)
        self.latencies_s.append(statistics.median(latencies_s))
        self.both_s.append(statistics.median(both_s))

    def _time_one(self) -> tuple[float, float]:
        """Return how long the network takes, and how long until what is beside it is done, too."""
        begin_s = time.perf_counter()
        with self._beside():
            latency_s = _time(self._infer)
        return latency_s, time.perf_counter() - begin_s

    def _infer(self) -> Any:
        with torch.inference_mode():
            return self._network(*self.inputs)


class _SwappedArm:
    """One plan of the swapped network."""

    def __init__(
        self, runtime: SwapRuntime, model: SwappedModel, plan: SwapPlan, plain: _PlainArm
    ) -> None:
        self._runtime = runtime
        self._model = model
        self.profile = model.profile
        self.plan = plan
        self._plain = plain
        self._latencies_s: list[float] = []
        self._stalls_s: list[float] = []
        self._difference = 0.0

    def take_turn(self) -> None:
        """Measure some inferences in a row, after one that is compared and does not count."""
        self._adopt()
        difference = largest_difference(self._model(*self._plain.inputs), self._plain.output)
        self._difference = max(self._difference, difference)
        before = self._model.stats()
        times_s = [_time(lambda: self._model(*self._plain.inputs)) for _ in range(_BATCH)]
        self._latencies_s.append(statistics.median(times_s))
        self._stalls_s.append((self._model.stats().stall_s - before.stall_s) / _BATCH)
        # The head of the next inference is still coming in: not at the plain one's expense.
        time.sleep(_SETTLE_S)

    def figures(self) -> PlanFigures:
        """Summarize the turns."""
        pairs = zip(self._latencies_s, self._plain.latencies_s, strict=True)
        tiles = [block.tile for block in self.plan.blocks if block.tile is not None]
        return PlanFigures(
            swapped_s=statistics.median(self._latencies_s),
            predicted_s=self.plan.predicted_latency_s,
            predicted_at_speed_s=predict_latency_s(
                self.plan,
                self.profile,
                _device_of_late(self._runtime),
                compute_s=statistics.median(self._plain.latencies_s),
            ),
            stall_s=statistics.median(self._stalls_s),
            read_bytes=self._count_reads(),
            resident_bytes=self.plan.resident_bytes + _undisturbed_bytes(self.plan),
            used_bytes=sum(block.size_bytes for block in self.plan.blocks),
            ratios=tuple(swapped_s / plain_s for swapped_s, plain_s in pairs),
            difference=self._difference,
            tiles=dict(Counter(self.profile.trace.weights[tile.weight].name for tile in tiles)),
        )

    def _adopt(self) -> None:
        if self._model.plan is not self.plan:
            impose_plan(self._runtime, self._model.name, self.plan)

    def _count_reads(self) -> int:
        """Return the bytes read per inference, from one calm moment to another."""
        self._adopt()
        self._model(*self._plain.inputs)
        before = _calm_bytes_read(self._model)
        for _ in range(_BATCH):
            self._model(*self._plain.inputs)
        return (_calm_bytes_read(self._model) - before) // _BATCH


def _learn_speeds(runtime: SwapRuntime, model: SwappedModel, inputs: tuple[Any, ...]) -> None:
    """Run for a while and plan again, as in a process where a budget changes."""
    for _ in range(_INFERENCES_TO_LEARN):
        model(*inputs)
    runtime.set_budget(runtime.report().budget_bytes)


def _rival_arm(
    runtime: SwapRuntime, model: SwappedModel, choose: ChoosePlan | None, plain: _PlainArm
) -> tuple[_SwappedArm | None, str]:
    """Return the arm of a rival plan, or why there is none."""
    if choose is None:
        return None, ""
    profile = model.profile
    try:
        plan = choose(profile, runtime.device_profile, runtime.report().budget_bytes)
    except BudgetTooSmallError as error:
        return None, str(error)
    return _SwappedArm(runtime, model, plan, plain), ""


def _block_file(root: Path, model: SwappedModel) -> Path:
    return blockfile.read_manifest(root, model.profile.digest).path


def _device_of_late(runtime: SwapRuntime) -> DeviceProfile:
    """Return the device with the bandwidth that the run's own reads had."""
    bandwidth = runtime.report().read_bandwidth_bytes_per_s
    device = runtime.device_profile
    return replace(device, read_bandwidth_bytes_per_s=bandwidth) if bandwidth else device


def _least_delay_s(
    profile: NetworkProfile,
    plan: SwapPlan,
    bandwidth_bytes_per_s: float,
    compute_s: float,
    beside_bytes_per_s: float = math.inf,
) -> float:
    return least_delay_s(
        profile,
        room_bytes=plan.budget_bytes - plan.fixed_bytes,
        read_bandwidth_bytes_per_s=bandwidth_bytes_per_s,
        compute_scale=compute_s / profile.trace.compute_s,
        share_beside_compute=min(1.0, beside_bytes_per_s / bandwidth_bytes_per_s),
    )


def _undisturbed_bytes(plan: SwapPlan) -> int:
    """Sum up the streamed blocks whose slots nobody else uses: nothing overwrites them."""
    streamed = [plan.blocks[block] for block in dict.fromkeys(plan.uses)]
    spans = [(b.slot_offset_bytes, b.slot_offset_bytes + b.size_bytes) for b in streamed]
    return sum(
        end - begin
        for begin, end in spans
        if sum(begin < other_end and other < end for other, other_end in spans) == 1
    )


def _calm_bytes_read(model: SwappedModel) -> int:
    """Wait until the head of the next inference is in place."""
    count = -1
    while count != (count := model.stats().bytes_read):
        time.sleep(_SETTLE_S)
    return count


def _time(run: Callable[[], Any]) -> float:
    begin_s = time.perf_counter()
    run()
    return time.perf_counter() - begin_s
