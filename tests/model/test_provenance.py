"""A card names its data, licences and counts."""

from __future__ import annotations

from pathlib import Path

from crackscope.data.patches import Patch, PatchIndex
from crackscope.files.archives import open_files
from crackscope.model.provenance import describe_training_data


def index_of(folder: Path, *patches: Patch) -> PatchIndex:
    return PatchIndex("data", patches, open_files(folder))


def test_published_sets_are_attributed_and_surfaces_counted_together(tmp_path: Path) -> None:
    index = index_of(
        tmp_path,
        Patch("a", "crack", "D-7001", "train", "sdnet2018-D"),
        Patch("b", "uncracked", "W-7001", "train", "sdnet2018-W"),
        Patch("c", "crack", "group-001", "train", "metu"),
    )
    metu, sdnet = describe_training_data(index, [b"1", b"2", b"3"])
    assert (sdnet.name, sdnet.n_crack, sdnet.n_uncracked, sdnet.n_photos) == ("SDNET2018", 1, 1, 2)
    assert sdnet.licence == metu.licence == "CC BY 4.0"
    assert "10.15142/T3TD19" in sdnet.attribution
    assert "10.17632/5y9wdsg2zt.2" in metu.attribution
    assert metu.n_photos is None  # groups that look alike are no photos


def test_own_patches_have_no_stated_licence_and_a_digest_of_content_alone(tmp_path: Path) -> None:
    one = describe_training_data(index_of(tmp_path, Patch("a", "crack"), Patch("b", "uncracked")), [b"1", b"2"])
    moved = describe_training_data(index_of(tmp_path, Patch("x/b", "uncracked"), Patch("x/a", "crack")), [b"2", b"1"])
    other = describe_training_data(index_of(tmp_path, Patch("a", "uncracked"), Patch("b", "crack")), [b"1", b"2"])
    assert one == moved
    assert one[0].sha256 != other[0].sha256
    assert one[0].licence == "not stated"
