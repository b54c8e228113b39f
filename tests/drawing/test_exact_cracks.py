"""Exact cracks: the missing light is width times contrast, the told line is the darkest, a seed gives one picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from crackscope.drawing.crack_paths import new_shape, shape_along
from crackscope.drawing.exact_cracks import CRACK_KINDS, EVEN, CrackLook, with_crack, with_shapes
from crackscope.drawing.exact_drawings import ExactDrawing, bare
from crackscope.drawing.walls import draw_patch
from crackscope.errors import DataError

GREY = 200


def flat(side_px: int = 128, *, blur_px: float = 0.8) -> ExactDrawing:
    return bare(np.full((side_px, side_px, 3), GREY, np.uint8), blur_px=blur_px)


def missing(drawing: ExactDrawing) -> np.ndarray:
    return np.asarray(1 - drawing.pixels @ np.array((0.299, 0.587, 0.114)) / GREY)


@given(
    st.floats(0.25, 20),
    st.floats(0, np.pi),
    st.floats(-0.5, 0.5),
    st.floats(0, 1.8),
    st.floats(0.3, 0.95),
    st.integers(0, 2**31),
)
@example(0.25, 0.0, 0.5, 0.6, 0.5, 1)
@example(20.0, np.pi / 4, 0.25, 1.8, 0.9, 2)
@settings(max_examples=60, deadline=None)
def test_missing_light_across_a_line_is_width_times_contrast(
    width: float, angle: float, shift: float, blur: float, contrast: float, seed: int
) -> None:
    along = np.array((np.cos(angle), np.sin(angle)))
    across = np.array((-along[1], along[0]))
    middle = 63.5 + shift * across
    path_xy = middle + np.arange(-110, 111)[:, None] * along
    look = CrackLook(contrast, tint_rgb=(0.98, 1.0, 1 + 0.02 * 0.299 / 0.114))  # its grey is 1
    shape = shape_along(path_xy, np.full(221, width))
    drawing = with_shapes(flat(blur_px=blur), [shape], look, np.random.default_rng(seed))
    ys, xs = np.mgrid[:128, :128]
    offsets = (xs - middle[0]) * along[0] + (ys - middle[1]) * along[1]
    weights = np.clip((50 - np.abs(offsets)) / 5, 0, 1)  # 95 pixels of its length
    assert np.allclose(drawing.cracks[0].contrasts, contrast)
    # Rounding to whole grey levels adds noise of 0.3 levels a pixel, over the pixels near the line.
    noise = 4 * 0.3 / GREY * np.sqrt(95 * (width + 8 * blur + 4)) / 95
    near = np.abs((xs - middle[0]) * across[0] + (ys - middle[1]) * across[1]) < width / 2 + 4 * blur + 2
    light = float((missing(drawing) * weights * near).sum() / 95)
    assert light == pytest.approx(width * contrast, rel=0.02, abs=noise)


def test_a_quarter_of_a_pixel_darkens_a_pixel_by_a_quarter_of_the_contrast() -> None:
    path_xy = np.stack([np.arange(-5.0, 70), np.full(75, 30.0)], axis=1)
    shape = shape_along(path_xy, np.full(75, 0.25))
    drawing = with_shapes(flat(64, blur_px=0), [shape], CrackLook(0.8), np.random.default_rng(0))
    assert (drawing.pixels[30] == GREY * (1 - 0.25 * 0.8)).all()
    assert (np.delete(drawing.pixels, 30, axis=0) == GREY).all()
    assert np.allclose(drawing.coverage[30], 0.25)


@pytest.mark.parametrize(("width_px", "furthest_px"), [(0.5, 0.3), (1.5, 0.3), (4.0, 0.5)])
def test_the_told_line_is_the_middle_of_the_dark_one(width_px: float, furthest_px: float) -> None:
    offsets: list[np.ndarray] = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        shape = new_shape(rng, (160, 160), width_px)
        dark = missing(with_shapes(flat(160, blur_px=0.7), [shape], EVEN, rng))
        along = np.gradient(shape.path_xy, axis=0)
        along /= np.hypot(*along.T)[:, None]
        wide = shape.widths_px > 0.5 * width_px
        inner = wide & np.all((shape.path_xy > 12) & (shape.path_xy < 147), axis=1)
        reach = np.arange(-width_px / 2 - 2, width_px / 2 + 2.1, 0.25)
        normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
        x, y = (shape.path_xy[inner, None] + reach[:, None] * normal[inner, None]).transpose(2, 0, 1)
        profiles = map_coordinates(dark, [y, x], order=1)
        offsets.append((profiles * reach).sum(axis=1) / profiles.sum(axis=1))
    away = np.abs(np.concatenate(offsets))
    assert np.sqrt((away**2).mean()) < furthest_px
    assert (away < 0.5).mean() > 0.93


@pytest.mark.parametrize("width_px", [0.5, 2.0, 7.0])
def test_missing_light_of_a_random_crack_is_what_its_truth_says(width_px: float) -> None:
    shares = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        shape = new_shape(rng, (160, 160), width_px)
        drawing = with_shapes(flat(160), [shape], CrackLook(0.6, unevenness=0.2), rng)
        (crack,) = drawing.cracks
        lengths = np.hypot(*np.gradient(crack.path_xy, axis=0).T)
        inside = np.all((crack.path_xy > -0.5) & (crack.path_xy < 159.5), axis=1)
        told = float((crack.widths_px * crack.contrasts * lengths)[inside].sum())
        shares.append(float(missing(drawing).sum()) / told)
        area = float((crack.widths_px * lengths)[inside].sum())
        assert float(drawing.coverage.sum()) == pytest.approx(area, rel=0.06)
    assert np.mean(shares) == pytest.approx(1, abs=0.02)
    assert np.ptp(shares) < 0.12


@pytest.mark.parametrize("kind", CRACK_KINDS)
def test_every_kind_is_drawn_with_its_truth_and_the_same_again(kind: str) -> None:
    pixels = draw_patch(3, side_px=128, crack=False).pixels
    before = pixels.copy()
    for seed in range(8):
        wall = bare(pixels, blur_px=0.7)
        drawing = with_crack(wall, np.random.default_rng(seed), kind=kind, widths_px=(0.25, 20))
        again = with_crack(wall, np.random.default_rng(seed), kind=kind, widths_px=(0.25, 20))
        assert np.array_equal(drawing.pixels, again.pixels)
        assert all(np.array_equal(a.path_xy, b.path_xy) for a, b in zip(drawing.cracks, again.cracks, strict=True))
        assert not np.array_equal(drawing.pixels, pixels)
        assert {crack.kind for crack in drawing.cracks} <= {kind}
        assert drawing.crack_cells(4).any()
        assert drawing.crack_cells(4).shape == (32, 32)
        assert 0 <= drawing.coverage.min() <= drawing.coverage.max() <= 1
        assert all(
            len(c.path_xy) == len(c.widths_px) == len(c.contrasts) == len(c.visibilities) for c in drawing.cracks
        )
        for crack in drawing.cracks:
            assert (crack.widths_px > 0).all()
            assert (np.abs(crack.contrasts) <= 1.0 + 1e-6).all()
    assert np.array_equal(pixels, before)


def test_a_filled_crack_is_lighter_and_an_interrupted_one_has_gaps() -> None:
    pixels = np.full((160, 160, 3), 120, np.uint8)
    filled = [with_crack(bare(pixels), np.random.default_rng(s), kind="filled", widths_px=(4, 8)) for s in range(12)]
    lighter = [drawing for drawing in filled if drawing.cracks[0].contrasts.max() < 0]
    assert 4 <= len(lighter) <= 12
    for drawing in lighter:
        assert drawing.pixels[drawing.coverage > 0.95].mean() > 125
    parted = [with_crack(bare(pixels), np.random.default_rng(s), kind="interrupted") for s in range(12)]
    assert sum(len(drawing.gaps) > 0 for drawing in parted) >= 6
    assert any(drawing.gap_cells(4).any() for drawing in parted)


@given(st.integers(0, 2**31), st.integers(32, 120), st.integers(32, 120), st.floats(0, 2))
@settings(max_examples=30, deadline=None)
def test_a_crack_fits_on_any_picture(seed: int, height: int, width: int, blur: float) -> None:
    pixels = np.full((height, width, 3), 140, np.uint8)
    drawing = with_crack(bare(pixels, blur_px=blur), np.random.default_rng(seed))
    assert drawing.pixels.shape == pixels.shape
    assert drawing.coverage.shape == (height, width)
    assert drawing.picture_hw == (height, width)


def test_cracks_of_one_drawing_are_numbered() -> None:
    drawing = flat()
    for number in range(3):
        drawing = with_crack(drawing, np.random.default_rng(number), kind="branching", widths_px=(1, 3))
    assert {crack.number for crack in drawing.cracks} == {0, 1, 2}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"kind": "deep"}, "kind is 'deep'.*plain"),
        ({"widths_px": (0.0, 2.0)}, "widths_px"),
        ({"widths_px": (3.0, 2.0)}, "widths_px"),
        ({"contrast": 1.5}, "contrast is 1.5"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(DataError, match=told):
        with_crack(flat(), np.random.default_rng(0), **wrong)  # type: ignore[arg-type]
