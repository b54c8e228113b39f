"""Widths along a line: true on drawn cracks, and silent where nothing can be said."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from crackscope.arrays import Float32Array, Float64Array
from crackscope.drawing.crack_paths import shape_along
from crackscope.drawing.exact_cracks import CrackLook, with_shapes
from crackscope.drawing.exact_drawings import bare
from crackscope.errors import DataError
from crackscope.geometry.crack_width import widths_along

SIDE = 220


def wavy() -> Float64Array:
    x = np.arange(8.0, SIDE - 8)
    return np.stack([x, SIDE / 2 + 20 * np.sin(x / 40)], axis=1)


@functools.cache
def drawn(width_px: float, *, blur_px: float = 0.9, contrast: float = 0.85) -> Float32Array:
    rng = np.random.default_rng(2)
    wall = np.clip(150 + 3 * rng.standard_normal((SIDE, SIDE, 1)), 0, 255).astype(np.uint8).repeat(3, axis=2)
    path = wavy()
    shape = shape_along(path, np.full(len(path), width_px), rng, roughness=0.3)
    drawing = with_shapes(bare(wall, blur_px=blur_px), [shape], CrackLook(contrast), rng)
    return np.asarray(drawing.pixels.mean(axis=2), np.float32)


@pytest.mark.parametrize("width_px", [1.5, 3.0, 8.0, 18.0, 34.0])
@pytest.mark.parametrize("blur_px", [None, 0.9])
def test_widths_of_drawn_cracks(width_px: float, blur_px: float | None) -> None:
    found = widths_along(drawn(width_px), wavy(), blur_px)
    assert np.median(found.width_px) == pytest.approx(width_px, abs=0.3)
    inner = found.points_xy[:, 0] > 30
    inside = (found.low_px <= width_px) & (width_px <= found.high_px)
    assert inside[inner & ~found.doubtful].mean() > 0.8
    assert found.lengths_px.sum() == pytest.approx(np.hypot(*np.diff(wavy(), axis=0).T).sum())
    assert not (found.filled | found.spalled | found.wet).any()


def test_a_line_beside_the_crack_is_put_right() -> None:
    found = widths_along(drawn(3.0), wavy() + np.array([0.0, 1.0]), 0.9)
    assert np.median(found.width_px) == pytest.approx(3.0, abs=0.3)
    assert np.median(found.off_px) == pytest.approx(-1.0, abs=0.3)


def test_the_line_may_run_backwards() -> None:
    one, other = widths_along(drawn(3.0), wavy(), 0.9), widths_along(drawn(3.0), wavy()[::-1], 0.9)
    np.testing.assert_allclose(np.median(one.width_px), np.median(other.width_px), atol=0.1)


def test_a_lighter_filling_is_told_and_measured() -> None:
    found = widths_along(300 - drawn(6.0, contrast=0.3), wavy(), 0.9)
    assert found.filled.mean() > 0.9
    assert np.median(found.width_px) == pytest.approx(6.0, abs=0.6)
    assert np.median(found.floor) > 1.1


def test_damp_concrete_is_told() -> None:
    path = wavy()
    rows = np.arange(SIDE)[:, None]
    middle = np.interp(np.arange(SIDE), path[:, 0], path[:, 1])
    damp = np.where(np.abs(rows - middle) < 16, 0.8, 1.0).astype(np.float32)
    found = widths_along(drawn(3.0) * damp, path, 0.9)
    assert found.wet[5:-5].mean() > 0.8
    assert np.median(found.width_px) == pytest.approx(3.0, abs=0.4)


def test_a_sharp_turn_is_doubtful() -> None:
    path = np.array([(20.0, 20.0), (120.0, 20.0), (30.0, 40.0)])
    found = widths_along(drawn(3.0), path, 0.9)
    assert found.doubtful[np.abs(found.points_xy[:, 0] - 118) < 4].any()


def test_a_crack_at_the_border_is_not_resolved_there() -> None:
    grey = drawn(8.0)[100:]
    found = widths_along(grey, wavy() - np.array([0.0, 100.0]), 0.9)
    cut = found.points_xy[:, 1] < 4
    assert cut.any()
    assert not found.resolved[cut].any()
    assert found.doubtful[cut].all()


def test_nothing_is_resolved_without_a_crack() -> None:
    noise = 150 + 3 * np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(np.float32)
    found = widths_along(noise, wavy(), 0.9)
    assert found.resolved.mean() < 0.05
    assert (found.low_px == 0).mean() > 0.5
    flat = widths_along(np.zeros((SIDE, SIDE), np.float32), wavy())
    assert not flat.resolved.any()
    assert np.isfinite(flat.high_px).all()


@pytest.mark.parametrize("n_points", [1, 2])
def test_a_short_line_has_one_place(n_points: int) -> None:
    found = widths_along(drawn(3.0), wavy()[100 : 100 + n_points], 0.9)
    assert len(found.width_px) == 1
    assert np.isfinite(found.width_px).all()


@pytest.mark.parametrize(
    ("grey", "path", "step_px", "told"),
    [
        (np.zeros((2, 2, 3), np.float32), np.zeros((2, 2)), 4.0, r"^The photo has shape \(2, 2, 3\)"),
        (np.zeros((9, 9), np.float32), np.zeros((0, 2)), 4.0, r"^The line has shape \(0, 2\)"),
        (np.zeros((9, 9), np.float32), np.full((2, 2), np.nan), 4.0, "^The line has shape"),
        (np.zeros((9, 9), np.float32), np.zeros((2, 2)), 0.0, r"^step_px is 0\.0; give a number of pixels above 0\.$"),
    ],
)
def test_what_cannot_be_measured_is_told(grey: Float32Array, path: Float64Array, step_px: float, told: str) -> None:
    with pytest.raises(DataError, match=told):
        widths_along(grey, path, step_px=step_px)
