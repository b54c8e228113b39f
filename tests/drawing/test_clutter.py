"""Clutter: drawn over any picture, the same for the same seed, and never a change of label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.drawing import clutter
from crackscope.drawing.clutter import clutter_over
from crackscope.drawing.walls import draw_patch
from crackscope.training.augmentation import Augmentation, view_of

KINDS = [kind.__name__.strip("_") for kind in clutter._KINDS]


@given(st.integers(0, 2**31), st.integers(32, 90), st.integers(32, 90))
@settings(max_examples=30, deadline=None)
def test_a_picture_keeps_its_form_and_the_input_stays(seed: int, height: int, width: int) -> None:
    pixels = np.full((height, width, 3), 150, np.uint8)
    drawn = clutter_over(pixels, np.random.default_rng(seed))
    assert drawn.shape == pixels.shape
    assert drawn.dtype == np.uint8
    assert (pixels == 150).all()
    assert np.array_equal(drawn, clutter_over(pixels, np.random.default_rng(seed)))


@pytest.mark.parametrize("number", range(len(KINDS)), ids=KINDS)
def test_every_kind_shows_and_leaves_some_of_the_picture(number: int) -> None:
    covers = [clutter._KINDS[number](np.random.default_rng(seed), (128, 128))[0] for seed in range(40)]
    for cover in covers:
        assert cover.shape == (128, 128)
        assert cover.dtype == np.float32
        assert 0 <= cover.min() <= cover.max() <= 1
        assert cover.mean() < 0.75
    assert np.mean([cover.max() > 0.1 for cover in covers]) >= 0.9


def test_a_joint_is_straight_and_as_wide_all_along_and_no_hairline() -> None:
    for seed in range(30):
        cover, _ = clutter._joint(np.random.default_rng(seed), (200, 200))
        dark = cover > cover.max() / 2
        along_rows = dark.any(1).sum() > dark.any(0).sum()
        widths = dark.sum(1 if along_rows else 0)
        low, high = np.percentile(widths[widths > 0], (15, 85))  # it may leave by a corner
        assert 2 <= low <= high <= low + 1


def test_a_view_with_clutter_keeps_its_label() -> None:
    pixels = draw_patch(3, side_px=96).pixels
    settings = Augmentation(clutter=0.99)
    views = [view_of(pixels, settings, view=view, cracked=cracked) for view in range(1, 9) for cracked in (False, True)]
    assert [cracked for _, cracked in views] == [False, True] * 8
    assert sum(not np.array_equal(seen, pixels) for seen, _ in views) >= 12
