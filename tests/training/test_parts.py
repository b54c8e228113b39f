"""Without a split, a training keeps the widest groups known together."""

from __future__ import annotations

from pathlib import Path

import pytest

import crackscope
from crackscope.data.patches import read_patches
from crackscope.training.parts import divide_for_training, widest_way
from shared.sdnet import draw_sdnet, photos_of_scenes


@pytest.mark.parametrize(("most", "photo", "way"), [(2, True, "scene"), (1, True, "scene"), (1, False, "similarity")])
def test_the_widest_group_known(tmp_path: Path, most: int, photo: bool, way: str) -> None:
    data = draw_sdnet(tmp_path / "sdnet2018", {"P": photos_of_scenes("P", 3, most=most)}, patches_per_photo=2)
    index = read_patches(data)
    if not photo:
        index = index.select([crackscope.Patch(patch.path, patch.label) for patch in index.patches])
    assert widest_way(index) == way


def test_photos_without_scenes_stay_together(drawn: Path) -> None:
    assert widest_way(read_patches(drawn)) == "photo"


def test_a_split_made_for_a_training_keeps_scenes_together(tmp_path: Path) -> None:
    data = draw_sdnet(tmp_path / "sdnet2018", {"P": photos_of_scenes("P", 8, most=2)})
    told: list[str] = []
    found = divide_for_training(
        data,
        None,
        kept=tmp_path / "split.csv",
        resume=False,
        allow_leakage=False,
        threads=1,
        progress=None,
        say=told.append,
    )
    assert (found.split.grouped_by, found.n_leaks, found.made) == ("scene", 0, True)
    assert "all photos of a place in one part" in told[0]
