"""Lane lines as columns at rows: read off points and masks, and the area between two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TUSIMPLE_ROWS = tuple(range(160, 720, 10))
"""The rows of TuSimple's images (1280x720 pixels) in which lanes are labelled."""

Columns = NDArray[np.float64]


def columns_at(points: NDArray[np.floating], rows: Sequence[float]) -> Columns:
    """Read a lane's columns off at given rows.

    Args:
        points: float [N, 2], x and y in pixels, y rising or falling.
        rows: pixels.

    Returns:
        float64, one column in pixels for each row, interpolated between the points; NaN beyond the
        lane's ends.
    """
    if not len(points):
        return np.full(len(rows), np.nan)
    order = np.argsort(points[:, 1], kind="stable")
    x, y = points[order].astype(np.float64).T
    return np.interp(np.asarray(rows, dtype=np.float64), y, x, left=np.nan, right=np.nan)


def columns_of_mask(mask: NDArray[np.bool_]) -> Columns:
    """The middle column of a marked lane in each row of its mask.

    Args:
        mask: bool [H, W].

    Returns:
        float64 [H], in pixels, 0 at the left border; NaN in rows without the lane.
    """
    counts = mask.sum(axis=1)
    centres = mask @ (np.arange(mask.shape[1]) + 0.5)
    return np.divide(centres, counts, out=np.full(len(mask), np.nan), where=counts > 0)


def area_between(left: Columns, right: Columns, *, width: int) -> NDArray[np.bool_]:
    """The pixels between two lanes.

    Args:
        left: float64 [H], columns in pixels; NaN in rows without the lane.
        right: likewise.
        width: of the image, in pixels.

    Returns:
        bool [H, width]: pixels whose centres lie between the two; none where a lane is missing.
    """
    centres = np.arange(width) + 0.5
    area: NDArray[np.bool_] = (centres >= left[:, None]) & (centres <= right[:, None])
    return area
