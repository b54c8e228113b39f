"""Intervals of shares hold the share, know that patches of a photo are alike, and lead to a sample size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from crackscope.errors import DataError
from crackscope.measuring.clustered_shares import believe, chance_to_show, measure_share
from crackscope.measuring.estimates import TAIL

IntArray = np.ndarray


@st.composite
def samples(draw: st.DrawFn) -> tuple[IntArray, IntArray]:
    """Hits and counts of a few photos, some without a patch."""
    counts = draw(
        st.lists(st.integers(0, 60), min_size=3, max_size=12).filter(lambda counts: sum(map(bool, counts)) >= 3)
    )
    hits = [draw(st.integers(0, n)) for n in counts]
    return np.array(hits), np.array(counts)


def drawn_site(rng: np.random.Generator, rate: float, icc: float, n_photos: int, n: int) -> tuple[IntArray, IntArray]:
    rates = rng.beta(rate * (1 / icc - 1), (1 - rate) * (1 / icc - 1), n_photos) if icc else rate
    counts = np.full(n_photos, n)
    return rng.binomial(counts, rates), counts


# Intervals


@settings(max_examples=30, deadline=None)
@given(samples())
def test_an_interval_holds_the_share_and_lies_within_0_and_1(sample: tuple[IntArray, IntArray]) -> None:
    hits, counts = sample
    found = measure_share(hits, counts)
    assert found.estimate.value == hits.sum() / counts.sum()
    assert 0 <= found.estimate.low <= found.estimate.value <= found.estimate.high <= 1
    assert found.estimate.high - found.estimate.low > 1e-3
    assert (found.n_hits, found.n, found.n_photos) == (hits.sum(), counts.sum(), (counts > 0).sum())
    assert 0 < found.icc < 1
    assert 1 <= found.n_effective <= found.n


@settings(max_examples=25, deadline=None)
@given(samples())
def test_what_counts_and_what_does_not_are_mirror_images(sample: tuple[IntArray, IntArray]) -> None:
    hits, counts = sample
    one, other = measure_share(hits, counts), measure_share(counts - hits, counts)
    assert one.estimate.low == pytest.approx(1 - other.estimate.high, abs=1e-9)
    assert one.estimate.high == pytest.approx(1 - other.estimate.low, abs=1e-9)
    assert one.icc == pytest.approx(other.icc)


@settings(max_examples=30, deadline=None)
@given(samples(), st.integers(0, 9))
def test_neither_the_order_of_photos_nor_photos_without_patches_change_anything(
    sample: tuple[IntArray, IntArray], seed: int
) -> None:
    hits, counts = sample
    order = np.random.default_rng(seed).permutation(len(hits))
    one = measure_share(hits, counts)
    other = measure_share(np.append(hits[order], [0, 0]), np.append(counts[order], [0, 0]))
    assert other.estimate.document() == pytest.approx(one.estimate.document(), rel=1e-7)
    assert one.n_photos == other.n_photos


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 400), st.floats(0, 1))
def test_patches_that_stand_alone_have_the_interval_of_bayes_and_laplace(n: int, part: float) -> None:
    k = round(part * n)
    found = measure_share(np.repeat([1, 0], [k, n - k]), np.ones(n, int)).estimate
    low, high = beta.ppf([TAIL, 1 - TAIL], k + 1, n - k + 1)
    assert found.low == pytest.approx(min(low, k / n) if k else 0, abs=1e-9)
    assert found.high == pytest.approx(max(high, k / n) if k < n else 1, abs=1e-9)
    wilson = binomtest(k, n).proportion_ci(method="wilson")
    if n >= 20:
        np.testing.assert_allclose([found.low, found.high], [wilson.low, wilson.high], atol=0.6 / n + 0.002)


def test_one_more_hit_moves_both_ends_up() -> None:
    ends = [measure_share(np.repeat([1, 0], [k, 40 - k]), np.ones(40, int)).estimate for k in range(41)]
    assert (np.diff([one.low for one in ends]) > 0).sum() >= 39
    assert (np.diff([one.low for one in ends]) >= 0).all()
    assert (np.diff([one.high for one in ends]) >= 0).all()


@settings(max_examples=25, deadline=None)
@given(samples())
def test_more_photos_like_these_narrow_the_interval(sample: tuple[IntArray, IntArray]) -> None:
    hits, counts = sample
    one, four = measure_share(hits, counts).estimate, measure_share(np.tile(hits, 4), np.tile(counts, 4)).estimate
    assert four.high - four.low < one.high - one.low


def test_errors_that_come_together_widen_it() -> None:
    counts = np.full(20, 20)
    spread, lumped = np.full(20, 18), np.repeat([20, 0], [18, 2])
    even, uneven = measure_share(spread, counts), measure_share(lumped, counts)
    assert even.estimate.value == uneven.estimate.value == 0.9
    assert even.icc < 0.03 < 0.4 < uneven.icc
    assert uneven.estimate.high - uneven.estimate.low > 2 * (even.estimate.high - even.estimate.low)
    assert uneven.n_effective < 60 < 250 < even.n_effective


@pytest.mark.parametrize("icc", [0.0, 0.05, 0.2, 0.4])
def test_the_correlation_is_found_from_many_photos(icc: float) -> None:
    hits, counts = drawn_site(np.random.default_rng(3), 0.85, icc, 400, 30)
    assert measure_share(hits, counts).icc == pytest.approx(icc, abs=0.015 + 0.15 * icc)


def test_a_large_photo_weighs_as_many_patches_as_it_has() -> None:
    hits, counts = np.array([1] * 20 + [0]), np.array([1] * 20 + [80])
    found = measure_share(hits, counts).estimate
    assert found.value == 0.2
    assert found.low < 0.2 < found.high < 0.9


def test_what_is_no_share_is_an_error() -> None:
    for hits, counts in (([2], [1]), ([-1], [3]), ([0, 0], [0, 0]), ([1, 2], [3])):
        with pytest.raises(DataError, match="no share"):
            measure_share(np.array(hits), np.array(counts))


def test_a_quantile_is_where_as_much_lies_below() -> None:
    rng = np.random.default_rng(0)
    pairs = [drawn_site(rng, rate, 0.1, 12, 15) for rate in (0.5, 0.9, 0.99)]
    belief = believe(np.stack([hits for hits, _ in pairs]), np.stack([counts for _, counts in pairs]))
    for probability in (0.025, 0.5, 0.975):
        np.testing.assert_allclose(belief.below(belief.quantile(probability)), probability, atol=1e-9)
    assert (belief.below(0.0) == 0).all()
    np.testing.assert_allclose(belief.below(1.0), 1)


@pytest.mark.slow
def test_intervals_hold_the_truth_in_some_95_of_100_sites() -> None:
    rng = np.random.default_rng(1)
    held = []
    for _ in range(600):
        rate, n_photos = rng.uniform(0.7, 0.97), int(rng.integers(8, 40))
        found = measure_share(*drawn_site(rng, rate, rng.uniform(0.001, 0.3), n_photos, int(rng.integers(5, 40))))
        held.append(found.estimate.low <= rate <= found.estimate.high)
    assert 0.93 <= np.mean(held) <= 0.98


# How many more


def test_nothing_more_shows_what_is_shown_already_and_nothing_else() -> None:
    hits, counts = drawn_site(np.random.default_rng(0), 0.95, 0.05, 40, 20)
    low = measure_share(hits, counts).estimate.low
    none = np.array([0])
    assert chance_to_show(hits, counts, low - 0.01, none) == [1]
    assert chance_to_show(hits, counts, low + 0.01, none) == [0]


def test_the_chance_grows_with_the_number_of_photos_and_never_comes_where_the_share_is_too_small() -> None:
    hits, counts = drawn_site(np.random.default_rng(2), 0.93, 0.05, 15, 15)
    n_more = np.array([5, 20, 80, 320, 5000])
    chances = chance_to_show(hits, counts, 0.85, n_more)
    assert (np.diff(chances) >= -1e-9).all()
    assert chances[-1] > 0.99
    assert chance_to_show(hits, counts, 0.99, n_more).max() < 0.01


def test_all_hits_need_only_numbers() -> None:
    hits, counts = np.full(10, 5), np.full(10, 5)
    chances = chance_to_show(hits, counts, 0.97, np.array([1, 10, 100, 1000]))
    np.testing.assert_allclose(chances, [0, 0, 1, 1], atol=1e-6)


@pytest.mark.slow
def test_the_chance_is_that_of_photos_drawn_as_measured() -> None:
    rng = np.random.default_rng(4)
    hits, counts = drawn_site(rng, 0.93, 0.1, 25, 12)
    now = measure_share(hits, counts)
    for n_more in (30, 90):
        shown = []
        for _ in range(250):
            new, of = drawn_site(rng, now.estimate.value, now.icc, n_more, 12)
            both = measure_share(np.append(hits, new), np.append(counts, of))
            shown.append(both.estimate.low >= 0.88)
        assert chance_to_show(hits, counts, 0.88, np.array([n_more]))[0] == pytest.approx(np.mean(shown), abs=0.12)
