"""What belongs together stays together, and a split file says all of it."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from crackscope.data.cache import Rows
from crackscope.data.groups import with_scenes
from crackscope.data.leaks import Leaks, check_split
from crackscope.data.patches import LABELS, PARTS, Patch, PatchIndex, content_digest, read_patches
from crackscope.data.splits import Split, apply_split, divide, read_split, split, write_split
from crackscope.drawing.walls import draw_dataset
from crackscope.errors import DataError, OutputError, SplitError


class NoFiles:
    """Files that nobody may read: fingerprints are at hand."""

    names: tuple[str, ...] = ()

    def read(self, name: str) -> bytes:
        raise AssertionError(f"{name} was read")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRACKSCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, n_photos=14, patches_per_photo=4, side_px=48)
    return folder


def index_of(patches: list[Patch]) -> PatchIndex:
    return PatchIndex("walls", tuple(patches), NoFiles())


def rows_of_contents(contents: list[int]) -> Rows:
    """Rows of random pictures: equal numbers stand for equal files."""
    pictures = [np.random.default_rng(number).uniform(0, 255, 1035).astype(np.float16) for number in contents]
    digests = tuple(content_digest(f"{number}".encode()) for number in contents)
    return Rows(np.array(pictures).reshape(-1, 1035), digests)


def walls(n_photos: int, *, patches_per_photo: int = 6, dataset: str = "folder") -> list[Patch]:
    """Patches of photos, half of them cracked, in the order of their paths."""
    return [
        Patch(f"{photo:03d}-{i:03d}.jpg", LABELS[i % 2], f"p{photo}", dataset=dataset)
        for photo in range(n_photos)
        for i in range(patches_per_photo)
    ]


def parts_of(result: Split) -> dict[str, str | None]:
    return {patch.path: patch.part for patch in result.patches}


@st.composite
def data(draw: Callable[..., Any]) -> tuple[list[Patch], list[int]]:
    """Patches of random photos, labels and data sets, and the contents of their files, some of them equal."""
    n = draw(st.integers(12, 60))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n_photos = draw(st.integers(6, 15))
    photos = rng.integers(0, n_photos, n)
    patches = [
        Patch(f"{i:03d}", LABELS[int(rng.integers(2))], f"p{photo}", dataset=f"set{photo % 2}")
        for i, photo in enumerate(photos)
    ]
    contents = rng.integers(0, draw(st.sampled_from([5 * n, 10**6])), n).tolist()
    assume(all(label in {patch.label for patch in patches} for label in LABELS))
    return patches, contents


# Properties


@settings(max_examples=60, deadline=None)
@given(data(), st.sampled_from(["photo", "random", "similarity"]), st.integers(0, 3))
def test_every_patch_is_in_one_part_and_what_belongs_together_stays_together(
    case: tuple[list[Patch], list[int]], by: str, seed: int
) -> None:
    patches, contents = case
    rows = rows_of_contents(contents)
    try:
        result = divide(index_of(patches), rows, by=by, seed=seed)
    except SplitError:  # too few groups, which is tested below
        event("impossible")
        return
    event("split")
    assert [patch.path for patch in result.patches] == [patch.path for patch in patches]
    assert all(patch.part in PARTS for patch in result.patches)
    assert {(patch.part, patch.label) for patch in result.patches} == {(p, label) for p in PARTS for label in LABELS}
    if by != "random":
        for names in ([patch.photo for patch in patches], contents, [patch.photo for patch in result.patches]):
            sides = {(name, patch.part) for name, patch in zip(names, result.patches, strict=True)}
            assert len(sides) == len(set(names))


@settings(max_examples=30, deadline=None)
@given(data(), st.randoms(), st.sampled_from(["photo", "random", "similarity"]))
def test_the_order_of_the_index_changes_nothing(
    case: tuple[list[Patch], list[int]], random: random.Random, by: str
) -> None:
    patches, contents = case
    order = list(range(len(patches)))
    random.shuffle(order)
    other = index_of([patches[i] for i in order])
    other_rows = rows_of_contents([contents[i] for i in order])
    try:
        expected = divide(index_of(patches), rows_of_contents(contents), by=by)
    except SplitError:
        with pytest.raises(SplitError):
            divide(other, other_rows, by=by)
        return
    assert divide(other, other_rows, by=by) == expected


def test_labels_are_shared_out_as_asked_for_each_data_set() -> None:
    patches = [replace(patch, path=f"a{patch.path}", photo=f"a{patch.photo}") for patch in walls(60, dataset="a")]
    patches += walls(40, patches_per_photo=12, dataset="b")
    rows = rows_of_contents(list(range(len(patches))))
    for by, off in (("photo", 0.04), ("random", 0.01)):
        result = divide(index_of(patches), rows, by=by, val=0.2, test=0.1)
        counts = Counter((patch.dataset, patch.label, patch.part) for patch in result.patches)
        totals = Counter((patch.dataset, patch.label) for patch in patches)
        for (dataset, label), total in totals.items():
            shares = [counts[dataset, label, part] / total for part in PARTS]
            assert shares == pytest.approx([0.7, 0.2, 0.1], abs=off)


@pytest.mark.parametrize("by", ["photo", "random"])
def test_the_seed_decides(by: str) -> None:
    index, rows = index_of(walls(30)), rows_of_contents(list(range(180)))
    assert divide(index, rows, by=by, seed=4) == divide(index, rows, by=by, seed=4)
    assert parts_of(divide(index, rows, by=by, seed=4)) != parts_of(divide(index, rows, by=by, seed=5))


@pytest.mark.parametrize(
    ("val", "test", "parts"), [(0, 0.3, {"train", "test"}), (0.3, 0, {"train", "val"}), (0, 0, {"train"})]
)
@pytest.mark.parametrize("by", ["photo", "random", "similarity"])
def test_a_part_may_be_left_out(by: str, val: float, test: float, parts: set[str]) -> None:
    result = divide(index_of(walls(20)), rows_of_contents(list(range(120))), by=by, val=val, test=test)
    assert {patch.part for patch in result.patches} == parts


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("by", ["photo", "random"])
def test_what_just_suffices_is_enough(by: str, seed: int) -> None:
    patches = walls(3, patches_per_photo=2)
    result = divide(index_of(patches), rows_of_contents(list(range(6))), by=by, seed=seed)
    assert result.counts() == {
        part: {"crack": 1, "uncracked": 1, "photos": result.counts()[part]["photos"]} for part in PARTS
    }
    two = divide(index_of(walls(2)), rows_of_contents(list(range(12))), val=0, test=0.15, seed=seed)
    assert {patch.part for patch in two.patches} == {"train", "test"}


# What cannot be


def test_too_few_photos_are_an_error_with_a_remedy() -> None:
    rows = rows_of_contents(list(range(12)))
    with pytest.raises(SplitError, match=r"got no .* 2 groups .* for 3 parts\. Set --val 0 or --test 0, or add photos"):
        divide(index_of(walls(2)), rows)
    joined = rows_of_contents([0, 1, 2, 3, 4, 5, 0, 7, 8, 9, 10, 11])
    with pytest.raises(SplitError, match="1 groups that must stay together hold one, for 2 parts"):
        divide(index_of(walls(2)), joined, val=0)


def test_one_label_is_an_error() -> None:
    patches = [replace(patch, label="crack") for patch in walls(9)]
    with pytest.raises(DataError, match="needs both labels; found 54 crack and 0 uncracked"):
        divide(index_of(patches), rows_of_contents(list(range(54))))
    with pytest.raises(DataError, match="needs both labels"):
        split(index_of([]))


@pytest.mark.parametrize(("val", "test"), [(0.5, 0.5), (1, 0), (-0.1, 0.2), (float("nan"), 0.1), (0.2, float("inf"))])
def test_shares_that_leave_nothing_are_an_error(val: float, test: float) -> None:
    with pytest.raises(SplitError, match="sum is below 1"):
        split(index_of(walls(9)), val=val, test=test)


def test_an_unknown_way_offers_the_nearest() -> None:
    with pytest.raises(
        SplitError, match=r"--by 'foto' is none of scene, photo, similarity, random. Did you mean 'photo'"
    ):
        split(index_of(walls(9)), by="foto")


def test_unknown_photos_are_an_error_by_photo() -> None:
    patches = [*walls(9), Patch("somewhere.jpg", "crack")]
    with pytest.raises(SplitError, match=r"photo of some patches is not known, such as somewhere.jpg.*--by similarity"):
        split(index_of(patches))


# Drawn data, from files


def test_drawn_photos_and_their_duplicates_stay_together(drawn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "twice"
    shutil.copytree(drawn, folder)
    table = (folder / "labels.csv").read_text()
    first, *_, last = (row.split(",") for row in table.splitlines()[1:])
    shutil.copy(folder / first[0], folder / "again.jpg")
    (folder / "labels.csv").write_text(f"{table}again.jpg,{first[1]},{last[2]}\n")
    index = read_patches(folder)
    for seed in range(4):
        sides = {patch.photo: patch.part for patch in split(index, seed=seed).patches}
        assert sides[first[2]] == sides[last[2]]


@pytest.fixture
def spoilt(drawn: Path, tmp_path: Path) -> tuple[PatchIndex, dict[str, str]]:
    """Drawn walls of which some files are missing or broken, with the beginning of the reason for each of these."""
    folder = tmp_path / "spoilt"
    shutil.copytree(drawn, folder)
    index = read_patches(folder)
    whole = (folder / index.paths[4]).read_bytes()
    reasons = ["no such file", "the file is empty", "", "", ""]
    contents = [None, b"", whole[: len(whole) // 2], b"%PDF-1.7", b"\xff\xd8\xff"]
    for path, content in zip(index.paths[::5], contents, strict=False):
        (folder / path).unlink()
        if content is not None:
            (folder / path).write_bytes(content)
    return index, dict(zip(index.paths[::5], reasons, strict=False))


@pytest.mark.parametrize("by", ["photo", "similarity", "random"])
def test_files_that_are_missing_or_broken_are_in_no_part(by: str, spoilt: tuple[PatchIndex, dict[str, str]]) -> None:
    index, reasons = spoilt
    result = split(index, by=by, val=0.2, test=0.2)
    assert sorted(parts_of(result)) == sorted({*index.paths} - {*reasons})
    assert [path for path, _ in result.refused] == sorted(reasons)
    for path, why in result.refused:
        assert reasons[path] in why.lower()
        assert why
    rest = index.select([patch for patch in index.patches if patch.path not in reasons])
    assert split(rest, by=by, val=0.2, test=0.2) == result


@pytest.mark.parametrize("by", ["photo", "similarity", "random"])
def test_a_set_of_which_no_file_is_there_is_an_error(by: str, drawn: Path, tmp_path: Path) -> None:
    shutil.copy(drawn / "labels.csv", tmp_path)
    with pytest.raises(DataError, match=r"48 files cannot be read and 0 are left; .*\.jpg: .*Check the paths"):
        split(tmp_path / "labels.csv", by=by)


def test_a_photo_whose_first_patch_cannot_be_read_stays_whole() -> None:
    patches = walls(14)
    first = {i: "the file is empty" for i, patch in enumerate(patches) if patch.path.endswith("-000.jpg")}
    rows = replace(rows_of_contents(list(range(len(patches)))), refused=first)
    result = divide(index_of(patches), rows, by="similarity", val=0, test=0.3)
    groups: dict[str, set[str | None]] = {}
    for patch in result.patches:
        groups.setdefault(patch.path[:3], set()).add(patch.photo)
    assert len(result.patches) == 5 * 14
    assert [len(found) for found in groups.values()] == [1] * 14


def bitmap(pixels: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".bmp", pixels)[1].tobytes()


# The file


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(names, st.sampled_from(LABELS), st.none() | names, st.sampled_from(PARTS)), min_size=1, max_size=8
    )
)
def test_a_file_holds_all_of_a_split(
    tmp_path: Path,
    rows: list[tuple[str, str, None, str] | tuple[str, str, str, str]]
    | list[tuple[str, str, None, str]]
    | list[tuple[str, str, str, str]],
) -> None:
    patches = {row[0]: Patch(*row) for row in rows}
    written = Split(tuple(patches.values()))
    write_split(written, tmp_path / "split.csv", overwrite=True)
    found = read_split(tmp_path / "split.csv")
    assert found.patches == written.patches
    assert found.sha256() == written.sha256()
    assert Split(found.patches[::-1]).sha256() == written.sha256()


@pytest.mark.parametrize(
    "path",
    [
        "a,b.jpg",
        'say "x".jpg',
        "Brücke/跨.jpg",
        " blank .jpg",
        "line\u2028sep\x85.jpg",
        "new\nline",
        "a\rb",
        "tab\t.jpg",
        "=1+1.jpg",
        "'a.jpg",
        '"',
        "\t",
    ],
)
def test_strange_names_survive(path: str, tmp_path: Path) -> None:
    write_split(Split((Patch(path, "crack", "Foto, 1", "val"),)), tmp_path / "s.csv")
    assert read_split(tmp_path / "s.csv").patches == (Patch(path, "crack", "Foto, 1", "val"),)


def test_names_that_are_no_unicode_still_find_their_files(tmp_path: Path) -> None:
    patches = [replace(patch, path=f"\udcff{patch.path}") for patch in walls(9)]
    result = divide(index_of(patches), rows_of_contents(list(range(54))))
    write_split(result, tmp_path / "s.csv")
    found = read_split(tmp_path / "s.csv")
    assert found.sha256() == result.sha256()
    assert apply_split(index_of(patches), split=found).patches == apply_split(index_of(patches), split=result).patches


def test_the_file_is_the_contract(tmp_path: Path) -> None:
    write_split(
        Split((Patch("a/b.jpg", "crack", "D-1", "train"), Patch("c.jpg", "uncracked", None, "val"))), tmp_path / "s"
    )
    assert (tmp_path / "s").read_bytes() == b"path,label,photo,part\na/b.jpg,crack,D-1,train\nc.jpg,uncracked,,val\n"
    with pytest.raises(OutputError, match="exists"):
        write_split(Split(()), tmp_path / "s")


def test_an_edited_file_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes(
        b"\xef\xbb\xbfnote, part,photo,label,path\r\nx,train ,p1, crack,a.jpg\r\n\r\ny,val,,uncracked,b.jpg\r\n"
    )
    found = read_split(tmp_path / "s.csv")
    assert found.patches == (Patch("a.jpg", "crack", "p1", "train"), Patch("b.jpg", "uncracked", None, "val"))


HEAD = "path,label,photo,part\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'path' among none"),
        (HEAD, "no rows"),
        ("path,label,photo\na,crack,p\n", "no column 'part' among path, label, photo"),
        (
            HEAD + "a,crack,p,train\nb,crak,p,train\n",
            r"row 3: 'crak' is none of uncracked, crack\. Did you mean 'crack'\?",
        ),
        (HEAD + "a,craked,p,train\n", r"row 2: 'craked' is none of uncracked, crack\. Did you mean 'crack'\?"),
        (HEAD + "a,concrete_crack,p,train\n", r"row 2: 'concrete_crack' is none of uncracked, crack\.$"),
        (HEAD + "a,crack,p,tran\n", r"row 2: 'tran' is none of train, val, test\. Did you mean 'train'\?"),
        (HEAD + "a,crack,p\n", "row 2: 3 values for 4 columns"),
        (HEAD + "a,b.jpg,crack,p,train\n", "row 2: 5 values, but the first line names 4 columns. Put quotes"),
        (HEAD + "a,crack,p,train\nb,crack,p,val\na,crack,p,test\n", "row 4: 'a' is listed twice"),
        (HEAD + ",crack,p,train\n", "row 2: the path is empty"),
        (HEAD + "a" * 200_000 + ",crack,p,train\n", "not a CSV"),
    ],
)
def test_a_wrong_file_is_an_error_that_shows_the_place(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(text, encoding="utf-8")
    with pytest.raises(SplitError, match=message) as caught:
        read_split(tmp_path / "s.csv")
    assert "\n" not in str(caught.value)
    assert "s.csv" in str(caught.value)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"No such file.*Make it with `crackscope split`"):
        read_split(tmp_path / "none.csv")
    with pytest.raises(SplitError, match=r"Is a directory|Permission denied"):
        read_split(tmp_path)
    (tmp_path / "latin.csv").write_bytes(HEAD.encode() + "Brücke,crack,p,train\n".encode("latin-1"))
    with pytest.raises(SplitError, match="not UTF-8 text"):
        read_split(tmp_path / "latin.csv")


@pytest.mark.parametrize("by", ["photo", "similarity", "random"])
def test_what_was_kept_together_is_told_by_the_file(by: str, tmp_path: Path) -> None:
    result = divide(index_of(walls(20)), rows_of_contents(list(range(120))), by=by)
    assert result.grouped_by == by
    write_split(result, tmp_path / "s.csv")
    assert read_split(tmp_path / "s.csv").grouped_by == by
    photoless = index_of([replace(patch, photo=None) for patch in walls(20)])
    write_split(divide(photoless, rows_of_contents(list(range(120))), by="random"), tmp_path / "r.csv")
    assert read_split(tmp_path / "r.csv").grouped_by == "random"


def test_a_photo_named_like_a_group_does_not_make_groups(tmp_path: Path) -> None:
    patches = [Patch("a", "crack", "group-7", "train"), Patch("b", "crack", "group-chat", "val")]
    write_split(Split(tuple(patches)), tmp_path / "s.csv")
    assert read_split(tmp_path / "s.csv").grouped_by == "photo"


# Applying


def test_parts_are_given_in_the_order_of_the_index() -> None:
    index = index_of(walls(9)[::-1])
    assigned = divide(index_of(walls(9)), rows_of_contents(list(range(54))))
    applied = apply_split(index, split=assigned)
    assert applied.paths == index.paths
    assert {patch.path: patch.part for patch in applied.patches} == parts_of(assigned)
    val = apply_split(index, split=assigned, part="val")
    assert val.patches == applied.part("val").patches
    assert set(parts_of(assigned).values()) == {"train", "val", "test"}
    assert applied.files is index.files


def test_data_and_split_may_be_given_as_places(drawn: Path, tmp_path: Path) -> None:
    index = read_patches(drawn)
    assigned = split(drawn)
    assert assigned == split(index)
    write_split(assigned, tmp_path / "split.csv")
    applied = apply_split(drawn, split=tmp_path / "split.csv")
    assert applied.patches == apply_split(index, split=assigned).patches
    assert apply_split(applied, split=None).patches == applied.patches
    assert check_split(applied) == Leaks()
    with pytest.raises(SplitError, match="is in no part"):
        apply_split(drawn, split=None)


def test_patches_that_the_split_does_not_name_are_left_out() -> None:
    patches = walls(9)
    assigned = divide(index_of(patches[:48]), rows_of_contents(list(range(48))))
    assert apply_split(index_of(patches), split=assigned).paths == index_of(patches[:48]).paths


def test_a_split_of_other_data_is_an_error() -> None:
    assigned = divide(index_of(walls(9)), rows_of_contents(list(range(54))))
    with pytest.raises(SplitError, match=r"names 4 files that walls lacks, such as '008-002.jpg'"):
        apply_split(index_of(walls(9)[:50]), split=assigned)
    with pytest.raises(SplitError, match=r"names 54 files that walls lacks"):
        apply_split(index_of([]), split=assigned)


def test_a_label_that_changed_is_an_error() -> None:
    patches = walls(9)
    assigned = divide(index_of(patches), rows_of_contents(list(range(54))))
    with pytest.raises(SplitError, match=r"'000-000.jpg' is uncracked in the split and crack in walls"):
        apply_split(index_of([replace(patches[0], label="crack"), *patches[1:]]), split=assigned)


def test_an_empty_or_unknown_part_is_an_error() -> None:
    assigned = divide(index_of(walls(9)), rows_of_contents(list(range(54))), test=0)
    with pytest.raises(SplitError, match=r"no patch in 'test'. Make it anew with `crackscope split --test 0.15`"):
        apply_split(index_of(walls(9)), split=assigned, part="test")
    with pytest.raises(SplitError, match=r"part 'trian' is none of train, val, test. Did you mean 'train'\?"):
        apply_split(index_of(walls(9)), split=assigned, part="trian")


def test_the_photo_of_the_data_goes_first() -> None:
    own = [Patch("a", "crack", "p1"), Patch("b", "crack", None)]
    assigned = Split((Patch("a", "crack", "group-000", "train"), Patch("b", "crack", "group-000", "train")))
    assert [patch.photo for patch in apply_split(index_of(own), split=assigned).patches] == ["p1", "group-000"]


@pytest.mark.parametrize(("most", "searched"), [(100, True), (5, False)])
def test_turned_copies_are_looked_for_in_sets_that_are_not_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, searched: bool
) -> None:
    asked: list[int] = []

    def turned_pairs(rows: Any, **_: object) -> Any:
        asked.append(len(rows.digests))
        return np.empty((0, 2), np.int64)

    monkeypatch.setattr("crackscope.data.grouping.MOST_SEARCHED", most)
    monkeypatch.setattr("crackscope.data.turned_copies.turned_pairs", turned_pairs)
    index = read_patches(draw_dataset(tmp_path / "set", n_photos=12, patches_per_photo=4, side_px=48))
    assert 5 < len(index) <= 100
    split(index, by="similarity", val=0.25, test=0.25)
    assert asked == ([len(index)] if searched else [])


# Scenes


@pytest.fixture
def overlapping(tmp_path: Path) -> PatchIndex:
    """Fourteen drawn photos; two each show the same place, but the last two each stand alone."""
    index = read_patches(draw_dataset(tmp_path / "walls", n_photos=14, patches_per_photo=4, side_px=64))
    photos = sorted({patch.photo or "" for patch in index.patches})
    return with_scenes(index, {photo: f"place {i // 2}" for i, photo in enumerate(photos[:12])})


def test_a_scene_goes_to_one_part_and_the_file_says_so(overlapping: PatchIndex, tmp_path: Path) -> None:
    found = split(overlapping, by="scene", val=0.2, test=0.2)
    sides: dict[object, set[str | None]] = {}
    for patch in found.patches:
        sides.setdefault(patch.scene or patch.photo, set()).add(patch.part)
    assert len(sides) == 8
    assert all(len(parts) == 1 for parts in sides.values())
    assert sum(part["scenes"] for part in found.counts().values()) == 8
    write_split(found, tmp_path / "split.csv")
    lines = (tmp_path / "split.csv").read_text().splitlines()
    assert lines[0] == "path,label,photo,part,scene"
    again = read_split(tmp_path / "split.csv")
    assert (again.grouped_by, again.sha256()) == ("scene", found.sha256())
    assert [(patch.scene, patch.part) for patch in again.patches] == [(p.scene, p.part) for p in found.patches]


def test_scenes_of_a_split_go_before_those_of_the_data(overlapping: PatchIndex, tmp_path: Path) -> None:
    found = split(overlapping, by="scene", val=0.2, test=0.2)
    other = overlapping.select([replace(patch, scene=f"of {patch.path}") for patch in overlapping.patches])
    by_path = {patch.path: patch.scene for patch in found.patches}
    assert {patch.path: patch.scene for patch in apply_split(other, split=found).patches} == by_path
    without = split(overlapping.select([replace(patch, scene=None) for patch in overlapping.patches]))
    assert "scenes" not in without.counts()["train"]
    write_split(without, tmp_path / "split.csv")
    assert (tmp_path / "split.csv").read_text().startswith("path,label,photo,part\n")
    kept = apply_split(other, split=read_split(tmp_path / "split.csv"))
    assert all(patch.scene == f"of {patch.path}" for patch in kept.patches)


def test_groups_that_look_alike_keep_scenes_whole(overlapping: PatchIndex) -> None:
    found = split(overlapping, by="similarity", val=0.2, test=0.2)
    groups: dict[str, set[str | None]] = {}
    for patch in found.patches:
        if patch.scene:
            groups.setdefault(patch.scene, set()).add(patch.photo)
    assert all(len(own) == 1 for own in groups.values())


def test_without_scenes_a_split_by_scene_names_the_ways_out(overlapping: PatchIndex) -> None:
    unknown = overlapping.select([replace(patch, scene=None) for patch in overlapping.patches])
    with pytest.raises(SplitError, match=r"no scene is known.*`crackscope scenes`.*--scenes.*--by photo"):
        split(unknown, by="scene")
    photoless = [replace(patch, photo=None, scene=None) for patch in overlapping.patches[:1]]
    with pytest.raises(SplitError, match="the photo of some patches is not known"):
        split(overlapping.select([*photoless, *overlapping.patches[1:]]), by="scene")


def test_a_split_file_that_puts_a_photo_into_two_scenes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text(
        "path,label,photo,part,scene\na,crack,p,train,1\nb,crack,p,train,\nc,crack,p,train,2\n"
    )
    with pytest.raises(SplitError, match=r"split.csv, row 4: photo 'p' is in scene '2' here and in '1' above"):
        read_split(tmp_path / "split.csv")
