from __future__ import annotations

import numpy as np

from swapnet_ros.evaluation.truth.lane_columns import (
    TUSIMPLE_ROWS,
    area_between,
    columns_at,
    columns_of_mask,
)


def test_tusimples_rows():
    assert (TUSIMPLE_ROWS[0], TUSIMPLE_ROWS[-1], len(TUSIMPLE_ROWS)) == (160, 710, 56)


def test_columns_are_read_off_between_points_only():
    points = np.array([(10, 30), (20, 20), (20, 10)], np.float32)  # from near to far

    columns = columns_at(points, (0, 10, 15, 25, 30, 31))

    np.testing.assert_allclose(columns, [np.nan, 20, 20, 15, 10, np.nan])
    assert np.isnan(columns_at(np.empty((0, 2), np.float32), (1, 2))).all()


def test_an_area_between_two_marked_lanes():
    mask = np.zeros((3, 8), bool)
    mask[0, 1:3] = mask[1, 2] = True

    left = columns_of_mask(mask)

    np.testing.assert_allclose(left, [2.0, 2.5, np.nan])
    area = area_between(left, np.array([5.0, np.nan, 5.0]), width=8)
    np.testing.assert_array_equal(np.flatnonzero(area), [2, 3, 4])
