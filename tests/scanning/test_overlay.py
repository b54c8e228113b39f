"""A photo with what was found drawn over it: nothing where nothing is, and numbers by rank."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.errors import DataError
from crackscope.model.card import Calibration
from crackscope.scanning import overlay
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.overlay import shrunk

UInt8Array = np.ndarray[Any, np.dtype[np.uint8]]

INK, GREY = (27, 39, 51), 128


def mapped(logits: Any, *, cell_px: float = 32) -> CrackMap:
    """A map of cells that are footprints, with a threshold of 0.6."""
    values = np.asarray(logits, np.float32)
    calibration = Calibration(temperature=1.0, threshold=0.6, unsure_low=0.5, unsure_high=0.7)
    photo_hw = (round(values.shape[0] * cell_px), round(values.shape[1] * cell_px))
    return CrackMap(values, photo_hw, (cell_px, cell_px), 1, calibration, 1.0)


def grey(hw: tuple[int, int]) -> UInt8Array:
    return np.full((*hw, 3), GREY, np.uint8)


@pytest.fixture
def found() -> CrackMap:
    """A weak region far above, a strong one far below."""
    logits = np.full((12, 16), -5.0)
    logits[1:4, 1:5] = 1.0
    logits[8:11, 10:15] = 4.0
    return mapped(logits)


def differs(one: UInt8Array, other: UInt8Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    changed: np.ndarray[Any, np.dtype[np.bool_]] = (one != other).any(2)
    return changed


def test_a_photo_without_a_region_is_untouched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    before = pixels.copy()
    picture = mapped(np.full((2, 3), -1.0)).overlay(pixels)
    np.testing.assert_array_equal(picture, before)
    picture[:] = 0  # it is the caller's own
    np.testing.assert_array_equal(pixels, before)


def test_strong_cells_of_regions_are_tinted_and_the_rest_is_left_alone(found: CrackMap) -> None:
    pixels = grey(found.photo_hw)
    picture = found.overlay(pixels)
    assert (pixels == GREY).all()
    assert picture.shape == pixels.shape
    assert picture.dtype == np.uint8
    inside = np.zeros(found.photo_hw, bool)
    inside[32:128, 32:160] = inside[256:352, 320:480] = True
    changed = differs(picture, pixels)
    assert changed[inside].all()
    margin = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # a line may reach over by half of it
    assert not changed[~margin].any()


def test_inside_a_region_only_strong_cells_are_tinted_and_what_lies_below_stays_to_be_seen() -> None:
    logits = np.full((9, 9), -9.0)
    logits[4, 2:7] = 9.0  # a line of strong cells; footprints of three cells make a region around it
    found = replace(mapped(logits), footprint_cells=3, pool="logsumexp")
    picture = found.overlay(grey(found.photo_hw)).astype(int)
    ((left, top, right, bottom),) = (region.box_xyxy for region in found.regions())
    assert (left, top, right, bottom) == (0, 96, 288, 192)  # at the edge, the nearest footprint inside counts
    red, green, blue = picture[4 * 32 + 16, 4 * 32 + 16]
    assert red > green > blue
    assert np.abs(picture[4 * 32 + 16, 4 * 32 + 16] - GREY).max() < 80
    assert tuple(picture[3 * 32 + 16, 4 * 32 + 16]) == (GREY, GREY, GREY)  # in the region, but not strong
    weak = replace(mapped([[0.0, 0.0, -9.0]]), footprint_cells=1)
    assert (weak.overlay(grey(weak.photo_hw), threshold=0.4) != GREY).any()


def test_a_region_is_outlined(found: CrackMap) -> None:
    picture = found.overlay(grey(found.photo_hw))
    for y, x in ((127, 100), (80, 159), (351, 400), (300, 479)):
        assert tuple(picture[y, x]) == (230, 159, 0)


def plates(picture: UInt8Array) -> list[tuple[int, int, int, int]]:
    """Boxes (left, top, width, height) of the plates that numbers stand on, from the top."""
    ink = (picture == INK).all(2).astype(np.uint8)
    closed = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    n, _, stats, _ = cv2.connectedComponentsWithStats(closed)
    return sorted((tuple(map(int, box[:4])) for box in stats[1:n]), key=lambda box: box[1])  # type: ignore[misc]


def test_regions_are_numbered_in_their_order_at_their_upper_left_corners(found: CrackMap) -> None:
    """The strong one below is number 1; where the strengths are swapped, so are the numbers."""
    picture = found.overlay(grey(found.photo_hw))
    swapped = mapped(np.where(found.logits > 3, 1.0, np.where(found.logits > 0, 4.0, -5.0)))
    other = swapped.overlay(grey(found.photo_hw))
    corners = [(region.box_xyxy[0], region.box_xyxy[1]) for region in found.regions()]
    assert corners == [(320, 256), (32, 32)]

    def number(drawn: UInt8Array, corner: tuple[int, int]) -> UInt8Array:
        left, top, width, height = next(box for box in plates(drawn) if box[:2] == corner)
        return drawn[top : top + height, left : left + width]

    one, two = (number(picture, corner) for corner in corners)
    assert one.max() == two.max() == 255  # white on ink
    assert one.shape != two.shape or (one != two).any()
    np.testing.assert_array_equal(number(other, corners[1]), one)
    np.testing.assert_array_equal(number(other, corners[0]), two)


@pytest.mark.parametrize("cell", [(31, 31), (0, 31), (31, 0), (31, 16)])
def test_a_number_stays_whole_where_its_region_ends_with_the_photo(cell: tuple[int, int]) -> None:
    sizes = []
    for place in (cell, (16, 16)):
        logits = np.full((32, 32), -5.0)
        logits[place] = 4.0
        ((left, top, width, height),) = plates(mapped(logits, cell_px=4).overlay(grey((128, 128))))
        assert left + width <= 128
        assert top + height <= 128
        sizes.append((width, height))
    assert sizes[0] == sizes[1]


def test_the_threshold_decides_what_is_drawn(found: CrackMap) -> None:
    pixels = grey(found.photo_hw)
    np.testing.assert_array_equal(found.overlay(pixels, threshold=0.6), found.overlay(pixels))
    changed = differs(found.overlay(pixels, threshold=0.9), pixels)
    assert not changed[:200].any()
    assert changed[300, 400]
    np.testing.assert_array_equal(found.overlay(pixels, threshold=1.0), pixels)
    assert differs(found.overlay(pixels, threshold=0.0), pixels).all()


def test_a_region_that_is_certain_is_drawn_at_a_threshold_of_one() -> None:
    certain = mapped([[99.0, -9.0]])
    changed = differs(certain.overlay(grey((32, 64)), threshold=1.0), grey((32, 64)))
    assert changed[20, 20]
    assert not changed[:, 40:].any()


def test_a_copy_of_another_size_shows_the_same_places(found: CrackMap) -> None:
    small = found.overlay(grey((192, 256)))
    large = found.overlay(grey((768, 1024)))
    for picture, factor in ((small, 0.5), (large, 2.0)):
        changed = differs(picture, grey((picture.shape[0], picture.shape[1])))
        assert [box[:2] for box in plates(picture)] == [(32 * factor, 32 * factor), (320 * factor, 256 * factor)]
        for (y, x), inside in (((80, 100), True), ((300, 470), True), ((300, 200), False), ((20, 20), False)):
            assert changed[round(y * factor), round(x * factor)] == inside


@pytest.mark.parametrize("longest_px", [64, 200, 511])
def test_a_picture_can_be_made_smaller(found: CrackMap, longest_px: int) -> None:
    picture = found.overlay(grey(found.photo_hw), longest_px=longest_px)
    assert picture.shape == (round(384 * longest_px / 512), longest_px, 3)
    np.testing.assert_array_equal(picture, found.overlay(shrunk(grey(found.photo_hw), longest_px)))


@pytest.mark.parametrize("longest_px", [None, 512, 513, 10_000])
def test_a_picture_is_never_enlarged(found: CrackMap, longest_px: int | None) -> None:
    assert found.overlay(grey(found.photo_hw), longest_px=longest_px).shape == (384, 512, 3)


@pytest.mark.parametrize("view", ["flipped", "turned", "read-only"])
def test_an_array_may_lie_in_memory_as_it_likes(found: CrackMap, view: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*found.photo_hw, 3), dtype=np.uint8)
    views = {
        "flipped": pixels[::-1],
        "turned": np.ascontiguousarray(pixels.transpose(1, 0, 2)).transpose(1, 0, 2),
        "read-only": np.frombuffer(pixels.tobytes(), np.uint8).reshape(pixels.shape),
    }
    expected = found.overlay(np.ascontiguousarray(views[view]))
    np.testing.assert_array_equal(found.overlay(views[view]), expected)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6), st.integers(1, 6), st.floats(3, 70), st.integers(1, 120), st.integers(1, 120), st.integers(0, 9)
)
def test_any_map_can_be_drawn_on_a_picture_of_any_size(
    rows: int, columns: int, cell_px: float, height: int, width: int, seed: int
) -> None:
    found = mapped(np.random.default_rng(seed).normal(0, 3, (rows, columns)), cell_px=cell_px)
    assert found.overlay(grey((height, width))).shape == (height, width, 3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 400))
def test_shrinking_keeps_the_aspect(height: int, width: int, longest_px: int) -> None:
    pixels = grey((height, width))
    found = shrunk(pixels, longest_px)
    if longest_px >= max(height, width):
        assert found is pixels
        return
    assert max(found.shape[:2]) == longest_px
    factor = longest_px / max(height, width)
    assert found.shape[0] == pytest.approx(height * factor, abs=1)
    assert found.shape[1] == pytest.approx(width * factor, abs=1)
    assert (found == GREY).all()


def test_every_public_name_is_documented() -> None:
    assert [name for name in overlay.__all__ if not getattr(overlay, name).__doc__] == []


@pytest.mark.parametrize(
    "wrong", [np.zeros((64, 96), np.uint8), np.zeros((64, 96, 3)), np.zeros((64, 96, 4), np.uint8)]
)
def test_what_is_no_rgb_picture_is_one_clear_error(found: CrackMap, wrong: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"must be an array \(H, W, 3\)"):
        found.overlay(wrong)


@pytest.mark.parametrize("longest_px", [0, -5])
def test_a_picture_of_no_size_is_refused(found: CrackMap, longest_px: int) -> None:
    with pytest.raises(DataError, match="longest_px is"):
        found.overlay(grey(found.photo_hw), longest_px=longest_px)


def test_a_number_stands_on_its_region_not_on_the_corner_of_its_box() -> None:
    logits = np.full((6, 8), -5.0)
    logits[1, 5:7] = logits[2:5, 2] = logits[2, 2:6] = 4.0  # its box begins at column 2, its first row at column 5
    ((left, top, _, _),) = plates(mapped(logits, cell_px=40).overlay(grey((240, 320))))
    assert (left, top) == (200, 40)
