"""What a long search finds beyond the planner's plan: by prediction, and measured in turns.

    python benchmarks/optimum.py [--tries 40000] [--rounds 10] resnet101 --ratio 3.5

The planner has a fraction of a second, and sweeps; from its result, this one changes cuts between
blocks, residents and the layout of slots at random, and takes what is predicted to be faster, at
first also what is a little slower. Layers are cut into tiles as in the planner's plan. Compute
times are scaled to the plain network's of the same run before. Then both plans take turns in one
runtime.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from dataclasses import dataclass, replace

import torch
from turns import Turns, open_turns, parser_of

from swapnet_core.candidates import Candidate, evaluate, lay_oldest_first, lay_ring
from swapnet_core.partition import can_join, cut_at
from swapnet_core.planner import find_best
from swapnet_core.specs import PAGE_BYTES, DeviceProfile, NetworkProfile, SwapPlan
from swapnet_core.testing import impose_plan
from swapnet_ros.one_heap import start_with_one_heap

_HEAT = 0.01
"""By which part a plan may be slower and still be taken, in the beginning."""
_LAYS = (lay_ring, lay_oldest_first)


def main() -> None:
    """Search, measure, and print a Markdown table."""
    parser = parser_of(__doc__)
    parser.add_argument("--tries", type=int, default=40_000)
    options = parser.parse_args()
    with open_turns(options, lambda network: network.build()) as turns:
        runtime, model = turns.runtime, turns.model
        plain_s = statistics.median(turns.take("before", is_plain=True) for _ in range(3))
        profile = _scale(model.profile, plain_s)
        plans = _find(profile, runtime.device_profile, runtime.report().budget_bytes, options.tries)
        arms = (*plans, "plain")
        for number in range(options.rounds):
            for arm in arms if number % 2 else reversed(arms):
                if arm in plans:
                    impose_plan(runtime, model.name, plans[arm])
                turns.take(arm, is_plain=arm == "plain")
    print(f"{options.network} at {options.ratio}, {torch.get_num_threads()} compute threads\n")
    _print(plans, turns)


def _scale(profile: NetworkProfile, plain_s: float) -> NetworkProfile:
    """Let compute take as long together as the plain network does now."""
    trace = profile.trace
    factor = plain_s / trace.compute_s
    return replace(
        profile,
        trace=replace(
            trace,
            head_compute_s=trace.head_compute_s * factor,
            step_compute_s=tuple(step_s * factor for step_s in trace.step_compute_s),
            step_tile_s=tuple(tile_s * factor for tile_s in trace.step_tile_s),
        ),
    )


def _find(
    profile: NetworkProfile, device: DeviceProfile, budget_bytes: int, tries: int
) -> dict[str, SwapPlan]:
    begin_s = time.perf_counter()
    best = find_best(profile, device, budget_bytes=budget_bytes)
    assert best is not None, "the runtime has planned for it"
    print(f"planned in {time.perf_counter() - begin_s:.2f} s, ", end="")
    begin_s = time.perf_counter()
    found = _Search(best, device, budget_bytes).run(tries)
    print(f"searched for {time.perf_counter() - begin_s:.0f} s\n")
    return {
        "planner": best.to_plan(device, budget_bytes),
        "long search": found.to_plan(device, budget_bytes),
    }


@dataclass
class _Choice:
    """What makes a plan.

    Attributes:
        begins: atoms at which blocks begin.
        residents: those of them whose blocks stay.
        lay: which layout.
    """

    begins: list[int]
    residents: set[int]
    lay: int

    def copy(self) -> _Choice:
        return _Choice([*self.begins], {*self.residents}, self.lay)


class _Search:
    """Simulated annealing over cuts, residents and layouts. Equal from run to run."""

    def __init__(self, start: Candidate, device: DeviceProfile, budget_bytes: int) -> None:
        self._outline = start.partition.outline
        self._device = device
        self._start = start
        self._room_bytes = (budget_bytes - self._outline.fixed_bytes) // PAGE_BYTES * PAGE_BYTES
        atoms = range(1, len(self._outline.atoms))
        self._cuts = [atom for atom in atoms if can_join(self._outline, atom)]
        self._random = random.Random(0)

    def run(self, tries: int) -> Candidate:
        """Return the best found, at worst the start."""
        best, latency_s = self._start, self._start.timeline.latency_s
        runs = self._start.partition.runs
        residents = {runs[index].atoms[0] for index in self._start.residents}
        choice = _Choice([run.atoms[0] for run in runs], residents, 0)
        heat_s = _HEAT * latency_s
        for number in range(tries):
            other = choice.copy()
            for _ in range(self._random.choice((1, 1, 2, 3))):
                self._change(other)
            candidate = self._evaluate(other)
            if candidate is None:
                continue
            gain_s = latency_s - candidate.timeline.latency_s
            warmth_s = heat_s * (1.0 - number / tries) ** 2
            if gain_s >= 0.0 or self._random.random() < math.exp(gain_s / max(warmth_s, 1e-12)):
                choice, latency_s = other, candidate.timeline.latency_s
                best = min(best, candidate, key=lambda one: one.rank)
        return best

    def _evaluate(self, choice: _Choice) -> Candidate | None:
        partition = cut_at(self._outline, self._device, choice.begins)
        residents = frozenset(
            index
            for index, run in enumerate(partition.runs)
            if run.is_pinned or run.atoms[0] in choice.residents
        )
        resident_bytes = sum(partition.runs[index].size_bytes for index in residents)
        lay = _LAYS[choice.lay]
        slots = lay(partition, residents, max(0, self._room_bytes - resident_bytes))
        return None if slots is None else evaluate(partition, self._device, residents, slots)

    def _change(self, choice: _Choice) -> None:
        changes = (self._cut_or_join, self._stay_or_go, self._swap_residents)
        (change,) = self._random.choices((*changes, _turn_lay), weights=(60, 20, 15, 5))
        change(choice)

    def _cut_or_join(self, choice: _Choice) -> None:
        if not self._cuts:
            return
        atom = self._random.choice(self._cuts)
        if atom in choice.begins:
            choice.begins.remove(atom)
            choice.residents.discard(atom)
            return
        before = max(begin for begin in choice.begins if begin < atom)
        choice.begins.append(atom)
        choice.begins.sort()
        if before in choice.residents:
            choice.residents.add(atom)

    def _stay_or_go(self, choice: _Choice) -> None:
        choice.residents ^= {self._random.choice(choice.begins)}

    def _swap_residents(self, choice: _Choice) -> None:
        if choice.residents:
            choice.residents.remove(self._random.choice(sorted(choice.residents)))
            choice.residents.add(self._random.choice(choice.begins))


def _turn_lay(choice: _Choice) -> None:
    choice.lay = 1 - choice.lay


def _print(plans: dict[str, SwapPlan], turns: Turns) -> None:
    print("| | blocks | resident, MiB | predicted, ms | stall | ms | stall | to the planner's |")
    print("|---|---|---|---|---|---|---|---|")
    for arm in (*plans, "plain"):
        predicted = "| | | |"
        if arm in plans:
            plan = plans[arm]
            predicted = (
                f"| {len(set(plan.uses))} | {plan.resident_bytes / 2**20:.1f} | "
                f"{plan.predicted_latency_s * 1e3:.1f} | {plan.predicted_stall_s * 1e3:.1f}"
            )
        print(
            f"| {arm} {predicted} | {statistics.median(turns.latencies_s[arm]) * 1e3:.1f} | "
            f"{statistics.median(turns.stalls_s[arm]) * 1e3:.1f} | "
            f"{turns.ratio(arm, 'planner'):.3f} |"
        )


if __name__ == "__main__":
    start_with_one_heap()
    main()
