"""Follow the memory that a system has free: which budget leaves a margin of it. Pure.

[Note: hysteresis]
Too little free memory can end in a kill, so the budget goes down at once, all the way. It goes up
in steps, after a calm time: memory that was given back by somebody may be wanted again soon, and
every change makes plans anew and reads residents. Small differences are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swapnet_core.errors import InputError
from swapnet_core.sizes import MIB, format_size
from swapnet_core.system_memory import MemoryBound

CALM_S = 5.0
"""How long there must be room, without pressure, before each step up."""

_MARGIN_SHARE = 0.1
_LEAST_MARGIN_BYTES = 128 * MIB
_MOST_MARGIN_SHARE = 0.25  # of small limits, of which 128 MiB would be too large a part
_IGNORED_SHARE = 0.05
_STEP_SHARE = 0.25
_PRESSURE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where the follower stands.

    Attributes:
        budget_bytes: the budget in force.
        calm_s: for how long there has been room for more, without pressure.
    """

    budget_bytes: int
    calm_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What one ceiling leaves for the core.

    Attributes:
        budget_bytes: with this budget the margin stays free; may be negative.
        is_pressed: processes wait for memory under this ceiling.
        reason: the figures in words.
    """

    budget_bytes: int
    is_pressed: bool
    reason: str


def start_position(bounds: Sequence[MemoryBound], held_bytes: int = 0) -> Position:
    """Choose the first budget.

    Args:
        bounds: every ceiling over this process, as of now.
        held_bytes: what the core holds already of the memory that is not free.

    Raises:
        InputError: the system does not tell how much memory it has free.
    """
    if not bounds:
        raise InputError(
            "this system does not tell how much memory it has free (no /proc/meminfo), so the "
            "budget cannot be 'auto'; give a size, e.g. '96MiB'"
        )
    return Position(budget_bytes=max(1, tightest(bounds, held_bytes).budget_bytes))


def follow(
    position: Position,
    bounds: Sequence[MemoryBound],
    *,
    held_bytes: int,
    smallest_bytes: int,
    elapsed_s: float,
) -> Position:
    """Decide the next budget.

    Args:
        position: of the time before.
        bounds: every ceiling over this process, as of now.
        held_bytes: what the core holds of the memory that is not free.
        smallest_bytes: what the loaded networks need at least.
        elapsed_s: since the decision before.

    Returns:
        The position with a smaller budget at once where a margin is violated; with a larger one,
        by a quarter at most, after a calm time; else with the same. Never below `smallest_bytes`.
    """
    if not bounds:
        return Position(budget_bytes=position.budget_bytes)
    now_bytes = position.budget_bytes
    wanted_bytes = max(tightest(bounds, held_bytes).budget_bytes, smallest_bytes, 1)
    if wanted_bytes < now_bytes * (1 - _IGNORED_SHARE) or now_bytes < smallest_bytes:
        return Position(budget_bytes=wanted_bytes)
    is_pressed = any(room_under(bound, held_bytes).is_pressed for bound in bounds)
    if is_pressed or wanted_bytes <= now_bytes * (1 + _IGNORED_SHARE):
        return Position(budget_bytes=now_bytes)
    calm_s = position.calm_s + elapsed_s
    if calm_s < CALM_S:
        return Position(budget_bytes=now_bytes, calm_s=calm_s)
    step_bytes = int(now_bytes * _STEP_SHARE) + 1
    return Position(budget_bytes=min(wanted_bytes, now_bytes + step_bytes))


def tightest(bounds: Sequence[MemoryBound], held_bytes: int) -> Room:
    """Find the ceiling that leaves the least."""
    rooms = [room_under(bound, held_bytes) for bound in bounds]
    return min(rooms, key=lambda room: room.budget_bytes)


def room_under(bound: MemoryBound, held_bytes: int) -> Room:
    """Say which budget keeps a margin under one ceiling; under pressure, twice the margin."""
    margin_bytes = margin_of(bound.limit_bytes)
    is_pressed = bound.pressure >= _PRESSURE
    if is_pressed:
        margin_bytes *= 2
    reason = (
        f"{bound.source} has {format_size(bound.free_bytes)} of "
        f"{format_size(bound.limit_bytes)} free, beside a margin of {format_size(margin_bytes)}"
    )
    if is_pressed:
        reason += f", and a memory pressure of {bound.pressure:.0%}"
    budget_bytes = held_bytes + bound.free_bytes - margin_bytes
    return Room(budget_bytes=budget_bytes, is_pressed=is_pressed, reason=reason)


def margin_of(limit_bytes: int) -> int:
    """Return what is to stay free: a tenth, at least 128 MiB, of small limits a quarter."""
    margin_bytes = max(int(limit_bytes * _MARGIN_SHARE), _LEAST_MARGIN_BYTES)
    return min(margin_bytes, int(limit_bytes * _MOST_MARGIN_SHARE))
