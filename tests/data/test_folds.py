"""Folds hold whole groups, each patch is tested once, and validation is dealt from the other folds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from crackscope.data.folds import split_into_folds
from crackscope.data.groups import place_of, with_scenes
from crackscope.data.leaks import check_split
from crackscope.data.patches import PatchIndex, read_patches
from crackscope.data.splits import apply_split
from crackscope.drawing.walls import draw_dataset
from crackscope.errors import SplitError


@pytest.fixture(scope="module")
def overlapping(tmp_path_factory: pytest.TempPathFactory) -> PatchIndex:
    """Sixteen drawn photos; two each show the same place."""
    folder = tmp_path_factory.mktemp("folds") / "walls"
    index = read_patches(draw_dataset(folder, n_photos=16, patches_per_photo=4, side_px=64))
    photos = sorted({patch.photo or "" for patch in index.patches})
    return with_scenes(index, {photo: f"place {i // 2}" for i, photo in enumerate(photos)})


@pytest.mark.parametrize("by", ["scene", "photo", "similarity"])
def test_every_patch_is_tested_once_and_groups_stay_whole(overlapping: PatchIndex, by: str) -> None:
    folds = split_into_folds(overlapping, by=by, n_folds=3)
    tested = Counter(patch.path for split in folds.splits for patch in split.patches if patch.part == "test")
    assert tested == Counter(overlapping.paths)
    assert {patch.part for patch in folds.whole.patches} == {"train", "val"}
    for split in (*folds.splits, folds.whole):
        assert (split.grouped_by, len(split.patches)) == (by, len(overlapping))
        sides: dict[object, set[str | None]] = {}
        for patch in split.patches:
            name = place_of(patch) if by == "scene" else patch.photo
            sides.setdefault(name, set()).add(patch.part)
        assert all(len(parts) == 1 for parts in sides.values())
        assert all(split.counts()[part][label] for part in ("train", "val") for label in ("crack", "uncracked"))
    leaks = [check_split(apply_split(overlapping, split=split)) for split in folds.splits]
    assert any(one.scenes for one in leaks) == (by == "photo")
    again = split_into_folds(overlapping, by=by, n_folds=3)
    assert [split.sha256() for split in again.splits] == [split.sha256() for split in folds.splits]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"by": "random"}, "--cross-validate 'random' is none of scene, photo, similarity"),
        ({"n_folds": 1}, "--folds 1 is not between 2 and 20"),
        ({"n_folds": 9}, "8 scenes that must stay together cannot be dealt to 9 folds"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(overlapping: PatchIndex, given: dict[str, object], why: str) -> None:
    with pytest.raises(SplitError, match=why):
        split_into_folds(overlapping, **{"by": "scene", **given})  # type: ignore[arg-type]


def test_a_training_without_a_label_is_refused(overlapping: PatchIndex) -> None:
    few = [patch for patch in overlapping.patches if patch.label == "uncracked" or patch.scene == "place 0"]
    with pytest.raises(SplitError, match=r"fold \d would have no 'crack' patch in \w+, since too few groups"):
        split_into_folds(overlapping.select(few), by="scene", n_folds=2)


def test_folds_by_scene_need_scenes(drawn: Path) -> None:
    with pytest.raises(SplitError, match="no scene is known"):
        split_into_folds(drawn, by="scene")
