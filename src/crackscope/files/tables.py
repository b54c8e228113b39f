"""Tables as CSV files: one writer and one reader, so that whatever is written anywhere is read back anywhere.

A cell may hold any text: commas, quotes, and the line breaks that names of files can hold. Lines end in a line feed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from crackscope.errors import CrackscopeError, DataError, did_you_mean

__all__ = ["TableForm", "TableRow", "read_table", "table_lines", "table_text"]


# Writing


def table_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""A whole table as text; see `table_lines`.

    Example:
        >>> table_text(("path", "label"), [("wall, north.jpg", "crack"), ("a\rb.jpg", None)])
        'path,label\n"wall, north.jpg",crack\n"a\rb.jpg",\n'
    """
    return "".join(table_lines(columns, rows))


def table_lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The lines of a table one by one, so that a million rows need no memory.

    Args:
        columns: Names of the columns, for the first line.
        rows: One cell a column each. None becomes an empty cell, and anything else what `str` makes of it; a number
            that is to be rounded is rounded by the caller.

    Yields:
        A line with its line feed. It holds more than one line break where a cell does: such a cell is quoted.
    """
    # Told to end lines in a line feed itself, `csv` before Python 3.13 leaves a carriage return in a cell unquoted.
    writer = csv.writer(_LineFeeds(), lineterminator="\r\n")
    for cells in chain([columns], rows):
        assert len(cells) == len(columns)
        line: str = writer.writerow(cells)
        yield line


class _LineFeeds:
    """A file for `csv` to write to; it returns each line, ended by a line feed alone."""

    def write(self, line: str) -> str:
        return line.removesuffix("\r\n") + "\n"


# Reading


@dataclass(frozen=True)
class TableForm:
    """Form of a table, and what a user is told if a table has another form.

    Attributes:
        required: Columns that must be there, in lower case; a table may name them in any case, in any order.
        optional: Columns that are read if they are there.
        complete: Whether every row must have a value for every column. Where it need not, missing values are empty.
        remedy: What to do about a table that cannot be read, where that depends on what it is for.
        columns_remedy: What to do about columns that are missing or named twice; `remedy` where left out.
        error: Class of the error that is raised.
        semicolons: Whether cells may be parted by semicolons instead of commas, as spreadsheets write them where the
            comma is the decimal mark. The first line tells which.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    complete: bool = False
    remedy: str = ""
    columns_remedy: str = ""
    error: type[CrackscopeError] = DataError
    semicolons: bool = False


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    Attributes:
        where: Name of the table and number of the row, to begin a message with.
        number: Number of the line that the row ends in; the line with the columns is 1.
        cells: What stands under each column of the form, as it stands there; empty where there is nothing.
    """

    where: str
    number: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        """What stands under a column of the form."""
        return self.cells[column]


def read_table(source: Path | bytes, form: TableForm, *, name: str | None = None) -> Iterator[TableRow]:
    """Read a CSV in UTF-8, with a byte order mark or without.

    Rows that hold nothing but blanks are passed over. So are columns that the form does not name.

    Args:
        source: The file, or what is in it.
        form: What it must look like.
        name: What messages call the table; the path where left out.

    Yields:
        One row after the other.

    Raises:
        CrackscopeError: If the file cannot be read, is not UTF-8 or not a CSV, a column is missing or named twice, or a
            row has more values than there are columns, or fewer where all are needed. Its class is `form.error`.
    """
    place = str(source) if name is None else name
    try:
        content = source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        raise form.error(
            f"{place}: cannot be read ({error.strerror or error}). {form.remedy or 'Check the path.'}"
        ) from error
    save_it = form.remedy or "Save it as CSV in UTF-8."
    # Line breaks are left as they are: inside quotes they belong to the cell.
    stream = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    mark = _mark_between_cells(content) if form.semicolons else ","
    lines = csv.reader(stream, strict=True, delimiter=mark)
    begun = 0  # lines before the row that is being read
    try:
        columns = [column.strip() for column in next(lines, [])]
        begun = lines.line_num
        places = _places(columns, form, place)
        for cells in lines:
            if any(map(str.strip, cells)):
                where = f"{place}, row {lines.line_num}"
                _require_fit(cells, len(columns), form, where, mark)
                if lines.line_num > begun + 1:
                    needed = [places[column] for column in form.required]
                    _require_no_rows_inside(cells, len(columns), needed, form, f"{place}, row {begun + 1}", mark)
                named = {name: cells[at] if -1 < at < len(cells) else "" for name, at in places.items()}
                yield TableRow(where, lines.line_num, named)
            begun = lines.line_num
    except UnicodeDecodeError as error:
        raise form.error(f"{place}: not UTF-8 text (byte {_first_wrong_byte(content)}). {save_it}") from error
    except csv.Error as error:
        raise form.error(
            f"{place}, row {begun + 1}: {_what_breaks(error, begun + 1, lines.line_num)} {save_it}"
        ) from error


def _mark_between_cells(content: bytes) -> str:
    """A semicolon if the first line has more of them than commas, and else a comma."""
    first, *_ = content.splitlines() or [b""]
    return ";" if first.count(b";") > first.count(b",") else ","


def _what_breaks(error: csv.Error, first: int, last: int) -> str:
    """Say what breaks a row that begins in the line `first` and cannot be read beyond the line `last`."""
    if last > first or "end of data" in str(error):
        return "not a CSV (a quote opens here and is never closed rightly)."
    return f"not a CSV ({error})."


def _require_no_rows_inside(
    cells: Sequence[str], n_columns: int, needed: Sequence[int], form: TableForm, where: str, mark: str
) -> None:
    """Refuse a cell that holds other rows of the table: a quote was left open, such as a ditto mark.

    A cell may hold line breaks. It holds a row if one of its lines has a value for every column that is needed, and as
    many values as there are columns; or if it ends where a row would begin the same column again.
    """
    for at, cell in enumerate(cells):
        _, *inner = cell.splitlines() or [""]
        whole = [line.split(mark) for line in inner]
        rows = [row for row in whole[:-1] if len(row) == n_columns]
        rows += [row for row in whole[-1:] if len(row) == at + 1 > max(needed) + 1 and not row[-1]]
        if n_columns > 1 and any(all(row[column].strip() for column in needed) for row in rows):
            raise form.error(
                f"{where}: a quote opens here, and the cell goes on over {len(inner)} more rows. "
                "Close the quote, or take it out."
            )


def _require_fit(cells: Sequence[str], n_columns: int, form: TableForm, where: str, mark: str) -> None:
    if any(map(str.strip, cells[n_columns:])):
        raise form.error(
            f"{where}: {len(cells)} values, but the first line names {n_columns} columns. "
            f"Put quotes around a value that holds a {'comma' if mark == ',' else 'semicolon'}."
        )
    if form.complete and len(cells) < n_columns:
        raise form.error(f"{where}: {len(cells)} values for {n_columns} columns. {form.remedy or 'Fill in the row.'}")


def _places(columns: Sequence[str], form: TableForm, place: str) -> dict[str, int]:
    """Position of each column of the form in the rows of the table; -1 for a column that the table lacks."""
    names, places = [column.lower() for column in columns], {}
    for name in (*form.required, *form.optional):
        n_times = names.count(name)
        if n_times > 1 or (not n_times and name in form.required):
            near = "" if n_times else did_you_mean(name, names)
            remedy = form.columns_remedy or form.remedy or f"The first line must name {','.join(form.required)}."
            raise form.error(
                f"{place}: {'two columns' if n_times else 'no column'} '{name}' among "
                f"{_shown(', '.join(columns)) or 'none'}.{near} {remedy}"
            )
        places[name] = names.index(name) if n_times else -1
    return places


def _first_wrong_byte(content: bytes) -> int:
    """Position of the first byte that is not UTF-8 in the whole file; the error counts from a piece of it."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return 0


def _shown(text: str) -> str:
    """A value for a message: on one line, and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:77] + "..."
