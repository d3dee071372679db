"""Turn a budget into a plan. Pure: equal inputs give equal plans.

Networks of a few layers get the best of all plans (`exhaustive`), others the best that `search`
finds. Layers are cut into tiles only where the budget forces it (see `make_plan`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from swapnet_core.atoms import SMALLEST_TILE_BYTES, Outline, outline_network, tile_limits_bytes
from swapnet_core.candidates import Candidate, Room
from swapnet_core.errors import BudgetTooSmallError
from swapnet_core.exhaustive import ALL_LAYOUTS_ATOMS, ALL_RESIDENTS_ATOMS, try_all
from swapnet_core.search import least_latency_s, refine, scout, search
from swapnet_core.sizes import MIB, format_size
from swapnet_core.specs import PAGE_BYTES, DeviceProfile, NetworkProfile, SwapPlan, round_up

GAIN_OF_TILES = 1.03
"""Layers stay whole unless tiles make an inference faster by this factor."""

_REFINEMENT = 1.03
"""How far above the result of `refine` that of `scout` may be."""
_GOOD_ENOUGH = 1.005
"""Finer tiles are not tried where less than this could be gained."""

_TRIES_IN_VAIN = 2
"""After so many finer tilings that gained nothing no further one is tried."""

_MOST_ATOMS_FOR_GAIN = 450
"""Where a plan is found already, tilings of more atoms are not tried: that takes too long."""

_WORTH_CUTTING_BYTES = MIB
_MOST_OF_THE_GAIN = 0.9

_NETWORKS = 16
_TILES_PER_ROOM = (2, 4, 8, 16)


def smallest_budget_bytes(profile: NetworkProfile) -> int:
    """Return the smallest budget that `make_plan` accepts for a network, with tiles if need be."""
    ceilings = activation_ceilings([all_outlines(profile)])
    return ceilings.least_bytes + profile.trace.buffer_bytes


@lru_cache(maxsize=_NETWORKS)
def all_outlines(profile: NetworkProfile) -> tuple[Outline, ...]:
    """Outline a network with whole layers, and after that with finer and finer tiles."""
    tiled = (
        outline_network(profile, tile_above_bytes=limit) for limit in tile_limits_bytes(profile)
    )
    return (outline_network(profile), *(outline for outline in tiled if outline.is_tiled))


class Ceilings(NamedTuple):
    """Ceilings for the activation peak that networks share.

    Cutting layers lowers what their operators hold beside them, and leaves more to the weights.

    Attributes:
        worth_trying: the peak with whole layers; and if tiles lower it, one with tiles that are no
            finer than most of that takes.
        tightest: with it the networks fit into the smallest budget.
        least_bytes: of that budget, without buffers.
    """

    worth_trying: tuple[int, ...]
    tightest: int
    least_bytes: int


def activation_ceilings(networks: Sequence[Sequence[Outline]]) -> Ceilings:
    """Propose ceilings for activations, given the outlines of each network, whole layers first."""
    peaks = [[outline.activation_bytes for outline in outlines] for outlines in networks]
    most = max((found[0] for found in peaks), default=0)
    least = max((min(found) for found in peaks), default=0)
    needs = [[_Need.of(outline) for outline in outlines] for outlines in networks]
    options = {peak for found in peaks for peak in found if least <= peak <= most} | {most}
    least_bytes, tightest = min(
        (ceiling + sum(_smallest_room(needs, ceiling)), ceiling) for ceiling in options
    )
    worth_trying = {most}
    if most - least >= _WORTH_CUTTING_BYTES:
        enough = most - int(_MOST_OF_THE_GAIN * (most - least))
        worth_trying.add(max(max(peak for peak in found if peak <= enough) for found in peaks))
    return Ceilings(tuple(sorted(worth_trying, reverse=True)), tightest, least_bytes)


def outlines_within(
    networks: Sequence[Sequence[Outline]], activation_bytes: int
) -> list[list[Outline]]:
    """Leave out the outlines that need more for activations."""
    return [[o for o in each if o.activation_bytes <= activation_bytes] for each in networks]


def smallest_room(networks: Sequence[Sequence[Outline]]) -> tuple[int, int]:
    """Return streaming region and pinned bytes with the smallest sum."""
    needs = [[_Need.of(outline) for outline in outlines] for outlines in networks]
    return _smallest_room(
        needs, max((need.activation_bytes for n in needs for need in n), default=0)
    )


class _Need(NamedTuple):
    """What an outline needs at least."""

    activation_bytes: int
    slot_bytes: int
    pinned_bytes: int

    @classmethod
    def of(cls, outline: Outline) -> _Need:
        return cls(outline.activation_bytes, outline.slot_bytes, outline.pinned_bytes)


def _smallest_room(networks: Sequence[Sequence[_Need]], activation_bytes: int) -> tuple[int, int]:
    within = [[n for n in needs if n.activation_bytes <= activation_bytes] for needs in networks]
    rooms = []
    for stream_bytes in {need.slot_bytes for needs in within for need in needs}:
        pinned = [
            [n.pinned_bytes for n in needs if n.slot_bytes <= stream_bytes] for needs in within
        ]
        if all(pinned):
            rooms.append((stream_bytes, sum(min(choices) for choices in pinned)))
    return min(rooms, key=lambda room: (sum(room), room), default=(0, 0))


def cost(candidate: Candidate) -> tuple[float, tuple[float, int, int, int]]:
    """Rank plans for different outlines: those with tiles count as if these had gained nothing."""
    return cost_s(candidate), candidate.rank


def cost_s(candidate: Candidate) -> float:
    """Return the latency; that of a plan with tiles as if they had gained nothing."""
    latency_s = candidate.timeline.latency_s
    return latency_s * GAIN_OF_TILES if candidate.partition.outline.is_tiled else latency_s


def make_plan(profile: NetworkProfile, device: DeviceProfile, *, budget_bytes: int) -> SwapPlan:
    """Choose blocks, residents and slots with the smallest predicted latency inside a budget.

    Tiles may change the last bits of an output. So layers are cut only where nothing else fits
    into the budget, or where that makes the predicted latency at least 3 % shorter.

    Args:
        profile: layers in execution order, with bytes and compute times.
        device: read bandwidth and latency, and the slow-down of compute while reading.
        budget_bytes: ceiling for slots, residents, buffers and the activation peak.

    Returns:
        A plan with `peak_bytes <= budget_bytes`.

    Raises:
        BudgetTooSmallError: what must be in memory at once, with the smallest tiles, does not
            fit; carries `needed_bytes`.

    Source:
        Wang et al., SwapNet, IEEE TMC 2024: partition by overlap of swap and execution.
    """
    best = find_best(profile, device, budget_bytes=budget_bytes)
    if best is None:
        needed_bytes = smallest_budget_bytes(profile)
        raise BudgetTooSmallError(
            f"a budget of {format_size(budget_bytes)} is too small: the largest layer (or its "
            f"tiles), buffers and activations need {format_size(needed_bytes)} ({needed_bytes} "
            "bytes) at once",
            needed_bytes=needed_bytes,
            budget_bytes=budget_bytes,
        )
    return best.to_plan(device, budget_bytes)


def find_best(
    profile: NetworkProfile, device: DeviceProfile, *, budget_bytes: int
) -> Candidate | None:
    """Find what `make_plan` writes down as a plan; None where nothing fits."""
    ceilings = activation_ceilings([all_outlines(profile)])
    free_bytes = budget_bytes - profile.trace.buffer_bytes
    best = None
    for activation_bytes in ceilings.worth_trying:
        if best is None or _may_gain(best, device, free_bytes - activation_bytes):
            found = _choose_beside(profile, device, free_bytes, activation_bytes)
            best = min((c for c in (best, found) if c is not None), key=cost, default=None)
    return best or _choose_beside(profile, device, free_bytes, ceilings.tightest)


def _choose_beside(
    profile: NetworkProfile, device: DeviceProfile, free_bytes: int, activation_bytes: int
) -> Candidate | None:
    """Find the best plan for the slots that remain beside so much for activations."""
    room_bytes = (free_bytes - activation_bytes) // PAGE_BYTES * PAGE_BYTES
    if room_bytes < 0:
        return None
    room = Room(
        stream_bytes=room_bytes,
        resident_bytes=room_bytes,
        total_bytes=room_bytes,
        activation_bytes=activation_bytes,
    )
    return choose(profile, device, room)


def choose(profile: NetworkProfile, device: DeviceProfile, room: Room) -> Candidate | None:
    """Find the best candidate for a room; None where nothing fits.

    See `make_plan` for when layers are tiled.
    """
    whole = replace(all_outlines(profile)[0], shares_stream=room.is_shared)
    best = _best(whole, device, room) if room.lets(whole) else None
    below_s = math.inf
    held_bytes = room.resident_bytes if room.is_shared else room.total_bytes
    least_s = least_latency_s(whole.compute_s, whole.used_bytes - held_bytes, device)
    if best is not None:
        below_s = best.timeline.latency_s / GAIN_OF_TILES
    if below_s <= least_s:
        return best
    tiled = _scout_tilings(profile, device, room, below_s, least_s)
    if tiled is not None:
        tiled = refine(tiled, device, room)
        if tiled.timeline.latency_s < below_s:
            return tiled
    return best


def _may_gain(best: Candidate, device: DeviceProfile, room_bytes: int) -> bool:
    """Tell whether more room could be worth (further) tiles."""
    outline = best.partition.outline
    least_s = least_latency_s(outline.untiled_compute_s, outline.used_bytes - room_bytes, device)
    return best.timeline.latency_s > least_s * (_GOOD_ENOUGH if outline.is_tiled else GAIN_OF_TILES)


def _scout_tilings(
    profile: NetworkProfile, device: DeviceProfile, room: Room, below_s: float, least_s: float
) -> Candidate | None:
    """Try coarser, then finer tiles; return the best that may, refined, be fast enough."""
    best, in_vain = None, 0
    below_s *= _REFINEMENT
    for outline in _tilings(profile, room):
        if below_s < math.inf and len(outline.atoms) > _MOST_ATOMS_FOR_GAIN:
            break  # the next ones have still more
        outline = replace(outline, shares_stream=room.is_shared)
        if len(outline.atoms) <= ALL_RESIDENTS_ATOMS:
            tiled = _best(outline, device, room)
        else:
            tiled = scout(outline, device, room, below_s=below_s)
        if tiled is not None and tiled.timeline.latency_s < below_s:
            best, below_s, in_vain = tiled, tiled.timeline.latency_s, 0
        else:
            in_vain += 1
        if below_s <= least_s * _GOOD_ENOUGH or in_vain == _TRIES_IN_VAIN:
            break
    return best


def _best(outline: Outline, device: DeviceProfile, room: Room) -> Candidate | None:
    atoms = len(outline.atoms)
    if atoms <= ALL_LAYOUTS_ATOMS:
        return try_all(outline, device, room)
    found = [search(outline, device, room)]
    if atoms <= ALL_RESIDENTS_ATOMS:
        found.append(try_all(outline, device, room))
    candidates = [candidate for candidate in found if candidate is not None]
    return min(candidates, key=lambda candidate: candidate.rank, default=None)


def _tilings(profile: NetworkProfile, room: Room) -> list[Outline]:
    """Propose ways to tile that fit into a room."""
    limits = {
        max(SMALLEST_TILE_BYTES, round_up(room.stream_bytes // tiles)) for tiles in _TILES_PER_ROOM
    }
    proposed = [
        outline_network(profile, tile_above_bytes=limit) for limit in sorted(limits, reverse=True)
    ]
    fitting = [outline for outline in proposed if _fits(outline, room)]
    if fitting:
        return fitting
    return [outline for outline in all_outlines(profile) if _fits(outline, room)]


def _fits(outline: Outline, room: Room) -> bool:
    return (
        outline.is_tiled
        and room.lets(outline)
        and outline.needed_bytes <= room.total_bytes
        and outline.pinned_bytes <= room.resident_bytes
        and outline.slot_bytes <= room.stream_bytes
    )
