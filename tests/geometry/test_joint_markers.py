"""Several markers state one plane together, or none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crackscope.arrays import Float64Array
from crackscope.drawing.drawn_camera import plane_in_view, seen_at
from crackscope.geometry.joint_markers import SeenMarker, fit_together
from crackscope.geometry.marker_edges import FittedMarker
from crackscope.geometry.planes import Plane
from crackscope.geometry.scale import NoScale

SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 25.0
VIEW = plane_in_view(mm_per_px=0.5, at_px=(1000, 800), tilt_deg=30, towards_deg=40, focal_px=3000)
ERROR_PX = 0.05


def laid(number: int, centre_mm: tuple[float, float], turn_deg: float, **choices: Any) -> SeenMarker:
    """A marker whose corners were measured with an error."""
    size, view = choices.get("size", 1.0), choices.get("view", VIEW)
    turn = np.radians(turn_deg)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    corners = seen_at(view, size * SQUARE @ rotation.T + centre_mm)
    corners = corners + np.random.default_rng(number).normal(0, ERROR_PX, (4, 2))
    return SeenMarker(number, FittedMarker(corners, ERROR_PX**2 * np.eye(8), -0.4, 0.1, 300))


def plane_by(markers: list[SeenMarker]) -> Plane:
    found = fit_together(markers, 50.0)
    assert not isinstance(found, NoScale), found
    return Plane.from_arrays(*found, side_mm=50.0)


def error_at(plane: Plane, place_mm: tuple[float, float]) -> tuple[float, float]:
    """Relative error of a length of 2 mm, and its standard uncertainty."""
    ends: Float64Array = seen_at(VIEW, np.array(place_mm) + np.array([[-1, 0], [1, 0]]))
    length, uncertainty = plane.length_mm(ends)
    return length / 2 - 1, uncertainty / length


def test_markers_far_apart_fix_the_plane_between_them() -> None:
    first = laid(0, (-200, 0), 10)
    alone = Plane.from_arrays(first.fitted.corners_xy, first.fitted.covariance, side_mm=50.0)
    together = plane_by([first, laid(1, (200, 60), 130), laid(2, (0, -180), 250)])
    for place in ((0.0, 0.0), (150.0, 100.0)):
        error, uncertainty = error_at(together, place)
        assert abs(error) < 3 * uncertainty
        assert uncertainty < 0.2 * error_at(alone, place)[1]


def test_intervals_hold_about_as_often_as_they_say() -> None:
    held = []
    for seed in range(40):
        markers = [
            laid(3 * seed + i, centre, 50 * i + seed) for i, centre in enumerate([(-150, 0), (150, 40), (0, 150)])
        ]
        error, uncertainty = error_at(plane_by(markers), (40.0, -60.0))
        held.append(abs(error) <= 1.96 * uncertainty)
    assert np.mean(held) >= 0.9


def test_the_order_of_markers_does_not_matter() -> None:
    markers = [laid(0, (-200, 0), 10), laid(1, (200, 60), 130), laid(2, (0, -180), 250)]
    one, other = plane_by(markers), plane_by(markers[::-1])
    assert error_at(one, (50.0, 50.0))[0] == pytest.approx(error_at(other, (50.0, 50.0))[0], abs=1e-5)


@pytest.mark.parametrize("size", [0.5, 0.93, 1.07, 2.0])
@pytest.mark.parametrize("apart_mm", [90.0, 400.0])
def test_markers_of_two_sizes_disagree(size: float, apart_mm: float) -> None:
    found = fit_together([laid(0, (0, 0), 10), laid(1, (apart_mm, 0), 40, size=size)], 50.0)
    assert isinstance(found, NoScale)
    assert found.is_final
    assert found.reason.startswith("markers 0 and 1 disagree")


def test_three_markers_of_which_one_lies_elsewhere_disagree() -> None:
    nearer = plane_in_view(mm_per_px=0.44, at_px=(1000, 800), tilt_deg=30, towards_deg=40, focal_px=3000)
    markers = [laid(0, (-200, 0), 10), laid(1, (200, 60), 130), laid(2, (0, -180), 250, view=nearer)]
    found = fit_together(markers, 50.0)
    assert isinstance(found, NoScale)
    assert found.reason.startswith("markers 0, 1 and 2 disagree")


def test_a_lens_that_bends_a_little_is_granted() -> None:
    def bent(marker: SeenMarker) -> SeenMarker:
        away = marker.fitted.corners_xy - (1000, 800)
        share = 1 - 0.004 * (away**2).sum(1, keepdims=True) / 1000**2
        return SeenMarker(marker.id, FittedMarker(away * share + (1000, 800), marker.fitted.covariance, -0.4, 0.1, 300))

    assert isinstance(plane_by([bent(laid(0, (-200, 0), 10)), bent(laid(1, (200, 60), 130))]), Plane)
