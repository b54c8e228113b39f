"""Drawn profiles tell the truth: the missing light is that of the box, and blur does not change it."""

from __future__ import annotations

import numpy as np
import pytest

from crackscope.drawing.drawn_profiles import draw_profile


def test_the_same_generator_draws_the_same_profile() -> None:
    one, other = (draw_profile(np.random.default_rng(3), 2.0) for _ in range(2))
    np.testing.assert_array_equal(one.values, other.values)
    assert one.blur_px == other.blur_px


@pytest.mark.parametrize("width_px", [0.4, 1.3, 4.0, 12.0])
@pytest.mark.parametrize("blur_px", [0.5, 1.5])
def test_missing_light_is_width_times_depth(width_px: float, blur_px: float) -> None:
    shares = []
    for seed in range(30):
        one = draw_profile(np.random.default_rng(seed), width_px, n_samples=60, blur_px=blur_px, floor=0.2, plain=True)
        ends = np.r_[0:12, 48:60]
        concrete = np.polyval(np.polyfit(ends, one.values[ends], 1), np.arange(60))
        shares.append(float((1 - one.values / concrete).sum()) / 0.8)
    assert np.mean(shares) == pytest.approx(width_px, abs=0.15)


def test_the_crack_is_the_darkest_place_near_the_middle() -> None:
    for seed in range(40):
        one = draw_profile(np.random.default_rng(seed), 2.0)
        assert 20 <= len(one.values) <= 60
        assert abs(one.centre_px - (len(one.values) - 1) / 2) <= 3
        assert abs(int(np.argmin(one.values)) - (len(one.values) - 1) / 2) <= 4
        assert np.isfinite(one.values).all()


def test_a_profile_may_show_no_crack() -> None:
    one = draw_profile(np.random.default_rng(0), 0.0, plain=True)
    assert one.values.min() > 0.7 * one.values.max()
