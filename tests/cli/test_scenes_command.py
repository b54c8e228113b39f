"""`crackscope scenes` finds photos of one place, says what it could not read, and leaves nothing half written."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from crackscope.drawing.walls import draw_photo
from shared.command import Run
from shared.pictures import save


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    wall = draw_photo(4, photo_hw=(220, 420)).pixels
    save(tmp_path / "photos" / "left.png", wall[:, :300])
    save(tmp_path / "photos" / "right.png", wall[:, 120:])
    save(tmp_path / "photos" / "other.png", draw_photo(5, photo_hw=(220, 300)).pixels)
    return tmp_path / "photos"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


@pytest.mark.parametrize("words", [(), ("--ignore-order",)])
def test_photos_of_one_place_get_one_scene(run: Run, photos: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    out = tmp_path / "scenes"
    done = run("scenes", photos, "--out", out, "--threads", 1, *words, "--json")
    assert done.code == 0
    figures = ("n_photos", "n_scenes", "n_shared_scenes", "n_photos_in_shared_scenes", "n_pairs")
    assert [done.json[name] for name in figures] == [3, 2, 1, 2, 1]
    scenes = {Path(row["photo"]).stem: row["scene"] for row in table(out / "scenes.csv")}
    assert scenes == {"left": "S001", "other": "S002", "right": "S001"}
    (pair,) = table(out / "pairs.csv")
    assert [Path(pair[name]).name for name in ("photo_a", "photo_b")] == ["left.png", "right.png"]
    assert float(pair["h2"]) == pytest.approx(-120, abs=0.5)
    assert float(pair["overlap_share_a"]) == pytest.approx(0.6, abs=0.02)
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "left.png and " in page
    assert page.count("<img") == 1
    assert sorted(path.name for path in out.iterdir()) == ["index.html", "pairs.csv", "scenes.csv"]
    assert not [*tmp_path.glob(".scenes*")]


def test_a_file_that_is_no_photo_is_told(run: Run, photos: Path, tmp_path: Path) -> None:
    (photos / "torn.jpg").write_text("no picture", encoding="utf-8")
    done = run("scenes", photos, "--out", tmp_path / "scenes", "--threads", 1, "--json")
    assert done.code == 3
    assert [done.json["status"], done.json["n_photos"], done.json["n_refused"]] == ["refused", 3, 1]
    assert "torn.jpg" in done.err
    assert "torn.jpg" in (tmp_path / "scenes" / "index.html").read_text(encoding="utf-8")


def test_a_folder_that_is_there_is_not_replaced(run: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "scenes"
    out.mkdir()
    (out / "letter.txt").write_text("mine", encoding="utf-8")
    for words in ((), ("--overwrite",)):
        done = run("scenes", photos, "--out", out, *words)
        assert done.code == 1
        assert (out / "letter.txt").exists()


def test_nothing_there(run: Run, tmp_path: Path) -> None:
    done = run("scenes", tmp_path / "nowhere", "--out", tmp_path / "scenes")
    assert done.code == 1
    assert "nowhere" in done.err
    assert not (tmp_path / "scenes").exists()
