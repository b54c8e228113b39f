"""Names of exports tell their source, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crackscope.data.class_names import ClassNames
from crackscope.data.patches import Patch, read_patches
from crackscope.data.photo_names import MOST_COPIES, PhotoPattern, sources_of
from crackscope.data.splits import split
from crackscope.errors import DataError
from shared.pictures import png

UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
HASH = "4e3b0e1c5d1f6a7b8c9d0e1f2a3b4c5d"


def sources(*paths: str) -> list[str | None]:
    names = ClassNames()
    return sources_of(
        paths,
        is_class=lambda name: names.label_of(name) is not None,
        is_part=lambda folder: folder in ("train", "test"),
    )


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (f"crack/IMG_12_jpg.rf.{HASH}.jpg", "crack/IMG_12"),
        (f"train/crack/IMG_12_png.rf.{HASH}.jpg", "crack/IMG_12"),
        (f"test/crack/a b-c_JPG.rf.{HASH}.jpg", "crack/a b-c"),
        (f"crack/w_jpeg.rf.{HASH[:20]}.jpg", "crack/w"),
        (f"crack/crack_original_IMG_12.jpg_{UUID}.jpg", "crack/IMG_12"),
        (f"output/crack/c_original_x.y.png_{UUID}.png", "output/crack/x.y"),
    ],
)
def test_an_export_names_its_source(path: str, source: str) -> None:
    assert sources(path) == [source]


@pytest.mark.parametrize(
    "copy",
    [
        *("w_aug_3", "w_aug", "w_aug3", "w-augmented-12", "w_flip", "w_hflip", "w_vflip", "w_fliplr", "w_mirrored"),
        *("w_rot90", "w_rot_90", "w_rotated_-15", "w_rotate15deg", "w_ROT270", "w_zoom_2", "w_noise", "w_blur1"),
        *(
            "w-copy",
            "w - Copy",
            "w - Copy (2)",
            "w_copy2",
            "w - Kopie",
            "w (2)",
            "w(1)",
            "w_flip_rot90",
            "w_aug_1_flip",
        ),
        f"w_jpg.rf.{HASH}",
        f"w_flip_jpg.rf.{HASH}",
    ],
)
def test_a_copy_and_its_source_have_one_photo(copy: str) -> None:
    """Beside its source and another copy, so that each rule is asked."""
    found = sources(f"crack/{copy}.jpg", "crack/w.jpg", "crack/w_flip.jpg", "crack/v.jpg")
    assert found == ["crack/w", "crack/w", "crack/w", None]


@pytest.mark.parametrize(
    "stems",
    [
        ("00001", "00001_1", "00002", "00002_1"),  # METU
        ("7001-115", "7001-116", "7001-115_1"),  # SDNET2018
        ("wall (1)", "wall (2)", "wall (3)"),  # a numbered list
        ("crack_aug_1", "crack_aug_2"),  # the class, not a source
        ("aug_1", "aug_2", "flip", "copy"),
        ("w_flip", "v_flip"),  # copies of which nothing else is there
        ("wall_12", "wall_12a", "wall_120", "wall-12-3"),
        ("photocopy", "w_flipper", "rotor_3", "w_copyright"),
    ],
)
def test_other_names_name_no_source(stems: tuple[str, ...]) -> None:
    assert sources(*(f"crack/{stem}.jpg" for stem in stems)) == [None] * len(stems)


def test_a_long_numbered_list_is_no_set_of_copies() -> None:
    few = [f"crack/w ({i}).jpg" for i in range(MOST_COPIES - 1)]
    assert set(sources("crack/w.jpg", *few)) == {"crack/w"}
    assert set(sources("crack/w.jpg", *few, "crack/w (999).jpg")) == {None}


def test_sources_in_folders_of_classes_differ_and_those_in_parts_do_not() -> None:
    names = (
        f"train/crack/1_jpg.rf.{HASH}.jpg",
        f"test/crack/1_jpg.rf.{HASH[::-1]}.jpg",
        f"test/no/1_jpg.rf.{HASH}.jpg",
    )
    assert sources(*names) == ["crack/1", "crack/1", "no/1"]


# In data


def make(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"")
    return folder


def photos_of(patches: tuple[Patch, ...]) -> dict[str, str | None]:
    return {patch.path: patch.photo for patch in patches}


def test_folders_get_photos_from_exports_where_the_layout_names_none(tmp_path: Path) -> None:
    roboflow = f"crack/w_jpg.rf.{HASH}.jpg"
    sdnet = f"D/CD/7001-115_jpg.rf.{HASH}.jpg"
    index = read_patches(make(tmp_path, roboflow, "crack/00001.jpg", "crack/00001_1.jpg", sdnet))
    assert photos_of(index.patches) == {
        roboflow: "crack/w",
        "crack/00001.jpg": None,
        "crack/00001_1.jpg": None,
        sdnet: "D-7001",
    }


def test_a_table_gets_photos_where_its_column_is_empty(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label,photo\na.jpg,crack,p\na_flip.jpg,crack,\na_rot90.jpg,crack,\n")
    found = photos_of(read_patches(tmp_path / "labels.csv").patches)
    assert found == {"a.jpg": "p", "a_flip.jpg": "a", "a_rot90.jpg": "a"}


def test_a_pattern_takes_the_photo_from_any_name(tmp_path: Path) -> None:
    make(tmp_path, "crack/12-a.jpg", "uncracked/12-b.jpg", "crack/13-a.jpg")
    index = read_patches(tmp_path, photo_from=r"(\d+)-")
    assert photos_of(index.patches) == {"crack/12-a.jpg": "12", "uncracked/12-b.jpg": "12", "crack/13-a.jpg": "13"}
    (tmp_path / "t.csv").write_text("path,label,photo\ncrack/12-a.jpg,crack,other\n")
    assert photos_of(read_patches(tmp_path / "t.csv", photo_from=r"/(\d+)").patches) == {"crack/12-a.jpg": "12"}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", r"--photo-from '\(' is no regular expression"),
        ("IMG", "has 0 groups. Put parentheses around"),
        ("(a)(b)", "has 2 groups"),
        ("(IMG_[0-9]+)", "finds no photo in 'crack/12-a.jpg'. Write it so that it fits all names"),
        ("x?(y*)", "finds no photo in"),
    ],
)
def test_a_pattern_that_does_not_fit_is_an_error(pattern: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_patches(make(tmp_path, "crack/12-a.jpg"), photo_from=pattern)


def test_a_pattern_may_have_groups_that_are_not_counted() -> None:
    assert PhotoPattern(r"(?:IMG|DSC)_(\d+)").photo_of("crack/DSC_7.jpg") == "7"


def test_exports_of_one_source_stay_in_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRACKSCOPE_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    labels = ("crack", "uncracked")
    for label in labels:
        for source in range(8):
            for copy in range(3):
                place = tmp_path / "data" / label / f"w{source}_jpg.rf.{source}{copy}{HASH}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(png(rng.integers(0, 256, (40, 40, 3)).astype(np.uint8)))
    result = split(tmp_path / "data", by="photo", val=0.2, test=0.3)
    assert {patch.photo for patch in result.patches} == {f"{label}/w{i}" for label in labels for i in range(8)}
    assert len({(patch.photo, patch.part) for patch in result.patches}) == 16
