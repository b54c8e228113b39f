"""Crops of SDNET2018's photos that hold uncracked tiles alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from crackscope.data.patches import Patch, PatchIndex
from crackscope.data.tile_grid import read_grid
from line_material import view_at

TILE_PX = 256
MARGIN = 1.45  # a crop that is turned by any angle reaches over more of the photo than its side


class FreeGround:
    """Uncracked tiles, by their places in their photos.

    Args:
        index: Patches of SDNET2018.
        grid: CSV with the row and the column of each tile.
    """

    def __init__(self, index: PatchIndex, grid: Path) -> None:
        self.index = index
        by_name = {(str(patch.photo), _tile(patch)): patch for patch in index.patches}
        self.places: dict[tuple[str, int, int], Patch] = {}
        for photo, layout in read_grid(grid).items():
            for cell in layout.cells:
                patch = by_name.get((photo, cell.tile))
                if patch is not None and patch.label == "uncracked":
                    self.places[photo, cell.row, cell.column] = patch
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
        ground = np.concatenate(
            [np.concatenate([self._tile(photo, row + y, column + x) for x in range(n)], axis=1) for y in range(n)]
        )
        return view_at(ground.shape[:2], rng, scale=scale, side=side).pixels(ground)

    def _tile(self, photo: str, row: int, column: int) -> np.ndarray:
        return np.asarray(self.index.read_pixels(self.places[photo, row, column].path))


def _tile(patch: Patch) -> str:
    """Number of the tile, from a name such as ``7001-115.jpg``."""
    return Path(patch.path).stem.partition("-")[2]


def _squares(places: Mapping[tuple[str, int, int], Patch], n: int) -> list[tuple[str, int, int]]:
    """Top left tiles of all squares of n by n tiles that are there."""
    reach = [(y, x) for y in range(n) for x in range(n)]
    return [
        (photo, row, column)
        for photo, row, column in places
        if all((photo, row + y, column + x) in places for y, x in reach)
    ]
