"""The search for the highest rate of playing that the nodes keep up with. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from swapnet_ros.evaluation.drop_limit import DROP_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One play.

    Attributes:
        rate: bag seconds per second.
        drop_share: of the images, those that the nodes could not answer, 0..1.
    """

    rate: float
    drop_share: float

    @property
    def is_kept_up(self) -> bool:
        """Whether less was dropped than is allowed."""
        return self.drop_share < DROP_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBounds:
    """Where and for how long to search.

    Attributes:
        lowest: rate below which nothing is tried.
        highest: rate above which nothing is tried.
        most_plays: of them in all.
        precision: the search ends where the lowest rate that was too fast is at most so many times
            the highest one that was not.
    """

    lowest: float = 1 / 16
    highest: float = 16.0
    most_plays: int = 10
    precision: float = 1.1


def next_rate(trials: Sequence[Trial], bounds: SearchBounds, *, start: float = 1.0) -> float | None:
    """Say which rate to try next; None where the search is over.

    Doubles or halves the rate until there is one that is kept up with and one that is not, then
    takes the geometric mean of the nearest two. A rate above one that was too fast is not tried,
    even where it was kept up with: chance may let a short play through.

    Args:
        trials: so far.
        bounds: of the search.
        start: the first rate, within the bounds.
    """
    if not trials:
        return min(max(start, bounds.lowest), bounds.highest)
    if len(trials) >= bounds.most_plays:
        return None
    good, bad = highest_kept_up(trials), _lowest_too_fast(trials)
    if bad is None:
        return None if good == bounds.highest else min(bounds.highest, good * 2)
    if good is None:
        return None if bad == bounds.lowest else max(bounds.lowest, bad / 2)
    return None if bad / good <= bounds.precision else math.sqrt(good * bad)


def highest_kept_up(trials: Sequence[Trial]) -> float | None:
    """The highest rate that was kept up with, below all that were not; None where there is none."""
    bad = _lowest_too_fast(trials)
    rates = (trial.rate for trial in trials if trial.is_kept_up)
    return max((rate for rate in rates if bad is None or rate < bad), default=None)


def describe_search(trials: Sequence[Trial], bounds: SearchBounds) -> str:
    """Say in a sentence what was found, and why the search ended."""
    good, bad = highest_kept_up(trials), _lowest_too_fast(trials)
    limit = f"under {DROP_LIMIT:.0%} drops"
    if good is None:
        return f"{limit} at no rate that was tried; the lowest was {min(t.rate for t in trials):g}"
    found = f"{limit} up to rate {good:.3g}"
    if bad is None:
        return f"{found}, the highest that was tried; the search goes up to {bounds.highest:g}"
    if bad / good > bounds.precision:
        return f"{found}, and not at {bad:.3g}; the search ended after {len(trials)} plays"
    return f"{found}, and not at {bad:.3g}"


def _lowest_too_fast(trials: Sequence[Trial]) -> float | None:
    return min((trial.rate for trial in trials if not trial.is_kept_up), default=None)
