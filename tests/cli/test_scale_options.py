"""Options that tell a scan the scale of its photos, and the command that prints markers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crackscope.drawing.walls import draw_photo
from shared.command import Run
from shared.marked import marked_photo, view_of
from shared.pictures import save

MARKER = ("--marker", "APRILTAG_36h11:50")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wall with a marker, the same one mirrored, and one without."""
    folder = tmp_path_factory.mktemp("bridge")
    wall = draw_photo(0, photo_hw=(200, 300)).pixels.copy()
    save(folder / "bare.png", wall)
    wall[20:180, 20:180] = marked_photo(view_of((160, 160)), (160, 160))
    save(folder / "marked.png", wall)
    save(folder / "mirrored.png", np.ascontiguousarray(wall[:, ::-1]))
    return folder


@pytest.fixture
def scanned(run: Run, photos: Path, bundle_file: Path, tmp_path: Path) -> Any:
    def scan(*words: object, photo: str = "") -> tuple[Any, dict[str, dict[str, str]]]:
        out = tmp_path / "scan"
        result = run("scan", photos / photo, "--model", bundle_file, "--out", out, "--overwrite", *words)
        if result.code:
            return result, {}
        with (out / "photos.csv").open(encoding="utf-8", newline="") as file:
            return result, {Path(row["path"]).name: row for row in csv.DictReader(file)}

    return scan


def test_each_photo_is_told_its_scale_or_why_it_has_none(scanned: Any) -> None:
    result, rows = scanned(*MARKER, "--mm-per-px", 0.5)
    assert result.code == 0
    assert "scale: 1 as given, 1 by marker, 1 without\n" in result.out
    assert [rows[name]["scale_source"] for name in ("bare.png", "marked.png", "mirrored.png")] == [
        "given",
        "marker",
        "",
    ]
    assert float(rows["marked.png"]["mm_per_px"]) == pytest.approx(0.5, rel=0.003)
    assert 0 < float(rows["marked.png"]["uncertainty_mm_per_px"]) < 0.002
    assert rows["marked.png"]["scale_notes"].endswith("than the scale used; the two agree")
    assert rows["bare.png"]["scale_notes"] == "marker: no marker of APRILTAG_36h11 is seen whole"
    assert rows["mirrored.png"]["mm_per_px"] == ""
    assert "is mirrored, so the photo was flipped" in rows["mirrored.png"]["scale_notes"]
    assert "bare.png: scale: marker: no marker" in result.err
    assert "(and 1 more, see photos.csv)" in result.err


def test_sources_that_disagree_are_told_on_stderr(scanned: Any) -> None:
    result, rows = scanned(*MARKER, "--mm-per-px", 0.9, "--uncertainty-mm-per-px", 0.01, photo="marked.png")
    assert "scale: given: 0.9 mm per px, 80 % more than the scale used; the two disagree" in result.err
    assert rows["marked.png"]["scale_source"] == "marker"


def test_a_reference_is_for_one_photo(scanned: Any) -> None:
    result, rows = scanned("--reference", "20,10,220,10=100", photo="bare.png")
    assert (rows["bare.png"]["mm_per_px"], rows["bare.png"]["scale_source"]) == ("0.5", "reference")
    assert "scale: 1 by reference\n" in result.out
    result, _ = scanned("--reference", "20,10,220,10=100")
    assert result.code == 1
    assert "names two points of one photo, and 3 are to be scanned" in result.err


def test_a_table_gives_each_photo_its_own(scanned: Any, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "scales.csv"
    table.write_text(
        f"path,mm_per_px,x0,y0,x1,y1,mm\n{photos}/bare.png,0.25,,,,,\n{photos}/marked.png,,20,10,220,10,90\n",
        encoding="utf-8",
    )
    result, rows = scanned("--scales", table)
    assert "scale: 1 by reference, 1 by the table, 1 without\n" in result.out
    assert [rows[name]["mm_per_px"] for name in ("bare.png", "marked.png", "mirrored.png")] == ["0.25", "0.45", ""]
    for text, words in (
        ("path,mm_per_px\nother.png,0.3\n", "'other.png' is none of the 3 photos to be scanned"),
        (f"path,mm_per_px\n{photos}/bare.png,0.3\n{photos}/bare.png,0.3\n", "a second scale for"),
        ("path,mm_per_px\nbare.png,1e9\n", "mm per pixel is 1e+09"),
    ):
        table.write_text(text, encoding="utf-8")
        result, _ = scanned("--scales", table)
        assert result.code == 1
        assert words in result.err
        assert "Traceback" not in result.err


def test_another_source_of_a_scale_begins_a_scan_anew(
    run: Run, photos: Path, bundle_file: Path, tmp_path: Path
) -> None:
    words = ("scan", photos / "bare.png", "--model", bundle_file, "--json")
    one = run(*words, "--out", tmp_path / "one", "--mm-per-px", 0.3).json
    other = run(*words, "--out", tmp_path / "other").json
    assert (one["scales"], other["scales"]) == ({"given": 1}, {"none": 1})


# Markers


def test_markers_are_written_with_what_to_do_next(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "markers.pdf"
    result = run("markers", "--out", out)
    assert result.code == 0
    assert result.out == (
        f"{out}: 9 markers on 1 sheet\nPrint at 100 %. Check that 150 mm on the rulers measure 150 mm.\n"
        "scan with: --marker APRILTAG_36h11:50\n"
    )
    assert out.read_bytes().startswith(b"%PDF")
    assert run("markers", "--out", out).code == 1
    document = run("markers", "--out", out, "--overwrite", "--json", "--marker", "4x4_50:120", "--paper", "letter").json
    assert (document["dictionary"], document["side_mm"], document["ids"]) == ("4X4_50", 120, [0])


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--marker", "50"], 2, "write DICT:SIDE_MM"),
        (["--marker", "4X4_50:400"], 1, "does not fit on a4"),
        (["--sheets", "0"], 2, "--sheets"),
        (["--marker", "4X4_50:50", "--first", "45"], 1, "4X4_50 has 50"),
    ],
)
def test_what_cannot_be_printed_is_told(run: Run, tmp_path: Path, options: list[str], code: int, words: str) -> None:
    result = run("markers", "--out", tmp_path / "a.pdf", *options)
    assert result.code == code
    assert words in " ".join(result.err.split())
    assert not (tmp_path / "a.pdf").exists()
