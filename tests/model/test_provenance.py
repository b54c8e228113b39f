"""A card names its data, licences and counts."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from crackscope.data.patches import Patch, PatchIndex
from crackscope.files.archives import open_files
from crackscope.model.provenance import count_seen, describe_pictures, describe_training_data, find_seen


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


def deck(photo: str, name: str = "x", dataset: str = "sdnet2018-D") -> Patch:
    return Patch(f"{name}-{photo}", "crack", photo, "train", dataset)


def test_what_was_trained_on_is_named(tmp_path: Path) -> None:
    trained = describe_training_data(index_of(tmp_path, deck("D-7001"), deck("D-7003")), [b"file 01", b"file 03"])
    judged = [deck("D-7001", "y"), deck("D-7002"), deck("D-7039"), deck("D-9999")]
    judged.append(deck("W-7001", dataset="sdnet2018-W"))
    judged += [deck("site", dataset="folder"), deck("group-001", dataset="metu"), Patch("z", "crack")]
    digests = [b"other 1", b"other 2", b"other 3", b"other 4", b"other 5", b"file 01", b"other 7", b"file 03"]
    seen = find_seen(index_of(tmp_path, *judged), digests, trained)
    assert (seen.n, seen.photos, seen.files) == (4, ("D-7001", "site"), ("z",))
    assert seen.scenes == {"D-7002": ("D-7001", "D-7003")}
    assert seen.sentence() == "photos D-7001, site; photo D-7002, which shows the same place as D-7001, D-7003"
    assert count_seen(index_of(tmp_path, *judged), digests, trained) == 4
    nothing = find_seen(index_of(tmp_path, deck("D-7039")), [b""], trained)
    assert (nothing.n, nothing.photos, nothing.scenes) == (0, (), {})


def test_many_photos_are_named_in_few_words(tmp_path: Path) -> None:
    trained = describe_training_data(index_of(tmp_path, deck("D-7001")), [b"1"])
    judged = index_of(tmp_path, *(deck(f"D-70{number:02}") for number in range(2, 9)))
    assert find_seen(judged, [b""] * 7, trained).sentence() == (
        "photo D-7002, which shows the same place as D-7001; photo D-7003, which shows the same place as D-7001; "
        "photo D-7004, which shows the same place as D-7001; 4 more photos of such scenes"
    )


def test_pictures_of_cracks_are_described_by_their_files() -> None:
    digests = [hashlib.sha256(bytes([i])).digest() for i in range(3)]
    told = describe_pictures("traced", digests, licence="CC BY 4.0", attribution="somebody")
    assert (told.name, told.n_crack, told.n_uncracked, told.licence, told.attribution) == (
        *("traced", 3, 0, "CC BY 4.0", "somebody"),
    )
    assert describe_pictures("traced", digests[::-1], licence="CC BY 4.0", attribution="somebody") == told
    marks = base64.b64decode(told.seen)
    assert {marks[i : i + 6] for i in range(0, len(marks), 6)} == {digest[:6] for digest in digests}
