"""Crops of photos whose tiles are labelled: cut anywhere, from any distance, what surrounds a tile truly in view.

A patch ends at its edge; a window that a photo is scanned by does not. In such a crop each tile has a label of its own,
and a network that gives a logit a cell learns all of them at once: `box_logits`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from crackscope.clutter import clutter_over
from crackscope.drawn_lines import crack_over
from crackscope.patches import PatchIndex
from crackscope.tile_grid import read_grid
from crackscope.training.augmentation import Augmentation, in_other_light

__all__ = ["Crop", "Place", "TiledPhoto", "box_logits", "crop_of", "tiled_photos"]

UInt8Array = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]
Place = tuple[int, int]  # row and column of a tile

LEAST_CRACKED = 0.8
"""Share of a cracked tile that must be in view for its label to hold: its crack may lie at any edge."""
LEAST_UNCRACKED = 0.2
"""Of an uncracked one: so much of it that a few cells lie inside."""
LEAST_DRAWN_PX = 24
"""Rows and columns, together, that a drawn crack reaches over in a cracked tile; where it reaches over fewer, the
tile has no label."""

_VISIBLE = 0.3  # share of a pixel
_GREY = 128


@dataclass(frozen=True, eq=False)
class TiledPhoto:
    """A photo as the tiles that it was cut into; a tile is read when a crop needs it.

    Attributes:
        name: Of the photo.
        tile_px: Side of a tile.
        cracked: Whether each tile that is there is labelled crack, by its place.
        read: Pixels of the tile at a place, shape (tile_px, tile_px, 3).
    """

    name: str
    tile_px: int
    cracked: Mapping[Place, bool]
    read: Callable[[Place], UInt8Array]

    @property
    def reach(self) -> tuple[int, int]:
        """Numbers of rows and columns, as far as tiles are there."""
        return max(row for row, _ in self.cracked) + 1, max(column for _, column in self.cracked) + 1

    def region(self, left: int, top: int, side: int) -> UInt8Array:
        """A square of the photo, shape (side, side, 3); outside of it, it is mirrored.

        A tile that is missing is its nearest neighbour, mirrored.
        """
        tile, (n_rows, n_columns) = self.tile_px, self.reach
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + side, n_columns * tile), min(top + side, n_rows * tile)
        rows, columns = range(y0 // tile, -(-y1 // tile)), range(x0 // tile, -(-x1 // tile))
        places = list(product(rows, columns))
        known = [place for place in places if place in self.cracked]
        laid = np.full((len(rows) * tile, len(columns) * tile, 3), _GREY, np.uint8)
        for row, column in places if known else ():
            there = min(known, key=lambda one: (abs(one[0] - row) + abs(one[1] - column), one[0] != row))
            pixels = self.read(there)
            y, x = (row - rows.start) * tile, (column - columns.start) * tile
            laid[y : y + tile, x : x + tile] = pixels if there == (row, column) else pixels[:, ::-1]
        oy, ox = rows.start * tile, columns.start * tile
        inside = laid[y0 - oy : y1 - oy, x0 - ox : x1 - ox]
        margins = y0 - top, top + side - y1, x0 - left, left + side - x1
        return (
            np.asarray(cv2.copyMakeBorder(inside, *margins, cv2.BORDER_REFLECT), np.uint8) if any(margins) else inside
        )


@dataclass(frozen=True, eq=False)
class Crop:
    """What a network is shown of a photo, and what is known of it.

    Attributes:
        pixels: RGB, shape (side, side, 3).
        boxes_xyxy: Of each tile in view whose label holds, in pixels of the crop, shape (n, 4).
        targets: Of each box, 1 for crack, shape (n,).
    """

    pixels: UInt8Array
    boxes_xyxy: FloatArray
    targets: npt.NDArray[np.float32]


def tiled_photos(index: PatchIndex, grid: str | Path, *, tile_px: int) -> list[TiledPhoto]:
    """The photos of a data set's grid (see `crackscope.tile_grid.read_grid`) that the index has patches of.

    Args:
        index: Tiles, as `crackscope.patches.read_patches` reads them.
        grid: The CSV that says where each lies.
        tile_px: Their side; a tile of another size is resized.
    """
    by_number = {
        (patch.photo or "", Path(patch.path).stem.partition("-")[2], patch.label): patch.path for patch in index.patches
    }
    found = []
    for name, layout in sorted(read_grid(Path(grid)).items()):
        paths = {
            (cell.row, cell.column): path
            for cell in layout.cells
            if (path := by_number.get((name, cell.tile, cell.label))) is not None
        }
        if paths:
            cracked = {(cell.row, cell.column): cell.label == "crack" for cell in layout.cells}
            mine = {place: cracked[place] for place in paths}
            found.append(TiledPhoto(name, tile_px, mine, _reader(index, paths, tile_px)))
    return found


def _reader(index: PatchIndex, paths: Mapping[Place, str], tile_px: int) -> Callable[[Place], UInt8Array]:
    def read(place: Place) -> UInt8Array:
        pixels = index.read_pixels(paths[place])
        if pixels.shape[:2] != (tile_px, tile_px):
            pixels = np.asarray(cv2.resize(pixels, (tile_px, tile_px), interpolation=cv2.INTER_AREA), np.uint8)
        return pixels

    return read


def crop_of(
    photo: TiledPhoto,
    at: Place,
    rng: np.random.Generator,
    *,
    side_px: int,
    tile_px: int,
    zoom: tuple[float, float] = (0.6, 1.8),
    augmentation: Augmentation | None = None,
) -> Crop:
    """A crop that has a tile in view, turned and mirrored, in other light, perhaps with a crack drawn on it.

    Args:
        photo: The photo.
        at: The place of the tile.
        rng: Decides everything else.
        side_px: Side of the crop.
        tile_px: Side of a tile in the crop at zoom 1.
        zoom: From and to; evenly by its logarithm.
        augmentation: Light, blur, noise, clutter and drawn cracks.
    """
    scale = tile_px / photo.tile_px * float(np.exp(rng.uniform(*np.log(zoom))))
    extent = max(photo.tile_px, round(side_px / scale))
    scale = side_px / extent
    left, top = (
        _start(number * photo.tile_px, n_tiles * photo.tile_px, photo.tile_px, extent, rng)
        for number, n_tiles in zip(at[::-1], photo.reach[::-1], strict=True)
    )
    seen = photo.region(left, top, extent)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    pixels = np.asarray(cv2.resize(seen, (side_px, side_px), interpolation=how), np.uint8)
    boxes, targets = _in_view(photo, left, top, extent)
    boxes = boxes * scale
    pixels, boxes = _turned(pixels, boxes, int(rng.integers(8)))
    if augmentation is not None:
        if augmentation.clutter and rng.random() < augmentation.clutter:
            pixels = clutter_over(pixels, rng)
        if not targets.any() and rng.random() < augmentation.drawn_cracks:
            pixels, coverage = crack_over(pixels, rng, widths_px=augmentation.drawn_widths_px)
            boxes, targets = _with_drawn(boxes, targets, coverage)
        pixels = in_other_light(pixels, augmentation, rng)
    return Crop(pixels, boxes, targets)


def _start(place: int, length: int, tile: int, extent: int, rng: np.random.Generator) -> int:
    """Where a region of an extent begins that has a tile in view; within the photo, if it is long enough."""
    start = round(place - rng.uniform(0, extent - tile))
    return min(max(start, 0), length - extent) if extent <= length else start


def _in_view(photo: TiledPhoto, left: int, top: int, extent: int) -> tuple[FloatArray, npt.NDArray[np.float32]]:
    """Boxes in photo pixels from the region's corner, cut at its edges, and labels, of tiles whose label holds."""
    tile, boxes, targets = photo.tile_px, [], []
    for row in range(top // tile, (top + extent - 1) // tile + 1):
        for column in range(left // tile, (left + extent - 1) // tile + 1):
            if (row, column) not in photo.cracked:
                continue
            x0, y0 = max(column * tile - left, 0), max(row * tile - top, 0)
            x1, y1 = min((column + 1) * tile - left, extent), min((row + 1) * tile - top, extent)
            cracked = photo.cracked[row, column]
            if (x1 - x0) * (y1 - y0) >= (LEAST_CRACKED if cracked else LEAST_UNCRACKED) * tile**2:
                boxes.append((x0, y0, x1, y1))
                targets.append(cracked)
    return np.array(boxes, np.float64).reshape(-1, 4), np.array(targets, np.float32)


def _turned(pixels: UInt8Array, boxes: FloatArray, way: int) -> tuple[UInt8Array, FloatArray]:
    """One of the eight ways to lay a square down."""
    side = pixels.shape[0]
    for _ in range(way % 4):  # a quarter turn against the clock: x becomes what y was
        pixels = np.rot90(pixels)
        boxes = np.stack([boxes[:, 1], side - boxes[:, 2], boxes[:, 3], side - boxes[:, 0]], axis=1)
    if way >= 4:
        pixels = pixels[:, ::-1]
        boxes = np.stack([side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], boxes[:, 3]], axis=1)
    return np.ascontiguousarray(pixels), boxes


def _with_drawn(
    boxes: FloatArray, targets: npt.NDArray[np.float32], coverage: npt.NDArray[np.float32]
) -> tuple[FloatArray, npt.NDArray[np.float32]]:
    """Boxes and labels once a crack is drawn: what it only touches is left out."""
    kept, labels = [], []
    for i, (x0, y0, x1, y1) in enumerate(boxes.round().astype(int).tolist()):
        drawn = coverage[y0:y1, x0:x1] > _VISIBLE
        reach_px = int(drawn.any(0).sum() + drawn.any(1).sum())
        if not reach_px or reach_px >= LEAST_DRAWN_PX:
            kept.append(i)
            labels.append(1.0 if reach_px else targets[i])
    return boxes[kept], np.array(labels, np.float32)


def box_logits(logit_map: torch.Tensor, boxes_xyxy: Sequence[FloatArray], *, cell_px: int) -> torch.Tensor:
    """The logit of each box, ``log(mean(exp(logit)))`` of the cells whose middle lies inside, shape (total of boxes,).

    Args:
        logit_map: Shape (n, h, w).
        boxes_xyxy: Of each of the n crops, in pixels.
        cell_px: Side of a cell. Where no middle lies inside, the nearest cell counts.
    """
    found = []
    for cells, boxes in zip(logit_map, boxes_xyxy, strict=True):
        last = np.array(cells.shape[::-1]) - 1
        first = np.minimum(np.ceil(boxes[:, :2] / cell_px - 0.5).astype(int), last)
        stop = np.maximum(np.ceil(boxes[:, 2:] / cell_px - 0.5).astype(int), first + 1)
        for x0, y0, x1, y1 in np.hstack([first, stop]).tolist():
            own = cells[y0:y1, x0:x1].flatten()
            found.append(torch.logsumexp(own, 0) - math.log(len(own)))
    return torch.stack(found)
