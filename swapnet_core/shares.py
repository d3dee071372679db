"""Split one budget among networks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swapnet_core.errors import BudgetTooSmallError
from swapnet_core.planner import make_plan, smallest_budget_bytes
from swapnet_core.sizes import format_size
from swapnet_core.specs import DeviceProfile, NetworkProfile, SwapPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one network can use.

    Attributes:
        floor_bytes: it cannot run with less.
        ceiling_bytes: it gains nothing from more.
    """

    name: str
    floor_bytes: int
    ceiling_bytes: int


def split_budget(budget_bytes: int, claims: Sequence[Claim]) -> list[int]:
    """Give each network its floor, and the rest in proportion to what it still lacks.

    Args:
        budget_bytes: what can be given away in all.
        claims: one per network.

    Returns:
        Shares in the order of the claims; their sum is at most `budget_bytes`, and each lies
        between its claim's floor and ceiling.

    Raises:
        BudgetTooSmallError: the floors alone are more than the budget.
    """
    floors = sum(claim.floor_bytes for claim in claims)
    if floors > budget_bytes:
        names = ", ".join(claim.name for claim in claims)
        raise BudgetTooSmallError(
            f"a budget of {format_size(budget_bytes)} is too small for {names}: together they "
            f"need at least {format_size(floors)} ({floors} bytes)",
            needed_bytes=floors,
            budget_bytes=budget_bytes,
        )
    lack = sum(claim.ceiling_bytes - claim.floor_bytes for claim in claims)
    spare = min(budget_bytes - floors, lack)
    return [
        claim.floor_bytes + (claim.ceiling_bytes - claim.floor_bytes) * spare // max(lack, 1)
        for claim in claims
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedNetwork:
    """A network among others."""

    name: str
    profile: NetworkProfile
    rate_hz: float | None


def plan_together(
    networks: Sequence[SharedNetwork], device: DeviceProfile, *, budget_bytes: int
) -> list[SwapPlan]:
    """Interim."""
    traces = [n.profile.trace for n in networks]
    fixed = sum(t.buffer_bytes for t in traces) + max(t.activation_bytes for t in traces)
    claims = []
    for n in networks:
        own = n.profile.trace.buffer_bytes + n.profile.trace.activation_bytes
        floor = smallest_budget_bytes(n.profile) - own
        claims.append(
            Claim(name=n.name, floor_bytes=floor, ceiling_bytes=max(floor, n.profile.weight_bytes))
        )
    floors = sum(c.floor_bytes for c in claims)
    if fixed + floors > budget_bytes:
        names = ", ".join(n.name for n in networks)
        raise BudgetTooSmallError(
            f"a budget of {format_size(budget_bytes)} is too small for {names}: activations, "
            f"buffers and the largest layers need {format_size(fixed + floors)} "
            f"({fixed + floors} bytes)",
            needed_bytes=fixed + floors,
            budget_bytes=budget_bytes,
        )
    shares = split_budget(budget_bytes - fixed, claims)
    return [
        make_plan(
            n.profile,
            device,
            budget_bytes=s + n.profile.trace.buffer_bytes + n.profile.trace.activation_bytes,
        )
        for n, s in zip(networks, shares, strict=True)
    ]


def smallest_shared_budget_bytes(networks: Sequence[SharedNetwork]) -> int:
    """Interim."""
    traces = [n.profile.trace for n in networks]
    fixed = sum(t.buffer_bytes for t in traces) + max(t.activation_bytes for t in traces)
    return fixed + sum(
        smallest_budget_bytes(n.profile)
        - n.profile.trace.buffer_bytes
        - n.profile.trace.activation_bytes
        for n in networks
    )
