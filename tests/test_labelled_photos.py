"""Tiles become photos again, masks become tiles, and what does not fit says so."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from crackscope.errors import DataError
from crackscope.labelled_photos import MASK_SHARE, photos_by_grid, photos_by_masks
from crackscope.patches import read_patches

ROWS, COLUMNS, TILE = 3, 4, 32


def write(place: Path, pixels: np.ndarray) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(place), pixels[..., ::-1] if pixels.ndim == 3 else pixels)


def photo_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (ROWS * TILE, COLUMNS * TILE, 3), dtype=np.uint8)


def is_crack(surface: str, photo: int, row: int, column: int) -> bool:
    return (ord(surface) + photo + row * COLUMNS + column) % 3 == 0


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Photos 7001 and 7002 of decks and 7001 of walls, as SDNET2018 lays out their tiles, and grid.csv."""
    lines = ["surface,photo,tile,row,col,label"]
    for surface, photo in (("D", 7001), ("D", 7002), ("W", 7001)):
        pixels = photo_of(photo + ord(surface))
        for row in range(ROWS):
            for column in range(COLUMNS):
                label = ("C" if is_crack(surface, photo, row, column) else "U") + surface
                tile = row * COLUMNS + column + 1
                part = pixels[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
                write(tmp_path / "data" / surface / label / f"{photo}-{tile}.png", part)
                lines.append(f"{surface},{photo},{tile},{row},{column},{label}")
    (tmp_path / "grid.csv").write_text("\n".join(lines))
    return tmp_path


def test_tiles_are_laid_back_into_their_photos(tiles: Path) -> None:
    photos = photos_by_grid(tiles / "data", tiles / "grid.csv")
    assert [photo.name for photo in photos] == ["D-7001", "D-7002", "W-7001"]
    for photo, seed in zip(photos, (7001 + ord("D"), 7002 + ord("D"), 7001 + ord("W")), strict=True):
        pixels, digests = photo.load()
        np.testing.assert_array_equal(pixels, photo_of(seed))
        assert len(set(digests)) == len(digests) == len(photo.patches) == ROWS * COLUMNS
        surface, number = photo.name.split("-")
        for (left, top, right, bottom), label in zip(photo.boxes_xyxy(pixels.shape[:2]), photo.labels, strict=True):
            assert (right - left, bottom - top) == pytest.approx((TILE, TILE))
            assert label == is_crack(surface, int(number), round(top / TILE), round(left / TILE))


def test_a_tile_that_is_missing_is_grey_and_in_no_figure(tiles: Path) -> None:
    gone = next((tiles / "data" / "D").glob("*/7001-6.png"))
    gone.unlink()
    photo = photos_by_grid(tiles / "data", tiles / "grid.csv")[0]
    pixels, _ = photo.load()
    assert len(photo.labels) == len(photo.tiles) == ROWS * COLUMNS - 1
    assert (pixels[TILE : 2 * TILE, TILE : 2 * TILE] == 128).all()
    expected = photo_of(7001 + ord("D"))
    np.testing.assert_array_equal(pixels[:TILE], expected[:TILE])
    np.testing.assert_array_equal(pixels[2 * TILE :], expected[2 * TILE :])


def test_of_namesakes_with_opposite_labels_the_one_of_the_grid_counts(tiles: Path) -> None:
    own = next((tiles / "data" / "D").glob("*/7001-6.png"))
    other = own.parent.with_name("CD" if own.parent.name == "UD" else "UD") / own.name
    write(other, np.zeros((TILE, TILE, 3), np.uint8))
    pixels, _ = photos_by_grid(tiles / "data", tiles / "grid.csv")[0].load()
    np.testing.assert_array_equal(pixels, photo_of(7001 + ord("D")))


def test_an_index_reduced_to_some_photos_gives_those(tiles: Path) -> None:
    index = read_patches(tiles / "data")
    walls = index.select([patch for patch in index.patches if patch.photo == "W-7001"])
    assert [photo.name for photo in photos_by_grid(walls, tiles / "grid.csv")] == ["W-7001"]


def test_an_archive_of_tiles_is_read_alike(tiles: Path) -> None:
    with tarfile.open(tiles / "data.tar", "w") as archive:
        archive.add(tiles / "data", "data")
    photos = photos_by_grid(tiles / "data.tar", tiles / "grid.csv")
    np.testing.assert_array_equal(photos[1].load()[0], photo_of(7002 + ord("D")))


def test_whole_photos_are_found_by_name(tiles: Path) -> None:
    for name, seed in (("D-7001", 7001 + ord("D")), ("W-7001", 7001 + ord("W"))):
        write(tiles / "photos" / f"{name}.png", photo_of(seed))
    write(tiles / "photos" / "elsewhere.png", photo_of(0))
    found = photos_by_grid(tiles / "photos", tiles / "grid.csv")
    assert [photo.name for photo in found] == ["D-7001", "W-7001"]
    laid = {photo.name: photo for photo in photos_by_grid(tiles / "data", tiles / "grid.csv")}
    for photo in found:
        np.testing.assert_array_equal(photo.load()[0], laid[photo.name].load()[0])
        order = np.lexsort(photo.boxes.T), np.lexsort(laid[photo.name].boxes.T)
        np.testing.assert_allclose(photo.boxes[order[0]], laid[photo.name].boxes[order[1]])
        np.testing.assert_array_equal(photo.labels[order[0]], laid[photo.name].labels[order[1]])
        assert len(photo.patches) == 1


def test_a_grid_without_surfaces_names_photos_plainly(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "north.png", photo_of(3))
    (tmp_path / "grid.csv").write_text("photo,row,col,label\nnorth,0,0,crack\nnorth,0,1,uncracked\n")
    (photo,) = photos_by_grid(tmp_path / "photos", tmp_path / "grid.csv")
    assert photo.labels.tolist() == [1, 0]
    assert photo.boxes_xyxy((100, 200)) == [(0, 0, 100, 100), (100, 0, 200, 100)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("photo,row,label\n", r"no column 'col'"),
        ("", r"no column 'photo'"),
        ("photo,row,col,label\nD,0,x,crack\n", r"row 2: label 'crack', row '0' and col 'x'"),
        ("photo,row,col,label\nD,-1,0,crack\n", r"row 2: .*row '-1'"),
        ("photo,row,col,label\nD,0,0,maybe\n", r"row 2: label 'maybe'"),
        ("photo,row,col,label\nD,0,0\n", r"row 2: label 'None'"),
        ("photo,row,col,label\nelsewhere,0,0,crack\n", r"names no photo of .*; its first one is 'elsewhere'"),
    ],
)
def test_a_wrong_grid_is_one_clear_line(tiles: Path, text: str, why: str) -> None:
    (tiles / "wrong.csv").write_text(text)
    with pytest.raises(DataError, match=why) as raised:
        photos_by_grid(tiles / "data", tiles / "wrong.csv")
    assert "\n" not in str(raised.value)
    assert "wrong.csv" in str(raised.value)


def test_a_grid_that_is_missing_or_no_text_is_one_clear_line(tiles: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv"):
        photos_by_grid(tiles / "data", tiles / "gone.csv")
    (tiles / "picture.csv").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DataError, match=r"picture\.csv"):
        photos_by_grid(tiles / "data", tiles / "picture.csv")


# Masks


def test_tiles_of_a_mask_are_crack_uncracked_or_left_out(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "a.png", photo_of(1)[:96, :96])  # tiles of 12 px
    mask = np.zeros((96, 96), np.uint8)
    mask[0:12, 0:12] = 255  # all of a tile
    mask[12, 12] = 255  # one pixel of 144 is above the share
    write(tmp_path / "masks" / "a.bmp", mask)
    (photo,) = photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=256)
    labels = {
        (round(y * 8), round(x * 8)): int(label) for (x, y, _, _), label in zip(photo.boxes, photo.labels, strict=True)
    }
    assert len(labels) == 64
    assert {place for place, label in labels.items() if label} == {(0, 0), (1, 1)}
    mask = np.zeros((960, 960), np.uint8)
    mask[0, 0] = 255  # one of 14,400 pixels of its tile
    assert MASK_SHARE > 1 / 14_400
    write(tmp_path / "masks" / "a.bmp", mask)
    (photo,) = photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=256)
    assert len(photo.labels) == 63
    assert not photo.labels.any()


def test_tiles_are_at_most_as_large_as_asked(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "a.jpg", np.full((400, 800, 3), 90, np.uint8))
    write(tmp_path / "masks" / "a.png", np.zeros((40, 80), np.uint8))
    for tile_px, n in ((256, 8 * 16), (20, 20 * 40)):
        (photo,) = photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=tile_px)
        assert len(photo.labels) == n


def test_photos_without_a_mask_are_passed_by_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / "photos" / f"{name}.png", photo_of(1))
    write(tmp_path / "masks" / "b.png", np.zeros((96, 128), np.uint8))
    (photo,) = photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=64)
    assert Path(photo.name).name == "b.png"
    (tmp_path / "masks" / "b.png").rename(tmp_path / "masks" / "c.png")
    with pytest.raises(DataError, match="no mask with the name of a photo"):
        photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=64)


def test_archives_of_photos_and_masks_are_read_alike(tmp_path: Path) -> None:
    for kind, pixels in (("photos", photo_of(1)), ("masks", np.zeros((96, 128), np.uint8))):
        content = cv2.imencode(".png", pixels)[1].tobytes()
        with tarfile.open(tmp_path / f"{kind}.tar", "w") as archive:
            info = tarfile.TarInfo(f"{kind}/a.png")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    (photo,) = photos_by_masks(tmp_path / "photos.tar", tmp_path / "masks.tar", tile_px=64)
    assert photo.load()[0].shape == (96, 128, 3)
