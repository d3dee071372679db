"""Numbers with their units, as the report writes them; what was not measured is a dash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swapnet_core.sizes import format_size

NOT_MEASURED = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
MS_PER_S = 1e3
NS_PER_S = 1_000_000_000


def milliseconds(duration_s: float | None) -> str:
    """Write a time."""
    return NOT_MEASURED if duration_s is None else f"{duration_s * MS_PER_S:,.1f} ms"


def size(size_bytes: float | None) -> str:
    """Write an amount of memory."""
    return NOT_MEASURED if size_bytes is None else format_size(size_bytes)


def percent(share: float | None) -> str:
    """Write a part of a whole."""
    return NOT_MEASURED if share is None else f"{share:.1%}"


def ratio(one: float | None, other: float | None) -> str:
    """Write how many times as large the first is as the second."""
    return f"{one / other:.2f}" if one is not None and other else NOT_MEASURED


def number(value: float | None) -> str:
    """Write a count, or a figure without a unit, with four digits."""
    if value is None:
        return NOT_MEASURED
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def counted(count: int, thing: str) -> str:
    """Write how many there are of a thing: `1 frame`, `2 frames`."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def quantile(distribution: Mapping[str, Any] | None, key: str) -> float | None:
    """One figure of a distribution; None where there is none."""
    return None if distribution is None else distribution.get(key)
