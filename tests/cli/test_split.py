"""`crackscope split` keeps scenes together, and says where photos overlap."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from shared.sdnet import draw_sdnet, photos_of_scenes


@pytest.fixture(scope="module")
def pavements(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos each of eight scenes."""
    folder = tmp_path_factory.mktemp("sets") / "sdnet2018"
    return draw_sdnet(folder, {"P": photos_of_scenes("P", 8, most=2)})


def parts_of(split: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    with split.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["scene"], set()).add(row["part"])
    return found


def test_by_scene_no_scene_is_on_two_sides(run: Any, pavements: Path, tmp_path: Path) -> None:
    out = tmp_path / "split.csv"
    done = run("split", pavements, "--by", "scene", "--val", 0.25, "--test", 0.25, "--out", out, "--json")
    found = json.loads(done.out)
    assert (done.code, found["status"], found["by"]) == (0, "done", "scene")
    assert [sum(part[kind] for part in found["parts"].values()) for kind in ("photos", "scenes")] == [16, 8]
    assert len(parts_of(out)) == 8
    assert all(len(parts) == 1 for parts in parts_of(out).values())
    told = run("split", pavements, "--by", "scene", "--out", out, "--overwrite").out
    assert "photos of" in told
    assert "scenes" in told


def test_one_surface_alone_has_its_scenes(run: Any, pavements: Path, tmp_path: Path) -> None:
    out = tmp_path / "split.csv"
    assert run("split", pavements / "P", "--by", "scene", "--out", out).code == 0
    assert len(parts_of(out)) == 8


def test_by_photo_says_that_photos_overlap(run: Any, pavements: Path, tmp_path: Path) -> None:
    done = run("split", pavements, "--by", "photo", "--val", 0.25, "--test", 0.25, "--out", tmp_path / "split.csv")
    assert "16 of 16 photos of sdnet2018 show the same place as another one (8 scenes of several photos)" in done.err
    assert "Split with --by scene." in done.err
    assert done.code == 3
    assert "This split leaks: " in done.err


def test_scenes_come_from_a_file(run: Any, drawn: Path, tmp_path: Path) -> None:
    with drawn.open(encoding="utf-8", newline="") as file:
        photos = sorted({row["photo"] for row in csv.DictReader(file)})
    scenes, out = tmp_path / "scenes.csv", tmp_path / "split.csv"
    scenes.write_text("photo,scene\n" + "".join(f"{photo},s{i // 2}\n" for i, photo in enumerate(photos)))
    done = run("split", drawn, "--by", "scene", "--scenes", scenes, "--val", 0.25, "--test", 0.25, "--out", out)
    assert done.code == 0
    assert len(parts_of(out)) == 6
    assert all(len(parts) == 1 for parts in parts_of(out).values())
    told = run("split", drawn, "--scenes", scenes, "--val", 0.25, "--test", 0.25, "--out", tmp_path / "by-photo.csv")
    assert told.code == 3
    assert "Split with --by scene." in told.err


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (None, "no scene is known"),
        ("nowhere,1\n", "names 1 photo that walls lacks: 'nowhere'"),
        ("photo-000,1\nphoto-000,2\n", "photo 'photo-000' is in scene '2' here and in '1' above"),
    ],
)
def test_scenes_that_are_missing_or_wrong_are_one_line(
    run: Any, drawn: Path, tmp_path: Path, rows: str | None, why: str
) -> None:
    scenes, out = tmp_path / "scenes.csv", tmp_path / "split.csv"
    scenes.write_text(f"photo,scene\n{rows}")
    given = ["--scenes", scenes] if rows else []
    done = run("split", drawn, "--by", "scene", *given, "--out", out)
    assert (done.code, done.out) == (1, "")
    assert why in done.err
    assert "crackscope scenes" in done.err or "Keep one" in done.err
    assert not out.exists()


def test_photos_are_left_out(run: Any, pavements: Path, tmp_path: Path) -> None:
    without, out = tmp_path / "reserved.csv", tmp_path / "split.csv"
    left_out = photos_of_scenes("P", 8, most=2)[:2]
    without.write_text("surface,photo\n" + "".join(f"P,{photo}\n" for photo in left_out))
    assert run("split", pavements, "--by", "scene", "--without", without, "--out", out).code == 0
    with out.open(encoding="utf-8", newline="") as file:
        photos = {row["photo"] for row in csv.DictReader(file)}
    assert len(photos) == 14
    assert photos.isdisjoint(f"P-{photo}" for photo in left_out)
