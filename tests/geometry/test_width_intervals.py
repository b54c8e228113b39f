"""Intervals are widened by factors, and never narrower than nothing."""

from __future__ import annotations

import numpy as np
import pytest

from crackscope.geometry.width_intervals import ALONG_CRACKS, SINGLE_PROFILES, IntervalScale, resolution_limit, widened


def test_factors_of_one_change_nothing() -> None:
    same = IntervalScale((1.0,), (1.0,), (1.0,), (0.0, 0.0))
    low, high = widened(np.array([2.0, 0.5]), np.array([1.0, 0.3]), np.array([3.0, 1.0]), same)
    np.testing.assert_allclose([low, high], [[1.0, 0.3], [3.0, 1.0]])


def test_a_low_bound_near_nothing_is_nothing() -> None:
    low, _ = widened(np.array([0.3]), np.array([0.1]), np.array([0.5]), SINGLE_PROFILES)
    assert low[0] == 0


@pytest.mark.parametrize("scale", [SINGLE_PROFILES, ALONG_CRACKS])
def test_the_estimate_stays_inside(scale: IntervalScale) -> None:
    width = np.geomspace(0.07, 60, 50)
    low, high = widened(width, 0.9 * width, 1.1 * width, scale)
    assert ((low < width) & (width < high)).all()


def test_the_limit_grows_with_the_blur_and_is_not_nothing_without_one() -> None:
    limits = resolution_limit(np.array([0.0, 0.5, 1.0, 4.0]))
    assert limits[0] == pytest.approx(0.144, abs=0.001)
    assert (np.diff(limits) > 0).all()
    assert limits[3] == pytest.approx(2.0, abs=0.01)
