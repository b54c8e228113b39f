"""Shapes are drawn as a camera sees them: exact in area, at any angle, shift and blur."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crackscope.drawing.blurred_outlines import outline_share

KITE = np.array([[5.2, 3.1], [20.7, 6.9], [25.3, 22.2], [14.1, 12.5], [6.6, 24.4]])


def bar(middle: tuple[float, float], angle: float, width_px: float) -> np.ndarray:
    along = np.array((np.cos(angle), np.sin(angle)))
    across = np.array((-along[1], along[0])) * width_px / 2
    ends = np.array(middle) + np.array([[-300], [300]]) * along
    return np.concatenate([ends + across, (ends - across)[::-1]])


@given(st.floats(0.25, 20), st.floats(0, np.pi), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(0, 1.8))
@example(0.25, np.pi / 4, 0.5, 0.5, 0.0)  # along the diagonal of the pixels
@example(0.25, 0.0, 0.5, 0.5, 0.0)  # along the border of two rows
@settings(max_examples=60, deadline=None)
def test_shares_across_a_bar_add_up_to_its_width(width: float, angle: float, x: float, y: float, blur: float) -> None:
    shares = outline_share([bar((63.5 + x, 63.5 + y), angle, width)], picture_hw=(128, 128), blur_px=blur)
    ys, xs = np.mgrid[:128, :128]
    along = np.abs((xs - 63.5 - x) * np.cos(angle) + (ys - 63.5 - y) * np.sin(angle))
    weights = np.clip((40 - along) / 10, 0, 1)  # 70 pixels of its length
    assert float((shares * weights).sum() / 70) == pytest.approx(width, rel=1e-3)


@pytest.mark.parametrize("blur_px", [0.0, 0.5, 1.2])
def test_a_shape_is_as_on_a_grid_sixteen_times_finer(blur_px: float) -> None:
    finer = 16
    at = (np.arange(30 * finer) + 0.5) / finer - 0.5
    inside = np.zeros((30 * finer, 30 * finer), bool)
    for (ax, ay), (bx, by) in zip(KITE, np.roll(KITE, -1, axis=0), strict=True):  # even-odd rule
        crosses = (at >= min(ay, by)) & (at < max(ay, by))
        inside ^= crosses[:, None] & (at < (ax + (at - ay) / (by - ay) * (bx - ax))[:, None])
    seen = inside.astype(np.float32)
    if blur_px:
        seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), blur_px * finer), np.float32)
    averaged = seen.reshape(30, finer, 30, finer).mean(axis=(1, 3))
    assert np.abs(outline_share([KITE], picture_hw=(30, 30), blur_px=blur_px) - averaged).max() < 0.008


def test_the_sense_of_an_outline_does_not_matter() -> None:
    one = outline_share([KITE], picture_hw=(30, 30), blur_px=0.7)
    assert np.allclose(one, outline_share([KITE[::-1]], picture_hw=(30, 30), blur_px=0.7), atol=1e-6)


@given(st.integers(-20, 20), st.integers(-20, 20), st.floats(0, 2))
@settings(max_examples=30, deadline=None)
def test_what_leaves_the_picture_is_cut_off(x: int, y: int, blur: float) -> None:
    whole = outline_share([KITE + 40], picture_hw=(110, 110), blur_px=blur)
    part = outline_share([KITE + np.array((x, y))], picture_hw=(30, 30), blur_px=blur)
    assert np.allclose(part, whole[40 - y : 70 - y, 40 - x : 70 - x], atol=2e-4)


def test_no_shape_covers_nothing_and_two_cover_their_sum() -> None:
    assert not outline_share([], picture_hw=(8, 9)).any()
    moved = KITE + np.array((0, 3))
    both = outline_share([KITE, moved], picture_hw=(40, 40))
    apart = outline_share([KITE], picture_hw=(40, 40)) + outline_share([moved], picture_hw=(40, 40))
    assert np.allclose(both, np.minimum(apart, 1), atol=1e-6)
