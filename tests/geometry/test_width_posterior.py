"""The posterior of a width: it sums to one, its quantiles rise, and what is known sharpens it."""

from __future__ import annotations

import numpy as np

from crackscope.arrays import Float64Array
from crackscope.drawing.drawn_profiles import draw_profile
from crackscope.geometry.width_posterior import FloorPrior, width_posterior


def profiles(width_px: float, n: int = 24) -> Float64Array:
    drawn = (draw_profile(np.random.default_rng(i), width_px, n_samples=36, blur_px=1.0, floor=0.3) for i in range(n))
    return np.stack([one.values for one in drawn])


def test_probabilities_sum_to_one_and_quantiles_rise() -> None:
    found = width_posterior(profiles(1.5))
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-6)
    quantiles = np.stack([found.quantile(share) for share in (0.025, 0.25, 0.5, 0.75, 0.975)])
    assert (np.diff(quantiles, axis=0) >= 0).all()
    assert (found.quantile(0.0) == found.bounds_px[:, 0]).all()


def test_a_known_floor_makes_the_width_of_a_thin_crack_sharper() -> None:
    thin = profiles(1.0)
    usual = width_posterior(thin)
    known = width_posterior(thin, floors=FloorPrior((1.0,), (0.7,), (0.04,)))

    def length(found: object) -> float:
        return float(np.median(found.quantile(0.975) - found.quantile(0.025)))  # type: ignore[attr-defined]

    assert length(known) < 0.75 * length(usual)
    assert abs(float(np.median(known.quantile(0.5))) - 1.0) < 0.15


def test_floor_and_blur_of_a_wide_crack_are_found() -> None:
    found = width_posterior(profiles(7.0))
    assert abs(float(np.median(found.floors)) - 0.3) < 0.05
    assert abs(float(np.median(found.blurs_px)) - 1.0) < 0.35
    assert (found.dips > 0.3).mean() > 0.9


def test_the_order_of_profiles_does_not_matter() -> None:
    some = profiles(2.0, n=70)
    order = np.random.default_rng(0).permutation(len(some))
    np.testing.assert_allclose(
        width_posterior(some).quantile(0.5)[order], width_posterior(some[order]).quantile(0.5), rtol=1e-4
    )
