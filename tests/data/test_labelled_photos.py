"""Tiles become photos again, masks become tiles, and what does not fit says so."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from crackscope.data.labelled_photos import MASK_SHARE, left_out_by_masks, photos_by_grid, photos_by_masks
from crackscope.data.patches import read_patches
from crackscope.errors import DataError, ImageError
from shared.pictures import save

ROWS, COLUMNS, TILE = 3, 4, 32


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
                save(tmp_path / "data" / surface / label / f"{photo}-{tile}.png", part)
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


@pytest.mark.parametrize("n_moved", [1, 2])
def test_a_tile_with_another_label_than_in_the_grid_refuses_its_photo_with_both_values(
    tiles: Path, n_moved: int
) -> None:
    moved = sorted((tiles / "data" / "D" / "UD").glob("7001-*.png"))[:n_moved]
    for file in moved:
        file.rename(tiles / "data" / "D" / "CD" / file.name)
    photos = photos_by_grid(tiles / "data", tiles / "grid.csv")
    assert [photo.name for photo in photos] == ["D-7001", "D-7002", "W-7001"]
    with pytest.raises(ImageError) as caught:
        photos[0].load()
    number = min(int(file.stem.partition("-")[2]) for file in moved) - 1
    more = ", and so it is for 1 more of its tiles" if n_moved == 2 else ""
    assert str(caught.value) == (
        f"tile D/CD/7001-{number + 1}.png is crack in the data and uncracked in the grid (row {number // COLUMNS}, col "
        f"{number % COLUMNS}){more}; correct one of the two"
    )
    for photo in photos[1:]:
        photo.load()


def test_of_namesakes_with_opposite_labels_the_one_of_the_grid_counts(tiles: Path) -> None:
    own = next((tiles / "data" / "D").glob("*/7001-6.png"))
    other = own.parent.with_name("CD" if own.parent.name == "UD" else "UD") / own.name
    save(other, np.zeros((TILE, TILE, 3), np.uint8))
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
        save(tiles / "photos" / f"{name}.png", photo_of(seed))
    save(tiles / "photos" / "elsewhere.png", photo_of(0))
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
    save(tmp_path / "photos" / "north.png", photo_of(3))
    (tmp_path / "grid.csv").write_text("photo,row,col,label\nnorth,0,0,crack\nnorth,0,1,uncracked\n")
    (photo,) = photos_by_grid(tmp_path / "photos", tmp_path / "grid.csv")
    assert photo.labels.tolist() == [1, 0]
    assert photo.boxes_xyxy((100, 200)) == [(0, 0, 100, 100), (100, 0, 200, 100)]


def test_a_whole_photo_whose_last_row_is_not_listed_needs_its_rows_and_cols(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "north.png", photo_of(3))
    places = [(row, column) for row in range(ROWS - 1) for column in range(COLUMNS)]
    lines = [f"north,{row},{column},uncracked" for row, column in places]
    grid = tmp_path / "grid.csv"
    grid.write_text("\n".join(["photo,row,col,label", *lines]))
    (photo,) = photos_by_grid(tmp_path / "photos", grid)
    why = r"north\.png: 2 rows and 4 columns, .* 32×48 px, which are not square; add columns rows,cols"
    with pytest.raises(ImageError, match=why):
        photo.load()
    grid.write_text("\n".join(["photo,row,col,label,rows,cols", *(f"{line},{ROWS},{COLUMNS}" for line in lines)]))
    (photo,) = photos_by_grid(tmp_path / "photos", grid)
    pixels, _ = photo.load()
    expected = [(x * TILE, y * TILE, (x + 1) * TILE, (y + 1) * TILE) for y, x in places]
    np.testing.assert_allclose(photo.boxes_xyxy(pixels.shape[:2]), expected)


def test_rows_and_cols_that_are_stated_make_the_missing_last_row_grey(tiles: Path) -> None:
    header, *lines = (tiles / "grid.csv").read_text().splitlines()
    kept = [line for line in lines if line.split(",")[3] != str(ROWS - 1)]
    (tiles / "sized.csv").write_text("\n".join([f"{header},rows,cols", *(f"{line},{ROWS},{COLUMNS}" for line in kept)]))
    photo = photos_by_grid(tiles / "data", tiles / "sized.csv")[0]
    pixels, _ = photo.load()
    expected = photo_of(7001 + ord("D"))
    expected[-TILE:] = 128
    np.testing.assert_array_equal(pixels, expected)
    assert photo.boxes[:, 3].max() == pytest.approx((ROWS - 1) / ROWS)


def test_a_tile_that_is_broken_or_of_another_size_is_named(tiles: Path) -> None:
    photo = photos_by_grid(tiles / "data", tiles / "grid.csv")[0]
    place = tiles / "data" / photo.patches[3].path
    save(place, np.zeros((TILE, TILE + 1, 3), np.uint8))
    with pytest.raises(ImageError, match=f"tile {photo.patches[3].path}: 33×32 px among others of 32×32"):
        photo.load()
    for spoil, why in ((lambda: place.write_bytes(b"GIF89a"), "a GIF"), (place.unlink, "No such file")):
        spoil()
        with pytest.raises(ImageError, match=f"tile {photo.patches[3].path}: .*{why}"):
            photo.load()


def test_tiles_scattered_over_a_huge_grid_are_refused_before_they_fill_the_memory(tiles: Path) -> None:
    label = "CD" if is_crack("D", 7001, 0, 0) else "UD"
    (tiles / "far.csv").write_text(f"surface,photo,tile,row,col,label\nD,7001,1,10000,10000,{label}\n")
    (photo,) = photos_by_grid(tiles / "data", tiles / "far.csv")
    with pytest.raises(ImageError, match=r"10001×10001 tiles .* above the limit of 300"):
        photo.load()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("photo,row,label\n", r"no column 'col'"),
        ("", r"no column 'photo'"),
        ("photo,row,col,label\nD,0,x,crack\n", r"row 2: row '0' and col 'x'"),
        ("photo,row,col,label\nD,-1,0,crack\n", r"row 2: .*row '-1'"),
        ("photo,row,col,label\nD,0,0,maybe\n", r"row 2: label 'maybe'"),
        ("photo,row,col,label\nD,0,0\n", r"row 2: label ''"),
        ("photo,row,col,label\n", r"no rows"),
        ("photo,row,col,label\n,0,0,crack\n", r"row 2: no photo"),
        ("photo,row,col,label\nD,100000000,0,crack\n", r"row 2: row 100000000 and col 0: above 10,000"),
        ("photo,row,col,label\nD,0,10001,crack\n", r"row 2: .* above 10,000"),
        ("photo,row,col,label\nD,0,0,crack\nD,0,1,crack\nD,0,0,uncracked\n", r"row 4: row 0 and col 0 .* in row 2"),
        (f"photo,row,col,label\nD,0,0,{'x' * 200_000}\n", r"row 2: not a CSV \(field larger"),
        (f"photo,row,col,label\nD,0,0,{'x' * 100_000}\n", r"row 2: label 'x{37}\.\.\.'"),
        ("photo,row,col,label,rows,cols\nD,2,0,crack,2,4\n", r"row 2: rows '2' and cols '4' .* above row 2 and col 0"),
        ("photo,row,col,label,rows,cols\nD,0,0,crack,2,many\n", r"row 2: rows '2' and cols 'many'"),
        ("photo,row,col,label,rows\nD,0,0,crack,2\n", r"row 2: rows '2' and cols ''"),
        ("photo,row,col,label,rows,cols\nD,0,0,crack,2,4\nD,0,1,crack,3,4\n", r"row 3: .* 'D' are 3,4, and 2,4 above"),
        ("photo,row,col,label,rows,cols\nD,0,0,crack,2,4\nD,0,1,crack\n", r"row 3: .* 'D' are none, and 2,4 above"),
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


def test_data_that_do_not_exist_are_said_not_to(tiles: Path) -> None:
    with pytest.raises(DataError, match=r"gone: no such file, folder or archive"):
        photos_by_grid(tiles / "gone", tiles / "grid.csv")
    with pytest.raises(DataError, match=r"gone: no such file, folder or archive"):
        photos_by_masks(tiles / "data", tiles / "gone", tile_px=64)
    with pytest.raises(DataError, match=r"gone\.tar: no such file, folder or archive"):
        photos_by_masks(tiles / "gone.tar", tiles / "data", tile_px=64)


# Masks

NO_CRACK = np.zeros((96, 128), np.uint8)
CORNER = NO_CRACK.copy()
CORNER[:12, :12] = 255  # a whole tile of an eighth of the shorter side


def test_tiles_of_a_mask_are_crack_uncracked_or_left_out(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png", photo_of(1)[:96, :96])  # tiles of 12 px
    mask = np.zeros((96, 96), np.uint8)
    mask[0:12, 0:12] = 255  # all of a tile
    mask[12, 12] = 255  # one pixel of 144 is above the share
    save(tmp_path / "masks" / "a.bmp", mask)
    (photo,) = photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=256)
    labels = {
        (round(y * 8), round(x * 8)): int(label) for (x, y, _, _), label in zip(photo.boxes, photo.labels, strict=True)
    }
    assert len(labels) == 64
    assert {place for place, label in labels.items() if label} == {(0, 0), (1, 1)}
    mask = np.zeros((960, 960), np.uint8)
    mask[0, 0] = 255  # one of 14,400 pixels of its tile
    assert MASK_SHARE > 1 / 14_400
    save(tmp_path / "masks" / "a.bmp", mask)
    (photo,) = photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=256)
    assert len(photo.labels) == 63
    assert not photo.labels.any()


def test_tiles_are_at_most_as_large_as_asked(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.jpg", np.full((400, 800, 3), 90, np.uint8))
    save(tmp_path / "masks" / "a.png", cv2.resize(CORNER[:64], (80, 40), interpolation=cv2.INTER_NEAREST))
    for tile_px, n in ((256, 8 * 16), (20, 20 * 40)):
        (photo,) = photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=tile_px)
        assert len(photo.labels) == n


def test_photos_without_a_mask_are_passed_by_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    for name in "ab":
        save(tmp_path / "photos" / f"{name}.png", photo_of(1))
    save(tmp_path / "masks" / "b.png", CORNER)
    (photo,) = photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=64)
    assert Path(photo.name).name == "b.png"
    (tmp_path / "masks" / "b.png").rename(tmp_path / "masks" / "c.png")
    with pytest.raises(DataError, match="no mask with the name of a photo"):
        photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=64)


def test_photos_and_masks_that_stand_alone_are_listed(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / "photos" / f"{name}.png", photo_of(1))
    for name in "bcd":
        save(tmp_path / "masks" / f"{name}.png", np.zeros((96, 128), np.uint8))
    photos, masks = left_out_by_masks(tmp_path / "photos", tmp_path / "masks")
    assert ([Path(path).name for path in photos], [Path(path).name for path in masks]) == (["a.png"], ["d.png"])


def test_a_mask_is_read_again_at_its_own_size(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png", photo_of(1))
    mask = np.zeros((48, 64), np.uint8)
    mask[10:14, 5:60] = 255
    save(tmp_path / "masks" / "a.png", 255 - mask)
    (photo,) = photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=32, inverted=True)
    assert photo.load_mask is not None
    np.testing.assert_array_equal(photo.load_mask(), mask > 0)
    (tmp_path / "masks" / "a.png").unlink()
    with pytest.raises(ImageError, match="its mask"):
        photo.load_mask()


def test_archives_of_photos_and_masks_are_read_alike(tmp_path: Path) -> None:
    for kind, pixels in (("photos", photo_of(1)), ("masks", CORNER)):
        content = cv2.imencode(".png", pixels)[1].tobytes()
        with tarfile.open(tmp_path / f"{kind}.tar", "w") as archive:
            info = tarfile.TarInfo(f"{kind}/a.png")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    (photo,) = photos_by_masks(tmp_path / "photos.tar", tmp_path / "masks.tar", tile_px=64)
    assert photo.load()[0].shape == (96, 128, 3)


@pytest.mark.parametrize("folder", ["photos", "photos/images"])
def test_masks_among_the_photos_are_no_photos(tmp_path: Path, folder: str) -> None:
    save(tmp_path / folder / "a.jpg", photo_of(1))
    save(tmp_path / "photos" / "masks" / "a.png", CORNER)
    (tmp_path / "link").symlink_to(tmp_path / "photos" / "masks")
    for masks in ("photos/masks", "photos/../photos/masks", "link"):
        (photo,) = photos_by_masks(tmp_path / "photos", f"{tmp_path}/{masks}", tile_px=64)
        assert photo.name == f"{tmp_path}/{folder}/a.jpg"


def test_photos_and_masks_of_one_folder_are_told_apart_by_their_endings_alone(tmp_path: Path) -> None:
    save(tmp_path / "all" / "a.jpg", photo_of(1))
    save(tmp_path / "all" / "a.png", CORNER)
    for photos in ("all", "all/*.jpg"):
        (photo,) = photos_by_masks(f"{tmp_path}/{photos}", f"{tmp_path}/all/*.png", tile_px=64)
        assert Path(photo.name).name == "a.jpg"
    with pytest.raises(DataError, match="holds no image but the masks"):
        photos_by_masks(tmp_path / "all", tmp_path / "all", tile_px=64)


def test_masks_belong_to_the_photo_of_their_path(tmp_path: Path) -> None:
    for folder in ("north", "south", "west"):
        save(tmp_path / "photos" / folder / "1.jpg", photo_of(1))
    save(tmp_path / "masks" / "north" / "1.png", NO_CRACK)
    save(tmp_path / "masks" / "south" / "1.png", CORNER)
    north, south = photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=64)
    assert (north.name, south.name) == (f"{tmp_path}/photos/north/1.jpg", f"{tmp_path}/photos/south/1.jpg")
    assert not north.labels.any()
    assert south.labels.any()


@pytest.mark.parametrize(
    ("photos", "masks", "why"),
    [
        (["a.jpg"], ["a.png", "a.bmp"], r"masks/a\.bmp and .*masks/a\.png: two masks"),
        (["a.jpg", "a.png"], ["a.png"], r"photos/a\.jpg and .*photos/a\.png: two photos"),
        (["a.jpg"], ["x/a.png", "y/a.png"], r"masks/x/a\.png and .*masks/y/a\.png: two masks"),
        (["x/a.jpg", "y/a.jpg"], ["a.png"], r"photos/x/a\.jpg and .*photos/y/a\.jpg: two photos"),
        (["x/a.jpg", "y/a.jpg"], ["x/a.png", "z/a.png"], r"masks/x/a\.png and .*masks/z/a\.png: two masks"),
    ],
)
def test_masks_that_may_be_of_several_photos_are_an_error_that_names_both(
    tmp_path: Path, photos: list[str], masks: list[str], why: str
) -> None:
    for name in photos:
        save(tmp_path / "photos" / name, photo_of(1))
    for name in masks:
        save(tmp_path / "masks" / name, NO_CRACK)
    with pytest.raises(DataError, match=why) as raised:
        photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=64)
    assert "\n" not in str(raised.value)


SPECKLED = np.zeros((384, 512), np.uint8)
SPECKLED[::24, ::24] = 255  # four of a tile's 48×48 pixels: some, but less than the share


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        (None, r"its mask .*a\.png: the file is empty"),
        (np.zeros((128, 96), np.uint8), r"its mask .*a\.png is 96×128 px, the photo 128×96: not of one aspect"),
        (np.zeros((96, 132), np.uint8), r"not of one aspect"),
        (NO_CRACK + 1, r"its mask .*a\.png has no value above 1; cracks must be white \(255\)"),
        (SPECKLED, r"its mask .*a\.png decides no tile"),
    ],
)
def test_a_mask_that_cannot_be_used_refuses_its_photo_alone(tmp_path: Path, mask: np.ndarray | None, why: str) -> None:
    for name in "ab":
        save(tmp_path / "photos" / f"{name}.png", photo_of(1))
        save(tmp_path / "masks" / f"{name}.png", CORNER if mask is None or name == "b" else mask)
    if mask is None:
        (tmp_path / "masks" / "a.png").write_bytes(b"")
    refused, used = photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=64)
    assert (refused.name, refused.tiles, len(refused.labels)) == (f"{tmp_path}/photos/a.png", (), 0)
    assert refused.boxes_xyxy((96, 128)) == []
    with pytest.raises(ImageError, match=why):
        refused.load()
    assert used.load()[0].shape == (96, 128, 3)
    assert len(used.labels) == 8 * 11  # tiles of 12 px


def test_a_mask_of_about_the_aspect_of_its_photo_will_do(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png", photo_of(1))
    save(tmp_path / "masks" / "a.png", np.pad(CORNER, ((0, 0), (0, 2))))
    (photo,) = photos_by_masks(tmp_path / "photos", tmp_path / "masks", tile_px=64)
    assert photo.load()[0].shape == (96, 128, 3)
