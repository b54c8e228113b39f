"""Lines of maps and masks that were drawn at known places."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.arrays import BoolArray, Float32Array, Float64Array
from crackscope.errors import DataError
from crackscope.measuring.lines import (
    LineMap,
    compare_lines,
    line_map_of,
    line_of_paths,
    tolerance_factor,
    true_line,
)
from crackscope.model.card import Calibration
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.fine_map import FineMap

HW = (60, 80)
STRAIGHT, SLANTED = ((10, 30), (69, 30)), ((10, 15), (66, 43))


def drawn(*ends: tuple[tuple[int, int], tuple[int, int]], width_px: int = 1, hw: tuple[int, int] = HW) -> BoolArray:
    """A picture in which lines were drawn."""
    picture = np.zeros(hw, np.uint8)
    for start, end in ends:
        cv2.line(picture, start, end, 1, width_px)
    return picture > 0


def moved(line: tuple[tuple[int, int], tuple[int, int]], down_px: int) -> tuple[tuple[int, int], tuple[int, int]]:
    (x0, y0), (x1, y1) = line
    return (x0, y0 + down_px), (x1, y1 + down_px)


def cells_of(photo: BoolArray, cell_px: int) -> Float32Array:
    """A fine map that is right: 0.9 in cells that hold a white pixel, else 0.1."""
    height, width = (-(-n // cell_px) * cell_px for n in photo.shape)
    whole = np.zeros((height, width), bool)
    whole[: photo.shape[0], : photo.shape[1]] = photo
    held = whole.reshape(height // cell_px, cell_px, width // cell_px, cell_px).any(axis=(1, 3))
    return np.where(held, 0.9, 0.1).astype(np.float32)


@st.composite
def pairs_of_lines(draw: st.DrawFn) -> tuple[BoolArray, BoolArray]:
    points = st.tuples(st.integers(0, 79), st.integers(0, 59))
    lines = st.lists(st.tuples(points, points), max_size=3)
    return drawn(*draw(lines)), drawn(*draw(lines))


@pytest.mark.parametrize("down_px", [1, 3, 5])
def test_a_shifted_line_is_right_within_a_tolerance_as_large_as_the_shift(down_px: int) -> None:
    lines = compare_lines(drawn(moved(STRAIGHT, down_px)), drawn(STRAIGHT))
    assert set(lines.found_off_px) == {down_px}
    for tolerance_px in (1, 2, 3, 4, 5):
        counts = lines.counts(tolerance_px)
        assert counts.precision == counts.recall == counts.f1 == (tolerance_px >= down_px)


def test_half_of_a_line_has_all_precision_and_half_the_recall() -> None:
    counts = compare_lines(drawn(((10, 30), (39, 30))), drawn(STRAIGHT)).counts(4)
    assert (counts.n_found, counts.n_true) == (30, 60)
    assert counts.precision == 1
    assert counts.recall == 34 / 60  # four pixels beyond the end are near enough
    assert counts.f1 == pytest.approx(2 * 34 / (34 + 60))
    assert counts.cl_iou == 34 / 60


def test_a_false_line_costs_precision_alone() -> None:
    false = ((10, 50), (29, 50))
    counts = compare_lines(drawn(STRAIGHT, false), drawn(STRAIGHT)).counts(4)
    assert (counts.precision, counts.recall) == (60 / 80, 1)
    assert counts.cl_iou == 60 / 80


def test_one_empty_side_is_0_and_two_are_nothing() -> None:
    nothing, line = drawn(), drawn(STRAIGHT)
    for found, truth in ((nothing, line), (line, nothing)):
        counts = compare_lines(found, truth).counts(4)
        assert (counts.precision, counts.recall, counts.f1, counts.cl_iou) == (0, 0, 0, 0)
    counts = compare_lines(nothing, nothing).counts(4)
    assert np.isnan([counts.precision, counts.recall, counts.f1, counts.cl_iou]).all()


@given(pairs_of_lines())
def test_swapped_lines_swap_precision_and_recall(pair: tuple[BoolArray, BoolArray]) -> None:
    found, truth = pair
    there, back = compare_lines(found, truth).counts(4), compare_lines(truth, found).counts(4)
    assert there.precision == pytest.approx(back.recall, nan_ok=True)
    assert there.recall == pytest.approx(back.precision, nan_ok=True)
    assert there.f1 == pytest.approx(back.f1, nan_ok=True)


@given(pairs_of_lines())
def test_a_line_is_all_right_against_itself(pair: tuple[BoolArray, BoolArray]) -> None:
    line = pair[0] | pair[1]
    counts = compare_lines(line, line).counts(0)
    assert counts.f1 == (1 if line.any() else pytest.approx(np.nan, nan_ok=True))
    assert counts.cl_iou == pytest.approx(counts.f1, nan_ok=True)


@given(pairs_of_lines())
def test_cl_iou_lies_between_0_and_recall(pair: tuple[BoolArray, BoolArray]) -> None:
    counts = compare_lines(*pair).counts(3)
    if counts.n_found and counts.n_true:
        assert 0 <= counts.cl_iou <= counts.recall <= 1


@given(pairs_of_lines(), st.floats(0, 30), st.floats(0, 30))
def test_a_larger_tolerance_never_lowers_a_figure(
    pair: tuple[BoolArray, BoolArray], first: float, second: float
) -> None:
    lines = compare_lines(*pair)
    less, more = lines.counts(min(first, second)), lines.counts(max(first, second))
    for name in ("precision", "recall", "f1", "cl_iou"):
        assert not getattr(more, name) < getattr(less, name) - 1e-12


@pytest.mark.parametrize("cell_px", [1, 2, 4])
@pytest.mark.parametrize("line", [STRAIGHT, SLANTED])
def test_a_line_has_as_many_pixels_whatever_the_size_of_the_cells(
    line: tuple[tuple[int, int], tuple[int, int]], cell_px: int
) -> None:
    truth = drawn(line)
    found = LineMap(cells_of(truth, cell_px), (cell_px, cell_px), HW).line(0.5)
    assert abs(found.sum() - truth.sum()) <= 2 * cell_px
    counts = compare_lines(found, truth).counts(cell_px)
    assert counts.precision == 1
    assert counts.recall >= 1 - 4 / truth.sum()


def test_a_map_lies_over_the_photo_by_the_middles_of_its_cells() -> None:
    probability = np.zeros((15, 20), np.float32)
    probability[7] = 1  # cells of 4 px: rows 28 to 31, whose middle is 29.5
    found = LineMap(probability, (4, 4), HW).line(0.5)
    assert set(np.nonzero(found)[0]) <= {29, 30}
    uneven = LineMap(np.repeat(probability, 2, axis=1), (4, 2), HW).line(0.5)
    assert set(np.nonzero(uneven)[0]) <= {29, 30}


def test_a_map_that_is_no_map_of_the_photo_is_an_error() -> None:
    with pytest.raises(DataError, match="a fine map of 40×60 px does not cover a photo of 80×60 px"):
        LineMap(np.zeros((30, 20), np.float32), (2, 2), HW)
    with pytest.raises(DataError, match="is none"):
        LineMap(np.zeros((30, 0), np.float32), (2, 2), HW)
    with pytest.raises(DataError, match="cannot be compared"):
        compare_lines(drawn(), drawn(hw=(5, 5)))


def test_a_wide_mask_gives_a_line_along_its_middle() -> None:
    line = true_line(drawn(STRAIGHT, width_px=7), HW)
    assert set(np.nonzero(line)[0]) == {30}
    assert 50 <= line.sum() <= 66


def test_a_small_mask_is_brought_to_the_size_of_its_photo() -> None:
    small = np.zeros((20, 30), bool)
    small[10, 5:25] = True
    line = true_line(small, (60, 90))
    rows, columns = np.nonzero(line)
    assert (rows == 31).mean() > 0.9  # pixel 10 of the mask is pixels 30 to 32 of the photo
    assert columns.min() in (15, 16)
    assert columns.max() in (73, 74)


@pytest.mark.parametrize(
    ("photo_hw", "mask_hw", "factor"),
    [
        ((768, 768), (768, 768), 1),
        ((768, 768), (256, 256), 3),
        ((1600, 1200), (1600, 1200), 1),
        ((2400, 3200), (2400, 3200), 2),
        ((2400, 3200), (600, 800), 8),
        ((500, 500), (1000, 1000), 1),
    ],
)
def test_tolerances_grow_with_large_photos_and_small_masks(
    photo_hw: tuple[int, int], mask_hw: tuple[int, int], factor: float
) -> None:
    assert tolerance_factor(photo_hw, mask_hw) == factor


def test_a_widened_tolerance_is_used() -> None:
    found, truth = drawn(moved(STRAIGHT, 5)), drawn(STRAIGHT)
    assert compare_lines(found, truth).counts(2).f1 == 0
    assert compare_lines(found, truth, factor=2.5).counts(2).f1 == 1


def test_lines_of_a_map_are_compared_with_a_smaller_mask() -> None:
    small = np.zeros((20, 30), bool)
    small[10, 5:25] = True
    photo = np.kron(small, np.ones((3, 3), bool)).astype(bool)
    line_map, truth = LineMap(cells_of(photo, 2), (2, 2), (60, 90)), true_line(small, (60, 90))
    factor = tolerance_factor((60, 90), small.shape)
    lines = compare_lines(line_map.line(0.5), truth, factor=factor)
    assert lines.factor == 3
    assert lines.counts(2).f1 == 1


def test_cells_beside_the_true_line_are_left_out_of_the_bins() -> None:
    truth = drawn(((0, 30), (79, 30)))
    probability = np.full((30, 40), 0.1, np.float32)
    probability[15], probability[14], probability[16] = 0.9, 0.7, 0.3
    bins = LineMap(probability, (2, 2), HW).bins(truth)
    assert bins[:, 0].sum() == 28 * 40
    assert bins[:, 2].sum() == 40
    assert bins[13].tolist() == pytest.approx([40, 36, 40])  # 0.9 is in the 14th of 15 bins
    assert bins[1].tolist() == pytest.approx([27 * 40, 0.1 * 27 * 40, 0])


def test_cells_beyond_the_photo_are_in_no_bin() -> None:
    map_ = LineMap(np.full((20, 24), 0.1, np.float32), (4, 4), HW)
    assert map_.bins(drawn())[:, 0].sum() == 15 * 20


# Paths


def slanted(y0: float, rise: float, *, n: int = 61) -> Float64Array:
    """Points of a path from the left to the right, a pixel apart across."""
    x = np.linspace(10, 69, n)
    return np.column_stack([x, y0 + rise * (x - 10)])


@pytest.mark.parametrize("rise", [0.0, 0.3, 0.7, 1.0, -0.45])
def test_a_path_has_as_many_pixels_as_the_line_of_a_map_beneath_it(rise: float) -> None:
    path = slanted(20 if rise >= 0 else 50, rise / 2, n=200)
    line = line_of_paths([path], HW)
    assert abs(line.sum() - 60) <= 2  # one for each step along the longer extent
    thick = cv2.dilate(line.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    found = LineMap(cells_of(thick, 1), (1, 1), HW).line(0.5)
    assert abs(found.sum() - line.sum()) <= 4  # thinning takes a pixel and a half off each end
    counts = compare_lines(found, line).counts(1)
    assert counts.precision == 1


def test_paths_are_drawn_between_far_points_and_cut_at_the_border() -> None:
    line = line_of_paths([np.array([[-5.0, 10.0], [20.2, 10.4], [20.2, 200.0]])], HW)
    assert set(zip(*(at.tolist() for at in np.nonzero(line[:10])), strict=True)) == set()
    assert line[10, :19].all()
    assert line[12:, 20].all()
    assert abs(line.sum() - (20 + 50)) <= 1
    assert not line_of_paths([], HW).any()


def test_a_path_that_steps_about_counts_as_a_straight_one() -> None:
    rough = slanted(30, 0.0, n=60) + np.column_stack([np.zeros(60), np.tile([-0.4, 0.4], 30)])
    assert line_of_paths([rough, rough], HW).sum() == line_of_paths([slanted(30, 0.0)], HW).sum() == 60


# What a model gives


@pytest.mark.parametrize("cell_px", [(2.0, 2.0), (3.2, 3.2)])
def test_a_fine_map_is_taken_with_the_size_of_its_cells(cell_px: tuple[float, float]) -> None:
    calibration = Calibration(temperature=1, threshold=0.5, unsure_low=0.5, unsure_high=0.5)
    without = CrackMap(np.zeros((4, 5), np.float32), HW, (16, 16), 1, calibration, 1.0)
    assert line_map_of(without) is None
    probability = np.zeros((30, 40), np.float32)
    found = line_map_of(replace(without, fine=FineMap(probability, cell_px, 0.3)))
    assert found is not None
    assert (found.cell_px, found.photo_hw) == (cell_px, HW)
    assert found.probability is probability
