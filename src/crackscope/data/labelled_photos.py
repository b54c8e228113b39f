"""Labelled photos: whole photos with a label for each tile, from a grid of tiles or from pixel masks.

A *grid* is a CSV with one row for each tile: ``photo``, ``row``, ``col``, ``label``, and, where a folder holds several
surfaces, ``surface``. With ``tile``, the tile's number, the tiles themselves are found as ``PHOTO-TILE.jpg`` (as
SDNET2018 names them) and laid together. Without such files, the photos are looked for by name: ``SURFACE-PHOTO.jpg`` or
``PHOTO.jpg``. ``rows`` and ``cols`` say how many rows and columns of tiles the photo has; without them, the greatest
ones listed count.

A *mask* is a picture with the name and aspect of its photo, in which cracks are white. Its tiles are squares. A tile
without a white pixel is uncracked; one with at least `MASK_SHARE` of its surface white is crack; a tile in between is
left out. Photo and mask have the same path below what was given, or else a name that no other photo and no other mask
has.

A photo that cannot be used is listed too, and loading it says why: the photo, a tile or the mask cannot be read, or the
grid gives a tile another label than the data does.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import NoReturn, TypeAlias

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float32Array, Float64Array, Int64Array, UInt8Array
from crackscope.data.class_names import ClassNames
from crackscope.data.masks import read_mask, require_cracks_in_white, require_mostly_black
from crackscope.data.patches import Patch, PatchIndex, content_digest, read_patches
from crackscope.data.tile_grid import Cell, Layout, read_grid
from crackscope.errors import DataError, ImageError, reason_of
from crackscope.files.images import MAX_MEGAPIXELS, decode_image
from crackscope.files.inputs import ImageFile, list_images

__all__ = [
    "MASK_SHARE",
    "LabelledPhoto",
    "left_out_by_masks",
    "path_below",
    "photos_by_grid",
    "photos_by_masks",
]


MASK_SHARE = 0.005
"""Share of a tile's surface that must be white for the tile to count as cracked."""

_Load: TypeAlias = Callable[[], tuple[UInt8Array, list[bytes]]]
_LoadMask: TypeAlias = Callable[[], BoolArray]

_GREY = 128
_SQUARE = 1.05  # longer by shorter side of a tile of a whole photo, at most, where the grid does not say rows,cols


@dataclass(frozen=True, eq=False)
class LabelledPhoto:
    """A photo whose tiles are labelled. A tile whose label is not clear is left out of the arrays.

    Attributes:
        name: Name of the photo.
        boxes: Left, top, right and bottom of each tile, shape (n, 4), as shares of the photo's width and height.
        labels: Label of each tile, shape (n,): 1 for crack, 0 for uncracked.
        tiles: Name of each tile, for tables.
        patches: Patches that a model could have been trained on: the tiles' files, or the photo itself.
        load: Function that reads the photo: its pixels, shape (H, W, 3), RGB, uint8, and the SHA-256 of the file of
            each of `patches`. It raises an OSError or a DataError with the reason if the photo cannot be used.
        load_mask: Function that reads the photo's mask: whether a pixel is white, shape (h, w), at the mask's own size.
            It raises an ImageError if the mask can no longer be read. None if labels do not come from a mask.
    """

    name: str
    boxes: Float64Array
    labels: Int64Array
    tiles: tuple[str, ...]
    patches: tuple[Patch, ...]
    load: _Load
    load_mask: _LoadMask | None = None

    def boxes_xyxy(self, photo_hw: tuple[int, int]) -> list[tuple[float, float, float, float]]:
        """Left, top, right and bottom of each tile in pixels.

        Args:
            photo_hw: Height and width of the photo, in pixels.
        """
        height, width = photo_hw
        return [(x0 * width, y0 * height, x1 * width, y1 * height) for x0, y0, x1, y1 in self.boxes.tolist()]


def photos_by_grid(
    data: str | Path | PatchIndex, grid: str | Path, names: ClassNames | None = None
) -> list[LabelledPhoto]:
    """Photos of a grid that the data has, in the order of their names.

    Args:
        data: Tiles, as `crackscope.data.patches.read_patches` reads them, or a folder of whole photos.
        grid: Path of the CSV.
        names: Names of classes, beside the known ones, in the folders of tiles and in the grid.

    Raises:
        DataError: If the grid is damaged or names no photo of the data, or the data does not exist.
    """
    layouts = read_grid(Path(grid), names)
    index = data if isinstance(data, PatchIndex) else _patches_of(data, names)
    found = _from_tiles(index, layouts) if index is not None else []
    if not found and not isinstance(data, PatchIndex):
        found = _from_photos(data, layouts)
    if not found:
        name = index.name if index is not None else data
        raise DataError(f"{grid}: names no photo of {name}; its first one is '{min(layouts)}'. Give the data it is of.")
    return found


def photos_by_masks(
    photos: str | Path, masks: str | Path, *, tile_px: int, tiles_a_side: int = 8, inverted: bool = False
) -> list[LabelledPhoto]:
    """Photos that have a mask, in the order of their names.

    Args:
        photos: Folder or archive. A file that is one of the masks is not taken for a photo.
        masks: Folder or archive, which may lie among the photos; a mask has its photo's path, or at least its name,
            whatever its ending.
        tile_px: Side of a tile in photo pixels, at most.
        tiles_a_side: Number of tiles along the photo's shorter side, at least; tiles are smaller where it needs it.
        inverted: Whether cracks are black in the masks, and everything else is white.

    Raises:
        DataError: If no photo has a mask, it is unclear which mask belongs to a photo, a place does not exist, most
            masks are mostly white, or no mask has a white pixel.
    """
    photo_files, mask_files, pairs = _files_and_pairs(photos, masks)
    if not pairs:
        raise DataError(f"{masks}: holds no mask with the name of a photo of {photos}. Name them alike.")
    shares: dict[str, float] = {}
    found = [
        _masked(photo_files[path], mask_files[mask], tile_px, tiles_a_side, inverted, shares) for path, mask in pairs
    ]
    require_cracks_in_white(str(masks), shares, inverted=inverted)
    return found


def left_out_by_masks(photos: str | Path, masks: str | Path) -> tuple[list[str], list[str]]:
    """Paths of the photos without a mask, and of the masks without a photo, as `photos_by_masks` pairs them.

    Args:
        photos: Folder or archive of the photos.
        masks: Folder or archive of the masks.

    Raises:
        DataError: If it is unclear which mask belongs to a photo, or a place does not exist.
    """
    photo_files, mask_files, pairs = _files_and_pairs(photos, masks)
    paired = {path for pair in pairs for path in pair}
    return [path for path in photo_files if path not in paired], [path for path in mask_files if path not in paired]


def path_below(place: str | Path, path: str) -> PurePath:
    """Path of a photo or a mask relative to the folder or archive that was given, or to the folder of a list.

    Args:
        place: Folder, archive, or CSV that lists images.
        path: Path of an image in it.
    """
    root, name = PurePath(place), PurePath(path)
    root = root.parent if root.suffix.lower() == ".csv" else root
    return name.relative_to(root) if name.is_relative_to(root) else name


def _files_and_pairs(
    photos: str | Path, masks: str | Path
) -> tuple[dict[str, ImageFile], dict[str, ImageFile], list[tuple[str, str]]]:
    """Photos, masks, and which mask belongs to which photo."""
    mask_files = _images_of(masks)
    own = {os.path.realpath(path) for path in mask_files}
    photo_files = {path: image for path, image in _images_of(photos).items() if os.path.realpath(path) not in own}
    if not photo_files:
        raise DataError(f"{photos}: holds no image but the masks of {masks}. Give the masks a folder of their own.")
    names = {path: _name_in(photos, path) for path in photo_files}
    return photo_files, mask_files, _paired(names, {path: _name_in(masks, path) for path in mask_files})


def _images_of(place: str | Path) -> dict[str, ImageFile]:
    """Images by their paths."""
    return {image.path: image for image in list_images([place])}


# Grids


def _patches_of(data: str | Path, names: ClassNames | None) -> PatchIndex | None:
    try:
        return read_patches(data, names=names)
    except DataError:
        return None  # no folder names a label: whole photos, perhaps


def _boxes(cells: Sequence[Cell], n_rows: int, n_columns: int) -> Float64Array:
    places = np.array([(cell.column, cell.row, cell.column + 1, cell.row + 1) for cell in cells], np.float64)
    found: Float64Array = places / (n_columns, n_rows, n_columns, n_rows)
    return found


def _labels(cells: Sequence[Cell]) -> Int64Array:
    return np.array([cell.label == "crack" for cell in cells], np.int64)


def _from_tiles(index: PatchIndex, layouts: Mapping[str, Layout]) -> list[LabelledPhoto]:
    """Photos laid together from the tiles of an index. A tile that the index lacks is grey and in no figure."""
    files: defaultdict[tuple[str, str], dict[str, Patch]] = defaultdict(dict)
    for patch in index.patches:
        files[patch.photo or "", PurePosixPath(patch.path).stem.partition("-")[2]][patch.label] = patch
    found = []
    for name, layout in sorted(layouts.items()):
        by_label = [(cell, files.get((name, cell.tile), {})) for cell in layout.cells]
        there = [(cell, alike[cell.label]) for cell, alike in by_label if cell.label in alike]
        wrong = [(cell, patch) for cell, alike in by_label if cell.label not in alike for patch in alike.values()]
        own, patches = [cell for cell, _ in there], tuple(patch for _, patch in there)
        if wrong:
            load: _Load = partial(_refuse, _contradiction(wrong))
            found.append(LabelledPhoto(name, np.empty((0, 4)), np.empty(0, np.int64), (), patches, load))
        elif there:
            load = partial(_laid_together, index, patches, [(cell.row, cell.column) for cell in own], layout.size)
            tiles = tuple(patch.path for patch in patches)
            found.append(LabelledPhoto(name, _boxes(own, *layout.size), _labels(own), tiles, patches, load))
    return found


def _contradiction(wrong: Sequence[tuple[Cell, Patch]]) -> str:
    """Reason why a photo is refused: the grid and the data give tiles of it different labels."""
    cell, patch = wrong[0]
    more = f", and so it is for {len(wrong) - 1} more of its tiles" if len(wrong) > 1 else ""
    return (
        f"tile {patch.path} is {patch.label} in the data and {cell.label} in the grid (row {cell.row}, col "
        f"{cell.column}){more}; correct one of the two"
    )


def _laid_together(
    index: PatchIndex, patches: Sequence[Patch], places: Sequence[tuple[int, int]], size: tuple[int, int]
) -> tuple[UInt8Array, list[bytes]]:
    tiles, digests = [], []
    for patch in patches:
        try:
            content = index.files.read(patch.path)
            tiles.append(decode_image(content).pixels)
        except (OSError, DataError) as error:
            raise ImageError(f"tile {patch.path}: {reason_of(error)}") from error
        digests.append(content_digest(content))
    height, width = tiles[0].shape[:2]
    megapixels = size[0] * height * size[1] * width / 1e6
    if megapixels > MAX_MEGAPIXELS:
        raise ImageError(
            f"{size[1]}×{size[0]} tiles of {width}×{height} px are {megapixels:.0f} megapixels, above the limit of "
            f"{MAX_MEGAPIXELS:g}; correct the rows and columns in the grid"
        )
    photo = np.full((size[0] * height, size[1] * width, 3), _GREY, np.uint8)
    for patch, tile, (row, column) in zip(patches, tiles, places, strict=True):
        if tile.shape[:2] != (height, width):
            raise ImageError(
                f"tile {patch.path}: {tile.shape[1]}×{tile.shape[0]} px among others of {width}×{height}; cut it alike"
            )
        photo[row * height : (row + 1) * height, column * width : (column + 1) * width] = tile
    return photo, digests


def _from_photos(data: str | Path, layouts: Mapping[str, Layout]) -> list[LabelledPhoto]:
    found = []
    for path, image in _images_of(data).items():
        stem = PurePosixPath(path).stem
        if stem in layouts:
            layout = layouts[stem]
            own, size = layout.cells, layout.size
            tiles = tuple(f"{path}#{cell.row},{cell.column}" for cell in own)
            patch = Patch(path, "crack", photo=stem)
            load = partial(_whole, image, None if layout.stated else size)
            found.append(LabelledPhoto(stem, _boxes(own, *size), _labels(own), tiles, (patch,), load))
    return found


def _whole(image: ImageFile, inferred: tuple[int, int] | None = None) -> tuple[UInt8Array, list[bytes]]:
    """Pixels and digest; `inferred` rows and columns are believed if they make squares of the photo."""
    content = image.read()
    pixels = decode_image(content, path=image.path).pixels
    if inferred:
        height, width = pixels.shape[0] / inferred[0], pixels.shape[1] / inferred[1]
        if max(height, width) > _SQUARE * min(height, width):
            raise ImageError(
                f"{image.path}: {inferred[0]} rows and {inferred[1]} columns, as far as the grid's lines reach, make "
                f"tiles of {width:.0f}×{height:.0f} px, which are not square; add columns rows,cols to the grid"
            )
    return pixels, [content_digest(content)]


# Masks


def _name_in(place: str | Path, path: str) -> str:
    """A path without its ending, below the place that was given."""
    return path_below(place, path).with_suffix("").as_posix()


def _paired(photos: Mapping[str, str], masks: Mapping[str, str]) -> list[tuple[str, str]]:
    """Photos with the mask of each, by their names; a photo without one is left out."""
    photos_of, masks_of = _by_name(photos), _by_name(masks)
    found = []
    for path, name in photos.items():
        key = name
        if not masks_of[name]:
            key = f"*/{PurePosixPath(name).name}"
            if all(photos_of[masks[mask]] for mask in masks_of[key]):
                continue  # none at all, or each belongs to the photo of its whole name
        for what, alike in (("masks", masks_of[key]), ("photos", photos_of[key])):
            if len(alike) > 1:
                raise DataError(
                    f"{alike[0]} and {alike[1]}: two {what} of one name, so it is unclear which mask is whose. "
                    "Give each mask the path of its photo, or take one out."
                )
        found.append((path, masks_of[key][0]))
    return found


def _by_name(names: Mapping[str, str]) -> defaultdict[str, list[str]]:
    """Paths by their name, and by ``*/`` and the last part of it."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path, name in names.items():
        found[name].append(path)
        found[f"*/{PurePosixPath(name).name}"].append(path)
    return found


def _masked(
    image: ImageFile, mask_image: ImageFile, tile_px: int, tiles_a_side: int, inverted: bool, shares: dict[str, float]
) -> LabelledPhoto:
    """A photo with its mask; the share of the mask that is a crack is noted in `shares`."""
    path = image.path
    patch = Patch(path, "crack", photo=path)
    try:
        height, width = image.load().pixels.shape[:2]
        load_mask = partial(read_mask, mask_image, (height, width), inverted=inverted)
        mask = load_mask()
        share = shares[mask_image.path] = float(mask.mean())
        require_mostly_black(share, mask_image.path, inverted=inverted)
        side = min(tile_px, min(height, width) // tiles_a_side or 1)
        n_rows, n_columns = max(1, round(height / side)), max(1, round(width / side))
        by_tile = cv2.resize(mask.astype(np.float32), (n_columns, n_rows), interpolation=cv2.INTER_AREA)
        cells = list(_cells_of(np.asarray(by_tile, np.float32)))
        if not cells:
            raise ImageError(
                f"its mask {mask_image.path} decides no tile: some white, but too little in all; correct it"
            )
    except (OSError, DataError) as error:
        nothing = partial(_refuse, reason_of(error))
        return LabelledPhoto(path, np.empty((0, 4)), np.empty(0, np.int64), (), (patch,), nothing)
    tiles = tuple(f"{path}#{cell.row},{cell.column}" for cell in cells)
    load = partial(_whole, image)
    return LabelledPhoto(path, _boxes(cells, n_rows, n_columns), _labels(cells), tiles, (patch,), load, load_mask)


def _refuse(reason: str) -> NoReturn:
    raise ImageError(reason)


def _cells_of(shares: Float32Array) -> Iterator[Cell]:
    for (row, column), share in np.ndenumerate(shares):
        if share == 0 or share >= MASK_SHARE:
            yield Cell(row, column, "crack" if share else "uncracked", "")
