"""Crops of photos: every tile in view keeps its place and its label, however the crop is cut, turned and lit."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.patches import read_patches
from crackscope.training.augmentation import Augmentation
from crackscope.training.crops import LEAST_CRACKED, TiledPhoto, box_logits, crop_of, tiled_photos
from crackscope.training.network import HeadLayers, plane_logits
from crackscope.training.recipes import HeadSettings

TILE_PX = 32


def colour(row: int, column: int) -> tuple[int, int, int]:
    return 100 + 30 * row, 100 + 30 * column, 128


def flat_photo(n_rows: int = 5, n_columns: int = 5, *, without: set[tuple[int, int]] = frozenset()) -> TiledPhoto:
    """Tiles of one colour each, which tells their place; those of even rows and columns are cracked."""
    places = {(row, column) for row in range(n_rows) for column in range(n_columns)} - without
    cracked = {(row, column): row % 2 == 0 and column % 2 == 0 for row, column in sorted(places)}

    def read(place: tuple[int, int]) -> np.ndarray:
        assert place in cracked
        return np.full((TILE_PX, TILE_PX, 3), colour(*place), np.uint8)

    return TiledPhoto("wall", TILE_PX, cracked, read)


def laid(photo: TiledPhoto) -> np.ndarray:
    n_rows, n_columns = photo.reach
    return np.vstack([np.hstack([photo.read((row, column)) for column in range(n_columns)]) for row in range(n_rows)])


@given(st.integers(-60, 150), st.integers(-60, 150), st.integers(1, 260))
def test_a_region_is_what_the_photo_shows_there_and_mirrored_outside(left: int, top: int, side: int) -> None:
    photo = flat_photo()
    left, top = min(left, 159), min(top, 159)
    left, top = max(left, 1 - side), max(top, 1 - side)
    whole = cv2.copyMakeBorder(laid(photo), 300, 300, 300, 300, cv2.BORDER_REFLECT)
    found = photo.region(left, top, side)
    assert found.shape == (side, side, 3)
    inside = np.s_[max(0, -top) : min(side, 160 - top), max(0, -left) : min(side, 160 - left)]
    assert np.array_equal(found[inside], whole[300 + top :, 300 + left :][:side, :side][inside])
    if left < 0 <= top and side <= 160 - top and -left <= min(160, side + left):
        assert np.array_equal(found[:, :-left], found[:, -left : -2 * left][:, ::-1])


def test_a_tile_that_is_missing_is_its_nearest_neighbour_mirrored_and_has_no_label() -> None:
    photo = flat_photo(without={(1, 2)})
    found = photo.region(0, 0, 160)
    assert np.array_equal(found[32:64, 64:96], found[32:64, 32:64][:, ::-1])
    crop = crop_of(photo, (2, 2), np.random.default_rng(0), side_px=160, tile_px=32, zoom=(1, 1))
    assert len(crop.targets) == 24
    first = flat_photo(without={(0, 0)}).region(0, 0, 64)
    assert np.array_equal(first[:32, :32], np.full((32, 32, 3), colour(0, 1), np.uint8))
    assert (flat_photo(without={(0, 0)}).region(0, 0, 32) == 128).all()


@settings(max_examples=200)
@given(st.integers(0, 2**32), st.sampled_from([(0, 0), (0, 3), (2, 2), (4, 4), (3, 1)]), st.booleans())
def test_each_box_shows_its_tile_with_its_label(seed: int, at: tuple[int, int], twice: bool) -> None:
    photo = flat_photo()
    crop = crop_of(photo, at, np.random.default_rng(seed), side_px=64, tile_px=16 if twice else 32, zoom=(0.7, 1.8))
    assert crop.pixels.shape == (64, 64, 3)
    assert crop.pixels.dtype == np.uint8
    assert len(crop.boxes_xyxy) == len(crop.targets) > 0
    assert (crop.boxes_xyxy >= 0).all()
    assert (crop.boxes_xyxy <= 64).all()
    shown = []
    for (x0, y0, x1, y1), target in zip(crop.boxes_xyxy, crop.targets, strict=True):
        red, green, _ = crop.pixels[int((y0 + y1) / 2), int((x0 + x1) / 2)].tolist()
        place = round((red - 100) / 30), round((green - 100) / 30)
        assert (red, green, 128) == colour(*place)
        assert target == photo.cracked[place]
        shown.append(place)
    assert at in shown
    assert len(set(shown)) == len(shown)


def test_a_crop_of_a_whole_tile_is_that_tile() -> None:
    crop = crop_of(flat_photo(), (2, 4), np.random.default_rng(1), side_px=32, tile_px=32, zoom=(1, 1))
    assert crop.boxes_xyxy.tolist() == [[0, 0, 32, 32]]
    assert crop.targets.tolist() == [1]
    assert (crop.pixels == colour(2, 4)).all()


def test_a_crack_that_may_be_out_of_view_gives_no_label() -> None:
    photo = flat_photo()
    for seed in range(100):
        crop = crop_of(photo, (1, 1), np.random.default_rng(seed), side_px=64, tile_px=32, zoom=(1, 1))
        sides = crop.boxes_xyxy[:, 2:] - crop.boxes_xyxy[:, :2]
        assert (sides.prod(1)[crop.targets == 1] >= LEAST_CRACKED * 32**2 - 1e-6).all()


def test_a_crop_follows_from_its_generator_and_others_differ() -> None:
    photo, augmentation = flat_photo(), Augmentation(light=1, blur_px=1, drawn_cracks=0.5, drawn_widths_px=(2, 4))
    first, again, other = (
        crop_of(photo, (1, 1), np.random.default_rng(seed), side_px=64, tile_px=32, augmentation=augmentation)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.boxes_xyxy, again.boxes_xyxy)
    assert not np.array_equal(first.pixels, other.pixels)


def test_a_drawn_crack_makes_the_tiles_it_runs_through_cracked_and_no_others() -> None:
    photo = flat_photo(3, 3)
    sound = TiledPhoto("sound", TILE_PX, dict.fromkeys(photo.cracked, False), photo.read)
    augmentation = Augmentation(drawn_cracks=0.99, drawn_widths_px=(3, 5))
    n_cracked = 0
    for seed in range(30):
        crop = crop_of(
            sound, (1, 1), np.random.default_rng(seed), side_px=192, tile_px=64, zoom=(1, 1), augmentation=augmentation
        )
        plain = crop_of(sound, (1, 1), np.random.default_rng(seed), side_px=192, tile_px=64, zoom=(1, 1))
        changed = (np.abs(crop.pixels.astype(int) - plain.pixels).max(2)) > 3
        for (x0, y0, x1, y1), target in zip(crop.boxes_xyxy.round().astype(int).tolist(), crop.targets, strict=True):
            within = changed[y0:y1, x0:x1]
            assert within.any() if target else within.mean() < 0.005
        n_cracked += int(crop.targets.sum())
    assert n_cracked > 30


def test_photos_are_found_by_their_grid(tmp_path: Path) -> None:
    for name, label in (("7001-1", "UD"), ("7001-2", "CD"), ("7001-3", "UD")):
        (tmp_path / "D" / label).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "D" / label / f"{name}.jpg"), np.full((32, 32, 3), 90, np.uint8))
    grid = tmp_path / "grid.csv"
    grid.write_text(
        "surface,photo,tile,row,col,label\nD,7001,1,0,0,UD\nD,7001,2,0,1,CD\nD,7001,3,1,0,UD\nD,7009,1,0,0,UD\n"
    )
    (photo,) = tiled_photos(read_patches(tmp_path), grid, tile_px=16)
    assert photo.name == "D-7001"
    assert photo.cracked == {(0, 0): False, (0, 1): True, (1, 0): False}
    assert photo.reach == (2, 2)
    assert photo.region(0, 0, 32).shape == (32, 32, 3)
    assert abs(int(photo.region(0, 0, 32)[4, 4, 0]) - 90) < 4


def test_a_box_pools_the_cells_whose_middle_lies_inside() -> None:
    cells = torch.tensor(np.random.default_rng(0).normal(size=(2, 5, 6)), dtype=torch.float32, requires_grad=True)
    boxes = [np.array([[0, 0, 96, 80], [7, 24, 40, 41.0]]), np.array([[90.0, 70.0, 96.0, 80.0]])]
    found = box_logits(cells, boxes, cell_px=16)

    def pooled(own: torch.Tensor) -> float:
        return math.log(float(own.detach().exp().mean()))

    assert found.tolist() == pytest.approx(
        [pooled(cells[0]), pooled(cells[0, 1:3, 0:2]), float(cells[1, 4, 5].detach())], abs=1e-5
    )
    found.sum().backward()
    assert cells.grad is not None
    assert (cells.grad[0] > 0).all()


def test_a_box_over_everything_is_the_logit_of_the_patch() -> None:
    torch.manual_seed(0)
    head, planes = HeadLayers(8, HeadSettings(output="sigmoid", pool="logsumexp")), torch.randn(3, 8, 10, 10)
    cells = head(planes.flatten(2).transpose(1, 2).flatten(0, 1)).view(3, 10, 10)
    found = box_logits(cells, [np.array([[0, 0, 160, 160.0]])] * 3, cell_px=16)
    assert torch.allclose(found, plane_logits(torch.nn.Identity(), head, planes), atol=1e-5)
