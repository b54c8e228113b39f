"""A data set's grid over its photos: a CSV with a row a tile becomes a layout a photo."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from crackscope.data.patches import label_of_word
from crackscope.errors import DataError

__all__ = ["Cell", "Layout", "read_grid"]

_MOST_ROWS = 10_000  # or columns; a photo of so many tiles could not be held


@dataclass(frozen=True)
class Cell:
    """A place in a photo's grid, the label of the tile there, and the tile's number, if the grid tells it.

    Attributes:
        row: From 0 at the top.
        column: From 0 at the left.
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
        cells: Those that are labelled.
        stated: Numbers of rows and columns, where the grid states them.
    """

    cells: tuple[Cell, ...]
    stated: tuple[int, int] | None

    @property
    def size(self) -> tuple[int, int]:
        """Numbers of rows and columns: as stated, or else as far as the labelled cells reach."""
        reached = max(cell.row for cell in self.cells) + 1, max(cell.column for cell in self.cells) + 1
        return self.stated or reached


def read_grid(place: Path) -> dict[str, Layout]:
    """Layouts by the name of their photo, ``SURFACE-PHOTO`` where the grid tells surfaces.

    Raises:
        DataError: If the file cannot be read, or a line is wrong; see `crackscope.data.labelled_photos` for the
            columns.
    """
    try:
        reader = csv.DictReader(io.StringIO(place.read_text(encoding="utf-8-sig")))
        columns = [name.strip().lower() for name in reader.fieldnames or ()]
        missing = [name for name in ("photo", "row", "col", "label") if name not in columns]
        if missing:
            raise DataError(
                f"{place}: no column '{missing[0]}'. A grid has photo,row,col,label, and surface, tile, rows, cols."
            )
        reader.fieldnames = columns
        lines = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{place}: cannot be read as a CSV ({error}). Give one with photo,row,col,label.") from error
    if not lines:
        raise DataError(f"{place}: no rows. List one tile a line: photo,row,col,label.")
    cells: dict[str, list[Cell]] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    numbers: dict[tuple[str, int, int], int] = {}
    for number, line in lines:
        where = f"{place}, row {number}"
        name, cell, size = _read_line(line, where)
        if (first := numbers.setdefault((name, cell.row, cell.column), number)) != number:
            raise DataError(
                f"{where}: row {cell.row} and col {cell.column} of photo '{name}' are listed twice, first in row "
                f"{first}. Keep one line a tile."
            )
        if sizes.setdefault(name, size) != size:
            here, before = ("none" if one is None else f"{one[0]},{one[1]}" for one in (size, sizes[name]))
            raise DataError(f"{where}: rows,cols of photo '{name}' are {here}, and {before} above. Give it one size.")
        cells.setdefault(name, []).append(cell)
    return {name: Layout(tuple(own), sizes[name]) for name, own in cells.items()}


def _read_line(line: Mapping[str, str | None], where: str) -> tuple[str, Cell, tuple[int, int] | None]:
    """Name of the photo, the cell, and the photo's rows and columns where they are stated."""
    label, at = label_of_word(line["label"] or ""), _whole_numbers(line["row"], line["col"])
    if label is None or at is None:
        raise DataError(
            f"{where}: label '{_shown(line['label'])}', row '{_shown(line['row'])}' and col '{_shown(line['col'])}' "
            "are no label and two whole numbers from 0. Correct the line."
        )
    if not line["photo"]:
        raise DataError(f"{where}: no photo. Name it, or delete the line.")
    if max(at) > _MOST_ROWS:
        raise DataError(f"{where}: row {at[0]} and col {at[1]}: above {_MOST_ROWS:,}. Count the photo's tiles from 0.")
    size = None
    if line.get("rows") or line.get("cols"):
        size = _whole_numbers(line.get("rows"), line.get("cols"))
        if size is None or not (at[0] < size[0] <= _MOST_ROWS and at[1] < size[1] <= _MOST_ROWS):
            raise DataError(
                f"{where}: rows '{_shown(line.get('rows'))}' and cols '{_shown(line.get('cols'))}' are no whole "
                f"numbers above row {at[0]} and col {at[1]}, up to {_MOST_ROWS:,}. Say how many the photo has."
            )
    name = f"{line['surface']}-{line['photo']}" if line.get("surface") else line["photo"]
    return name, Cell(*at, label, line.get("tile") or ""), size


def _whole_numbers(*texts: str | None) -> tuple[int, int] | None:
    try:
        first, second = (int(text or "") for text in texts)
    except ValueError:
        return None
    return (first, second) if min(first, second) >= 0 else None


def _shown(text: str | None) -> str:
    """A value for a message: on one line, and not too long."""
    line = " ".join(str(text).split())
    return line if len(line) <= 40 else line[:37] + "..."
