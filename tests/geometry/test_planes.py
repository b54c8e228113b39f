"""A plane is stated by a square; its scale at any place follows, and so does the uncertainty of that scale."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.drawing.drawn_camera import plane_in_view, seen_at
from crackscope.errors import DataError
from crackscope.geometry.planes import Plane, homography_of, mapped

SIDE_MM = 50.0
SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * SIDE_MM
COVARIANCE = 0.04**2 * np.eye(8)


def plane_of(view: np.ndarray, covariance: np.ndarray = COVARIANCE, **more: float) -> Plane:
    return Plane.from_arrays(seen_at(view, SQUARE - SIDE_MM / 2), covariance, side_mm=SIDE_MM, **more)


TILTED = plane_in_view(
    mm_per_px=0.4, at_px=(300, 200), tilt_deg=40, towards_deg=25, turn_deg=70, focal_px=1200, axis_px=(800, 500)
)

views = st.builds(
    plane_in_view,
    mm_per_px=st.floats(0.05, 2),
    at_px=st.tuples(st.floats(0, 4000), st.floats(0, 4000)),
    tilt_deg=st.floats(0, 55),
    towards_deg=st.floats(0, 360),
    turn_deg=st.floats(0, 360),
    focal_px=st.floats(1500, 6000),
)


# A camera 75 mm away, tilted by 55°, sees the plane as far as 91 mm from the middle; these corners lie 85 mm away.
x_mms = y_mms = st.floats(-60, 60)


@given(views, x_mms, y_mms)
def test_points_are_mapped_as_the_camera_saw_them(view: np.ndarray, x_mm: float, y_mm: float) -> None:
    plane = plane_of(view)
    place = seen_at(view, [(x_mm, y_mm)])[0]
    assert plane.mm_of(place) - SIDE_MM / 2 == pytest.approx((x_mm, y_mm), abs=1e-5)


@given(views, x_mms, y_mms, st.floats(0, np.pi))
def test_the_local_scale_is_that_of_a_short_segment(view: np.ndarray, x: float, y: float, angle: float) -> None:
    plane, centre = plane_of(view), np.array([x, y])
    half = 0.01 * np.array([np.cos(angle), np.sin(angle)])
    first, last = seen_at(view, [centre - half, centre + half])
    middle = seen_at(view, [centre])[0]
    local = float(plane.mm_per_px(middle, last - first))
    assert local * np.linalg.norm(last - first) == pytest.approx(0.02, rel=1e-4)
    length, _ = plane.length_mm(np.array([first, last]))
    assert length == pytest.approx(0.02, rel=1e-4)


def test_without_a_direction_the_scale_is_the_geometric_mean() -> None:
    plane = plane_of(plane_in_view(mm_per_px=0.4, at_px=(300, 200), tilt_deg=40, towards_deg=25, focal_px=9000))
    point = np.array([300.0, 200.0])
    angles = np.linspace(0, np.pi, 720, endpoint=False)
    every = plane.mm_per_px(np.tile(point, (720, 1)), np.column_stack([np.cos(angles), np.sin(angles)]))
    assert float(plane.mm_per_px(point)) == pytest.approx(np.sqrt(every.min() * every.max()), rel=1e-4)
    assert every.max() / every.min() == pytest.approx(1 / np.cos(np.radians(40)), rel=0.01)


def test_many_places_are_asked_at_once() -> None:
    plane = plane_of(TILTED)
    points = np.random.default_rng(0).uniform(100, 500, (4, 5, 2))
    directions = np.random.default_rng(1).normal(size=(4, 5, 2))
    together = plane.mm_per_px(points, directions), plane.relative_uncertainty(points, directions)
    for place in np.ndindex(4, 5):
        alone = (
            plane.mm_per_px(points[place], directions[place]),
            plane.relative_uncertainty(points[place], directions[place]),
        )
        assert [float(one) for one in alone] == pytest.approx([one[place] for one in together])
    assert together[0].shape == together[1].shape == (4, 5)


@pytest.mark.parametrize("away_mm", [0.0, 40.0, 300.0])
def test_the_uncertainty_is_the_spread_over_corners_that_err(away_mm: float) -> None:
    rng = np.random.default_rng(7)
    root = rng.normal(size=(8, 8)) * 0.02  # any covariance
    plane = plane_of(TILTED, root @ root.T)
    point, direction = seen_at(TILTED, [(away_mm, 0.0)])[0], np.array([0.3, 1.0])
    erring = plane._corners + (rng.normal(size=(3000, 8)) @ root.T).reshape(-1, 4, 2)
    scales = []
    for corners in erring:
        ends = mapped(homography_of(corners, SIDE_MM), np.array([point - 1e-3 * direction, point + 1e-3 * direction]))
        scales.append(np.linalg.norm(ends[1] - ends[0]))
    assert float(plane.relative_uncertainty(point, direction)) == pytest.approx(np.std(np.log(scales)), rel=0.05)


def test_the_side_of_the_square_is_uncertain_too() -> None:
    sure, unsure = plane_of(TILTED, 0 * COVARIANCE), plane_of(TILTED, 0 * COVARIANCE, side_uncertainty_mm=0.5)
    point = np.array(sure.centre_xy_px)
    assert float(sure.relative_uncertainty(point)) == 0
    assert float(unsure.relative_uncertainty(point)) == pytest.approx(0.01)
    length, uncertainty = unsure.length_mm(np.array([[300.0, 200.0], [340.0, 210.0], [350.0, 260.0]]))
    assert uncertainty == pytest.approx(0.01 * length)


def test_a_line_without_length_has_none_and_no_uncertainty() -> None:
    assert plane_of(TILTED).length_mm(np.array([[300.0, 200.0]] * 3)) == (0.0, 0.0)
    assert plane_of(TILTED).length_mm(np.array([[300.0, 200.0]])) == (0.0, 0.0)


def test_beyond_the_horizon_there_is_no_scale() -> None:
    view = plane_in_view(mm_per_px=0.4, at_px=(300, 200), tilt_deg=50, focal_px=600)
    plane = plane_of(view)
    far = np.array([[300.0, 200.0 + sign * 2000] for sign in (-1, 1)])
    found = plane.mm_per_px(far)
    assert np.isnan(found).sum() == 1
    assert np.isnan(plane.mm_of(far)).all(1).sum() == 1
    assert np.isnan(plane.relative_uncertainty(far)).sum() == 1


@given(views, st.floats(0, 2))
def test_a_plane_survives_json(view: np.ndarray, side_uncertainty_mm: float) -> None:
    plane = plane_of(view, side_uncertainty_mm=side_uncertainty_mm)
    assert Plane.from_dict(json.loads(json.dumps(asdict(plane)))) == plane


@pytest.mark.parametrize(
    "wrong",
    [
        {"corners_xy_px": ((0.0, 0.0), (0.0, 9.0), (9.0, 9.0), (9.0, 0.0))},  # against the clock: mirrored
        {"corners_xy_px": ((0.0, 0.0), (9.0, 0.0), (2.0, 2.0), (0.0, 9.0))},  # a dart
        {"corners_xy_px": ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0))},
        {"corners_xy_px": ((0.0, 0.0), (9.0, 0.0), (9.0, float("nan")), (0.0, 9.0))},
        {"covariance_px2": ((1.0,) * 8,) * 7},
        {"covariance_px2": ((float("inf"),) * 8,) * 8},
        {"side_mm": 0.0},
        {"side_mm": float("nan")},
        {"side_uncertainty_mm": -1.0},
    ],
)
def test_what_is_no_plane_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        replace(plane_of(TILTED), **wrong)
