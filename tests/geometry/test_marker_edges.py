"""All edges of a marker tell its corners, and how far they err."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from crackscope.arrays import Float64Array, UInt8Array
from crackscope.drawing.drawn_camera import seen_at
from crackscope.geometry.marker_edges import MARGIN, fit_marker, marker_edges
from crackscope.geometry.markers import marker_bits
from shared.marked import FAMILY, SIDE_MM, Laid, marked_photo, view_of

HW = (220, 220)
BITS = marker_bits(FAMILY, 7)
CORNERS_MM = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * SIDE_MM / 2


@cache
def seen() -> tuple[UInt8Array, Float64Array]:
    """A photo in grey levels, and where the corners of its marker are."""
    view = view_of(HW, tilt_deg=30, towards_deg=60, turn_deg=15)
    return marked_photo(view, HW, [Laid(7)])[:, :, 0].copy(), seen_at(view, CORNERS_MM)


def test_points_lie_on_edges_and_look_to_the_light_side() -> None:
    bits = np.array([[0, 0, 0, 0], [0, 255, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], np.uint8)
    points, steps = marker_edges(bits, spacing=0.1)
    light = np.pad(bits > 0, 1, constant_values=True)
    for (x, y), (dx, dy) in zip(points, steps, strict=True):
        on_light, on_dark = ((x + sign * 0.5 * dx, y + sign * 0.5 * dy) for sign in (1, -1))
        assert light[int(np.floor(on_light[1])) + 1, int(np.floor(on_light[0])) + 1]
        assert not light[int(np.floor(on_dark[1])) + 1, int(np.floor(on_dark[0])) + 1]
        along = y if dx else x
        assert MARGIN <= along - np.floor(along) <= 1 - MARGIN or min(along, 4 - along) >= MARGIN
    outer = (np.abs(points - 2).max(1) == 2).sum()
    assert (outer, len(points) - outer) == (4 * 34, 4 * 4)


@pytest.mark.parametrize("off_px", [0.0, 0.8, -0.8])
def test_corners_are_found_from_corners_that_are_about_right(off_px: float) -> None:
    grey, corners = seen()
    begin = corners + off_px * np.array([[1, -1], [1, 1], [-1, 1], [-1, -1]])
    found = fit_marker(grey, BITS, begin)
    assert found is not None
    assert np.abs(found.corners_xy - corners).max() < 0.1
    assert found.n_points > 200
    assert found.shift_px < 0  # towards the dark side
    errors = np.sqrt(np.diag(found.covariance))
    assert ((errors > 0.003) & (errors < 0.1)).all()


def test_another_marker_does_not_fit() -> None:
    grey, corners = seen()
    for bits in (marker_bits(FAMILY, 8), marker_bits(FAMILY, 9), np.fliplr(BITS)):
        assert fit_marker(grey, np.ascontiguousarray(bits), corners) is None


def test_what_has_no_edges_does_not_fit() -> None:
    _, corners = seen()
    assert fit_marker(np.full(HW, 120, np.uint8), BITS, corners) is None
    noise = np.random.default_rng(0).integers(0, 256, HW).astype(np.uint8)
    assert fit_marker(noise, BITS, corners) is None


def test_more_noise_makes_corners_more_uncertain() -> None:
    grey, corners = seen()
    noise = np.random.default_rng(0).normal(0, 12, HW)
    noisy = np.clip(grey + noise, 0, 255).astype(np.uint8)
    one, other = fit_marker(grey, BITS, corners), fit_marker(noisy, BITS, corners)
    assert one is not None
    assert other is not None
    assert np.trace(other.covariance) > 2 * np.trace(one.covariance)
