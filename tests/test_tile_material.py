"""Crops of uncracked concrete never show a tile that is labelled cracked."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from crackscope.data.patches import PatchIndex, read_patches
from shared.pictures import save
from tile_material import FreeGround, LabelledSquares

ROWS, COLUMNS = 3, 5
CRACKED = {(0, 0), (1, 3)}
GREY, RED = (120, 120, 120), (250, 0, 0)


@pytest.fixture(scope="module")
def set_and_grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[PatchIndex, Path]:
    folder = tmp_path_factory.mktemp("tiles")
    grid = folder / "grid.csv"
    with grid.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("surface", "photo", "tile", "row", "col", "label"))
        for tile, (row, column) in enumerate(np.ndindex(ROWS, COLUMNS), start=1):
            cracked = (row, column) in CRACKED
            label = "CD" if cracked else "UD"
            save(
                folder / "set" / "D" / label / f"7001-{tile}.png",
                np.full((256, 256, 3), RED if cracked else GREY, np.uint8),
            )
            writer.writerow(("D", 7001, tile, row, column, label))
    return read_patches(folder / "set"), grid


def test_squares_hold_uncracked_tiles_alone(set_and_grid: tuple[PatchIndex, Path]) -> None:
    free = FreeGround(*set_and_grid)
    assert len(free.places) == ROWS * COLUMNS - len(CRACKED)
    assert {(row, column) for _, row, column in free.squares[2]} == {(0, 1), (1, 0), (1, 1)}
    assert free.squares[4] == []


def test_no_crop_shows_a_cracked_tile(set_and_grid: tuple[PatchIndex, Path]) -> None:
    free, rng = FreeGround(*set_and_grid), np.random.default_rng(0)
    for _ in range(20):
        crop = free.crop(rng, scales=(0.9, 2.0), side=128)
        assert crop.shape == (128, 128, 3)
        assert (np.abs(crop.astype(int) - 120) <= 2).all()


def test_a_crop_that_needs_more_tiles_than_there_are_is_mirrored_at_its_edges(
    set_and_grid: tuple[PatchIndex, Path],
) -> None:
    crop = FreeGround(*set_and_grid).crop(np.random.default_rng(1), scales=(0.1, 0.11), side=128)
    assert crop.shape == (128, 128, 3)


def test_a_square_of_tiles_is_turned_with_its_labels(set_and_grid: tuple[PatchIndex, Path]) -> None:
    squares, rng = LabelledSquares(*set_and_grid), np.random.default_rng(2)
    seen = set()
    for number in range(40):
        wanted = number % 2 == 1
        pixels, patches = squares.draw(rng, cracked=wanted)
        red = pixels.reshape(2, 256, 2, 256, 3)[:, 128, :, 128, 1].ravel() < 60
        assert [patch.label == "crack" for patch in patches] == list(red)
        assert wanted <= red.any()
        seen.add(tuple(red))
    assert len(seen) >= 4
