"""A line that a person drew is moved onto the crack, and measured as a traced one."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crackscope
from crackscope.arrays import UInt8Array
from crackscope.errors import DataError, ImageError
from crackscope.files.images import Image
from crackscope.geometry.measured_line import line_of, measure, measured_lines
from crackscope.geometry.scale import Scale
from shared.marked import marked_photo, view_of

PHOTO_HW = (200, 400)


def wavy_wall(width_px: float = 4.0) -> tuple[UInt8Array, np.ndarray]:
    """Grey wall with a dark wavy line, blurred by 0.8 px; and the middle of this line.

    Dark squares at its edges show the blur.
    """
    x = np.arange(20, 380.0)
    y = 100 + 12 * np.sin(x / 40)
    fine = np.full((PHOTO_HW[0] * 8, PHOTO_HW[1] * 8), 180, np.uint8)
    points = np.round((np.column_stack([x, y]) + 0.5) * 8).astype(np.int32)
    cv2.polylines(fine, [points], False, 30, round(width_px * 8))
    for left in range(0, PHOTO_HW[1] * 8, 400):
        fine[: 20 * 8, left : left + 200] = fine[-20 * 8 :, left : left + 200] = 60
    wall = cv2.GaussianBlur(cv2.resize(fine, PHOTO_HW[::-1], interpolation=cv2.INTER_AREA), (0, 0), 0.8)
    noise = np.random.default_rng(0).normal(0, 2, PHOTO_HW)
    return np.clip(np.round(wall + noise), 0, 255).astype(np.uint8), np.column_stack([x, y])


WALL, MIDDLE = wavy_wall()
BESIDE = MIDDLE[20:-20:20] + np.random.default_rng(1).normal(0, 2, MIDDLE[20:-20:20].shape)


def off_the_middle(crack: crackscope.Crack) -> np.ndarray:
    return np.array([np.hypot(*(MIDDLE - point).T).min() for point in crack.path_xy[0]])


def test_a_line_beside_the_crack_is_moved_onto_it() -> None:
    crack = measure(WALL, BESIDE, scale=Scale(0.25, 0.01))
    assert np.median(off_the_middle(crack)) < 0.6
    assert crack.width is not None
    assert crack.mm is not None
    assert crack.mm.median is not None
    assert crack.width.median.width_px == pytest.approx(4, abs=0.5)
    assert crack.width.median.low_px < 4 < crack.width.median.high_px
    assert crack.mm.median.width_mm == pytest.approx(0.25 * crack.width.median.width_px)
    true_px = np.hypot(*np.diff(MIDDLE[20:-20], axis=0).T).sum()
    assert crack.length_px == pytest.approx(true_px, rel=0.06)  # its ends are drawn by hand
    assert crack.mm.length_mm == pytest.approx(0.25 * crack.length_px)
    assert (crack.joint_like, crack.pattern, crack.mean_confidence) == (False, "single", 1.0)


def test_it_is_told_how_far_a_line_moved() -> None:
    level = line_of([(60, 30), (340, 30)])
    photo = np.full(PHOTO_HW, 180, np.uint8)
    photo[34:37] = 40  # its middle lies 5 px below the line
    (line,) = measured_lines(Image(np.repeat(photo[..., None], 3, axis=2)), [level]).lines
    assert line.moved_px == pytest.approx(5, abs=0.3)
    assert line.most_moved_px == pytest.approx(5, abs=0.5)
    (near,) = measured_lines(Image(np.repeat(photo[..., None], 3, axis=2)), [level], reach_px=2).lines
    assert near.most_moved_px <= 2.05


def test_as_drawn_the_line_stays_where_it_is() -> None:
    corner = line_of([(40, 40), (200, 40), (200, 150)])
    (line,) = measured_lines(Image(np.repeat(WALL[..., None], 3, axis=2)), [corner], as_drawn=True).lines
    assert (line.moved_px, line.most_moved_px) == (0, 0)
    assert line.crack.length_px == pytest.approx(270)
    assert (line.crack.path_xy[0] == (200, 40)).all(axis=1).any()


def test_a_straight_line_across_the_photo_is_no_joint() -> None:
    crack = measure(WALL, [(0, 100), (399, 100)], as_drawn=True)
    assert not crack.joint_like
    assert crack.width is not None


def test_a_ring_has_no_ends() -> None:
    angles = np.linspace(0, 2 * np.pi, 40)
    ring = 100 + 60 * np.column_stack([np.cos(angles), np.sin(angles)])
    ring[-1] = ring[0]
    crack = measure(WALL, ring, as_drawn=True)
    assert (crack.n_ends, crack.tortuosity) == (0, None)


def test_a_plain_wall_gives_no_number() -> None:
    crack = measure(np.full(PHOTO_HW, 150, np.uint8), [(50, 50), (300, 120)], scale=Scale(0.3))
    assert crack.width is not None
    assert crack.mm is not None
    for name in ("median", "p90", "maximum"):
        assert crack.width.text(name).startswith("< ")
        assert float(crack.mm.text(name)[2:]) >= round(crack.mm.smallest_mm or 0, 2)


def test_a_marker_gives_each_place_its_scale() -> None:
    photo = marked_photo(view_of((300, 400)), (300, 400))
    crack = measure(photo, [(20, 20), (300, 30)], scale=crackscope.ScaleSources(marker=MARKER))
    assert crack.mm is not None
    assert crack.mm.mm_per_px == pytest.approx(0.5, rel=0.02)


MARKER = crackscope.MarkerKind("APRILTAG_36h11", 50)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ([], "shape"),
        ([(10, 10)], "has 1 point; a line needs at least two"),
        ("10,10", "has 1 point; a line needs at least two"),
        ("10,10,20", "has 3 numbers; each point needs two"),
        ("10,10,x,20", "'x' in '10,10,x,20' is no number"),
        ("", "the line is empty"),
        ("," * 500, "is no number"),
        ([(10, 10), (np.nan, 20)], "point 2 of the line is nan,20"),
        ([(10, 10), (np.inf, 20)], "point 2 of the line is inf,20"),
        ([(10, 10), (12, 11)], "is 2.24 px long; draw one of at least 10 px"),
        ([(10, 10), (10, 10)], "is 0 px long"),
        ([(10, 10, 3), (20, 20, 3)], r"has shape \(2, 3\)"),
        ([(10, 10), (20,)], "no list of points"),
        ("5,5,400,100", "point 2 of the line, 400,100, lies outside the photo of 400×200 px"),
        ([(-1, 5), (100, 100)], "point 1 of the line, -1,5, lies outside"),
        ([(0, 0), (399, 199)] * 100, "px long, and the photo has 80,000 pixels"),
    ],
)
def test_a_line_that_cannot_be_measured_is_told(line: object, told: str) -> None:
    with pytest.raises(DataError, match=told):
        measure(WALL, line_of(line))  # type: ignore[arg-type]


def test_a_line_that_is_far_too_long_is_told() -> None:
    back_and_forth = [(0, 0), (799, 799)] * 200
    with pytest.raises(DataError, match="draw lines of at most 200,000 px"):
        measure(np.full((800, 800), 150, np.uint8), back_and_forth)


@pytest.mark.parametrize("hw", [(1, 40), (40, 2), (12, 12)])
def test_a_tiny_photo_is_measured(hw: tuple[int, int]) -> None:
    corner = (hw[1] - 1.0, hw[0] - 1.0)
    crack = measure(np.zeros(hw, np.uint8), [(0, 0), corner])
    assert crack.width is not None
    assert not crack.width.median.resolved


@pytest.mark.parametrize("reach_px", [0, 51, float("nan")])
def test_a_reach_outside_its_range_is_told(reach_px: float) -> None:
    with pytest.raises(DataError, match="must lie between 1 and 50 px"):
        measure(WALL, BESIDE, reach_px=reach_px)


def test_a_photo_that_cannot_be_read_is_told() -> None:
    with pytest.raises(ImageError, match="No such file"):
        measure("nowhere.jpg", BESIDE)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 399), st.floats(0, 199)), min_size=2, max_size=6), st.booleans())
def test_any_line_inside_the_photo_gives_finite_numbers(points: list[tuple[float, float]], as_drawn: bool) -> None:
    try:
        line = line_of(points)
    except DataError:
        return  # too short
    (found,) = measured_lines(Image(np.repeat(WALL[..., None], 3, axis=2)), [line], as_drawn=as_drawn).lines
    width = found.crack.width
    assert width is not None
    assert found.most_moved_px <= 10.2
    assert all(np.isfinite([width.median.width_px, width.p90.width_px, width.maximum.width_px, found.crack.length_px]))
    assert 0 < width.median.width_px <= width.p90.width_px <= width.maximum.width_px
    assert crackscope.Crack.from_dict(found.crack.to_dict()) == found.crack


def test_no_model_is_loaded() -> None:
    code = (
        "import sys, numpy as np, crackscope; "
        "crackscope.measure(np.full((60, 90), 150, np.uint8), [(5, 5), (80, 50)]); "
        "print([m for m in ('onnxruntime', 'onnx', 'sklearn', 'skimage') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
