"""Crops of SDNET2018's photos: of uncracked tiles alone, and squares of labelled tiles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from crackscope.data.patches import Patch, PatchIndex
from crackscope.data.tile_grid import read_grid
from line_material import view_at

TILE_PX = 256
Place = tuple[str, int, int]  # photo, row and column of a tile
MARGIN = 1.45  # a crop that is turned by any angle reaches over more of the photo than its side


class FreeGround:
    """Uncracked tiles, by their places in their photos.

    Args:
        index: Patches of SDNET2018.
        grid: CSV with the row and the column of each tile.
    """

    def __init__(self, index: PatchIndex, grid: Path) -> None:
        self.index = index
        self.places = {place: patch for place, patch in _places(index, grid).items() if patch.label == "uncracked"}
        if not self.places:
            raise SystemExit(
                f"{grid}: no uncracked tile of {index.name} is listed. Give the grid that belongs to the set."
            )
        self.squares = {n: _squares(self.places, n) for n in (1, 2, 3, 4)}

    def crop(self, rng: np.random.Generator, *, scales: tuple[float, float], side: int) -> np.ndarray:
        """Draw a crop, shape (side, side, 3). It is mirrored at its edges where no square of tiles is large enough.

        Args:
            rng: Source of random numbers.
            scales: Least and greatest number of crop pixels in a pixel of the photo.
            side: Side of the crop in pixels.
        """
        scale = float(np.exp(rng.uniform(*np.log(scales))))
        wanted = int(np.ceil(MARGIN * side / scale / TILE_PX))
        n = max((n for n, squares in self.squares.items() if squares and n <= wanted), default=1)
        squares = self.squares[n]
        photo, row, column = squares[int(rng.integers(len(squares)))]
        ground = _joined(self.index, self.places, (photo, row, column), n)
        return view_at(ground.shape[:2], rng, scale=scale, side=side).pixels(ground)


class LabelledSquares:
    """Squares of 2×2 labelled tiles of one surface.

    Args:
        index: Patches of the surface.
        grid: CSV with the row and the column of each tile.
    """

    def __init__(self, index: PatchIndex, grid: Path) -> None:
        self.index, self.places = index, _places(index, grid)
        self.corners: tuple[list[Place], list[Place]] = ([], [])  # around uncracked tiles, and around cracked ones
        for corner in _squares(self.places, 2):
            for place in _around(corner, 2):
                self.corners[self.places[place].label == "crack"].append(corner)

    def draw(self, rng: np.random.Generator, *, cracked: bool) -> tuple[np.ndarray, list[Patch]]:
        """Draw a square, turned and mirrored at random.

        Args:
            rng: Source of random numbers.
            cracked: Whether it is drawn among the squares of cracked tiles or of uncracked ones.

        Returns:
            Pixels, shape (512, 512, 3), and the patches of its tiles, row by row.
        """
        corners = self.corners[cracked]
        corner = corners[int(rng.integers(len(corners)))]
        order = np.arange(4).reshape(2, 2)
        pixels, n_turns, mirrored = (
            _joined(self.index, self.places, corner, 2),
            int(rng.integers(4)),
            rng.random() < 0.5,
        )
        pixels, order = np.rot90(pixels, n_turns), np.rot90(order, n_turns)
        if mirrored:
            pixels, order = pixels[:, ::-1], order[:, ::-1]
        places = _around(corner, 2)
        return np.ascontiguousarray(pixels), [self.places[places[at]] for at in order.flat]


def _places(index: PatchIndex, grid: Path) -> dict[Place, Patch]:
    """Find the place of each patch in its photo."""
    by_name, places = {(str(patch.photo), _tile(patch)): patch for patch in index.patches}, {}
    for photo, layout in read_grid(grid).items():
        for cell in layout.cells:
            patch = by_name.get((photo, cell.tile))
            if patch is not None:
                places[photo, cell.row, cell.column] = patch
    return places


def _joined(index: PatchIndex, places: Mapping[Place, Patch], corner: Place, n: int) -> np.ndarray:
    """Lay the tiles of a square of n by n together."""
    tiles = [index.read_pixels(places[place].path) for place in _around(corner, n)]
    return np.concatenate([np.concatenate(tiles[row * n : (row + 1) * n], axis=1) for row in range(n)])


def _around(corner: Place, n: int) -> list[Place]:
    """Places of a square of n by n tiles, row by row."""
    photo, row, column = corner
    return [(photo, row + y, column + x) for y in range(n) for x in range(n)]


def _tile(patch: Patch) -> str:
    """Number of the tile, from a name such as ``7001-115.jpg``."""
    return Path(patch.path).stem.partition("-")[2]


def _squares(places: Mapping[Place, Patch], n: int) -> list[Place]:
    """Top left tiles of all squares of n by n tiles that are there."""
    return [corner for corner in places if all(place in places for place in _around(corner, n))]
