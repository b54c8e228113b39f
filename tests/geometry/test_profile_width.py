"""The width of a crack in one profile: exact where it can be, honest where not, and never an accident."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import crackscope
from crackscope.arrays import Float64Array
from crackscope.drawing.drawn_profiles import draw_profile
from crackscope.errors import DataError
from crackscope.geometry.blurred_box import softened_edge
from crackscope.geometry.profile_width import profile_width, profile_widths

X = np.arange(41, dtype=np.float64) - 20.0


def crack(
    width: float, *, blur: float = 0.9, floor: float = 0.12, at: float = 0.3, grey: float = 180.0
) -> Float64Array:
    box = softened_edge(X - at + width / 2, blur) - softened_edge(X - at - width / 2, blur)
    return np.asarray(grey * (1 - (1 - floor) * box))


@pytest.mark.parametrize("width", [0.4, 0.8, 1.5, 3.0, 6.0, 11.0])
@pytest.mark.parametrize("blur", [0.6, 1.4])
def test_a_box_is_measured_whatever_its_blur(width: float, blur: float) -> None:
    found = profile_width(crack(width, blur=blur))
    assert found.width_px == pytest.approx(width, abs=0.12 + 0.15 * min(width, 2))
    assert found.low_px <= width <= found.high_px


def test_focus_does_not_widen_a_crack() -> None:
    """At half depth, this crack widens by 85 %."""
    sharp, soft = (profile_width(crack(1.5, blur=blur)).width_px for blur in (0.7, 1.5))
    assert abs(soft / sharp - 1) < 0.15


@pytest.mark.parametrize("plain", [True, False])
def test_drawn_profiles_are_measured_well(plain: bool) -> None:
    for low, high, mean_error in ((0.25, 2.0, 0.28), (2.0, 20.0, 0.38)):
        drawn = []
        for seed in range(80):
            rng = np.random.default_rng([seed, 9])
            width = float(np.exp(rng.uniform(np.log(low), np.log(high))))
            drawn.append(draw_profile(rng, width, n_samples=40, plain=plain))
        found = profile_widths(np.stack([one.values for one in drawn]))
        truth = np.array([one.width_px for one in drawn])
        assert np.abs(found.width_px - truth).mean() <= mean_error
        assert ((found.low_px <= truth) & (truth <= found.high_px)).mean() > 0.85


def test_many_profiles_at_once_are_measured_as_one_by_one() -> None:
    profiles = np.stack([draw_profile(np.random.default_rng(i), 0.5 + i / 8, n_samples=40).values for i in range(40)])
    together = profile_widths(profiles).width_px
    np.testing.assert_allclose(together, [profile_width(one).width_px for one in profiles], rtol=1e-3)


@pytest.mark.parametrize("factor", [1 / 255, 1.0, 257.0])
def test_the_unit_of_grey_does_not_matter(factor: float) -> None:
    profile = draw_profile(np.random.default_rng(4), 2.0, n_samples=40).values
    assert profile_width(factor * profile).width_px == pytest.approx(profile_width(profile).width_px, rel=1e-3)


def test_a_mirrored_profile_has_the_same_width() -> None:
    profile = draw_profile(np.random.default_rng(6), 3.0, n_samples=41).values
    assert profile_width(profile[::-1]).width_px == pytest.approx(profile_width(profile).width_px, abs=0.1)


@pytest.mark.parametrize(
    "values",
    [
        [7] * 30,
        [0.0] * 12,
        [5] * 5,
        np.arange(30.0),
        -np.arange(30.0),
        np.sqrt(np.arange(40.0)),
        np.exp(np.arange(30.0) / 6),
        np.repeat([40.0, 200.0], 15),
        [1, 2, 3, 4, 5],
    ],
)
@pytest.mark.parametrize("blur_px", [None, 0.0, 0.8, 4.0])
def test_without_a_dip_nothing_is_resolved(values: list[float], blur_px: float | None) -> None:
    found = profile_width(values, blur_px)
    assert 0 < found.width_px < math.inf
    assert (found.low_px, found.resolved) == (0.0, False)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, st.integers(5, 90), elements=st.floats(-1e6, 1e6)))
def test_any_profile_gives_a_finite_width_inside_its_interval(values: Float64Array) -> None:
    found = profile_width(values)
    assert 0 < found.width_px < math.inf
    assert 0 <= found.low_px <= found.width_px <= found.high_px < math.inf
    if (np.diff(values) >= 0).all():
        assert (found.low_px, found.resolved) == (0.0, False)


@pytest.mark.parametrize("width", [30, 60])
def test_a_crack_wider_than_the_grid_is_seen_from_afar(width: int) -> None:
    for seed in range(3):
        drawn = draw_profile(np.random.default_rng(seed), width, n_samples=width + 50, plain=True)
        found = profile_width(drawn.values)
        assert found.width_px == pytest.approx(width, abs=0.8)
        assert found.resolved


def test_another_crack_near_the_end_does_not_matter() -> None:
    alone = crack(2.0)
    both = np.minimum(alone, 180 * (1 - 0.8 * np.exp(-0.5 * ((X - 14) / 1.2) ** 2)))
    assert profile_width(both).width_px == pytest.approx(profile_width(alone).width_px, abs=0.25)


def test_whole_numbers_and_overexposed_profiles_are_measured() -> None:
    profile = np.minimum(crack(3.0, grey=300.0), 255).astype(np.uint8)
    assert profile_width(profile).width_px == pytest.approx(3.0, abs=0.5)


def test_a_thin_crack_in_a_soft_photo_is_not_resolved() -> None:
    assert not profile_width(crack(0.4, blur=1.6)).resolved
    assert profile_width(crack(3.0, blur=0.8)).resolved


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([1, 2, 3, 4], r"^The profile has shape \(4,\); give one row of at least 5 grey levels\.$"),
        (np.ones((5, 5)), r"^The profile has shape \(5, 5\)"),
        ([1, 2, math.nan, 4, 5], r"^Value 2 of the profile is nan; leave out what is not a finite number\.$"),
        ([1, 2, 3, 4, math.inf], r"^Value 4 of the profile is inf"),
    ],
)
def test_what_is_no_profile_is_told(values: list[float], told: str) -> None:
    with pytest.raises(DataError, match=told):
        profile_width(values)


@pytest.mark.parametrize("blur_px", [-1.0, math.nan, math.inf])
def test_what_is_no_blur_is_told(blur_px: float) -> None:
    with pytest.raises(DataError, match=r"^blur_px is .*; give a number of pixels of at least 0, or leave it out\.$"):
        profile_width([1, 2, 3, 4, 5], blur_px)


def test_it_is_public() -> None:
    assert crackscope.profile_width is profile_width
    assert isinstance(profile_width([5, 5, 1, 5, 5]), crackscope.WidthEstimate)
