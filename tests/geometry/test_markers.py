"""Markers give the scale of their plane as exactly as they say; those that cannot be believed give none, and why."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crackscope.arrays import UInt8Array
from crackscope.errors import DataError
from crackscope.geometry.markers import (
    DICTIONARIES,
    MarkerKind,
    find_markers,
    marker_bits,
    marker_scale,
    n_markers,
)
from crackscope.geometry.scale import NoScale, Scale
from shared.marked import FAMILY, SIDE_MM, Laid, marked_photo, off_by, view_of

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "markers.py"
KIND = MarkerKind(FAMILY, SIDE_MM)
HW = (260, 340)


def scale_in(photo: UInt8Array, kind: MarkerKind = KIND) -> Scale:
    found = marker_scale(photo, kind)
    assert isinstance(found, Scale), found
    return found


def reason_in(photo: UInt8Array, *, is_final: bool, kind: MarkerKind = KIND) -> str:
    found = marker_scale(photo, kind)
    assert isinstance(found, NoScale)
    assert found.is_final == is_final
    return found.reason


@cache
def one_marker(tilt_deg: float = 35.0) -> tuple[np.ndarray, UInt8Array]:
    """View and photo of one marker."""
    view = view_of(HW, tilt_deg=tilt_deg, towards_deg=20, turn_deg=-10)
    return view, marked_photo(view, HW)


def two_markers(*, second: Laid) -> UInt8Array:
    hw = (260, 620)
    return marked_photo(view_of(hw, tilt_deg=15), hw, [Laid(3, (-90, 0)), second])


# One marker


@pytest.fixture(scope="module")
def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("benchmark_markers", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where `dataclass` looks for it
    spec.loader.exec_module(module)
    return module


def test_a_segment_beside_a_marker_is_as_long_as_the_interval_says(benchmark: Any) -> None:
    """A small part of what benchmarks/markers.py measures."""
    found = [benchmark.errors_of(benchmark.draw_scene(seed)) for seed in range(5000, 5024)]
    beside = [errors[0] for errors in found if errors is not None]
    assert len(beside) >= 23
    errors = np.array([error for error, _ in beside])
    assert np.median(errors) <= 0.003
    assert np.percentile(errors, 95) <= 0.01
    assert sum(held for _, held in beside) >= len(beside) - 3


def test_the_scale_follows_the_tilt() -> None:
    view, photo = one_marker()
    scale = scale_in(photo)
    assert (scale.source, len(scale.points_xy_px)) == ("marker", 4)
    for place in ((0.0, 0.0), (45.0, 0.0), (-40.0, 35.0)):
        for along in (0.0, 45.0, 90.0):
            assert abs(off_by(scale, view, place, along_deg=along)) < 0.004
    x, y = scale.place_xy_px or (0, 0)
    along, across = (float(scale.at(x, y, direction_xy=one).mm_per_px) for one in ((1, 0), (0, 1)))
    assert abs(along / across - 1) > 0.1  # one number for both would be wrong
    assert scale.relative_uncertainty is not None
    assert 0 < scale.relative_uncertainty < 0.003


@pytest.mark.parametrize("family", DICTIONARIES)
def test_every_family_is_read(family: str) -> None:
    view = view_of(HW)
    photo = marked_photo(view, HW, [Laid(number=n_markers(family) - 1)], family=family)
    scale = scale_in(photo, MarkerKind(family, SIDE_MM))
    assert scale.mm_per_px == pytest.approx(0.5, rel=0.002)
    (marker,) = find_markers(photo[:, :, 0].copy(), family)
    assert marker.id == n_markers(family) - 1


def test_the_curve_of_the_camera_does_not_make_the_marker_smaller() -> None:
    """Blurred edges lie half a pixel on their dark side; by its corners this marker would be 1.5 % smaller."""
    view, photo = one_marker(0.0)
    (marker,) = find_markers(photo[:, :, 0].copy(), FAMILY)
    assert marker.fitted.shift_px < -0.2
    assert abs(scale_in(photo).mm_per_px / 0.5 - 1) < 0.001
    assert abs(off_by(scale_in(photo), view, (40.0, 0.0))) < 0.003


def test_a_larger_side_makes_the_scale_as_much_larger_and_an_uncertain_one_uncertain() -> None:
    _, photo = one_marker()
    one, twice = scale_in(photo), scale_in(photo, MarkerKind(FAMILY, 2 * SIDE_MM))
    assert twice.mm_per_px == pytest.approx(2 * one.mm_per_px)
    unsure = scale_in(photo, MarkerKind(FAMILY, SIDE_MM, 0.5))
    assert unsure.relative_uncertainty == pytest.approx(0.01, rel=0.05)


def test_a_marker_of_any_size_is_found_in_a_large_photo() -> None:
    """OpenCV looks for sides above .75 % of the photo, which would be 30 px here."""
    large = np.full((2600, 4000, 3), 120, np.uint8)
    small = marked_photo(view_of((60, 60), mm_per_px=2.0), (60, 60), family="4X4_50")  # a side of 25 px
    large[1000:1060, 2000:2060] = small
    scale = scale_in(large, MarkerKind("4X4_50", SIDE_MM))
    assert scale.mm_per_px == pytest.approx(2.0, rel=0.02)


# No scale


def test_without_a_marker_there_is_no_scale() -> None:
    photo = marked_photo(view_of(HW), HW, [])
    assert reason_in(photo, is_final=False) == "no marker of APRILTAG_36h11 is seen whole"
    _, other = one_marker()
    assert "no marker of 5X5_50" in reason_in(other, is_final=False, kind=MarkerKind("5X5_50", SIDE_MM))


@pytest.mark.parametrize("cut", [np.s_[:, :170], np.s_[:, 170:], np.s_[:130], np.s_[130:], np.s_[:, 125:]])
def test_a_marker_half_outside_gives_no_scale(cut: Any) -> None:
    _, photo = one_marker(0.0)
    assert reason_in(np.ascontiguousarray(photo[cut]), is_final=False) == "no marker of APRILTAG_36h11 is seen whole"


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("number", [0, 7, 41])
def test_a_mirrored_marker_gives_no_scale(axis: int, number: int) -> None:
    photo = np.ascontiguousarray(np.flip(marked_photo(view_of(HW), HW, [Laid(number)]), axis))
    assert reason_in(photo, is_final=True) == (
        f"marker {number} is mirrored, so the photo was flipped. Scan it as the camera gave it"
    )


def test_a_turned_photo_is_no_mirrored_one() -> None:
    _, photo = one_marker()
    for turns in (1, 2, 3):
        turned = scale_in(np.ascontiguousarray(np.rot90(photo, turns)))
        assert turned.mm_per_px == pytest.approx(scale_in(photo).mm_per_px, rel=0.002)


def test_a_marker_that_is_partly_covered_gives_no_scale_or_the_right_one() -> None:
    view, photo = one_marker(0.0)
    for height in (20, 45):
        covered = photo.copy()
        covered[80 : 80 + height, 118:160] = 30
        found = marker_scale(covered, KIND)
        if isinstance(found, Scale):
            assert abs(off_by(found, view, (40.0, 0.0))) < 0.01
        else:
            assert not found.is_final


def test_a_scale_that_cannot_be_believed_is_none() -> None:
    photo = marked_photo(view_of(HW, mm_per_px=0.7), HW)
    reason = reason_in(photo, is_final=True, kind=MarkerKind(FAMILY, 10_000))
    assert reason.startswith("marker 7: mm per pixel is 14")
    assert "it must lie between 0.001 and 100" in reason


# Several markers


def test_markers_in_one_plane_are_fitted_together_and_know_more() -> None:
    hw = (260, 620)
    view = view_of(hw, tilt_deg=25, towards_deg=80)
    both = scale_in(marked_photo(view, hw, [Laid(3, (-90, 0), 20), Laid(9, (90, 10), 200)]))
    alone = scale_in(marked_photo(view, hw, [Laid(3, (-90, 0), 20)]))
    assert len(both.points_xy_px) == 8
    for place in ((-90.0, 40.0), (0.0, 0.0), (90.0, -40.0)):
        assert abs(off_by(both, view, place, along_deg=30)) < 0.004

    def uncertainty(scale: Scale) -> float:
        x, y = 500.0, 130.0
        found = scale.at(x, y)
        assert found.uncertainty_mm_per_px is not None
        return float(found.uncertainty_mm_per_px / found.mm_per_px)

    assert uncertainty(both) < 0.5 * uncertainty(alone)


@pytest.mark.parametrize("side_mm", [40.0, 47.0, 53.0, 75.0])
def test_markers_of_two_sizes_give_no_scale(side_mm: float) -> None:
    reason = reason_in(two_markers(second=Laid(9, (90, 0), side_mm=side_mm)), is_final=True)
    assert reason.startswith(("markers 3 and 9 disagree", "markers 9 and 3 disagree"))
    assert "50 mm" in reason


@pytest.mark.parametrize(
    "second",
    [
        {"mm_per_px": 0.45},  # nearer to the camera
        {"mm_per_px": 0.6},
        {"tilt_deg": 50.0, "towards_deg": 90.0},  # on another face of a pier
    ],
)
def test_a_marker_on_another_plane_gives_no_scale(second: dict[str, float]) -> None:
    hw = (260, 300)
    left = marked_photo(view_of(hw), hw, [Laid(3)])
    right = marked_photo(view_of(hw, **second), hw, [Laid(9)])
    assert "3" in (reason := reason_in(np.hstack([left, right]), is_final=True))
    assert "disagree" in reason


def test_the_same_marker_twice_is_two_markers() -> None:
    scale = scale_in(two_markers(second=Laid(3, (90, 0))))
    assert len(scale.points_xy_px) == 8


# Kinds


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("APRILTAG_36h11:50", MarkerKind("APRILTAG_36h11", 50.0)),
        ("DICT_4X4_50:80:0.5", MarkerKind("4X4_50", 80.0, 0.5)),
        (" aruco_mip_36H12:12.5 ", MarkerKind("ARUCO_MIP_36h12", 12.5)),
    ],
)
def test_a_kind_is_read_and_written(text: str, kind: MarkerKind) -> None:
    assert MarkerKind.parse(text) == kind
    assert MarkerKind.parse(str(kind)) == kind


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("50", "'50' is no marker; write DICT:SIDE_MM"),
        ("APRILTAG_36h11", "is no marker"),
        ("APRILTAG_36h11:", "is no marker"),
        ("APRILTAG_36h11:wide", "is no marker"),
        ("APRILTAG_36h11:50:1:2", "is no marker"),
        ("APRILTAG_36h10x:50", "Did you mean 'apriltag_36h10'?"),
        ("ARUCO_ORIGINAL:50", "is no family of markers"),
        ("4X4_50:0", "the side of the marker is 0 mm"),
        ("4X4_50:-5", "the side of the marker is -5 mm"),
        ("4X4_50:nan", "the side of the marker is nan mm"),
        ("4X4_50:1e9", "the side of the marker is 1e+09 mm"),
        ("4X4_50:50:-1", "the uncertainty of the marker's side is -1 mm"),
        ("4X4_50:50:60", "the uncertainty of the marker's side is 60 mm"),
        ("4X4_50:50:nan", "the uncertainty of the marker's side is nan mm"),
    ],
)
def test_what_is_no_kind_is_told(text: str, words: str) -> None:
    with pytest.raises(DataError) as error:
        MarkerKind.parse(text)
    assert words in str(error.value)


def test_a_marker_has_a_black_border() -> None:
    for family in DICTIONARIES:
        bits = marker_bits(family, 0)
        assert bits.shape[0] == bits.shape[1]
        assert not bits[[0, -1]].any()
        assert not bits[:, [0, -1]].any()
        assert bits.any()
