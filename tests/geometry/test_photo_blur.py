"""The blur of a photo is measured on its edges; an enlarged photo shows its enlargement as blur."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from crackscope.arrays import Float32Array
from crackscope.errors import DataError
from crackscope.geometry.photo_blur import USUAL_BLUR_PX, PhotoBlur, photo_blur


def photo(blur_px: float, seed: int = 0, side: int = 400) -> Float32Array:
    """Dark shapes on concrete, drawn eight times finer."""
    rng = np.random.default_rng(seed)
    fine = np.full((4 * side, 4 * side), 180, np.uint8)
    for _ in range(90):
        corners = rng.integers(0, 4 * side, 2) + rng.integers(-160, 160, (4, 2))
        cv2.fillPoly(fine, [cv2.convexHull(corners.astype(np.int32))], int(rng.integers(40, 230)))
    seen = cv2.resize(cv2.GaussianBlur(fine, (0, 0), 4 * blur_px), (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(seen + rng.normal(0, 1.5, seen.shape), np.float32)


@pytest.mark.parametrize("blur_px", [0.6, 1.0, 1.8, 3.0, 5.0])
def test_the_blur_is_measured(blur_px: float) -> None:
    found = photo_blur(photo(blur_px))
    assert found.n_edges >= 12
    assert found.blur_px == pytest.approx(blur_px, rel=0.2)
    assert found.soft == (blur_px > 2)


def test_an_enlarged_photo_is_soft() -> None:
    sharp = photo(0.8)
    large = np.asarray(cv2.resize(sharp, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), np.float32)
    assert not photo_blur(sharp).soft
    assert photo_blur(large).soft
    assert photo_blur(large).blur_px == pytest.approx(4 * photo_blur(sharp).blur_px, rel=0.25)


def test_the_unit_of_grey_does_not_matter() -> None:
    one = photo(1.0)
    assert photo_blur(one / np.float32(255)).blur_px == pytest.approx(photo_blur(one).blur_px, rel=0.01)


@pytest.mark.parametrize("shape", [(300, 300), (5, 7), (1, 1), (64, 3000)])
def test_a_photo_without_edges_has_the_usual_blur(shape: tuple[int, int]) -> None:
    flat = np.full(shape, 120, np.float32)
    assert photo_blur(flat) == PhotoBlur(USUAL_BLUR_PX, 0)
    noise = flat + np.random.default_rng(0).normal(0, 4, shape).astype(np.float32)
    assert photo_blur(noise).n_edges == 0


def test_a_large_photo_is_looked_at_in_tiles() -> None:
    large = np.tile(photo(1.2), (8, 8))
    assert photo_blur(large).blur_px == pytest.approx(1.2, rel=0.2)


def test_what_is_no_photo_is_told() -> None:
    with pytest.raises(DataError, match=r"^The photo has shape \(3,\); give finite grey levels of shape \(H, W\)\.$"):
        photo_blur(np.zeros(3, np.float32))
    with pytest.raises(DataError, match="finite"):
        photo_blur(np.full((9, 9), np.nan, np.float32))
