"""Intervals hold the truth about as often as they say, and an AUROC without an error has one with a length."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from crackscope.measuring.clustered_shares import believe
from crackscope.measuring.estimates import TAIL, Estimate
from crackscope.measuring.intervals import (
    n_in_error,
    percentile_interval,
    rank_interval,
    ratio_interval,
    share_interval,
    square_and_add,
)


@pytest.mark.parametrize(
    ("n_photos", "n_patches", "share", "icc", "most"),
    [
        (8, 50, 0.8, 0.2, 1.0),
        (12, 100, 0.95, 0.05, 1.0),
        (30, 20, 0.9, 0.0, 0.985),
        (30, 60, 0.9, 0.05, 0.985),
        (60, 30, 0.8, 0.2, 0.985),
    ],
)
def test_intervals_of_shares_hold_the_truth(
    n_photos: int, n_patches: int, share: float, icc: float, most: float
) -> None:
    rng = np.random.default_rng(1)
    shape = (400, n_photos)
    rates = rng.beta(share * (1 / icc - 1), (1 - share) * (1 / icc - 1), shape) if icc else share
    belief = believe(rng.binomial(n_patches, rates, shape), np.full(shape, n_patches))
    below = belief.below(share)
    held = float(np.mean((below >= TAIL) & (below <= 1 - TAIL)))
    assert 0.92 <= held <= most  # 400 samples: a standard deviation of .011


def test_a_share_without_patches_or_with_too_few_photos_has_no_interval() -> None:
    assert all(math.isnan(end) for end in share_interval(np.zeros(5), np.zeros(5)))
    assert all(math.isnan(end) for end in share_interval(np.ones(5), np.array([3.0, 3, 0, 0, 0]) * 1))


@pytest.mark.parametrize("n_photos", [4, 8, 24])
def test_intervals_of_ratios_hold_the_truth(n_photos: int) -> None:
    rng = np.random.default_rng(2)
    spread = 0.25
    held = 0
    for _ in range(600):
        wholes = rng.lognormal(6.3, 0.7, n_photos)
        low, high = ratio_interval(1.2 * wholes * rng.lognormal(-(spread**2) / 2, spread, n_photos), wholes)
        held += low <= 1.2 <= high
    assert 0.92 <= held / 600 <= 0.98  # 600 samples: a standard deviation of .009


def test_a_ratio_without_a_spread_or_with_too_few_photos_has_no_interval() -> None:
    parts, wholes = np.array([3.0, 1, 2, 2]), np.array([2.0, 2, 2, 0])
    low, high = ratio_interval(parts, wholes)
    assert 0 < low < 8 / 6 < high
    for some, all_ in (
        (parts[:2], wholes[:2]),
        (wholes, wholes),
        (np.zeros(4), wholes),
        (parts, np.zeros(4)),
        (parts, np.array([9.0, 0, 0, 0])),
        (np.append(parts[:2], 0), np.append(wholes[:2], 0)),  # a photo without either is none
    ):
        assert all(math.isnan(end) for end in ratio_interval(some, all_))


def test_the_ends_of_a_sum_are_squared_and_added() -> None:
    def mean(a: float, b: float) -> float:
        return (a + b) / 2

    shares = [Estimate(0.9, 0.86, 0.92), Estimate(0.8, 0.74, 0.86)]
    apart = square_and_add(mean, shares, correlation=0.0, bounds=(0.0, 1.0))
    assert apart == pytest.approx((0.85 - math.hypot(0.02, 0.03), 0.85 + math.hypot(0.01, 0.03)))
    together = square_and_add(mean, shares, correlation=1.0, bounds=(0.0, 1.0))
    assert together == pytest.approx((0.85 - 0.05, 0.85 + 0.04))
    assert square_and_add(mean, shares, correlation=1.0, bounds=(0.82, 0.88)) == (0.82, 0.88)


def sides(n_photos: int, n: int, lost: float = 0.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Both labels in all photos, ranked without a fault but for what the patches of the first photo lose."""
    counts = np.full(n_photos, float(n))
    placed = counts.copy()
    placed[0] -= lost
    return [(placed, counts), (placed, counts)]


def test_a_perfect_ranking_has_an_interval_like_one_with_a_small_fault() -> None:
    perfect, other = rank_interval(1.0, *sides(10, 20)), rank_interval(1 - 0.1 / 200, *sides(10, 20, 0.1))
    assert perfect[1] == pytest.approx(1.0)
    assert 0.8 < perfect[0] < 0.999
    assert (1 - other[0]) / (1 - perfect[0]) == pytest.approx(1, abs=0.5)
    assert rank_interval(1.0, *sides(40, 20))[0] > perfect[0]
    assert n_in_error(*sides(10, 20)) == 0
    assert n_in_error(*sides(10, 20, 0.1)) == 1


def test_photos_alone_give_about_the_interval_of_hanley_and_mcneil() -> None:
    rng = np.random.default_rng(0)
    held, truth = 0, float(norm.cdf(1.5 / np.sqrt(2)))
    for _ in range(200):
        crack, other = rng.normal(1.5, 1, 40), rng.normal(0, 1, 60)
        right = crack[:, None] > other
        nothing = np.zeros(60), np.zeros(60)
        below = np.append(right.mean(1), nothing[0]), np.append(np.ones(40), nothing[1])
        above = np.append(np.zeros(40), right.mean(0)), np.append(np.zeros(40), np.ones(60))
        low, high = rank_interval(float(right.mean()), below, above)
        held += low <= truth <= high
    assert 182 <= held <= 199


def test_percentiles_hold_the_value_and_give_nothing_where_all_agree() -> None:
    assert percentile_interval(0.1, np.linspace(0.2, 0.3, 101)) == pytest.approx((0.1, 0.2975))
    assert all(math.isnan(end) for end in percentile_interval(1.0, np.ones(50)))
    assert all(math.isnan(end) for end in percentile_interval(1.0, np.full(5, np.nan)))
