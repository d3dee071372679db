"""Split one budget among networks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swapnet_core.errors import BudgetTooSmallError
from swapnet_core.sizes import format_size


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
