"""Split one budget among networks that run in turn. Pure.

[Note: who gets what]
One inference runs at a time, so the networks share one activation peak and one streaming region;
only buffers and residents are each network's own. For a given size of the streaming region, each
network has a curve: its latency over the bytes of its residents. From all curves together the
points are picked whose bytes fit and whose latencies, weighted by rate, have the smallest sum.
Sums are built up one network at a time, and only those are kept that no other one beats in both
bytes and latency. That is done for several sizes of the region, first far apart, then around the
best.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from swapnet_core.atoms import Outline
from swapnet_core.candidates import Candidate
from swapnet_core.curves import Curves, Point, curves_of
from swapnet_core.errors import BudgetTooSmallError
from swapnet_core.exhaustive import ALL_LAYOUTS_ATOMS
from swapnet_core.planner import (
    Ceilings,
    activation_ceilings,
    all_outlines,
    cost,
    cost_s,
    make_plan,
    outlines_within,
    smallest_room,
)
from swapnet_core.search import FEW_ATOMS
from swapnet_core.sizes import KIB, format_size
from swapnet_core.specs import PAGE_BYTES, DeviceProfile, NetworkProfile, SwapPlan, round_up

_COARSE_STEP = 2.0
_FINE_STEPS = (0.6, 0.7, 0.85, 1.2, 1.4, 1.7)
_FINALISTS = 2
_FINALISTS_OF_SMALL = 8
_MOST_SUMS = 128
_SMALLEST_STREAM_BYTES = 256 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedNetwork:
    """A network among others.

    Attributes:
        name: for messages.
        rate_hz: inferences per second. None: as often as there is time; counts as 1 Hz.
        users: how many networks share these weights, each with buffers of its own.
        graph_bytes: what each of them holds for CUDA graphs.
    """

    name: str
    profile: NetworkProfile
    rate_hz: float | None
    users: int = 1
    graph_bytes: int = 0

    @property
    def weight(self) -> float:
        """How much its latency counts."""
        return self.rate_hz or 1.0

    @property
    def buffer_bytes(self) -> int:
        """Of all its users, with what they hold as if it were buffers."""
        return self.users * (self.profile.trace.buffer_bytes + self.graph_bytes)


class _Sum(NamedTuple):
    """What some of the networks take and cost together.

    Attributes:
        cost: latencies weighted by rates.
        shares: residents, per network.
    """

    resident_bytes: int
    cost: float
    shares: tuple[int, ...]


def plan_together(
    networks: Sequence[SharedNetwork], device: DeviceProfile, *, budget_bytes: int
) -> list[SwapPlan]:
    """Choose plans whose latencies, weighted by rates, have the smallest sum.

    See [Note: who gets what]. Layers are tiled as in `make_plan`, which is also what a single
    network gets. Where there is no room for CUDA graphs, there are none.

    Args:
        networks: that run one at a time, back to back.
        device: that they run on.
        budget_bytes: for buffers and graphs of all, the largest activation peak, one streaming
            region that all use in turn, and residents of all.

    Returns:
        One plan per network, in order. The budget of each is what it needs by itself: buffers,
        graphs, activations, the common streaming region and its residents.

    Raises:
        BudgetTooSmallError: not even the smallest tiles fit; carries `needed_bytes`.
    """
    if budget_bytes < _least_bytes(networks):
        networks = _without_graphs(networks)
    plans = _plan_within(networks, device, budget_bytes)
    return [
        replace(
            plan,
            graph_bytes=network.graph_bytes,
            budget_bytes=plan.budget_bytes + network.graph_bytes,
        )
        for plan, network in zip(plans, networks, strict=True)
    ]


def smallest_shared_budget_bytes(networks: Sequence[SharedNetwork]) -> int:
    """Return the smallest budget that `plan_together` accepts."""
    return _least_bytes(_without_graphs(networks))


def _plan_within(
    networks: Sequence[SharedNetwork], device: DeviceProfile, budget_bytes: int
) -> list[SwapPlan]:
    ceilings = activation_ceilings(_outlines(networks))
    _check_budget(networks, ceilings, budget_bytes)
    if len(networks) == 1:
        (alone,) = networks
        others_bytes = alone.buffer_bytes - alone.profile.trace.buffer_bytes
        return [make_plan(alone.profile, device, budget_bytes=budget_bytes - others_bytes)]
    filled = _fill_beside(networks, device, budget_bytes, ceilings.worth_trying)
    filled = filled or _fill_beside(networks, device, budget_bytes, [ceilings.tightest])
    weights = [network.weight for network in networks]
    candidates = min(filled, key=lambda found: _weighted_s(found, weights))
    stream_bytes = max((candidate.stream_bytes for candidate in candidates), default=0)
    return [
        candidate.to_plan(
            device,
            candidate.partition.outline.fixed_bytes + stream_bytes + candidate.resident_bytes,
        )
        for candidate in candidates
    ]


def _least_bytes(networks: Sequence[SharedNetwork]) -> int:
    """Return what networks need with the smallest tiles."""
    ceilings = activation_ceilings(_outlines(networks))
    return ceilings.least_bytes + _buffer_bytes(networks)


def _without_graphs(networks: Sequence[SharedNetwork]) -> list[SharedNetwork]:
    return [replace(network, graph_bytes=0) for network in networks]


def _buffer_bytes(networks: Sequence[SharedNetwork]) -> int:
    return sum(network.buffer_bytes for network in networks)


def _fill_beside(
    networks: Sequence[SharedNetwork],
    device: DeviceProfile,
    budget_bytes: int,
    ceilings: Sequence[int],
) -> list[list[Candidate]]:
    """Plan all networks for the best streaming regions beside so much for activations."""
    weights = [network.weight for network in networks]
    buffers, outlines = _buffer_bytes(networks), _outlines(networks)
    filled = []
    for ceiling in ceilings:
        room_bytes = (budget_bytes - buffers - ceiling) // PAGE_BYTES * PAGE_BYTES
        if sum(smallest_room(outlines_within(outlines, ceiling))) > room_bytes:
            continue
        curves = [curves_of(network.profile, device, ceiling) for network in networks]
        filled += [
            _fill(curves, weights, size, shares, room_bytes)
            for size, shares in _choose_shares(curves, weights, room_bytes)
        ]
    return filled


def _check_budget(networks: Sequence[SharedNetwork], ceilings: Ceilings, budget_bytes: int) -> None:
    needed_bytes = ceilings.least_bytes + _buffer_bytes(networks)
    if budget_bytes >= needed_bytes:
        return
    names = ", ".join(network.name for network in networks)
    raise BudgetTooSmallError(
        f"a budget of {format_size(budget_bytes)} is too small for {names}: the largest layer (or "
        f"its tiles), buffers and activations need {format_size(needed_bytes)} ({needed_bytes} "
        "bytes) at once",
        needed_bytes=needed_bytes,
        budget_bytes=budget_bytes,
    )


def _outlines(networks: Sequence[SharedNetwork]) -> list[tuple[Outline, ...]]:
    return [all_outlines(network.profile) for network in networks]


def _choose_shares(
    curves: Sequence[Curves], weights: Sequence[float], room_bytes: int
) -> list[tuple[int, tuple[int, ...]]]:
    """Return the best sizes of the streaming region, each with residents per network."""
    sums: dict[int, _Sum | None] = {}

    def rank(stream_bytes: int) -> tuple[float, int]:
        found = sums[stream_bytes]
        return (found.cost if found else math.inf, stream_bytes)

    def try_sizes(sizes: Iterable[int]) -> int:
        for size in sizes:
            if size not in sums and 0 <= size <= room_bytes:
                points = [curve.points(size) for curve in curves]
                sums[size] = _add_up(points, weights, room_bytes - size)
        return min(sums, key=rank)

    coarse = try_sizes(_coarse_sizes(curves, room_bytes))
    try_sizes(round_up(int(coarse * step)) for step in _FINE_STEPS)
    are_small = all(len(curve.outlines[0].atoms) <= FEW_ATOMS for curve in curves)
    finalists = _FINALISTS_OF_SMALL if are_small else _FINALISTS
    best = ((size, sums[size]) for size in sorted(sums, key=rank)[:finalists])
    return [(size, found.shares) for size, found in best if found is not None]


def _weighted_s(candidates: Sequence[Candidate], weights: Sequence[float]) -> float:
    pairs = zip(candidates, weights, strict=True)
    return sum(weight * cost_s(candidate) for candidate, weight in pairs)


def _coarse_sizes(curves: Sequence[Curves], room_bytes: int) -> list[int]:
    """Propose sizes of the streaming region: those that layers need, and some in between."""
    outlines = [curve.outlines for curve in curves]
    sizes = {0, smallest_room(outlines)[0], room_bytes, *(o[0].slot_bytes for o in outlines)}
    if all(len(o[0].atoms) <= ALL_LAYOUTS_ATOMS for o in outlines):
        sizes.update(itertools.chain.from_iterable(_subset_sums(o[0]) for o in outlines))
    largest_bytes = max(curve.used_bytes for curve in curves)
    size = float(_SMALLEST_STREAM_BYTES)
    while size < min(largest_bytes, room_bytes):
        sizes.add(round_up(int(size)))
        size *= _COARSE_STEP
    return sorted(sizes)


def _subset_sums(outline: Outline) -> set[int]:
    sizes = [atom.size_bytes for atom in outline.atoms if not atom.is_pinned]
    picks = itertools.product((False, True), repeat=len(sizes))
    return {sum(itertools.compress(sizes, pick)) for pick in picks}


def _add_up(
    curves: Sequence[Sequence[Point]], weights: Sequence[float], room_bytes: int
) -> _Sum | None:
    """Pick one point of each curve; None where not even the first ones fit."""
    sums = [_Sum(0, 0.0, ())]
    for points, weight in zip(curves, weights, strict=True):
        longer = [
            _Sum(
                one.resident_bytes + point.resident_bytes,
                one.cost + weight * point.cost_s,
                (*one.shares, point.resident_bytes),
            )
            for one in sums
            for point in points
            if one.resident_bytes + point.resident_bytes <= room_bytes
        ]
        sums = _thin(sorted(longer), room_bytes)
    return sums[-1] if sums else None


def _thin(sums: Iterable[_Sum], room_bytes: int) -> list[_Sum]:
    """Keep the cheapest of all that take no more, and of those one per stretch of bytes."""
    kept: list[_Sum] = []
    step_bytes = room_bytes // _MOST_SUMS
    stretch = -1
    for one in sums:
        if kept and one.cost >= kept[-1].cost:
            continue
        number = one.resident_bytes // max(1, step_bytes)
        if number == stretch and len(kept) > 1:
            kept[-1] = one
        else:
            kept.append(one)
        stretch = number
    return kept


def _fill(
    curves: Sequence[Curves],
    weights: Sequence[float],
    stream_bytes: int,
    shares: Sequence[int],
    room_bytes: int,
) -> list[Candidate]:
    """Plan all networks; what one leaves of its share goes to the next, high rates first."""
    spare_bytes = room_bytes - stream_bytes - sum(shares)
    found: dict[int, Candidate] = {}
    for number in sorted(range(len(curves)), key=lambda number: -weights[number]):
        share_bytes = shares[number] + spare_bytes
        found[number] = curves[number].best(stream_bytes, share_bytes)
        spare_bytes = share_bytes - found[number].resident_bytes
    return _fastest_to_highest_rate(curves, weights, found)


def _fastest_to_highest_rate(
    curves: Sequence[Curves], weights: Sequence[float], found: Mapping[int, Candidate]
) -> list[Candidate]:
    """Let equal networks trade plans: what was left over may have made a low rate the fastest."""
    equals: dict[Curves, list[int]] = {}
    for number, curve in enumerate(curves):
        equals.setdefault(curve, []).append(number)
    traded = dict(found)
    for numbers in equals.values():
        by_rate = sorted(numbers, key=lambda number: -weights[number])
        by_cost = sorted((found[n] for n in numbers), key=cost)
        traded.update(zip(by_rate, by_cost, strict=True))
    return [traded[number] for number in range(len(curves))]
