"""What is read from a map is what its cells say: by footprint, by place, by box, by region."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy import ndimage
from scipy.special import expit

from crackscope.errors import DataError, OutputError
from crackscope.model.card import Calibration, Pool
from crackscope.scanning import crack_map
from crackscope.scanning.crack_map import CrackMap, pool_footprints
from crackscope.scanning.regions import Region

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]

CALIBRATION = Calibration(temperature=2.0, shift=0.3, threshold=0.6, unsure_low=0.5, unsure_high=0.7)

LOGITS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    elements=st.floats(-12, 12, width=32),
)
FOOTPRINTS = st.integers(1, 6)


def mapped(
    logits: Any,
    *,
    cell_px: tuple[float, float] = (32, 32),
    footprint_cells: int = 1,
    cut_px: tuple[int, int] = (0, 0),
    pool: Pool = "mean",
) -> CrackMap:
    """A map of a photo whose last cells are cut short by so many pixels."""
    values = np.asarray(logits, np.float32)
    photo_hw = tuple(round(n * cell) - cut for n, cell, cut in zip(values.shape, cell_px, cut_px, strict=True))
    return CrackMap(
        logits=values,
        photo_hw=(photo_hw[0], photo_hw[1]),
        cell_px=cell_px,
        footprint_cells=footprint_cells,
        calibration=CALIBRATION,
        network_scale=32 / cell_px[0],
        pool=pool,
    )


@st.composite
def maps(draw: st.DrawFn) -> CrackMap:
    """Maps of any size of cell and footprint, of photos that end within their last cells."""
    cell_px = draw(st.tuples(st.floats(2, 80), st.floats(2, 80)))
    logits = draw(LOGITS)
    cuts = [draw(st.integers(0, int(cell) - 1)) for cell in cell_px]
    found = mapped(logits, cell_px=cell_px, footprint_cells=draw(FOOTPRINTS))
    return replace(found, photo_hw=(max(1, found.photo_hw[0] - cuts[0]), max(1, found.photo_hw[1] - cuts[1])))


# Footprints


def pooled_by_hand(logits: FloatArray, footprint_cells: int) -> FloatArray:
    height, width = (min(footprint_cells, n) for n in logits.shape)
    return np.array(
        [
            [logits[i : i + height, j : j + width].mean(dtype=np.float64) for j in range(logits.shape[1] - width + 1)]
            for i in range(logits.shape[0] - height + 1)
        ]
    )


@settings(deadline=None)
@given(LOGITS, FOOTPRINTS)
def test_a_footprint_is_pooled_by_its_mean(logits: FloatArray, footprint_cells: int) -> None:
    found = pool_footprints(logits, footprint_cells)
    expected = pooled_by_hand(logits, footprint_cells)
    assert found.shape == expected.shape
    assert found == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(LOGITS, FOOTPRINTS, st.sampled_from((0.0, 700.0, -700.0)))
def test_a_few_strong_cells_decide_where_the_pool_says_so(
    logits: FloatArray, footprint_cells: int, offset: float
) -> None:
    """log(mean(exp(logit))), which no size of the logits overflows, and which lies between mean and greatest."""
    height, width = (min(footprint_cells, n) for n in logits.shape)
    found = pool_footprints(logits + np.float32(offset), footprint_cells, pool="logsumexp")
    for (i, j), value in np.ndenumerate(found):
        cells = logits[i : i + height, j : j + width].astype(np.float64)
        assert value - offset == pytest.approx(np.log(np.exp(cells).mean()), abs=1e-4)
        assert cells.mean() - 1e-4 <= value - offset <= cells.max() + 1e-4


def test_a_very_strong_cell_hides_no_other_crack() -> None:
    logits = np.full((12, 30), -12, np.float32)
    logits[5, 3], logits[5, 24] = 60, 4
    found = pool_footprints(logits, 5, pool="logsumexp")
    assert found[3, 22] == pytest.approx(np.log((np.exp(4) + 24 * np.exp(-12)) / 25), abs=1e-9)
    assert found[3, 12] == pytest.approx(-12, abs=1e-9)


def test_one_loud_cell_does_not_blur_what_lies_after_it() -> None:
    """Sums run over the whole map: what a cell adds is taken off again without a trace that counts."""
    logits = np.zeros((3, 500), np.float32)
    logits[:, 7] = 1e6
    assert np.abs(pool_footprints(logits, 3)[:, 8:]).max() < 1e-6


@settings(deadline=None)
@given(LOGITS, FOOTPRINTS)
def test_a_cell_says_what_the_nearest_footprint_inside_the_photo_says(logits: FloatArray, footprint_cells: int) -> None:
    found = mapped(logits, footprint_cells=footprint_cells)
    pooled = expit((pooled_by_hand(logits, footprint_cells) + 0.3) / 2)
    middles = [np.arange(n) + (footprint_cells - 1) // 2 for n in pooled.shape]
    nearest = [
        [int(np.abs(middle - i).argmin()) for i in range(n)] for middle, n in zip(middles, logits.shape, strict=True)
    ]
    assert found.probabilities == pytest.approx(pooled[np.ix_(*nearest)], abs=1e-6)
    assert found.probabilities.dtype == np.float32
    assert found.peak_probability == pytest.approx(pooled.max(), abs=1e-6)  # so every footprint is shown somewhere


def test_at_the_border_the_nearest_whole_footprint_speaks() -> None:
    logits = np.zeros((1, 7))
    logits[0, 0] = 6
    found = mapped(logits, footprint_cells=3).probabilities[0]
    assert found == pytest.approx(expit((np.array([2, 2, 0, 0, 0, 0, 0]) + 0.3) / 2), abs=1e-6)


@settings(deadline=None)
@given(LOGITS, st.sampled_from([1, 3, 5]))
def test_a_mirrored_map_has_mirrored_probabilities(logits: FloatArray, footprint_cells: int) -> None:
    found = mapped(logits, footprint_cells=footprint_cells).probabilities
    for view in (np.s_[::-1], np.s_[:, ::-1]):
        assert mapped(logits[view], footprint_cells=footprint_cells).probabilities == pytest.approx(
            found[view], abs=1e-6
        )


@settings(deadline=None)
@given(LOGITS)
def test_a_photo_smaller_than_a_footprint_is_one_footprint(logits: FloatArray) -> None:
    found = mapped(logits, footprint_cells=20)
    expected = expit((logits.mean(dtype=np.float64) + 0.3) / 2)
    assert found.probabilities == pytest.approx(np.full(logits.shape, expected), abs=1e-6)


def test_a_single_cell_is_never_called_a_probability() -> None:
    """One very certain cell among doubtful ones is outvoted by its footprint."""
    logits = np.full((5, 5), -2.0)
    logits[2, 2] = 8
    found = mapped(logits, footprint_cells=5)
    assert found.peak_probability == found.probability_at(80, 80) < 0.5
    assert found.regions() == []


def test_a_footprint_is_measured_in_photo_pixels() -> None:
    assert mapped(np.zeros((4, 4)), cell_px=(32, 51.2), footprint_cells=5).footprint_px == pytest.approx((160, 256))


# At a place


@settings(deadline=None)
@given(maps(), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_a_place_has_the_probability_of_the_cell_it_lies_in(found: CrackMap, x: float, y: float) -> None:
    x_px, y_px = x * found.photo_hw[1], y * found.photo_hw[0]
    row, column = (
        max(i for i in range(n) if i * cell <= place) if place > 0 else 0
        for n, cell, place in zip(found.logits.shape, found.cell_px, (y_px, x_px), strict=True)
    )
    near = found.probabilities[max(0, row - 1) : row + 1, max(0, column - 1) : column + 1]
    on_an_edge = min(abs(y_px / found.cell_px[0] - row), abs(x_px / found.cell_px[1] - column)) < 1e-6
    said = found.probability_at(x_px - 0.5, y_px - 0.5)  # (0, 0) is the middle of the first pixel
    assert said in near if on_an_edge else said == found.probabilities[row, column]


def test_the_last_place_before_the_edge_lies_inside() -> None:
    for n_cells, side_px in itertools.product(range(1, 60), (227, 640, 1000, 4032)):
        found = mapped(np.zeros((1, n_cells)), cell_px=(32, side_px / n_cells))
        assert found.photo_hw[1] == side_px
        assert found.probability_at(math.nextafter(side_px - 0.5, 0), 0) == found.peak_probability


@pytest.mark.parametrize("place", [(-0.6, 3), (63.5, 3), (3, 31.5), (3, -1), (math.nan, 3), (3, math.inf)])
def test_a_place_outside_is_an_error(place: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="lies outside of a photo of 64×32 px"):
        mapped(np.zeros((1, 2))).probability_at(*place)


# In a box


def cells_by_hand(start_px: float, stop_px: float, cell_px: float, n: int) -> list[int]:
    """Cells whose middle lies inside; else those at the least distance, of which one may be taken."""
    middles = [(i + 0.5) * cell_px for i in range(n)]
    if inside := [i for i, middle in enumerate(middles) if start_px <= middle < stop_px]:
        return inside
    distances = [max(start_px - middle, middle - stop_px) for middle in middles]
    return [i for i, distance in enumerate(distances) if distance <= min(distances) + 1e-9]


@settings(max_examples=200, deadline=None)
@given(maps(), st.data())
def test_a_box_has_the_cells_whose_middle_it_holds_or_the_nearest_one(found: CrackMap, data: st.DataObject) -> None:
    edges = []
    for side in found.photo_hw:
        start = data.draw(st.floats(-100, side, exclude_max=True))
        edges.append((start, data.draw(st.floats(max(start, 0), side + 100, exclude_min=True))))
    (top, bottom), (left, right) = edges
    chosen = found.cells_in((left, top, right, bottom))
    for cells, (start, stop), cell_px, n in zip(chosen, edges, found.cell_px, found.logits.shape, strict=True):
        middles = (np.arange(n) + 0.5) * cell_px
        if min(np.abs(middles - start).min(), np.abs(middles - stop).min()) < 1e-9:
            continue  # rounding may put a middle on either side
        expected = cells_by_hand(start, stop, cell_px, n)
        taken = list(range(n))[cells]
        assert taken == expected or (len(taken) == 1 and taken[0] in expected and len(expected) == 2)
    logit = found.logits[chosen].mean(dtype=np.float64)
    assert found.logit_in((left, top, right, bottom)) == pytest.approx(logit)
    said = found.probability_in((left, top, right, bottom))
    assert said == pytest.approx(expit((logit + 0.3) / 2), abs=1e-6)


@settings(deadline=None)
@given(LOGITS, FOOTPRINTS, st.data())
def test_the_box_of_a_footprint_says_what_the_footprint_says(
    logits: FloatArray, footprint_cells: int, data: st.DataObject
) -> None:
    pool = data.draw(st.sampled_from(get_args(Pool)))
    found = mapped(logits, footprint_cells=footprint_cells, cell_px=(51.2, 20.3), pool=pool)
    pooled = pool_footprints(logits, footprint_cells, pool=pool)
    row, column = (data.draw(st.integers(0, n - 1)) for n in pooled.shape)
    rows, columns = (min(footprint_cells, n) for n in logits.shape)
    box = (column * 20.3, row * 51.2, (column + columns) * 20.3, (row + rows) * 51.2)
    assert found.logit_in(box) == pytest.approx(pooled[row, column], abs=1e-9)


def test_tiles_of_a_grid_share_no_cell_and_leave_none_out() -> None:
    """As the tiles of a data set's photo do, whose sides are no multiples of a cell."""
    found = mapped(np.zeros((20, 30)), cell_px=(51.2, 51.2))
    counts = np.zeros(found.logits.shape, int)
    for i, j in np.ndindex(4, 6):
        counts[found.cells_in((j * 256, i * 256, (j + 1) * 256, (i + 1) * 256))] += 1
    assert (counts == 1).all()


@pytest.mark.parametrize(
    ("start", "stop", "cell"),
    [(0.55, 0.95, 0), (1.05, 1.45, 1), (1.55, 1.6, 1), (2.6, 9, 2), (-9, 0.1, 0), (2.9, 3, 2)],
)
def test_a_box_between_the_middles_has_the_cell_nearest_to_it(start: float, stop: float, cell: int) -> None:
    found = mapped(np.zeros((1, 3)))
    assert found.cells_in((start * 32, 0, stop * 32, 32))[1] == slice(cell, cell + 1)


def test_a_box_without_an_end_is_the_rest_of_the_photo() -> None:
    found = mapped(np.arange(6).reshape(2, 3))
    assert found.logit_in((-math.inf, -math.inf, math.inf, math.inf)) == 2.5
    assert found.logit_in((32, 32, math.inf, math.inf)) == 4.5


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 10, 20),
        (10, 20, 20, 10),
        (96, 0, 99, 10),
        (0, 64, 10, 70),
        (-9, 0, 0, 10),
        (0, -9, 10, 0),
        (0, 0, math.nan, 10),
    ],
)
def test_a_box_that_is_empty_or_outside_is_an_error(box: tuple[float, float, float, float]) -> None:
    found = mapped(np.zeros((2, 3)))
    for read in (found.probability_in, found.logit_in, found.cells_in):
        with pytest.raises(DataError, match=r"the box \(.*\) is empty, or lies outside of a photo of 96×64 px"):
            read(box)


# Regions


def strongest_around(found: CrackMap, around: np.ndarray, among: np.ndarray) -> tuple[int, int]:
    """Of the cells of the footprint around a cell, cell by cell."""
    side = found.footprint_cells
    firsts = [
        max(0, min(int(at) - (side - 1) // 2, n - side)) for at, n in zip(around, found.logits.shape, strict=True)
    ]
    cells = [
        (row, column)
        for row, column in np.argwhere(among).tolist()
        if firsts[0] <= row < firsts[0] + side and firsts[1] <= column < firsts[1] + side
    ]
    return max(cells, key=lambda cell: (found.logits[cell], -cell[0], -cell[1]))


def regions_by_scipy(found: CrackMap, threshold: float) -> list[Region]:
    (height, width), (cell_height, cell_width) = found.photo_hw, found.cell_px
    numbers, _ = ndimage.label(found.probabilities >= np.float32(threshold), structure=np.ones((3, 3)))
    tops, lefts = (np.arange(n) * cell for n, cell in zip(numbers.shape, found.cell_px, strict=True))
    bottoms, rights = np.minimum(tops + cell_height, height), np.minimum(lefts + cell_width, width)
    areas = (bottoms - tops)[:, None] * (rights - lefts)[None]
    regions = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(numbers), start=1):
        values = found.probabilities[numbers == number]
        sides = lefts[columns][0], tops[rows][0], rights[columns][-1], bottoms[rows][-1]
        box = int(sides[0]), int(sides[1]), round(sides[2]), round(sides[3])
        area_px = round(areas[numbers == number].sum())
        around = np.argwhere((numbers == number) & (found.probabilities == values.max()))[0]
        at = strongest_around(found, around, numbers == number)
        peak = tuple(
            int((first[i] + last[i]) / 2)
            for first, last, i in zip((lefts, tops), (rights, bottoms), at[::-1], strict=True)
        )
        regions.append(
            Region(0, box, area_px, float(values.max()), float(values.mean(dtype=float)), (peak[0], peak[1]))
        )
    return sorted(regions, key=lambda one: (-one.peak_probability, -one.area_px, one.box_xyxy))


@settings(max_examples=200, deadline=None)
@given(maps(), st.floats(0, 1))
def test_regions_are_what_scipy_finds(found: CrackMap, threshold: float) -> None:
    regions, expected = found.regions(threshold), regions_by_scipy(found, threshold)
    assert [(region.box_xyxy, region.peak_xy) for region in regions] == [
        (region.box_xyxy, region.peak_xy) for region in expected
    ]
    assert [region.peak_probability for region in regions] == [region.peak_probability for region in expected]
    for region, same in zip(regions, expected, strict=True):
        assert region.area_px == pytest.approx(same.area_px, abs=1)
        assert region.mean_probability == pytest.approx(same.mean_probability, abs=1e-6)


@pytest.mark.parametrize("pool", ["mean", "logsumexp"])
@pytest.mark.parametrize("cell", [(0, 0), (3, 4), (7, 9)])
def test_the_peak_is_the_strong_cell_and_not_the_middle_of_a_footprint(pool: Any, cell: tuple[int, int]) -> None:
    logits = np.full((8, 10), -5.0)
    logits[cell] = 9
    found = replace(mapped(logits), footprint_cells=5, pool=pool)
    height, width = found.cell_px
    assert found.peak_xy == (int((cell[1] + 0.5) * width), int((cell[0] + 0.5) * height))
    (region,) = found.regions(float(found.probabilities.max()))
    assert region.peak_xy == found.peak_xy


@settings(max_examples=200, deadline=None)
@given(maps(), st.floats(0, 1))
def test_a_region_lies_inside_the_photo(found: CrackMap, threshold: float) -> None:
    regions = found.regions(threshold)
    assert (regions == []) == bool((found.probabilities < threshold).all())
    assert sum(region.area_px for region in regions) <= math.prod(found.photo_hw) + len(regions)
    for region in regions:
        left, top, right, bottom = region.box_xyxy
        assert 0 <= left < right <= found.photo_hw[1]
        assert 0 <= top < bottom <= found.photo_hw[0]
        assert 0 < region.area_px <= (right - left + 1) * (bottom - top + 1)
        assert threshold - 1e-7 <= region.mean_probability <= region.peak_probability + 1e-7


@settings(deadline=None)
@given(LOGITS, FOOTPRINTS)
def test_areas_add_up_to_the_cells_from_the_threshold_on(logits: FloatArray, footprint_cells: int) -> None:
    found = mapped(logits, footprint_cells=footprint_cells)
    share = (found.probabilities >= found.calibration.threshold).mean()
    total_px = found.photo_hw[0] * found.photo_hw[1]
    assert sum(region.area_px for region in found.regions()) == pytest.approx(share * total_px)


def test_regions_by_hand() -> None:
    logits = np.full((4, 6), -9.0)
    logits[0, 0] = logits[1, 1] = 2.0  # they touch at a corner: one region
    logits[0, 4:6] = 5.0
    logits[3, 5] = 8.0
    strong, long, weak = mapped(logits, cell_px=(20, 10), cut_px=(5, 3)).regions()
    assert strong.box_xyxy == (50, 60, 57, 75)  # cut off where the photo ends
    assert strong.area_px == 7 * 15
    assert strong.peak_probability == pytest.approx(expit(4.15))
    assert long.box_xyxy == (40, 0, 57, 20)
    assert long.area_px == 17 * 20
    assert weak.box_xyxy == (0, 0, 20, 40)
    assert weak.area_px == 2 * 200
    assert weak.mean_probability == pytest.approx(expit(1.15))


def test_of_equal_peaks_the_larger_region_comes_first() -> None:
    found = mapped([[3, -9, 3, 3, -9, 3]]).regions()
    assert [region.box_xyxy[0] for region in found] == [64, 0, 160]


def test_the_model_s_own_threshold_counts_where_none_is_given() -> None:
    found = mapped(2 * np.log([[0.59 / 0.41, 0.61 / 0.39, 0.01 / 0.99]]) - 0.3)
    assert [region.box_xyxy for region in found.regions()] == [(32, 0, 64, 32)]
    assert [region.box_xyxy for region in found.regions(0.5)] == [(0, 0, 64, 32)]
    assert [region.box_xyxy for region in found.regions(0.0)] == [(0, 0, 96, 32)]
    assert found.regions(0.999) == []


def test_a_strength_is_the_probability_of_a_footprint_of_such_cells() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (7, 9))
    found = mapped(logits, footprint_cells=3)
    for row, column in ((0, 0), (3, 4), (6, 8)):
        alike = mapped(np.full((7, 9), logits[row, column]), footprint_cells=3)
        assert found.strengths[row, column] == pytest.approx(alike.probabilities[3, 4], abs=1e-6)
    assert found.strengths.dtype == np.float32
    np.testing.assert_array_equal(mapped(logits, footprint_cells=1).strengths, mapped(logits).strengths)


def test_every_public_name_is_documented() -> None:
    assert [name for name in crack_map.__all__ if not getattr(crack_map, name).__doc__] == []


# Kept in a file


@settings(max_examples=40, deadline=None)
@given(maps())
def test_a_map_that_was_kept_is_the_same_map(found: CrackMap) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "wall.npz"
        found.save(place)
        again = CrackMap.load(place)
        content = place.read_bytes()
        again.save(place, overwrite=True)
        assert place.read_bytes() == content  # the same map gives the same bytes
    np.testing.assert_array_equal(again.logits, found.logits)
    assert again.logits.dtype == np.float32
    for field in dataclasses.fields(CrackMap):
        if field.name != "logits":
            assert getattr(again, field.name) == getattr(found, field.name), field.name
    assert again.regions() == found.regions()


def test_a_map_is_not_written_over_another_file(tmp_path: Path) -> None:
    found = mapped(np.zeros((2, 3)))
    found.save(tmp_path / "a.npz")
    with pytest.raises(OutputError, match="exists"):
        found.save(tmp_path / "a.npz")
    found.save(tmp_path / "a.npz", overwrite=True)
    with pytest.raises(OutputError, match=r"a\.png: the name of a map's file must end in \.npz; found '\.png'"):
        found.save(tmp_path / "a.png")
    assert [place.name for place in tmp_path.iterdir()] == ["a.npz"]
    found.save(tmp_path / "B.NPZ")
    assert CrackMap.load(tmp_path / "B.NPZ").photo_hw == found.photo_hw
    assert sorted(place.name for place in tmp_path.iterdir()) == ["B.NPZ", "a.npz"]


def test_a_map_file_that_is_none_is_told_with_its_name(tmp_path: Path) -> None:
    place = tmp_path / "a.npz"
    mapped(np.zeros((2, 3))).save(place)
    whole = place.read_bytes()
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, logits=np.array([object()]), about=np.array("{}"), allow_pickle=True)
    foreign = {"torn": whole[:-40], "empty": b"", "text": b"no map", "pickled": pickled.read_bytes()}
    for name, content in foreign.items():
        (tmp_path / f"{name}.npz").write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}\.npz: not a map"):
            CrackMap.load(tmp_path / f"{name}.npz")
    with pytest.raises(DataError, match=r"gone\.npz: cannot be read"):
        CrackMap.load(tmp_path / "gone.npz")


def test_a_map_of_a_newer_version_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(crack_map, "MAP_VERSION", 2)
        mapped(np.zeros((2, 3))).save(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"a\.npz: a map of version 2, not 1\. Upgrade crackscope\."):
        CrackMap.load(tmp_path / "a.npz")


def test_a_map_shows_itself_in_a_notebook() -> None:
    with Image.open(io.BytesIO(mapped(np.linspace(-6, 6, 24).reshape(4, 6))._repr_png_())) as picture:
        assert picture.format == "PNG"
        assert picture.width * 4 == picture.height * 6
        assert len(set(np.asarray(picture).reshape(-1, 3)[:, 2].tolist())) > 2


def test_a_region_reaches_as_far_as_the_threshold_but_needs_one_sure_footprint() -> None:
    probabilities = np.full((3, 9), 0.01)
    probabilities[1] = [0.01, 0.6, 0.95, 0.6, 0.01, 0.7, 0.8, 0.7, 0.01]
    logits = np.log(probabilities / (1 - probabilities)).astype(np.float32)
    own = Calibration(temperature=1, threshold=0.5, unsure_low=0.4, unsure_high=0.6, region_from=0.9)
    found = CrackMap(logits, (48, 144), (16.0, 16.0), 1, own, 1.0)
    assert found.fires.sum() == 3
    assert [region.box_xyxy for region in found.regions()] == [(16, 16, 64, 32)]
    assert [region.peak_probability > 0.9 for region in found.regions(0.5)] == [True, False]
    assert len(list(found.region_cells(9))) == 1
    drawn = found.overlay(np.full((48, 144, 3), 128, np.uint8))
    assert (drawn[:, 80:] == 128).all()
    plain = replace(found, calibration=own.model_copy(update={"region_from": None}))
    assert len(plain.regions()) == 2
    assert Calibration.model_validate(own.model_dump()) == own
    assert "region_from" not in plain.calibration.model_dump()
