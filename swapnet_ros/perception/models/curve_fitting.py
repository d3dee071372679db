"""A curve through the points of a lane that leaves out the points that are not the lane's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

_TRIED_POINTS = 8
_REJECTION_STEPS = 5
_DEVIATION_OF_MEDIAN = 1.4826  # of a normal distribution
_REJECTED_DEVIATIONS = 2.5

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """A polynomial that gives a column for each row.

    Attributes:
        coefficients: float64 [degree + 1], the highest power first, of the normalised row.
        centre: the row that becomes 0.
        half_span: rows that become 1.
        is_inlier: bool, for each point that it was fitted to: the point counted.
    """

    coefficients: Floats
    centre: float
    half_span: float
    is_inlier: NDArray[np.bool_]

    def columns_at(self, rows: Floats) -> Floats:
        """Columns in pixels, float64, for rows in pixels."""
        return np.polyval(self.coefficients, (rows - self.centre) / self.half_span)


def fit_curve(
    rows: Floats, columns: Floats, weights: Floats, *, degree: int, tolerance: float
) -> Curve | None:
    """Fit a polynomial `column(row)` by weighted least squares, without outliers.

    It starts from a curve with a small median of the deviations, which no points that are the fewer
    can pull over; then points beyond 2.5 robust standard deviations are left out and the rest
    fitted again until nothing changes.

    Args:
        rows: float64 [N], in pixels, in any order.
        columns: float64 [N], in pixels.
        weights: float64 [N], positive.
        degree: of the polynomial; with fewer distinct rows than it needs, as many as there are.
        tolerance: pixels; a point that is this close is no outlier, however well others fit.

    Returns:
        The curve; None with less than two distinct rows, or where less than half of the points
        lie on one curve.

    Source:
        Rousseeuw: Least Median of Squares Regression, JASA 79, 1984: the start from curves through
        few points, reweighting after it, and the limit of 2.5.
    """
    distinct, tried = np.unique(rows, return_index=True)
    if len(distinct) < 2:
        return None
    centre, half_span = (rows.max() + rows.min()) / 2, (rows.max() - rows.min()) / 2
    powers = np.vander((rows - centre) / half_span, min(degree, len(distinct) - 1) + 1)
    deviations = _start(powers, columns, tried)
    kept = np.zeros(len(rows), dtype=bool)
    for _ in range(_REJECTION_STEPS):
        spread = _DEVIATION_OF_MEDIAN * float(np.median(deviations))
        near = deviations <= max(_REJECTED_DEVIATIONS * spread, tolerance)
        if np.array_equal(near, kept) or len(np.unique(rows[near])) < powers.shape[1]:
            break
        kept = near
        coefficients = _least_squares(powers[kept], columns[kept], weights[kept])
        deviations = np.abs(columns - powers @ coefficients)
    if 2 * np.count_nonzero(kept) < len(rows):
        return None
    return Curve(
        coefficients=coefficients, centre=float(centre), half_span=float(half_span), is_inlier=kept
    )


def _start(powers: Floats, columns: Floats, tried: NDArray[np.int64]) -> Floats:
    """Deviations from the curve through a few of the points that has the smallest median of them.

    Args:
        powers: float64 [N, degree + 1].
        columns: float64 [N].
        tried: indices of points in distinct rows, by row: curves go through all choices from two
            sets of them, each spread evenly.
    """
    subsets = []
    for shift in (0.25, 0.75):
        places = (np.arange(_TRIED_POINTS) + shift) * len(tried) / _TRIED_POINTS
        points = np.unique(tried[places.astype(np.int64)]).tolist()
        subsets.extend(combinations(points, powers.shape[1]))
    chosen = np.array(subsets)
    curves = np.linalg.solve(powers[chosen], columns[chosen][..., None])
    deviations = np.abs(columns - (powers @ curves)[..., 0])
    best: Floats = deviations[np.median(deviations, axis=1).argmin()]
    return best


def _least_squares(powers: Floats, columns: Floats, weights: Floats) -> Floats:
    roots = np.sqrt(weights)
    solution: Floats = np.linalg.lstsq(powers * roots[:, None], columns * roots, rcond=None)[0]
    return solution
