"""Line figures of photos whose lines are known pixel by pixel."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from crackscope.errors import DataError
from crackscope.measuring.line_figures import LineFigures, choose_line_threshold, line_rows, measure_lines
from crackscope.measuring.lines import LineMap, PhotoLines

NONE = PhotoLines(np.empty((0, 2), int), np.empty((0, 2), int), np.empty(0), np.empty(0))


def photo(n_found: int, n_right: int, n_true: int, n_hit: int, *, off_px: float = 3.0) -> PhotoLines:
    """A photo with so many pixels, of which so many are right at once and the others only within `off_px`."""
    found, true = np.full(n_found, off_px), np.full(n_true, off_px)
    found[:n_right], true[:n_hit] = 0, 0
    return PhotoLines(np.zeros((n_found, 2), int), np.zeros((n_true, 2), int), found, true)


def many(n: int = 10, *, seed: int = 0) -> list[PhotoLines]:
    rng = np.random.default_rng(seed)
    return [photo(100, int(rng.integers(60, 101)), 100, int(rng.integers(60, 101)), off_px=9) for _ in range(n)]


def measured(photos: list[PhotoLines], **given: object) -> LineFigures:
    return measure_lines(photos, threshold=0.5, **given)  # type: ignore[arg-type]


def test_pixels_are_summed_over_photos_and_photos_are_averaged() -> None:
    figures = measured([photo(100, 100, 100, 100), photo(300, 0, 100, 50)])
    least, greatest = figures.within
    assert (least.tolerance_px, greatest.tolerance_px) == (2, 4)
    assert (least.precision.value, least.recall.value) == (100 / 400, 150 / 200)
    assert least.f1.value == pytest.approx(2 * 0.25 * 0.75)
    assert (least.mean_precision.value, least.mean_recall.value, least.mean_f1.value) == (0.5, 0.75, 0.5)
    assert least.cl_iou.value == 150 / (200 + 300)
    assert least.mean_cl_iou.value == pytest.approx((1 + 50 / (100 + 300)) / 2)
    assert (greatest.f1.value, greatest.mean_f1.value, greatest.cl_iou.value) == (1, 1, 1)
    assert figures.length_ratio.value == 400 / 200


def test_one_empty_side_counts_as_0_and_two_are_left_out_and_counted() -> None:
    found_alone, true_alone = photo(50, 0, 0, 0, off_px=np.inf), photo(0, 0, 50, 0, off_px=np.inf)
    figures = measured([photo(100, 100, 100, 100), found_alone, true_alone, NONE])
    assert (figures.n_photos, figures.n_without_lines, figures.n_clusters) == (4, 1, 3)
    within = figures.within[-1]
    assert within.mean_f1.value == pytest.approx(1 / 3)
    assert within.mean_precision.value == pytest.approx(1 / 3)
    assert (within.precision.value, within.recall.value) == (100 / 150, 100 / 150)
    assert (within.cl_iou.value, figures.length_ratio.value) == (100 / 200, 1)


def test_nothing_anywhere_has_no_figure() -> None:
    figures = measured([NONE, NONE, NONE])
    assert np.isnan([figures.within[0].f1.value, figures.within[0].mean_f1.value, figures.ece.value]).all()
    assert np.isnan([figures.within[0].cl_iou.value, figures.length_ratio.value]).all()
    document = figures.document()
    json.dumps(document, allow_nan=False)
    assert figures.few == ""


def test_lines_that_are_never_found_have_an_f1_of_0_and_no_precision() -> None:
    within = measured([photo(0, 0, 50, 0, off_px=np.inf)] * 4).within[0]
    assert np.isnan(within.precision.value)
    assert (within.recall.value, within.f1.value, within.mean_f1.value) == (0, 0, 0)
    assert (within.cl_iou.value, within.mean_cl_iou.value) == (0, 0)
    assert within.recall.high > 0
    ratio = measured([photo(0, 0, 50, 0, off_px=np.inf)] * 4).length_ratio
    assert ratio.value == 0
    assert np.isnan(ratio.low)


def test_intervals_hold_their_figure_and_grow_where_photos_are_few() -> None:
    names = ("precision", "recall", "f1", "cl_iou", "mean_precision", "mean_recall", "mean_f1", "mean_cl_iou")
    few, more = measured(many(4)).within[0], measured(many(40)).within[0]
    for name in names:
        for one in (few, more):
            figure = getattr(one, name)
            assert 0 <= figure.low < figure.value < figure.high <= 1
        assert getattr(few, name).high - getattr(few, name).low > getattr(more, name).high - getattr(more, name).low


def test_two_photos_give_no_interval_and_seven_an_anecdote() -> None:
    two, seven, eight = (measured(many(n)) for n in (2, 7, 8))
    assert np.isnan([two.within[0].f1.low, two.within[0].mean_f1.low, two.within[0].precision.high]).all()
    assert two.few == "lines in 2 photos: read this as an anecdote, without intervals"
    assert seven.few == "lines in 7 photos: read this as an anecdote"
    assert eight.few == ""


def test_photos_of_one_scene_stay_together() -> None:
    alone = measured(many(6))
    paired = measured(many(6), clusters=["a", "a", "b", "b", "c", "c"], cluster_kind="scenes")
    assert paired.n_clusters == 3
    assert "3 scenes" in paired.few
    assert paired.within[0].f1.value == alone.within[0].f1.value
    assert paired.within[0].mean_f1.value == pytest.approx(alone.within[0].mean_f1.value)
    assert np.isnan(measured(many(6), clusters=["a"] * 3 + ["b"] * 3).within[0].f1.low)


def test_the_order_of_photos_changes_no_figure() -> None:
    photos = many(5)
    first, second = measured(photos), measured(photos[::-1])
    assert first.within[0].f1 == second.within[0].f1
    assert first.within[0].mean_f1.value == pytest.approx(second.within[0].mean_f1.value)


def test_no_photo_or_a_cluster_too_few_is_an_error() -> None:
    with pytest.raises(DataError, match="0 photos"):
        measured([])
    with pytest.raises(DataError, match="5 photos with 4 clusters"):
        measured(many(5), clusters=["a", "b", "c", "d"])


def test_the_length_ratio_has_an_interval_over_clusters() -> None:
    photos = [photo(100 + 20 * i, 90, 150, 90) for i in range(8)]
    ratio = measured(photos).length_ratio
    assert 0 < ratio.low < ratio.value == 1360 / 1200 < ratio.high
    assert np.isnan(measured(photos, clusters=["a"] * 4 + ["b"] * 4).length_ratio.low)


def test_rows_are_titled_by_what_they_are_of() -> None:
    figures = measured(many(3))
    titles = [title for title, _ in line_rows(figures)]
    assert titles[:3] == ["Line precision, 2 px", "Line recall, 2 px", "Line F1, 2 px"]
    assert titles[-2:] == ["Line length ratio", "Calibration error of cells"]
    assert "Line clIoU, photo mean, 4 px" in titles
    traced = [title for title, _ in line_rows(replace(figures, threshold=None), "Traced line")]
    assert traced[0] == "Traced line precision, 2 px"
    assert traced[-1] == "Traced line length ratio"  # only a fine map has cells


# Calibration of cells


def binned(probability: float, n: int, n_cracked: int) -> PhotoLines:
    bins = np.zeros((15, 3))
    bins[min(14, int(probability * 15))] = n, n * probability, n_cracked
    return PhotoLines(NONE.found_xy, NONE.true_xy, NONE.found_off_px, NONE.true_off_px, bins=bins)


def test_the_calibration_error_is_that_of_all_cells_together() -> None:
    assert measured([binned(0.9, 100, 90), binned(0.1, 300, 30)]).ece.value == pytest.approx(0)
    too_sure = measured([binned(0.9, 100, 50), binned(0.1, 300, 30)])
    assert too_sure.ece.value == pytest.approx(0.4 * 100 / 400)
    cancelled = measured([binned(0.9, 100, 80), binned(0.9, 100, 100)])  # one too sure, the other not sure enough
    assert cancelled.ece.value == pytest.approx(0)
    assert np.isnan(measured([NONE, binned(0.9, 100, 80)]).ece.value)


def test_the_calibration_error_has_an_interval_over_photos() -> None:
    rng = np.random.default_rng(0)
    ece = measured([binned(0.5, 100, int(rng.integers(20, 100))) for _ in range(9)]).ece
    assert 0 <= ece.low < ece.value < ece.high
    assert np.isnan(measured([binned(0.5, 100, 20), binned(0.5, 100, 90)]).ece.low)


# The threshold


def strip(line: float, noise: float) -> tuple[LineMap, np.ndarray]:
    """A map with a true line of one probability and a false one of another, and the mask."""
    probability = np.full((30, 40), 0.02, np.float32)
    probability[7:10], probability[21:24] = line, noise
    mask = np.zeros((60, 80), bool)
    mask[14:20] = True
    return LineMap(probability, (2, 2), (60, 80)), mask


def test_the_threshold_lies_between_the_true_and_the_false_lines() -> None:
    threshold, f1 = choose_line_threshold([strip(0.9, 0.6), strip(0.8, 0.3)])
    assert 0.55 < threshold <= 0.8
    assert f1 == 1
    threshold, f1 = choose_line_threshold([strip(0.4, 0.2)])
    assert 0.2 < threshold <= 0.4
    assert f1 == 1


def test_of_equally_good_thresholds_the_nearest_to_a_half_is_chosen() -> None:
    assert choose_line_threshold([strip(0.9, 0.1)])[0] == 0.5
    assert choose_line_threshold([strip(0.9, 0.1)], thresholds=(0.4, 0.7))[0] == 0.4


def test_a_threshold_needs_a_true_line() -> None:
    line_map, mask = strip(0.9, 0.1)
    with pytest.raises(DataError, match="no true line"):
        choose_line_threshold([(line_map, np.zeros_like(mask))])
    with pytest.raises(DataError, match="0 thresholds"):
        choose_line_threshold([(line_map, mask)], thresholds=())
