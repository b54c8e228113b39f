"""A patch stays together with its scene, or else with its photo."""

from __future__ import annotations

from pathlib import Path

import pytest

from crackscope.data.grouping import widest_groups
from crackscope.data.groups import overlap_text, place_of, with_scenes
from crackscope.data.patches import Patch, PatchIndex
from crackscope.errors import DataError


def index_of(*photos: str | None) -> PatchIndex:
    patches = tuple(Patch(f"{i}.jpg", "crack", photo) for i, photo in enumerate(photos))
    return PatchIndex("walls", patches, files=None)  # type: ignore[arg-type]  # nothing is read


def test_photos_that_the_data_lacks_are_named(tmp_path: Path) -> None:
    (tmp_path / "scenes.csv").write_text("photo,scene\na,1\n" + "".join(f"x{i},1\n" for i in range(5)))
    with pytest.raises(DataError, match=r"names 5 photos that walls lacks: 'x0', 'x1', 'x2' and 2 more; walls has"):
        with_scenes(index_of("a", "b"), tmp_path / "scenes.csv")
    with pytest.raises(DataError, match=r"names 1 photo that walls lacks: 'a'; no photo of walls is known"):
        with_scenes(index_of(None), {"a": "1"})


def test_a_photo_that_the_file_does_not_list_is_a_scene_of_its_own() -> None:
    found = with_scenes(index_of("a", "b", "c"), {"a": "1", "b": "1"})
    assert [patch.scene for patch in found.patches] == ["1", "1", None]
    assert [place_of(patch) for patch in found.patches] == [("scene", "1"), ("scene", "1"), ("photo", "c")]
    assert found.knows_scenes
    assert widest_groups(found.patches) == (["1", "1", "c"], "scenes")
    assert overlap_text(found) == (
        "2 of 3 photos of walls show the same place as another one (1 scene of several photos)"
    )
    assert overlap_text(with_scenes(found, {"a": "1"})) == ""  # what was known before is forgotten


@pytest.mark.parametrize(
    ("photos", "groups"),
    [
        (("a", "b"), (["a", "b"], "photos")),
        (("group-001", "group-002"), (["group-001", "group-002"], "similarity groups")),
        (("a", None), (None, "patches")),
        ((), (None, "patches")),
    ],
)
def test_the_widest_group_without_scenes(photos: tuple[str | None, ...], groups: tuple[list[str] | None, str]) -> None:
    index = index_of(*photos)
    assert widest_groups(index.patches) == groups
    assert not index.knows_scenes
