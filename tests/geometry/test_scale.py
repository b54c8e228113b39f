"""A scale is millimetres a pixel, with what is known of it, everywhere or by the plane of a surface."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.drawing.drawn_camera import plane_in_view, seen_at
from crackscope.errors import DataError
from crackscope.geometry.planes import Plane
from crackscope.geometry.scale import Scale

VIEW = plane_in_view(mm_per_px=0.4, at_px=(300, 200), tilt_deg=30, focal_px=900)
CORNERS = seen_at(VIEW, np.array([[-25, -25], [25, -25], [25, 25], [-25, 25]]))
PLANE = Plane.from_arrays(CORNERS, 0.01 * np.eye(8), side_mm=50)
BY_MARKER = Scale(0.43, 0.01, "marker", PLANE.corners_xy_px, PLANE)

points = st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), max_size=8).map(tuple)


@given(
    st.floats(1e-3, 100), st.none() | st.floats(0, 1e6), st.text(max_size=20), points, st.sampled_from([None, PLANE])
)
def test_a_scale_survives_json(
    mm_per_px: float,
    uncertainty: float | None,
    source: str,
    points_xy: tuple[tuple[float, float], ...],
    plane: Plane | None,
) -> None:
    scale = Scale(mm_per_px, uncertainty, source, points_xy, plane)
    assert Scale.from_dict(json.loads(json.dumps(scale.to_dict()))) == scale


def test_a_scale_of_an_older_version_is_read() -> None:
    assert Scale.from_dict({"mm_per_px": 0.3, "uncertainty_mm_per_px": None, "source": "given"}) == Scale(0.3)


@pytest.mark.parametrize("found", [{}, {"mm_per_px": "wide"}, {"mm_per_px": 1.0, "plane": {"side_mm": 3}}])
def test_a_dictionary_of_something_else_is_no_scale(found: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"^no (scale|plane): "):
        Scale.from_dict(found)


def test_a_number_of_numpy_is_kept_as_a_number_of_python() -> None:
    scale = Scale(np.float32(0.25), np.float64(0.5))
    assert [type(value) for value in (scale.mm_per_px, scale.uncertainty_mm_per_px)] == [float, float]
    assert scale == Scale(0.25, 0.5)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, 1e-9, 1e9, 0.00099, 100.1])
def test_what_is_no_scale_is_told(value: float) -> None:
    with pytest.raises(
        DataError, match=rf"^mm per pixel is {re.escape(f'{value:g}')}; it must lie between 0\.001 and 100\. Check"
    ):
        Scale(value)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_what_is_no_uncertainty_is_told(value: float) -> None:
    with pytest.raises(DataError, match=r"^the uncertainty of mm per pixel is"):
        Scale(1.0, value)


def test_one_number_holds_everywhere_and_in_every_direction() -> None:
    scale = Scale(0.25, 0.01)
    found = scale.at(np.arange(6).reshape(2, 3), 5.0, direction_xy=(1, 1))
    assert found.mm_per_px.tolist() == [[0.25] * 3] * 2
    assert found.uncertainty_mm_per_px is not None
    assert found.uncertainty_mm_per_px.tolist() == [[0.01] * 3] * 2
    assert scale.length_mm([(0, 0), (3, 4), (3, 14)]) == pytest.approx((3.75, 0.15))
    assert scale.sides_away(0, 0) is None
    assert scale.place_xy_px is None


def test_what_is_not_known_stays_unknown() -> None:
    scale = Scale(0.25)
    assert scale.at(1, 1).uncertainty_mm_per_px is None
    assert scale.length_mm([(0, 0), (3, 4)]) == (1.25, None)
    assert scale.relative_uncertainty is None


def test_a_plane_gives_each_place_and_direction_its_own_scale() -> None:
    for direction, place_mm in (((1, 0), (0, 60)), ((0, 1), (0, 60)), ((0, 1), (-60, -40))):
        steps = np.array(place_mm) + np.outer([-0.5, 0.5], direction)
        first, last = seen_at(VIEW, steps)
        middle = seen_at(VIEW, [place_mm])[0]
        across = last - first
        found = BY_MARKER.at(*middle, direction_xy=(across[0], across[1]))
        assert float(found.mm_per_px) * np.linalg.norm(across) == pytest.approx(1, rel=1e-3)
        assert found.uncertainty_mm_per_px is not None
        assert 0 < float(found.uncertainty_mm_per_px) < float(found.mm_per_px)
        assert BY_MARKER.length_mm([first, last])[0] == pytest.approx(1, rel=1e-6)


def test_the_uncertainty_grows_away_from_the_marker() -> None:
    places = seen_at(VIEW, [(0, 0), (100, 0), (200, 0), (300, 0)])
    found = BY_MARKER.at(places[:, 0], places[:, 1])
    assert found.uncertainty_mm_per_px is not None
    assert (np.diff(found.uncertainty_mm_per_px / found.mm_per_px) > 0).all()
    away = [BY_MARKER.sides_away(x, y) for x, y in places]
    assert away == pytest.approx([0, 2, 4, 6], abs=1e-6)


def test_beyond_the_horizon_a_place_is_infinitely_far() -> None:
    steep = Plane.from_arrays(
        seen_at(
            plane_in_view(mm_per_px=0.4, at_px=(300, 200), tilt_deg=60, focal_px=500),
            np.array([[-25, -25], [25, -25], [25, 25], [-25, 25]]),
        ),
        0.01 * np.eye(8),
        side_mm=50,
    )
    scale = Scale(0.5, 0.1, "marker", (), steep)
    assert math.inf in (scale.sides_away(300, -2000), scale.sides_away(300, 3000))


def test_only_camera_data_are_approximate() -> None:
    assert [Scale(1.0, source=source).is_approximate for source in ("camera", "given", "marker", "table")] == [
        True,
        False,
        False,
        False,
    ]
