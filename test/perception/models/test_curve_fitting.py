from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapnet_ros.perception.models.curve_fitting import fit_curve


def _parabola(rows: np.ndarray) -> np.ndarray:
    return 40 + 0.8 * rows + 0.004 * rows**2


@given(
    outliers=st.sets(st.integers(0, 59), max_size=15),
    far=st.floats(15, 1000),
    seed=st.integers(0, 99),
)
def test_a_quarter_of_outliers_does_not_move_the_curve(outliers, far, seed):
    rows = np.arange(60.0)
    columns = _parabola(rows) + np.random.default_rng(seed).normal(0, 0.2, 60)
    columns[list(outliers)] += far

    curve = fit_curve(rows, columns, np.ones(60), degree=2, tolerance=1.0)

    np.testing.assert_allclose(curve.columns_at(rows), _parabola(rows), atol=0.7)
    assert not curve.is_inlier[list(outliers)].any()


def test_weights_count():
    rows = np.array([0.0, 0, 1, 1])
    columns = np.array([0.0, 1, 0, 1])

    curve = fit_curve(rows, columns, np.array([3.0, 1, 3, 1]), degree=1, tolerance=5.0)

    assert curve.columns_at(np.array([0.5]))[0] == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize(("count", "degree"), [(2, 1), (3, 2), (9, 2)])
def test_few_rows_give_a_lower_degree(count, degree):
    rows = np.arange(float(count))

    curve = fit_curve(rows, 2 * rows, np.ones(count), degree=2, tolerance=1.0)

    assert len(curve.coefficients) == degree + 1
    np.testing.assert_allclose(curve.columns_at(rows), 2 * rows, atol=1e-6)


def test_one_row_is_no_curve():
    assert fit_curve(np.zeros(3), np.arange(3.0), np.ones(3), degree=2, tolerance=1.0) is None
    assert fit_curve(np.zeros(0), np.zeros(0), np.ones(0), degree=2, tolerance=1.0) is None


def test_far_rows_are_fitted_as_well_as_near_ones():
    rows = 1e6 + np.arange(40.0)

    curve = fit_curve(rows, 3 * (rows - 1e6), np.ones(40), degree=2, tolerance=1.0)

    np.testing.assert_allclose(curve.columns_at(rows), 3 * np.arange(40.0), atol=1e-5)
