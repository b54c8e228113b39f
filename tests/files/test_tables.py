"""Whatever is written into a table is read back from it, and a table that is none is one clear line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.errors import DataError, SplitError
from crackscope.files.tables import TableForm, TableRow, read_table, table_lines, table_text

ODD = st.sampled_from(["\r", "\n", '"', ",", " ", "\t", "\u2028", "\x85", "\x0c", "ü", "橋", "\ufeff", "a", "\\"])
CELLS = st.text(st.characters(exclude_categories=["Cs"]) | ODD, max_size=8)
FORM = TableForm(("path", "label"), ("photo",), remedy="Make it anew.")


def rows_of(content: str | bytes, form: TableForm = FORM, *, name: str | None = "t.csv") -> list[TableRow]:
    return list(read_table(content.encode() if isinstance(content, str) else content, form, name=name))


# What is written is read back


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=6))
def test_every_text_is_read_back(rows: list[tuple[str, str, str]]) -> None:
    rows = [row for row in rows if any(map(str.strip, row))]  # a row of blanks alone is none
    content = table_text(("path", "label", "photo"), rows)
    assert [tuple(row.cells.values()) for row in rows_of(content)] == rows
    assert list(csv.reader(io.StringIO(content, newline="")))[1:] == [list(row) for row in rows]


@given(st.lists(CELLS.filter(str.strip), max_size=6))
def test_one_column_is_a_table_too(paths: list[str]) -> None:
    content = table_text(("path",), [(path,) for path in paths])
    assert [row["path"] for row in rows_of(content, TableForm(("path",)))] == paths


@given(st.lists(st.lists(st.none() | st.integers() | st.floats() | CELLS, min_size=3, max_size=3), max_size=6))
def test_the_file_is_that_of_the_csv_module_but_for_carriage_returns(rows: list[list[object]]) -> None:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([["a", "b", "c"], *rows])
    told = "".join(line for line in table_lines(("a", "b", "c"), rows))
    if "\r" not in told:
        assert told == stream.getvalue()


def test_names_that_are_no_unicode_are_left_to_whoever_writes_the_file() -> None:
    content = table_text(("path", "label"), [("\udcff.jpg", "crack")])
    assert content == "path,label\n\udcff.jpg,crack\n"
    assert rows_of(content.encode("utf-8", "backslashreplace"))[0]["path"] == "\\udcff.jpg"


def test_lines_come_one_by_one_and_end_in_a_line_feed() -> None:
    def rows() -> object:
        yield ("a\r\nb", None)
        raise KeyboardInterrupt

    lines = table_lines(("path", "label"), rows())  # type: ignore[arg-type]
    assert next(lines) == "path,label\n"
    assert next(lines) == '"a\r\nb",\n'
    with pytest.raises(KeyboardInterrupt):
        next(lines)


# What people and spreadsheets write


@pytest.mark.parametrize(
    "content",
    [
        "path,label\na.jpg,crack\n",
        "path,label\r\na.jpg,crack\r\n",
        "path,label\ra.jpg,crack",
        "\ufeffPATH , Label\na.jpg,crack",
        "note,label,path,,\n\n,,\n  \nx,crack,a.jpg,,,\n,,,,\n",
        '"path","label"\n"a.jpg","crack"\n',
    ],
)
def test_a_table_may_come_from_anywhere(content: str) -> None:
    assert [dict(row.cells) for row in rows_of(content)] == [{"path": "a.jpg", "label": "crack", "photo": ""}]


def test_a_row_knows_its_line() -> None:
    rows = rows_of('path,label\n\n"a\nb.jpg",crack\nc.jpg\n')
    assert [(row.number, row.where, row["path"], row["label"]) for row in rows] == [
        (4, "t.csv, row 4", "a\nb.jpg", "crack"),
        (5, "t.csv, row 5", "c.jpg", ""),
    ]


def test_cells_are_as_they_stand_there() -> None:
    (row,) = rows_of("path,label\n a.jpg ,\tcrack\n")
    assert (row["path"], row["label"]) == (" a.jpg ", "\tcrack")


# What is no table


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "t.csv: no column 'path' among none. Make it anew."),
        ("path,lable\n", "t.csv: no column 'label' among path, lable. Did you mean 'lable'? Make it anew."),
        ("path;label\n", "t.csv: no column 'path' among path;label. Make it anew."),
        ("path,label,Path\n", "t.csv: two columns 'path' among path, label, Path. Make it anew."),
        ("photo,path,label,photo\n", "t.csv: two columns 'photo' among photo, path, label, photo. Make it anew."),
        ("path,label,x,x\n" + "," * 9 + "a", "row 2: 10 values, but the first line names 4 columns. Put quotes around"),
        (
            'path,label\n"a.jpg,crack\n',
            "t.csv, row 2: not a CSV (a quote opens here and is never closed rightly).",
        ),
        ('path,label\na,b\n"a"x,crack\n', "t.csv, row 3: not a CSV (',' expected after '\"'). Make it anew."),
        (b"path,label\n" + b"a,b\n" * 9000 + b"\xff,crack", "t.csv: not UTF-8 text (byte 36011). Make it anew."),
        (b"\xff\xfep\0a\0t\0h\0", "t.csv: not UTF-8 text (byte 0). Make it anew."),
    ],
)
def test_what_is_wrong_is_said_in_one_line(content: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as raised:
        rows_of(content)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def open_quote(column: int, *, closed: bool) -> str:
    """A list of 24 rows with a quote at the beginning of a cell in row 3, and another in row 23 if it is closed."""
    lines = []
    for number in range(2, 26):
        cells = [f"{number}.jpg", "crack", "note"]
        if number == 3 or (closed and number == 23):
            cells[column] = '"' if column == 2 else f'"{cells[column]}'
        lines.append(",".join(cells))
    return "\n".join(["path,label,note", *lines, ""])


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_an_open_quote_swallows_no_rows(column: int, closed: bool) -> None:
    with pytest.raises(DataError, match=r"^t\.csv, row 3: .*a quote opens here"):
        rows_of(open_quote(column, closed=closed))


def test_ditto_marks_are_told_and_other_breaks_are_cells() -> None:
    with pytest.raises(DataError, match=r"row 2: a quote opens here, and the cell goes on over 1 more rows"):
        rows_of('path,label,note\na.jpg,crack,"\nb.jpg,crack,"\nc.jpg,crack,wet\n')
    for note in ("two\nlines", "wet, cold\nleft, right\nhere", "\n", "\n\n\n", "a\n,,\nb"):
        content = table_text(("path", "label", "note"), [("a.jpg", "crack", note)])
        assert [row["path"] for row in rows_of(content)] == ["a.jpg"]


def test_a_form_may_want_every_value_and_choose_words_and_error() -> None:
    form = TableForm(
        ("path", "label"), complete=True, remedy="Split.", columns_remedy="It needs path,label.", error=SplitError
    )
    with pytest.raises(SplitError, match=r"^t\.csv: no column 'label' among path\. It needs path,label\.$"):
        rows_of("path\n", form)
    with pytest.raises(SplitError, match=r"^t\.csv, row 2: 1 values for 3 columns\. Split\.$"):
        rows_of("path,label,more\na.jpg\n", form)


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (None, "Check the path."),
        (b"path,label\n\xff", "Save it as CSV in UTF-8."),
        (b'path,label\n"a', "Save it as CSV in UTF-8."),
        (b"Pth,label\n", "Did you mean 'pth'? The first line must name path,label."),
        (b"path,label\na.jpg\n", "Fill in the row."),
    ],
)
def test_a_table_of_no_special_kind_is_mended_where_it_is_wrong(
    tmp_path: Path, content: bytes | None, remedy: str
) -> None:
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError) as raised:
        list(read_table(tmp_path / "t.csv", TableForm(("path", "label"), complete=True)))
    assert str(raised.value).endswith(remedy)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: cannot be read \(No such file or directory\)\. Make it anew\."):
        list(read_table(tmp_path / "none.csv", FORM))
    (tmp_path / "some.csv").write_text("path,label\na.jpg,crack\n")
    (row,) = read_table(tmp_path / "some.csv", FORM)
    assert row.where == f"{tmp_path / 'some.csv'}, row 2"


# Semicolons

SEMICOLONS = TableForm(("path", "label"), ("photo",), semicolons=True)


@pytest.mark.parametrize("mark", [",", ";"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_cells_may_be_parted_by_semicolons_where_a_form_allows_it(mark: str, start: str) -> None:
    content = start + mark.join(("path", "label", "photo")) + "\r\n" + mark.join(("a.jpg", '"x, y; z"', "7")) + "\r\n"
    (row,) = rows_of(content, SEMICOLONS)
    assert dict(row.cells) == {"path": "a.jpg", "label": "x, y; z", "photo": "7"}


def test_faults_of_a_table_with_semicolons_are_told() -> None:
    with pytest.raises(
        DataError, match=r"row 2: 3 values, but the first line names 2 columns\. Put .* holds a semicolon"
    ):
        rows_of("path;label\na;b;c\n", SEMICOLONS)
    with pytest.raises(DataError, match="row 2: a quote opens here, and the cell goes on over 2 more rows"):
        rows_of('path;label;photo\na;"b;1\nc;d;2\ne;f";3\n', SEMICOLONS)
    with pytest.raises(DataError, match="no column 'path' among path;label"):
        rows_of("path;label\na;b\n")
