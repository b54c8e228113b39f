"""`crackscope measure`: lines that a person drew, in a table, a document and a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.command import Run
from shared.pictures import read_pixels, save

LINE = ("--line", "20,42,100,38,180,42")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wall with a dark level line of 4 px."""
    wall = np.full((80, 200, 3), 180, np.uint8)
    wall[38:42] = 40
    return save(tmp_path_factory.mktemp("wall") / "wall.png", wall)


def test_a_table_tells_pixels_and_millimetres(run: Run, photo: Path) -> None:
    result = run("measure", photo, *LINE, "--mm-per-px", 0.25, "--uncertainty-mm-per-px", 0.01)
    assert result.code == 0
    assert "scale: 0.25 mm per px (given; ± 7.8 %)" in result.out
    assert "line 1: length 160 px, 40" in result.out
    rows = {line[:21].strip(): line for line in result.out.splitlines()}
    assert rows["width"].split() == ["width", "px", "mm"]
    for name in ("median", "90th percentile", "maximum"):
        px, mm = (float(rows[name][at:].split()[0]) for at in (22, 45))
        assert px == pytest.approx(4, abs=0.5)
        assert mm == pytest.approx(0.25 * px, abs=0.02)
    assert "moved by" in result.out
    assert "reach 10 px" in result.out


def test_without_a_scale_there_are_no_millimetres(run: Run, photo: Path) -> None:
    result = run("measure", photo, *LINE, "--as-drawn")
    assert "scale: none, so nothing is given in millimetres" in result.out
    assert " mm\n" not in result.out
    assert "measured as drawn" in result.out


def test_each_line_is_a_crack_of_its_own(run: Run, photo: Path) -> None:
    found = run("measure", photo, *LINE, "--line", "20,60,180,60", "--json").json
    assert [line["drawn_xy"][0] for line in found["lines"]] == [[20, 42], [20, 60]]
    first, second = (line["crack"] for line in found["lines"])
    assert first["width"]["median"]["resolved"]
    assert not second["width"]["median"]["resolved"]
    assert (found["status"], found["scale"], found["reach_px"], found["out"]) == ("done", None, 10.0, None)


def test_the_picture_is_written_whole_or_not_at_all(run: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "line.png"
    given = ("measure", photo, *LINE, "--out", out)
    assert f"picture: {out}" in run(*given).out
    assert read_pixels(out).shape[1] > 800
    assert run(*given).code == 1
    assert run(*given, "--overwrite").code == 0
    assert run("measure", photo, *LINE, "--out", tmp_path / "line.jpg").code == 2


def test_a_source_that_gives_no_scale_is_told_on_stderr(run: Run, photo: Path) -> None:
    result = run("measure", photo, *LINE, "--marker", "APRILTAG_36h11:50")
    assert result.code == 0
    assert "wall.png: scale: marker: no marker of APRILTAG_36h11 is seen whole" in result.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--line", "20,40"), 2, "has 1 point"),
        (("--line", "20,40,50"), 2, "has 3 numbers"),
        (("--line", "20,nan,50,50"), 2, "point 1 of the line is 20,nan"),
        ((), 2, "--line"),
        ((*LINE, "--reach", 0), 2, "it must be at least 1"),
        (("--line", "20,40,500,50"), 1, "wall.png: point 2 of the line, 500,50, lies outside the photo of 200×80 px"),
        (("--line", ",".join(["0,0,199,79"] * 80)), 1, "the photo has 16,000 pixels"),
        ((*LINE, "--uncertainty-mm-per-px", 0.1), 2, "it belongs to --mm-per-px"),
    ],
)
def test_bad_input_is_one_clear_line(run: Run, photo: Path, words: tuple[object, ...], code: int, told: str) -> None:
    result = run("measure", photo, *words)
    assert (result.code, result.out) == (code, "")
    assert told in " ".join(result.err.split())


def test_a_file_that_is_no_photo_is_told_with_its_name(run: Run, tmp_path: Path) -> None:
    letter = tmp_path / "letter.jpg"
    letter.write_text("no picture", encoding="utf-8")
    for file in (letter, tmp_path / "nowhere.jpg"):
        result = run("measure", file, *LINE)
        assert result.code == 1
        assert result.err.startswith(f"crackscope: {file}: ")


def test_a_photo_out_of_focus_is_told(run: Run, tmp_path: Path) -> None:
    wall = np.full((300, 400, 3), 180, np.uint8)
    for left in range(0, 400, 80):
        wall[:, left : left + 40] = 60
    soft, sharp = (
        save(tmp_path / f"{blur_px}.png", np.asarray(cv2.GaussianBlur(wall, (0, 0), blur_px), np.uint8))
        for blur_px in (4.0, 0.8)
    )
    assert "out of focus or was enlarged" in run("measure", soft, "--line", "10,100,390,100").out
    assert "out of focus" not in run("measure", sharp, "--line", "10,100,390,100").out
