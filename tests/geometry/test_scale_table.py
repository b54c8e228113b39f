"""A table gives each photo its scale, and a fault in it is told with its row."""

from __future__ import annotations

from pathlib import Path

import pytest

from crackscope.errors import DataError
from crackscope.geometry.references import Reference
from crackscope.geometry.scale import Scale
from crackscope.geometry.scale_table import ScaleTable, read_scales


def table(folder: Path, text: str, name: str = "scales.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_row_is_a_number_or_two_points(tmp_path: Path) -> None:
    text = (
        "path,mm_per_px,uncertainty_mm_per_px,x0,y0,x1,y1,mm\n"
        "a.jpg,0.25,0.01,,,,,\n"
        "b.jpg,0.3,,,,,,\n"
        "\n"
        "wall/c.jpg,,,10,20,210,20,50\n"
    )
    found = read_scales(table(tmp_path, text))
    assert found.rows == {
        "a.jpg": Scale(0.25, 0.01, "table"),
        "b.jpg": Scale(0.3, None, "table"),
        "wall/c.jpg": Reference(10, 20, 210, 20, 50),
    }
    assert found.places["wall/c.jpg"].endswith("scales.csv, row 5")


def test_a_photo_is_found_however_its_path_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bridge").mkdir()
    monkeypatch.chdir(tmp_path)
    inside = read_scales(table(Path("bridge"), "path,mm_per_px\na.jpg,0.25\n"))
    beside = read_scales(table(Path(), "path,mm_per_px\nbridge/a.jpg,0.25\n#3,0.5\n"))
    for path in ("bridge/a.jpg", "./bridge/a.jpg", "bridge/../bridge/a.jpg", str(tmp_path / "bridge" / "a.jpg")):
        assert inside.row_of(path) == beside.row_of(path) == Scale(0.25, None, "table")
        inside.require_known([path, "bridge/b.jpg"])
    assert inside.row_of("a.jpg") == Scale(0.25, None, "table")  # as the table has it
    assert inside.row_of("bridge/b.jpg") is None
    assert beside.row_of("#3") == Scale(0.5, None, "table")  # a photo in memory
    beside.require_known(["bridge/a.jpg", "#3"])


def test_a_photo_that_is_not_there_is_told(tmp_path: Path) -> None:
    found = read_scales(table(tmp_path, "path,mm_per_px\na.jpg,0.25\nb.jpg,0.5\n"))
    with pytest.raises(DataError, match=r"scales\.csv, row 3: 'b\.jpg' is none of the 2 photos to be scanned"):
        found.require_known([str(tmp_path / "a.jpg"), str(tmp_path / "c.jpg")])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column 'path'"),
        ("photo,mm_per_px\na.jpg,1\n", "no column 'path'"),
        ("path,mm_per_px\n", "the table has no row"),
        ("path,mm_per_px\n,0.3\n", "row 2: no path"),
        ("path,mm_per_px\na.jpg,\n", "row 2: no scale. Fill in either"),
        ("path,mm_per_px\na.jpg,0.3\n./a.jpg,0.3\n", "row 3: a second scale for './a.jpg'; the first is in"),
        ("path,mm_per_px,x0,y0,x1,y1,mm\na.jpg,0.3,1,2,30,40,5\n", "row 2: two scales"),
        ("path,x0,y0,x1,y1,mm\na.jpg,1,2,30,,5\n", "row 2: no y1. Two points need all of"),
        ("path,x0,y0,x1,mm\na.jpg,1,2,30,5\n", "row 2: no y1"),
        ("path,mm_per_px\na.jpg,wide\n", "row 2: mm_per_px is 'wide'; it must be a number"),
        ('path,mm_per_px\na.jpg,"0,3"\n', "row 2: mm_per_px is '0,3'; it must be a number, written with a point"),
        ("path,mm_per_px\na.jpg,nan\n", "row 2: mm_per_px is 'nan'"),
        ("path,mm_per_px\na.jpg,1e-9\n", "row 2: mm per pixel is 1e-09; it must lie between"),
        ("path,mm_per_px\na.jpg,1e9\n", "row 2: mm per pixel is 1e+09"),
        ("path,mm_per_px\na.jpg,-0.3\n", "row 2: mm per pixel is -0.3"),
        ("path,mm_per_px,uncertainty_mm_per_px\na.jpg,0.3,-1\n", "row 2: the uncertainty of mm per pixel is -1"),
        ("path,x0,y0,x1,y1,mm,uncertainty_mm_per_px\na.jpg,1,2,30,40,5,1\n", "uncertainty of two points is computed"),
        ("path,x0,y0,x1,y1,mm\na.jpg,5,5,5,5,10\n", "row 2: 5,5,5,5=10: the two points are 0 px apart"),
        ("path,x0,y0,x1,y1,mm\na.jpg,1,2,300,40,0\n", "the length is 0 mm"),
        ("path,mm_per_px\na.jpg,0.3,7\n", "3 values, but the first line names 2 columns"),
        ("path,mm_per_px,mm_per_px\na.jpg,0.3,0.4\n", "two columns 'mm_per_px'"),
    ],
)
def test_a_fault_is_told_with_its_row(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError) as error:
        read_scales(table(tmp_path, text))
    assert words in str(error.value)
    assert "scales.csv" in str(error.value)


def test_a_table_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_scales(tmp_path / "none.csv")
    assert ScaleTable("t", {}, {}).row_of("a") is None
