"""A scenes file is read strictly, and SDNET2018's scenes are known wherever its layout is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from crackscope.data.patches import read_patches
from crackscope.data.scenes import read_scenes, sdnet2018_scenes
from crackscope.errors import DataError


@pytest.mark.parametrize(
    "text",
    [
        "photo,scene\nD-1,a\nD-2,a\n",
        "\ufeffScene,Photo\r\na,D-1\r\na,D-2\r\n",
        'surface,photo,scene,reserved\nD,1,a,0\nD,"2","a",1\n',
        "photo,scene\nD-1,a\n\nD-2, a \nD-1,a\n",
    ],
)
def test_a_scenes_file_is_read_however_it_was_saved(tmp_path: Path, text: str) -> None:
    (tmp_path / "scenes.csv").write_bytes(text.encode())
    assert read_scenes(tmp_path / "scenes.csv") == {"D-1": "a", "D-2": "a"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("photo,scene\na,1\nb,1\na,2\n", r"row 4: photo 'a' is in scene '2' here and in '1' above. Keep one"),
        ("photo,scene\na,\n", "row 2: the scene is empty"),
        ("photo,scene\n,1\n", "row 2: the photo is empty"),
        ("photo,scene\n", "no photo is listed. Make it with `crackscope scenes`"),
        ("photo,group\na,1\n", "no column 'scene' among photo, group. The first line must name photo,scene"),
        ('photo,scene\n"a,1\n', "a quote opens here"),
        ("photo,scene\na,1,2\n", "3 values, but the first line names 2 columns"),
    ],
)
def test_a_damaged_scenes_file_is_refused_with_its_row(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "scenes.csv").write_text(text)
    with pytest.raises(DataError, match=why):
        read_scenes(tmp_path / "scenes.csv")


def test_a_missing_scenes_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read .* Make it with `crackscope scenes`"):
        read_scenes(tmp_path / "scenes.csv")


def test_the_scenes_of_sdnet2018() -> None:
    scenes = sdnet2018_scenes()
    members: dict[str, list[str]] = {}
    for photo, scene in scenes.items():
        members.setdefault(scene, []).append(photo)
    assert {photo[0] for photo in scenes} == {"D", "P", "W"}
    assert {surface: sum(photo[0] == surface for photo in scenes) for surface in "DPW"} == {"D": 54, "P": 104, "W": 72}
    assert sorted(len(photos) for photos in members.values() if photos[0][0] == "D") == [12, 13, 13, 16]
    assert all(len({photo[0] for photo in photos}) == 1 for photos in members.values())


def test_pairs_that_were_found_are_in_one_scene(real_data: Path) -> None:
    from crackscope.files.tables import TableForm, read_table

    scenes = sdnet2018_scenes()
    form = TableForm(("surface", "photo_a", "photo_b"))
    rows = list(read_table(real_data / "sdnet2018_overlaps.csv", form))
    assert len(rows) == 178
    for row in rows:
        one, other = (f"{row['surface']}-{row[name]}" for name in ("photo_a", "photo_b"))
        assert scenes[one] == scenes[other]


def test_the_layout_of_sdnet2018_tells_the_scenes(tmp_path: Path) -> None:
    names = ("D/CD/7001-1.jpg", "D/UD/7002-2.jpg", "W/UW/7069-3.jpg", "P/CP/999-115.jpg", "crack/7001-1.jpg")
    for name in (*names, "Decks/Cracked/7001-1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {patch.path: patch.scene for patch in read_patches(tmp_path).patches}
    scenes = sdnet2018_scenes()
    assert found["D/CD/7001-1.jpg"] == found["D/UD/7002-2.jpg"] == scenes["D-7001"] is not None
    assert found["Decks/Cracked/7001-1.jpg"] == scenes["D-7001"]
    assert found["W/UW/7069-3.jpg"] == scenes["W-7069"] != scenes["D-7001"]
    assert found["P/CP/999-115.jpg"] is None  # no photo of SDNET2018
    assert found["crack/7001-1.jpg"] is None
    alone = read_patches(tmp_path / "D")
    assert {patch.scene for patch in alone.patches} == {scenes["D-7001"]}


def test_a_table_names_scenes_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label,photo,scene\na.jpg,crack,p,s\nb.jpg,uncracked,q,\n")
    assert [patch.scene for patch in read_patches(tmp_path).patches] == ["s", None]
    (tmp_path / "labels.csv").write_text("path,label,photo,scene\na.jpg,crack,p,s\nb.jpg,crack,p,t\n")
    with pytest.raises(DataError, match=r"labels.csv, row 3: photo 'p' is in scene 't' here and in 's' above"):
        read_patches(tmp_path)
