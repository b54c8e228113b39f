"""List the largest stretch of tiles without a crack label in each photo of SDNET2018.

    python tools/crack_free_stretches.py GRID.csv RESERVED.csv STRETCHES.csv

GRID.csv has the columns ``surface,photo,row,col,label``, a row for each tile. RESERVED.csv has the columns
``surface,photo`` and lists the photos that are kept for the last test.

A stretch is a rectangle of tiles that are all in the grid and all uncracked, at least 6 tiles high and wide. Of the
largest stretches of a photo, the topmost is listed, then the leftmost, then the one with the fewest rows. Photos
without a stretch are left out. A label is no proof: docs/development/lines.md tells what was seen in each stretch.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from crackscope.data.tile_grid import Layout, read_grid
from crackscope.files.output import write_text
from crackscope.files.tables import table_text
from crackscope.measuring.transfer_sets import read_photo_list

COLUMNS = ("surface", "photo", "row", "col", "rows", "cols", "reserved")
LEAST_SIDE = 6  # tiles; a stretch is then at least 1536 px high and wide


@dataclass(frozen=True)
class Stretch:
    """A rectangle of tiles: row and column of its upper left tile, and how many rows and columns it has."""

    row: int
    col: int
    rows: int
    cols: int

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """Order of preference, best first: largest, topmost, leftmost, fewest rows."""
        return -self.rows * self.cols, self.row, self.col, self.rows


def largest_stretch(free: set[tuple[int, int]], *, least_side: int = LEAST_SIDE) -> Stretch | None:
    """The largest rectangle of free tiles.

    Args:
        free: Row and column of each free tile.
        least_side: Fewest rows and columns of a rectangle, at least 1.

    Returns:
        The rectangle; None if none has so many rows and columns.
    """
    return min(_stretches(free, least_side), key=lambda stretch: stretch.rank, default=None)


def _stretches(free: set[tuple[int, int]], least_side: int) -> Iterator[Stretch]:
    """For each band of rows, the rectangles of the band's height that cannot be widened."""
    n_rows = max((row for row, _ in free), default=-1) + 1
    n_cols = max((col for _, col in free), default=-1) + 1
    for top in range(n_rows):
        columns = set(range(n_cols))  # free from `top` to `row`
        for row in range(top, n_rows):
            columns = {col for col in columns if (row, col) in free}
            rows = row - top + 1
            for first, cols in _runs(columns):
                if min(rows, cols) >= least_side:
                    yield Stretch(top, first, rows, cols)


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First number and length of each run of consecutive numbers."""
    for _, run in groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0]):
        found = [number for _, number in run]
        yield found[0], len(found)


def stretch_rows(layouts: dict[str, Layout], reserved: Collection[str]) -> Iterator[tuple[object, ...]]:
    """Rows of the table, by the name of the photo.

    Args:
        layouts: Tiles by the name of their photo, such as ``D-7001``.
        reserved: Names of the reserved photos.

    Yields:
        One row for each photo that has a stretch; see `COLUMNS`.
    """
    for name, layout in sorted(layouts.items()):
        free = {(cell.row, cell.column) for cell in layout.cells if cell.label == "uncracked"}
        if (found := largest_stretch(free)) is not None:
            surface, _, photo = name.partition("-")
            is_reserved = "yes" if name in reserved else "no"
            yield surface, photo, found.row, found.col, found.rows, found.cols, is_reserved


def main() -> None:
    """Read the tiles, and write the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path, help="tiles of SDNET2018, surface,photo,row,col,label")
    parser.add_argument("reserved", type=Path, help="reserved photos, surface,photo")
    parser.add_argument("stretches", type=Path, help="table to write; a table that is there is kept")
    given = parser.parse_args()
    rows = list(stretch_rows(read_grid(given.grid), read_photo_list(given.reserved)))
    write_text(given.stretches, table_text(COLUMNS, rows), overwrite=False)
    print(f"{len(rows)} stretches: {given.stretches}")


if __name__ == "__main__":
    main()
