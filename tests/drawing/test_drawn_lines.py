"""Drawn lines: cracks cover what they should, over any picture, and marks are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crackscope.drawing.drawn_lines import DrawnCrack, crack_coverage, crack_over, mark_over
from crackscope.drawing.walls import draw_patch

few = settings(max_examples=15, deadline=None)


@given(st.floats(0.2, 12), st.floats(20, 44), st.floats(-0.5, 0.5))
@example(0.203125, 20.0, 0.5)  # as far off as 0.026 px when a pixel counted as one pixel long at every angle
@settings(max_examples=40, deadline=None)
def test_coverage_across_a_straight_crack_adds_up_to_its_width(width: float, y: float, slope: float) -> None:
    path_xy = np.array([[-60.0, y - slope * 92], [124.0, y + slope * 92]])
    line = DrawnCrack(path_xy, np.array([width, width]), darkness=0.8)
    coverage = crack_coverage(line, photo_hw=(128, 65))
    assert coverage.min() >= 0
    assert coverage.max() <= 1
    whole = coverage[:, 16:48]  # the line crosses these columns well inside the photo, or not at all
    lowest, highest = sorted(y + slope * (x - 32) for x in (16, 47))
    reach = width + 2
    if lowest - reach > 0 and highest + reach < 127:
        across = float(whole.sum(axis=0).mean()) * np.cos(np.arctan(slope))
        assert across == pytest.approx(width, abs=0.003 + 0.003 * width)


def test_a_crack_over_a_picture_is_dark_where_it_covers_and_nowhere_else() -> None:
    pixels = draw_patch(3, side_px=128, crack=False).pixels
    for seed in range(20):
        seen, coverage = crack_over(pixels, np.random.default_rng(seed), widths_px=(3, 6))
        again, _ = crack_over(pixels, np.random.default_rng(seed), widths_px=(3, 6))
        assert np.array_equal(seen, again)
        assert coverage.shape == (128, 128)
        assert 0 <= coverage.min() <= coverage.max() <= 1
        assert (seen <= pixels).all()
        deep, far = coverage > 0.9, np.ones((128, 128), bool)
        rows, columns = np.nonzero(coverage)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):  # a lens spreads it by a few pixels
            far[max(0, row - 5) : row + 6, max(0, column - 5) : column + 6] = False
        assert seen[deep].mean() < 0.97 * pixels[deep].mean()
        assert np.array_equal(seen[far], pixels[far])


@pytest.mark.parametrize("width_px", [1.0, 4.0, 12.0])
def test_a_wider_crack_covers_more(width_px: float) -> None:
    pixels = draw_patch(3, side_px=128, crack=False).pixels
    areas = [
        np.mean([crack_over(pixels, np.random.default_rng(seed), widths_px=(w, w))[1].sum() for seed in range(10)])
        for w in (width_px, 2 * width_px)
    ]
    assert areas[1] > 1.4 * areas[0]


def test_marks_change_a_little_of_a_picture_and_leave_the_input_alone() -> None:
    pixels = draw_patch(3, side_px=128, crack=False).pixels
    before, shares = pixels.copy(), []
    for seed in range(40):
        seen = mark_over(pixels, np.random.default_rng(seed))
        assert np.array_equal(seen, mark_over(pixels, np.random.default_rng(seed)))
        assert seen.shape == pixels.shape
        assert seen.dtype == np.uint8
        shares.append((seen != pixels).any(2).mean())
    assert np.array_equal(pixels, before)
    assert max(shares) < 0.5
    assert np.mean(np.array(shares) > 0) > 0.7
