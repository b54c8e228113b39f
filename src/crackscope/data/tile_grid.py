"""Tile grids: a CSV with a row for each tile of a data set's photos becomes a layout for each photo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crackscope.data.class_names import ClassNames, remedy
from crackscope.errors import DataError
from crackscope.files.tables import TableForm, TableRow, read_table

__all__ = ["Cell", "Layout", "read_grid"]

_FORM = TableForm(
    ("photo", "row", "col", "label"),
    ("surface", "tile", "rows", "cols"),
    remedy="Give a CSV with photo,row,col,label, and if they are known surface, tile, rows, cols.",
)
_MOST_ROWS = 10_000  # or columns; a photo of so many tiles could not be held


@dataclass(frozen=True)
class Cell:
    """One cell of a photo's grid: its row and column, the label of its tile, and the tile's number if given.

    Attributes:
        row: Row, from 0 at the top.
        column: Column, from 0 at the left.
        label: ``crack`` or ``uncracked``.
        tile: The tile's number, as text; empty where it is not told.
    """

    row: int
    column: int
    label: str
    tile: str


@dataclass(frozen=True)
class Layout:
    """The tiles of a photo.

    Attributes:
        cells: Cells that are labelled.
        stated: Numbers of rows and columns, if the grid states them; else None.
    """

    cells: tuple[Cell, ...]
    stated: tuple[int, int] | None

    @property
    def size(self) -> tuple[int, int]:
        """Numbers of rows and columns: as stated, or else as far as the labelled cells reach."""
        reached = max(cell.row for cell in self.cells) + 1, max(cell.column for cell in self.cells) + 1
        return self.stated or reached


def read_grid(place: Path, names: ClassNames | None = None) -> dict[str, Layout]:
    """Layouts by the name of their photo, ``SURFACE-PHOTO`` where the grid tells surfaces.

    Args:
        place: Path of the CSV.
        names: Names of classes, beside the known ones, in the column ``label``.

    Raises:
        DataError: If the file cannot be read, or a line is wrong; see `crackscope.data.labelled_photos` for the
            columns.
    """
    cells: dict[str, list[Cell]] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    numbers: dict[tuple[str, int, int], int] = {}
    for row in read_table(place, _FORM):
        name, cell, size = _read_line(row, names or ClassNames())
        if (first := numbers.setdefault((name, cell.row, cell.column), row.number)) != row.number:
            raise DataError(
                f"{row.where}: row {cell.row} and col {cell.column} of photo '{name}' are listed twice, first in row "
                f"{first}. Keep one line a tile."
            )
        if sizes.setdefault(name, size) != size:
            here, before = ("none" if one is None else f"{one[0]},{one[1]}" for one in (size, sizes[name]))
            raise DataError(
                f"{row.where}: rows,cols of photo '{name}' are {here}, and {before} above. Give it one size."
            )
        cells.setdefault(name, []).append(cell)
    if not cells:
        raise DataError(f"{place}: no rows. List one tile a line: photo,row,col,label.")
    return {name: Layout(tuple(own), sizes[name]) for name, own in cells.items()}


def _read_line(row: TableRow, names: ClassNames) -> tuple[str, Cell, tuple[int, int] | None]:
    """Name of the photo, the cell, and the photo's rows and columns where they are stated."""
    label, at = names.label_of(row["label"]), _whole_numbers(row["row"], row["col"])
    if label is None:
        found = _shown(row["label"])
        raise DataError(
            f"{row.where}: label '{found}' is neither 'crack' nor 'uncracked'.{names.suggestion(found)} "
            f"{remedy([found]) if found else 'Fill it in, or delete the line.'}"
        )
    if at is None:
        raise DataError(
            f"{row.where}: row '{_shown(row['row'])}' and col '{_shown(row['col'])}' are no two whole numbers from 0. "
            "Correct the line."
        )
    if not row["photo"]:
        raise DataError(f"{row.where}: no photo. Name it, or delete the line.")
    if max(at) > _MOST_ROWS:
        raise DataError(
            f"{row.where}: row {at[0]} and col {at[1]}: above {_MOST_ROWS:,}. Count the photo's tiles from 0."
        )
    size = None
    if row["rows"] or row["cols"]:
        size = _whole_numbers(row["rows"], row["cols"])
        if size is None or not (at[0] < size[0] <= _MOST_ROWS and at[1] < size[1] <= _MOST_ROWS):
            raise DataError(
                f"{row.where}: rows '{_shown(row['rows'])}' and cols '{_shown(row['cols'])}' are no whole "
                f"numbers above row {at[0]} and col {at[1]}, up to {_MOST_ROWS:,}. Say how many the photo has."
            )
    name = f"{row['surface']}-{row['photo']}" if row["surface"] else row["photo"]
    return name, Cell(*at, label, row["tile"]), size


def _whole_numbers(*texts: str) -> tuple[int, int] | None:
    try:
        first, second = map(int, texts)
    except ValueError:
        return None
    return (first, second) if min(first, second) >= 0 else None


def _shown(text: str) -> str:
    """A value for a message: on one line, and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= 40 else line[:37] + "..."
