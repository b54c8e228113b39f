"""A leak is found wherever it hides, and told in a sentence."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from crackscope.data.groups import with_scenes
from crackscope.data.leaks import Leaks, check_split, leaks_in
from crackscope.data.patches import Patch, PatchIndex, read_patches
from crackscope.data.splits import Split, apply_split, read_split, split, write_split
from crackscope.drawing.walls import draw_dataset
from crackscope.errors import SplitError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRACKSCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw_dataset(tmp_path / "walls", n_photos=14, patches_per_photo=4, side_px=64)
    return tmp_path / "walls"


def with_parts(index: PatchIndex, assigned: Split, tmp_path: Path) -> PatchIndex:
    """By way of the file, as commands do."""
    write_split(assigned, tmp_path / "split.csv", overwrite=True)
    return apply_split(index, split=read_split(tmp_path / "split.csv"))


def of_part(index: PatchIndex, part: str) -> Patch:
    return index.part(part).patches[0]


@pytest.mark.parametrize("by", ["photo", "similarity"])
def test_a_split_that_keeps_together_is_clean(folder: Path, tmp_path: Path, by: str) -> None:
    index = read_patches(folder)
    leaks = check_split(with_parts(index, split(index, by=by), tmp_path))
    assert (len(leaks), leaks) == (0, Leaks())
    assert leaks.summary() == "No leaks."


def test_photos_on_two_sides_are_found_and_told(folder: Path, tmp_path: Path) -> None:
    index = read_patches(folder)
    assigned = split(index, by="random", seed=1)
    leaks = check_split(with_parts(index, assigned, tmp_path))
    sides: dict[str, set[str]] = {}
    for patch in assigned.patches:
        sides.setdefault(patch.photo or "", set()).add(patch.part or "")
    assert len(leaks.photos) == sum(len(parts) > 1 for parts in sides.values()) > 3
    assert not leaks.exact
    assert not leaks.near
    assert leaks.summary().startswith(f"{len(leaks)} photos, 0 exact and 0 near duplicates on two sides. Photo photo-")


def test_the_sentence_about_a_photo(folder: Path) -> None:
    index = read_patches(folder)
    one, two, three, *_ = index.patches
    labelled = index.select(
        [
            Patch(one.path, "crack", "7003", "test"),
            Patch(two.path, "crack", "7003", "train"),
            Patch(three.path, "crack"),
        ]
    )
    assert check_split(labelled).photos == (
        "Photo 7003 has patches in both train and test. Rebuild the split with `crackscope split --by photo`.",
    )
    everywhere = [
        Patch(p.path, "crack", "group-001", part)
        for p, part in zip((one, two, three), ("val", "train", "test"), strict=True)
    ]
    assert check_split(index.select(everywhere)).photos == (
        "Group group-001 has patches in train, val and test. "
        "Rebuild the split with `crackscope split --by similarity`.",
    )


def test_duplicates_on_two_sides_are_found_and_told(folder: Path, tmp_path: Path) -> None:
    index = read_patches(folder)
    parts = apply_split(index, split=split(index))
    train, val, test = (of_part(parts, part) for part in ("train", "val", "test"))
    (folder / "copy.jpg").write_bytes((folder / val.path).read_bytes())
    pixels = np.asarray(cv2.imread(str(folder / train.path)))
    cv2.imwrite(str(folder / "flipped.png"), cv2.resize(np.ascontiguousarray(pixels[:, ::-1]), (96, 96)))
    (folder / "same side.jpg").write_bytes((folder / test.path).read_bytes())
    index = index.select(
        [
            *parts.patches,
            Patch("copy.jpg", val.label, "other", "train"),
            Patch("flipped.png", train.label, "another", "test"),
            Patch("same side.jpg", test.label, "a third", "test"),
        ]
    )
    leaks = check_split(index, threads=2)
    assert leaks.photos == ()
    assert leaks.exact == (f"{val.path} (val) and copy.jpg (train) are the same file.",)
    assert leaks.near == (f"{train.path} (train) and flipped.png (test) show the same picture.",)
    assert len(leaks) == 2
    assert leaks.summary() == f"0 photos, 1 exact and 1 near duplicates on two sides. {leaks.exact[0]}"


def test_leaks_are_told_with_the_places_of_their_patches(folder: Path) -> None:
    index = read_patches(folder)
    one, two, three, *_ = index.patches
    parts = [replace(one, photo="7003", part="train"), replace(two, photo="7003", part="train")]
    parts += [replace(three, photo="7003", part="val"), replace(one, path="copy.jpg", photo="other", part="test")]
    same = (b"1", b"2", b"3", b"1")
    found = leaks_in(index.select(parts), same, np.array([[0, 1], [0, 3]]))
    assert [(leak.kind, leak.places) for leak in found] == [("photo", (0, 2)), ("exact", (0, 3, 1))]
    (_, near) = leaks_in(index.select(parts), (b"1", b"2", b"3", b"4"), np.array([[0, 3]]))
    assert (near.kind, near.sentence) == ("near", f"{one.path} (train) and copy.jpg (test) show the same picture.")


def of_parts(*parts: str | None) -> PatchIndex:
    patches = tuple(Patch(f"{i}.jpg", "crack", f"p{i}", part) for i, part in enumerate(parts))
    return PatchIndex("walls", patches, files=None)  # type: ignore[arg-type]


def test_copies_leak_by_way_of_one_that_is_in_no_part() -> None:
    """Pairs connect what belongs together, and are not all pairs of it."""
    star = np.array([[0, 1], [0, 2]])
    (exact,) = leaks_in(of_parts(None, "train", "test"), (b"a",) * 3, star)
    assert (exact.kind, exact.places) == ("exact", (1, 2))
    assert exact.sentence == "1.jpg (train) and 2.jpg (test) are the same file."
    (near,) = leaks_in(of_parts(None, "train", "test"), (b"a", b"b", b"c"), star)
    assert (near.kind, near.places) == ("near", (1, 2))
    chain = np.array([[0, 1], [1, 2], [2, 3]])
    (only,) = leaks_in(of_parts("val", None, None, "test"), (b"a", b"b", b"c", b"d"), chain)
    assert (only.kind, only.places) == ("near", (0, 3))


def test_what_copies_connect_leaks_once_between_any_two_parts() -> None:
    index = of_parts("train", "train", "val", "test", "test", "train")
    pairs = np.array([[0, 1], [0, 2], [0, 3], [1, 4]])  # 1 and 4 are one file, the others near it
    found = leaks_in(index, (b"a", b"b", b"c", b"d", b"b", b"e"), pairs)
    told = [(leak.kind, leak.sentence.split()[0], leak.places) for leak in found]
    assert told == [
        ("near", "0.jpg", (0, 2, 1)),
        ("exact", "1.jpg", (1, 4, 0, 3)),
        ("near", "2.jpg", (2, 3, 4)),
    ]
    assert leaks_in(index, (b"a",) * 6, np.empty((0, 2), np.int64)) == []


def test_many_copies_of_one_thing_are_told_at_once() -> None:
    n = 40_000
    index = of_parts(*(("train", "val", "test")[i % 3] for i in range(n)))
    pairs = np.stack([np.zeros(14_000, np.int64), np.arange(1, 14_001)], 1)
    start = time.process_time()
    found = leaks_in(index, [b"%d" % (i // 2) for i in range(n)], pairs)
    assert time.process_time() - start < 3
    assert [leak.kind for leak in found] == ["exact"] * 3


def test_photos_that_only_the_data_knows_are_found_behind_groups(folder: Path, tmp_path: Path) -> None:
    index = read_patches(folder)
    assigned = split(index, by="random")
    groups = [Patch(p.path, p.label, f"group-{i:03d}", p.part) for i, p in enumerate(assigned.patches)]
    parts = with_parts(index, Split(tuple(groups)), tmp_path)
    assert len(check_split(parts).photos) > 3


def test_photos_that_only_the_split_knows_are_found(folder: Path, tmp_path: Path) -> None:
    index = read_patches(folder)
    photoless = index.select([Patch(patch.path, patch.label) for patch in index.patches])
    parts = with_parts(photoless, split(index, by="random"), tmp_path)
    assert len(check_split(parts).photos) > 3


def test_what_has_no_part_is_on_no_side(folder: Path) -> None:
    index = read_patches(folder)
    one, *others = split(index).patches
    (folder / "copy.jpg").write_bytes((folder / one.path).read_bytes())
    assert len(check_split(index.select([one, *others, Patch("copy.jpg", one.label, one.photo)]))) == 0
    with pytest.raises(SplitError, match="no patch has a part"):
        check_split(index)


# Scenes


def in_scenes(*rows: tuple[str, str | None, str | None]) -> PatchIndex:
    """Patches of photo, scene and part."""
    patches = [Patch(f"{i}.jpg", "crack", photo, part, scene=scene) for i, (photo, scene, part) in enumerate(rows)]
    return PatchIndex("decks", tuple(patches), files=None)  # type: ignore[arg-type]


def test_a_scene_on_two_sides_is_told_with_its_photos() -> None:
    index = in_scenes(
        *(("D-1", "s", "train"), ("D-2", "s", "test"), ("D-1", "s", "train"), ("D-3", "s", "train")),
        *(("D-4", "t", "train"), ("D-5", "t", "train"), ("D-6", None, "test"), ("D-7", "t", None)),
    )
    (leak,) = leaks_in(index, (b"",) * 8, np.empty((0, 2), np.int64))
    assert (leak.kind, leak.places) == ("scene", (0, 1))
    assert leak.sentence == (
        "Scene s has photos in both train and test: D-1, D-3 (train); D-2 (test) show the same place. "
        "Rebuild the split with `crackscope split --by scene`."
    )
    many = in_scenes(*((f"D-{i}", "s", "train") for i in range(6)), ("D-9", "s", "val"), ("D-8", "s", "test"))
    (leak,) = leaks_in(many, (b"",) * 8, np.empty((0, 2), np.int64))
    assert "in train, val and test: D-0, D-1, D-2 and 3 more (train); D-9 (val); D-8 (test) show" in leak.sentence


def test_a_photo_on_two_sides_is_no_second_leak_of_its_scene() -> None:
    alone = in_scenes(("D-1", "s", "train"), ("D-1", "s", "test"), ("D-2", "t", "test"))
    (leak,) = leaks_in(alone, (b"",) * 3, np.empty((0, 2), np.int64))
    assert leak.kind == "photo"
    assert leak.sentence.endswith("`crackscope split --by scene`.")


def test_leaks_of_scenes_are_counted_and_told_first() -> None:
    leaks = Leaks(photos=("Photo a.",), scenes=("Scene s.",))
    assert len(leaks) == 2
    assert leaks.summary() == "1 scene, 1 photo, 0 exact and 0 near duplicates on two sides. Scene s."


def test_photos_of_a_scene_leak_in_a_split_by_photo(folder: Path, tmp_path: Path) -> None:
    index = read_patches(folder)
    photos = sorted({patch.photo or "" for patch in index.patches})
    scenes = {photo: f"s{i // 2}" for i, photo in enumerate(photos)}
    known = with_scenes(index, scenes)
    leaks = check_split(with_parts(known, split(known, by="photo"), tmp_path))
    assert leaks.scenes
    assert not leaks.photos
    whole = split(known, by="scene", val=0.2, test=0.2)
    assert len(check_split(with_parts(known, whole, tmp_path))) == 0
    assert len(check_split(with_parts(index, whole, tmp_path))) == 0  # the file tells the scenes
