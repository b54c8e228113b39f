"""A drawn camera shows a plane where a pinhole camera would, and adds up light as a sensor does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crackscope.drawing.drawn_camera import INK, PAPER, flat_picture, marker_on, photograph, plane_in_view, seen_at

CLEAR: dict[str, Any] = {"blur_px": 0.0, "noise_levels": 0.0, "jpeg_quality": None}


def grey(x: Any, y: Any) -> Any:
    return np.full(np.broadcast(x, y).shape, 0.3, np.float32)


def level_of(light: float) -> float:
    """Grey level of sRGB that a share of the light gets."""
    return 255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


def test_a_plane_that_faces_the_camera_has_one_scale_everywhere() -> None:
    view = plane_in_view(mm_per_px=0.25, at_px=(100, 50), turn_deg=30)
    seen = seen_at(view, [(0, 0), (10, 0), (0, 10)])
    assert seen[0] == pytest.approx((100, 50))
    assert np.linalg.norm(seen[1:] - seen[0], axis=1) == pytest.approx([40, 40])
    assert seen[1] - seen[0] == pytest.approx(40 * np.array([np.cos(np.pi / 6), np.sin(np.pi / 6)]))


def test_a_tilted_plane_is_shortened_in_the_direction_of_its_tilt() -> None:
    view = plane_in_view(mm_per_px=0.25, at_px=(0, 0), tilt_deg=40, focal_px=1e7)  # hardly any perspective
    across, along = seen_at(view, [(100, 0), (0, 100)])
    assert across == pytest.approx((400, 0), abs=0.1)
    assert along == pytest.approx((0, 400 * np.cos(np.radians(40))), abs=0.1)
    turned = plane_in_view(mm_per_px=0.25, at_px=(0, 0), tilt_deg=40, towards_deg=90, focal_px=1e7)
    assert np.linalg.norm(seen_at(turned, [(100, 0)])) == pytest.approx(400 * np.cos(np.radians(40)), abs=0.1)


def test_what_is_further_away_is_smaller() -> None:
    view = plane_in_view(mm_per_px=0.25, at_px=(0, 0), tilt_deg=40, focal_px=1000)
    (near, middle, far) = seen_at(view, [(0, -50), (0, 0), (0, 50)])[:, 1]
    assert abs(far - middle) < 0.97 * abs(near - middle)


def test_a_pixel_is_the_mean_of_the_light_that_falls_on_it() -> None:
    view = plane_in_view(mm_per_px=1.0, at_px=(0, 0))
    photo = photograph(
        lambda x, y: np.where(x + 0 * y < 1.25, 0.8, 0.1).astype(np.float32), view, photo_hw=(4, 4), **CLEAR
    )
    assert photo[0, :, 0].tolist() == [round(level_of(light)) for light in (0.8, 0.75 * 0.8 + 0.25 * 0.1, 0.1, 0.1)]


def test_the_same_seed_gives_the_same_photo_and_another_one_another() -> None:
    view = plane_in_view(mm_per_px=1.0, at_px=(8, 8))
    one, same, other = (photograph(grey, view, photo_hw=(70, 20), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_a_marker_is_as_large_as_its_side_with_paper_around_it() -> None:
    bits = np.zeros((4, 4), np.uint8)
    bits[1, 2] = 255
    scene = marker_on(grey, bits, side_mm=40, centre_mm=(50, 40))
    photo = photograph(scene, plane_in_view(mm_per_px=1.0, at_px=(0, 0)), photo_hw=(90, 110), **CLEAR)[:, :, 0]
    black, white = round(level_of(INK)), round(level_of(PAPER))
    assert (photo == black).sum() == 39 * 39 - 11 * 11  # the outermost pixels are half black
    assert photo[40, 40] == black  # a square of the marker
    assert photo[35, 55] == white  # its white square: second row, third column
    assert photo[40, 26] == white  # paper, a square wide
    assert photo[40, 15] == photo[5, 5] == round(level_of(0.3))


def test_a_picture_is_a_scene_that_gives_its_levels_back() -> None:
    rows, columns = np.mgrid[:240, :320]
    levels = (120 + 80 * np.sin(rows / 40) * np.cos(columns / 50)).astype(np.uint8)
    scene = flat_picture(levels, mm_per_px=0.125)
    view = plane_in_view(mm_per_px=1.0, at_px=(19.5, 14.5))
    photo = photograph(scene, view, photo_hw=(30, 40), **CLEAR)[:, :, 0]
    blocks = levels.reshape(30, 8, 40, 8).mean((1, 3))  # a pixel of the photo covers 8×8 of the picture
    inner = np.s_[1:-1, 1:-1]
    assert np.abs(photo[inner] - blocks[inner]).max() <= 2
