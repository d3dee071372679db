"""Splitting a budget among networks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapnet_core.errors import BudgetTooSmallError
from swapnet_core.shares import Claim, split_budget


@st.composite
def _claims(draw: st.DrawFn) -> list[Claim]:
    sizes = draw(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), max_size=6))
    return [
        Claim(name=f"n{index}", floor_bytes=floor, ceiling_bytes=floor + more)
        for index, (floor, more) in enumerate(sizes)
    ]


@given(_claims(), st.integers(0, 8000))
def test_shares_lie_between_floor_and_ceiling_and_inside_the_budget(
    claims: list[Claim], budget_bytes: int
) -> None:
    floors = sum(claim.floor_bytes for claim in claims)
    if floors > budget_bytes:
        with pytest.raises(BudgetTooSmallError) as refused:
            split_budget(budget_bytes, claims)
        assert refused.value.needed_bytes == floors
        assert len(split_budget(floors, claims)) == len(claims)
        return
    shares = split_budget(budget_bytes, claims)
    assert sum(shares) <= budget_bytes
    for share, claim in zip(shares, claims, strict=True):
        assert claim.floor_bytes <= share <= claim.ceiling_bytes


@given(_claims())
def test_room_for_all_ceilings_gives_all_ceilings(claims: list[Claim]) -> None:
    ceilings = [claim.ceiling_bytes for claim in claims]
    assert split_budget(sum(ceilings), claims) == ceilings
