"""A curve through the points of a lane that leaves out the points that are not the lane's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_START_STEPS = 10
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

    It starts from the smallest sum of absolute deviations, which a few far points cannot pull over;
    then points beyond 2.5 robust standard deviations (of the median) are left out and the rest
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
        Rousseeuw, Leroy: Robust Regression and Outlier Detection, 1987, chapter 1: reweighting
        after a robust start, and the limit of 2.5.
    """
    distinct = len(np.unique(rows))
    if distinct < 2:
        return None
    centre, half_span = (rows.max() + rows.min()) / 2, (rows.max() - rows.min()) / 2
    powers = np.vander((rows - centre) / half_span, min(degree, distinct - 1) + 1)
    deviations = _start(powers, columns, weights, tolerance)
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


def _start(powers: Floats, columns: Floats, weights: Floats, tolerance: float) -> Floats:
    """Deviations from the curve with about the smallest sum of absolute deviations."""
    reweighted = weights
    for _ in range(_START_STEPS):
        deviations = np.abs(columns - powers @ _least_squares(powers, columns, reweighted))
        reweighted = weights / np.maximum(deviations, tolerance)
    return deviations


def _least_squares(powers: Floats, columns: Floats, weights: Floats) -> Floats:
    roots = np.sqrt(weights)
    solution: Floats = np.linalg.lstsq(powers * roots[:, None], columns * roots, rcond=None)[0]
    return solution
