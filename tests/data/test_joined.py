"""Several sets as one index: every file is found, no photo is shared by accident, lineage stays recognisable."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.data.grouping import is_group
from crackscope.data.joined import join_indexes, set_of
from crackscope.data.patches import LABELS, Patch, PatchIndex, read_patches
from crackscope.drawing.walls import draw_dataset
from crackscope.errors import DataError
from crackscope.model.provenance import count_seen, describe_training_data
from shared.memory_files import MemoryFiles


def index_of(name: str, patches: list[Patch]) -> PatchIndex:
    return PatchIndex(
        name, tuple(patches), MemoryFiles({p.path: f"{name}:{p.path}".encode() for p in patches}), ("x.jpg",)
    )


paths = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
photos = st.sampled_from([None, "p0", "p1", "group-000", "group-001", "group-123"])
patches_of_a_set = st.lists(
    st.builds(Patch, paths, st.sampled_from(LABELS), photos), min_size=1, max_size=8, unique_by=lambda patch: patch.path
)
names = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=6)
sets = st.dictionaries(names, patches_of_a_set, min_size=1, max_size=4)


@given(sets)
def test_every_patch_is_there_once_and_reads_its_own_file(given_sets: dict[str, list[Patch]]) -> None:
    joined = join_indexes({name: index_of(name, patches) for name, patches in given_sets.items()})
    assert joined.paths == sorted(f"{name}/{p.path}" for name, patches in given_sets.items() for p in patches)
    assert list(joined.files.names) == joined.paths
    for path in joined.paths:
        name = set_of(path)
        assert joined.files.read(path).decode() == f"{name}:{path.removeprefix(f'{name}/')}"
    assert joined.ignored == tuple(sorted(f"{name}/x.jpg" for name in given_sets))


@given(sets, st.randoms(use_true_random=False))
def test_the_order_of_the_sets_changes_nothing(given_sets: dict[str, list[Patch]], random: object) -> None:
    indexes = {name: index_of(name, patches) for name, patches in given_sets.items()}
    order = list(indexes)
    random.shuffle(order)  # type: ignore[attr-defined]
    assert join_indexes({name: indexes[name] for name in order}) == join_indexes(indexes)


@given(sets)
def test_what_stays_together_is_the_same_and_no_two_sets_share_it(given_sets: dict[str, list[Patch]]) -> None:
    joined = join_indexes({name: index_of(name, patches) for name, patches in given_sets.items()})
    was = {f"{name}/{p.path}": (name, p.photo) for name, patches in given_sets.items() for p in patches}
    pairs = {(was[patch.path], patch.photo) for patch in joined.patches}
    assert len({before for before, _ in pairs}) == len(pairs)
    assert len({after for _, after in pairs if after}) == sum(after is not None for _, after in pairs)
    for (_, before), after in pairs:
        assert (before is None) == (after is None)
        assert is_group(before or "") == is_group(after or "")


def test_a_photo_that_a_publisher_named_keeps_its_name_so_a_model_trained_on_it_is_found_out() -> None:
    decks = index_of("sdnet", [Patch("D/CD/7001-1.jpg", "crack", "D-7001", dataset="sdnet2018-D")])
    own = index_of("own", [Patch("crack/1.jpg", "crack", "D-7001")])
    joined = join_indexes({"decks": decks, "own": own})
    assert {patch.path: patch.photo for patch in joined.patches} == {
        "decks/D/CD/7001-1.jpg": "D-7001",
        "own/crack/1.jpg": "own/D-7001",
    }
    learnt = describe_training_data(joined, [b"1" * 32, b"2" * 32])
    assert [(data.name, data.n_photos) for data in learnt] == [("own patches", 1), ("SDNET2018", 1)]
    other_tile = decks.select([Patch("D/UD/7001-9.jpg", "uncracked", "D-7001", dataset="sdnet2018-D")])
    assert count_seen(other_tile, [b"3" * 32], learnt) == 1
    assert count_seen(own, [b"4" * 32], learnt) == 0


def test_groups_are_no_photos_in_the_card() -> None:
    metu = index_of("metu", [Patch("Positive/00001.jpg", "crack", "group-004", dataset="metu")])
    (data,) = describe_training_data(join_indexes({"metu": metu}), [b"1" * 32])
    assert (data.name, data.n_photos) == ("METU", None)


def test_images_are_read_from_where_they_lie(tmp_path: Path) -> None:
    one, other = (
        read_patches(draw_dataset(tmp_path / name, n_photos=2, patches_per_photo=2, side_px=32, seed=seed))
        for seed, name in enumerate("ab")
    )
    joined = join_indexes({"a": one, "b": other}, name="both")
    assert joined.name == "both"
    for index, name in ((one, "a"), (other, "b")):
        for path in index.paths:
            assert (joined.read_pixels(f"{name}/{path}") == index.read_pixels(path)).all()


def test_a_set_without_a_name_and_a_file_of_no_set_are_errors() -> None:
    index = index_of("a", [Patch("x.jpg", "crack")])
    for wrong in ({}, {"": index}, {"a/b": index}):
        with pytest.raises(DataError, match="without a slash"):
            join_indexes(wrong)
    with pytest.raises(FileNotFoundError, match="No such data set"):
        join_indexes({"a": index}).files.read("b/x.jpg")


def test_scenes_of_own_sets_are_kept_apart_and_published_ones_keep_their_names() -> None:
    own = [index_of(name, [Patch("1.jpg", "crack", "a", scene="s")]) for name in ("east", "west")]
    decks = index_of("sdnet", [Patch("D/CD/7001-1.jpg", "crack", "D-7001", dataset="sdnet2018-D", scene="D001")])
    joined = join_indexes({"east": own[0], "west": own[1], "sdnet": decks})
    assert [patch.scene for patch in joined.patches] == ["east/s", "D001", "west/s"]
