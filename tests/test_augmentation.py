"""Views for training: seeded, square, and still the same wall."""

from __future__ import annotations

import numpy as np

from crackscope.drawing import draw_patch
from crackscope.training.augmentation import augment_patch


def test_the_same_state_gives_the_same_view_and_another_gives_another() -> None:
    pixels = draw_patch(0).pixels
    first, again, other = (augment_patch(pixels, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_views_are_square_rgb_and_at_least_three_quarters() -> None:
    pixels = draw_patch(3, side_px=96).pixels[:, :90]
    for seed in range(40):
        view = augment_patch(pixels, np.random.default_rng(seed))
        assert view.dtype == np.uint8
        assert view.shape[0] == view.shape[1]
        assert int(90 * 0.75) <= view.shape[0] <= 90
        assert view.std() > 1  # never washed out wholly


def test_the_input_is_left_as_it_was() -> None:
    pixels = draw_patch(5).pixels
    before = pixels.copy()
    for seed in range(10):
        augment_patch(pixels, np.random.default_rng(seed))
    assert np.array_equal(pixels, before)
