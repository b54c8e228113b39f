"""Traced cracks get widths from the grey levels of their photo, and millimetres from its scale."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from crackscope.drawing.drawn_camera import plane_in_view, seen_at
from crackscope.geometry.cracks import Crack
from crackscope.geometry.grouping import cracks_of
from crackscope.geometry.line_graph import Branch, LineGraph
from crackscope.geometry.measured_cracks import LONG_PX, in_millimetres, with_widths
from crackscope.geometry.planes import Plane
from crackscope.geometry.scale import COVERAGE, Scale

PHOTO_HW = (300, 700)


def wall_with_lines(width_px: float, rows: tuple[int, ...] = (150,), last_column: int = 640) -> np.ndarray:
    """Grey wall, uint8, with dark level lines of a width, blurred by 0.8 px."""
    fine = np.full((PHOTO_HW[0] * 8, 8), 180, np.float32)
    for row in rows:
        top = round((row + 0.5 - width_px / 2) * 8)
        fine[top : top + round(width_px * 8)] = 30
    column = cv2.GaussianBlur(fine.reshape(PHOTO_HW[0], 8, 8).mean(1), (1, 0), sigmaX=0.01, sigmaY=0.8)[:, :1]
    wall = np.full(PHOTO_HW, 180, np.float32)
    wall[:, 60:last_column] = column
    wall += np.random.default_rng(0).normal(0, 2, PHOTO_HW).astype(np.float32)
    return np.clip(np.round(wall), 0, 255).astype(np.uint8)


def level_cracks(rows: tuple[int, ...] = (150,), first: int = 70, last: int = 630) -> tuple[Crack, ...]:
    """Cracks that run level along rows of the photo, none of which counts as a joint."""
    x = np.arange(first, last + 1.0)
    branches = [
        Branch(np.column_stack([x, np.full(len(x), float(row))]), (2 * i, 2 * i + 1)) for i, row in enumerate(rows)
    ]
    graph = LineGraph(tuple(branches), 2 * len(branches))
    found = cracks_of(graph, lambda points: np.full(len(points), 0.9), PHOTO_HW)
    return tuple(replace(crack, joint_like=False) for crack in found)


@pytest.mark.parametrize("width_px", [2.0, 4.0])
def test_widths_are_those_of_the_photo(width_px: float) -> None:
    (crack,) = with_widths(level_cracks(), wall_with_lines(width_px), 0.8)
    assert crack.width is not None
    assert crack.width.median.width_px == pytest.approx(width_px, abs=0.3)
    assert crack.width.median.low_px < width_px < crack.width.median.high_px
    assert crack.width.median.resolved
    assert crack.area_px2 == crack.length_px * crack.width.median.width_px
    assert crack.width.smallest_px == pytest.approx(np.hypot(0.8, np.sqrt(1 / 12)), rel=0.2)
    (widths,) = crack.widths
    assert widths.lengths_px.sum() == pytest.approx(crack.length_px, rel=0.01)
    assert (widths.points_xy[:, 1] == 150).all()


def test_a_long_branch_has_places_twice_as_far_apart() -> None:
    wall = wall_with_lines(3.0)
    (short,) = with_widths(level_cracks(last=70 + int(LONG_PX) - 10), wall, 0.8)
    (long,) = with_widths(level_cracks(), wall, 0.8)
    steps = [float(np.median(one.widths[0].lengths_px)) for one in (short, long)]
    assert steps == pytest.approx([4, 8], abs=0.1)


def test_only_the_surroundings_of_a_line_change_its_widths() -> None:
    wall = wall_with_lines(3.0)
    (alone,) = with_widths(level_cracks(), wall, 0.8)
    wall[:40], wall[260:] = 0, 255
    (again,) = with_widths(level_cracks(), wall, 0.8)
    assert again == alone


def test_lines_that_look_like_joints_are_left_out() -> None:
    joint = replace(level_cracks()[0], joint_like=True)
    (found,) = with_widths([joint], wall_with_lines(3.0), 0.8)
    assert (found.width, found.widths, found.area_px2) == (None, (), None)


def test_a_crack_without_a_scale_has_no_millimetres() -> None:
    (crack,) = with_widths(level_cracks(), wall_with_lines(3.0), 0.8)
    assert in_millimetres(crack, None).mm is None
    assert in_millimetres(in_millimetres(crack, Scale(0.2)), None) == crack


def test_one_number_scales_all_and_its_uncertainty_widens_the_intervals() -> None:
    (crack,) = with_widths(level_cracks(), wall_with_lines(3.0), 0.8)
    mm, sure = (in_millimetres(crack, Scale(0.2, share)).mm for share in (0.02, 0.0))
    assert mm is not None
    assert sure is not None
    assert mm.median is not None
    assert sure.median is not None
    assert crack.width is not None
    assert mm.length_mm == pytest.approx(0.2 * 560)
    assert mm.length_uncertainty_mm == pytest.approx(0.02 * 560)
    assert mm.smallest_mm == pytest.approx(0.2 * crack.width.smallest_px)
    assert sure.median.low_mm == pytest.approx(0.2 * crack.width.median.low_px)
    assert sure.median.high_mm == pytest.approx(0.2 * crack.width.median.high_px)
    of_pixels, of_scale = np.log(sure.median.high_mm / sure.median.width_mm), COVERAGE * 0.1
    assert np.log(mm.median.high_mm / mm.median.width_mm) == pytest.approx(np.hypot(of_pixels, of_scale))
    assert mm.median.low_mm < sure.median.low_mm
    unknown = in_millimetres(crack, Scale(0.2)).mm
    assert unknown is not None
    assert (unknown.length_uncertainty_mm, unknown.uncertainty_mm_per_px) == (None, None)
    assert unknown.median == sure.median


def test_a_tilted_plane_scales_each_place_and_direction() -> None:
    view = plane_in_view(mm_per_px=0.2, at_px=(350, 150), tilt_deg=40, towards_deg=90, focal_px=900, axis_px=(350, 150))
    corners = seen_at(view, np.array([[-10, -10], [10, -10], [10, 10], [-10, 10]], float))
    scale = Scale(0.2, 0.001, "marker", plane=Plane.from_arrays(corners, 0.01 * np.eye(8), side_mm=20))
    (crack,) = with_widths(level_cracks(), wall_with_lines(4.0), 0.8)
    mm = in_millimetres(crack, scale).mm
    assert mm is not None
    assert mm.length_mm == pytest.approx(scale.length_mm(crack.path_xy[0])[0])
    assert mm.median is not None
    assert mm.p90 is not None
    # The wall recedes along the crack, so that one width in pixels is wider in millimetres farther away.
    assert mm.p90.width_mm > 1.1 * mm.median.width_mm
    assert mm.median.width_mm == pytest.approx(0.2 * 4, rel=0.12)
    assert in_millimetres(crack, scale).area_mm2 == mm.length_mm * mm.median.width_mm


def test_a_crack_beyond_the_horizon_has_no_millimetres() -> None:
    middle = (120, 150)
    view = plane_in_view(mm_per_px=0.2, at_px=middle, tilt_deg=80, towards_deg=270, focal_px=300, axis_px=middle)
    corners = seen_at(view, np.array([[-5, -5], [5, -5], [5, 5], [-5, 5]], float))
    scale = Scale(0.2, 0.001, "marker", plane=Plane.from_arrays(corners, 0.01 * np.eye(8), side_mm=10))
    assert not np.isfinite(scale.at(600, 150).mm_per_px)
    (crack,) = with_widths(level_cracks(), wall_with_lines(3.0), 0.8)
    assert in_millimetres(crack, scale).mm is None


def test_a_measured_crack_survives_json() -> None:
    for scale in (None, Scale(0.2, 0.01)):
        for crack in with_widths(level_cracks((100, 200)), wall_with_lines(3.0, (100, 200)), 0.8):
            measured = in_millimetres(crack, scale)
            assert Crack.from_dict(json.loads(json.dumps(measured.to_dict()))) == measured


def test_widths_that_are_not_resolved_are_told_as_below() -> None:
    (crack,) = with_widths(level_cracks(), wall_with_lines(0.375), 0.8)
    assert crack.width is not None
    assert not crack.width.median.resolved
    assert crack.width.median.text == f"< {crack.width.median.high_px:.1f}"
    mm = in_millimetres(crack, Scale(0.1)).mm
    assert mm is not None
    assert mm.median is not None
    assert mm.median.text == f"< {mm.median.high_mm:.2f}"
    assert mm.median.width_mm > 0
