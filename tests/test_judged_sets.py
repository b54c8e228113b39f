"""Joints become points one pixel apart; photos from elsewhere have tiles that suit their size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from judged_sets import joint_points, photos_from_elsewhere
from shared.pictures import save


def test_points_of_joints_lie_a_pixel_apart_along_the_traces(tmp_path: Path) -> None:
    table = tmp_path / "joints.csv"
    table.write_text(
        "photo,joint,point,x,y\na.png,line-1,1,0,5\na.png,line-1,2,10,5\na.png,line-1,3,10,15\n"
        "a.png,edge-1,1,0,0\na.png,edge-1,2,0,4\nb.png,line-1,1,0,0\nb.png,line-1,2,9,0\n",
        encoding="utf-8",
    )
    lines = joint_points(table, "a.png", edges=False)
    assert len(lines) == 20
    assert lines[0].tolist() == [0.5, 5.0]
    assert lines[-1].tolist() == [10.0, 14.5]
    assert len(joint_points(table, "a.png", edges=True)) == 24
    assert joint_points(table, "c.png", edges=True).shape == (0, 2)


def test_photos_from_elsewhere_are_those_of_the_part_with_tiles_that_suit_their_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder, name, hw in (
        ("traced/real", "small.png", (300, 512)), ("traced/real", "other.png", (300, 512)),
        ("more/photos", "large.png", (1100, 1300)),
    ):  # fmt: skip
        mask = np.zeros((*hw, 3), np.uint8)
        mask[100:104] = 255
        save(tmp_path / folder / "images" / name, rng.integers(0, 255, (*hw, 3), dtype=np.uint8))
        save(tmp_path / folder / "masks" / name, mask)
    parts = tmp_path / "parts.csv"
    parts.write_text(
        "set,file,source,part\ntraced/real,small.png,s,test\ntraced/real,other.png,o,train\nphotos,large.png,l,test\n",
        encoding="utf-8",
    )
    found = photos_from_elsewhere(tmp_path / "traced", tmp_path / "more", parts, part="test")
    assert {kind: [Path(photo.name).name for photo in photos] for kind, photos in found.items()} == {
        "real": ["small.png"],
        "photos": ["large.png"],
    }
    widths = {kind: float(np.diff(photos[0].boxes_xyxy(hw)[0][::2])[0]) for (kind, photos), hw in
              zip(found.items(), ((300, 512), (1100, 1300)), strict=True)}  # fmt: skip
    assert widths["real"] == 128
    assert widths["photos"] == 260
    [none] = photos_from_elsewhere(tmp_path / "traced", tmp_path / "more", parts, part="train", only={"o"})["real"]
    assert Path(none.name).name == "other.png"
