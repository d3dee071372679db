"""Long records as few points: a report of ten thousand frames is as small as one of a hundred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_POINTS = 240
_BINS = 36
_FAR_OUT = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinned:
    """A record in stretches of equal length, each with its least, middle and largest value.

    Attributes:
        places: the middle of every stretch on the record's own axis.
        stretch: how many values there are in one; 1 where nothing was left out.
    """

    places: NDArray[np.float64]
    least: NDArray[np.float64]
    middle: NDArray[np.float64]
    largest: NDArray[np.float64]
    stretch: int


def thin(places: Sequence[float], values: Sequence[float]) -> Thinned:
    """Bring a record down to `MOST_POINTS` stretches at most.

    Args:
        places: rising, one for each value; at least one.
        values: what was measured there.
    """
    stretch = -(-len(values) // MOST_POINTS)
    begins = range(0, len(values), stretch)
    at, found = np.asarray(places, dtype=float), np.asarray(values, dtype=float)
    parts = [slice(begin, begin + stretch) for begin in begins]
    return Thinned(
        places=np.array([at[part].mean() for part in parts]),
        least=np.array([found[part].min() for part in parts]),
        middle=np.array([np.median(found[part]) for part in parts]),
        largest=np.array([found[part].max() for part in parts]),
        stretch=stretch,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """How often values lie where.

    Attributes:
        edges: of the bins, one more than there are bins.
        counts: how many values of the first record lie in each.
        beyond: how many of them lie beyond the last edge; they count in the last bin.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    beyond: int


def count_in_bins(records: Sequence[Sequence[float]]) -> Bins:
    """Count the values of the first record, in bins that reach over all records.

    A few values that are far out would squeeze all the others into one bin. Bins therefore end at
    twice the 98th percentile, where that is less than the largest value.

    Args:
        records: the first one is the one that matters; none is empty.
    """
    arrays = [np.asarray(record, dtype=float) for record in records]
    high = max(min(array.max(), _FAR_OUT * np.quantile(array, 0.98)) for array in arrays)
    low = min(array.min() for array in arrays)
    edges = np.linspace(low, high if high > low else low + max(low, 1e-6) * 0.1, _BINS + 1)
    last = np.nextafter(edges[-1], edges[0])
    counts, _ = np.histogram(np.minimum(arrays[0], last), edges)
    return Bins(edges=edges, counts=counts, beyond=int((arrays[0] > edges[-1]).sum()))
