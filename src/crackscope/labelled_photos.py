"""Whole photos with a label for each tile: laid back together from a data set's tiles, or cut by pixel masks.

A *grid* is a CSV with a row a tile: ``photo``, ``row``, ``col``, ``label``, and, where a folder holds several surfaces,
``surface``; with ``tile``, the tile's number, the tiles themselves are found as ``PHOTO-TILE.jpg`` (as SDNET2018 names
them) and laid together. Without such files, the photos are looked for by name: ``SURFACE-PHOTO.jpg`` or ``PHOTO.jpg``.

A *mask* is a picture of a photo's name and aspect in which cracks are white. Its tiles are squares; one with no white
pixel is uncracked, one with at least `MASK_SHARE` of its surface white is crack, and what lies between is left out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import numpy.typing as npt

from crackscope.errors import DataError
from crackscope.images import decode_photo
from crackscope.inputs import list_images
from crackscope.patches import Patch, PatchIndex, content_digest, label_of_word, read_patches

__all__ = ["MASK_SHARE", "LabelledPhoto", "photos_by_grid", "photos_by_masks"]

UInt8Array = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MASK_SHARE = 0.005
"""Of a tile's surface that must be white for it to count as cracked."""

_TILES_A_SIDE = 8  # by masks, unless a tile would then be larger than a training patch
_GREY = 128
_WHITE = 128


@dataclass(frozen=True, eq=False)
class LabelledPhoto:
    """A photo whose tiles are labelled; what cannot be said of a tile is left out of the arrays.

    Attributes:
        name: Of the photo.
        boxes: Shape (n, 4): left, top, right, bottom of each tile, as shares of the photo's width and height.
        labels: Shape (n,), 1 for crack.
        tiles: Names of the tiles, for tables.
        patches: What a model could have been trained on: the tiles' files, or the photo itself.
        load: Reads pixels, and the SHA-256 of the file of each of `patches`.
    """

    name: str
    boxes: FloatArray
    labels: IntArray
    tiles: tuple[str, ...]
    patches: tuple[Patch, ...]
    load: Callable[[], tuple[UInt8Array, list[bytes]]]

    def boxes_xyxy(self, photo_hw: tuple[int, int]) -> list[tuple[float, float, float, float]]:
        """Boxes in pixels."""
        height, width = photo_hw
        return [(x0 * width, y0 * height, x1 * width, y1 * height) for x0, y0, x1, y1 in self.boxes.tolist()]


@dataclass(frozen=True)
class _Cell:
    row: int
    column: int
    label: str
    tile: str


def photos_by_grid(data: str | Path | PatchIndex, grid: str | Path) -> list[LabelledPhoto]:
    """Photos of a grid that the data has, in the order of their names.

    Args:
        data: Tiles, as `crackscope.patches.read_patches` reads them, or a folder of whole photos.
        grid: The CSV.

    Raises:
        DataError: If the grid is damaged, or names no photo of the data.
    """
    cells = _read_grid(Path(grid))
    index = data if isinstance(data, PatchIndex) else _patches_of(data)
    found = _from_tiles(index, cells) if index is not None else []
    if not found and not isinstance(data, PatchIndex):
        found = _from_photos(data, cells)
    if not found:
        name = index.name if index is not None else data
        first = min(cells, default="none")
        raise DataError(f"{grid}: names no photo of {name}; its first one is '{first}'. Give the data it is of.")
    return found


def photos_by_masks(photos: str | Path, masks: str | Path, *, tile_px: int) -> list[LabelledPhoto]:
    """Photos that have a mask, in the order of their names.

    Args:
        photos: Folder or archive.
        masks: Folder or archive; a mask has its photo's name, whatever its ending.
        tile_px: Side of a tile in photo pixels, at most; an eighth of the photo's shorter side where that is less.

    Raises:
        DataError: If no photo has a mask.
    """
    known = {PurePosixPath(path).stem: read for path, read in list_images([masks])}
    found = []
    for path, read in list_images([photos]):
        stem = PurePosixPath(path).stem
        if stem in known:
            found.append(_masked(path, read, known[stem], tile_px))
    if not found:
        raise DataError(f"{masks}: holds no mask with the name of a photo of {photos}. Name them alike.")
    return found


def _read_grid(place: Path) -> dict[str, list[_Cell]]:
    """Cells by the name of their photo."""
    try:
        reader = csv.DictReader(io.StringIO(place.read_text(encoding="utf-8-sig")))
        columns = [name.strip().lower() for name in reader.fieldnames or ()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{place}: cannot be read as a CSV ({error}). Give one with photo,row,col,label.") from error
    missing = [name for name in ("photo", "row", "col", "label") if name not in columns]
    if missing:
        raise DataError(f"{place}: no column '{missing[0]}'. A grid has photo,row,col,label, and surface, tile.")
    reader.fieldnames = columns
    cells: dict[str, list[_Cell]] = {}
    for row in reader:
        label = label_of_word(row["label"] or "")
        try:
            at = int(row["row"]), int(row["col"])
        except (TypeError, ValueError):
            at = -1, -1
        if label is None or min(at) < 0:
            raise DataError(
                f"{place}, row {reader.line_num}: label '{row['label']}', row '{row['row']}' and col '{row['col']}' "
                "are no label and two whole numbers from 0. Correct the line."
            )
        name = f"{row['surface']}-{row['photo']}" if row.get("surface") else row["photo"]
        cells.setdefault(name, []).append(_Cell(*at, label, row.get("tile") or ""))
    return cells


def _patches_of(data: str | Path) -> PatchIndex | None:
    try:
        return read_patches(data)
    except DataError:
        return None  # no folder names a label: whole photos, perhaps


def _boxes(cells: Sequence[_Cell], n_rows: int, n_columns: int) -> FloatArray:
    places = np.array([(cell.column, cell.row, cell.column + 1, cell.row + 1) for cell in cells], np.float64)
    found: FloatArray = places / (n_columns, n_rows, n_columns, n_rows)
    return found


def _labels(cells: Sequence[_Cell]) -> IntArray:
    return np.array([cell.label == "crack" for cell in cells], np.int64)


def _size(cells: Sequence[_Cell]) -> tuple[int, int]:
    return max(cell.row for cell in cells) + 1, max(cell.column for cell in cells) + 1


def _from_tiles(index: PatchIndex, cells: Mapping[str, Sequence[_Cell]]) -> list[LabelledPhoto]:
    """Photos laid together from the tiles of an index; a tile that it lacks is grey, and in no figure."""
    files: dict[tuple[str, str, str], Patch] = {}
    for patch in index.patches:
        files[patch.photo or "", PurePosixPath(patch.path).stem.partition("-")[2], patch.label] = patch
    found = []
    for name in sorted(cells):
        asked = ((cell, files.get((name, cell.tile, cell.label))) for cell in cells[name])
        there = [(cell, patch) for cell, patch in asked if patch is not None]
        if there:
            own, patches = [cell for cell, _ in there], tuple(patch for _, patch in there)
            size = _size(cells[name])
            load = partial(_laid_together, index, patches, [(cell.row, cell.column) for cell in own], size)
            tiles = tuple(patch.path for patch in patches)
            found.append(LabelledPhoto(name, _boxes(own, *size), _labels(own), tiles, patches, load))
    return found


def _laid_together(
    index: PatchIndex, patches: Sequence[Patch], places: Sequence[tuple[int, int]], size: tuple[int, int]
) -> tuple[UInt8Array, list[bytes]]:
    contents = [index.files.read(patch.path) for patch in patches]
    tiles = [decode_photo(content).pixels for content in contents]
    height, width = tiles[0].shape[:2]
    photo = np.full((size[0] * height, size[1] * width, 3), _GREY, np.uint8)
    for tile, (row, column) in zip(tiles, places, strict=True):
        if tile.shape[:2] != (height, width):
            raise DataError(f"a tile of {tile.shape[1]}×{tile.shape[0]} px among others of {width}×{height}.")
        photo[row * height : (row + 1) * height, column * width : (column + 1) * width] = tile
    return photo, [content_digest(content) for content in contents]


def _from_photos(data: str | Path, cells: Mapping[str, Sequence[_Cell]]) -> list[LabelledPhoto]:
    found = []
    for path, read in list_images([data]):
        stem = PurePosixPath(path).stem
        if stem in cells:
            own = list(cells[stem])
            tiles = tuple(f"{path}#{cell.row},{cell.column}" for cell in own)
            patch = Patch(path, "crack", photo=stem)
            load = partial(_whole, path, read)
            found.append(LabelledPhoto(stem, _boxes(own, *_size(own)), _labels(own), tiles, (patch,), load))
    return found


def _whole(path: str, read: Callable[[], bytes]) -> tuple[UInt8Array, list[bytes]]:
    content = read()
    return decode_photo(content, path=path).pixels, [content_digest(content)]


def _masked(path: str, read: Callable[[], bytes], read_mask: Callable[[], bytes], tile_px: int) -> LabelledPhoto:
    mask = decode_photo(read_mask()).pixels.max(axis=2) >= _WHITE
    photo_hw = decode_photo(read(), path=path).pixels.shape[:2]
    side = min(tile_px, min(photo_hw) // _TILES_A_SIDE or 1)
    n_rows, n_columns = (max(1, round(length / side)) for length in photo_hw)
    shares = cv2.resize(mask.astype(np.float32), (n_columns, n_rows), interpolation=cv2.INTER_AREA)
    cells = list(_cells_of(shares))
    tiles = tuple(f"{path}#{cell.row},{cell.column}" for cell in cells)
    patch = Patch(path, "crack", photo=path)
    load = partial(_whole, path, read)
    return LabelledPhoto(path, _boxes(cells, n_rows, n_columns), _labels(cells), tiles, (patch,), load)


def _cells_of(shares: npt.NDArray[np.float32]) -> Iterator[_Cell]:
    for (row, column), share in np.ndenumerate(shares):
        if share == 0 or share >= MASK_SHARE:
            yield _Cell(row, column, "crack" if share else "uncracked", "")
