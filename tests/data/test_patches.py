"""Every layout that labelled patches come in, and every way in which a table can be wrong."""

from __future__ import annotations

import csv
import io
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.data.class_names import ClassNames
from crackscope.data.patches import LABELS, PARTS, Patch, PatchIndex, content_digest, read_patches
from crackscope.drawing.walls import draw_dataset, draw_patch
from crackscope.errors import DataError, SplitError
from crackscope.files.images import decode_image
from shared.memory_files import MemoryFiles

JPEG = cv2.imencode(".jpg", draw_patch(1, side_px=32).pixels)[1].tobytes()


def make(place: Path, names: list[str], table: str | bytes | None = None, top: str = "") -> Path:
    """A folder, or an archive where the place is named like one, with a drawn patch under each name."""
    files = {top + name: JPEG for name in names}
    if table is not None:
        files[f"{top}labels.csv"] = table.encode() if isinstance(table, str) else table
    if place.suffix == ".tar":
        with tarfile.open(place, "w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    elif place.suffix == ".zip":
        with zipfile.ZipFile(place, "w") as zipped:
            for name, content in files.items():
                zipped.writestr(name, content)
    else:
        for name, content in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
    return place


def one(tmp_path: Path, name: str) -> Patch | None:
    """How a single image is read, beside one of each label."""
    index = read_patches(make(tmp_path / "data", [name, "zz/crack/1.jpg", "zz/uncracked/1.jpg"]))
    found = {patch.path: patch for patch in index.patches}
    assert (name in found) is (name not in index.ignored)
    return found.get(name)


def refusal(data: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_patches(data)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "?"))
    return message


def table(tmp_path: Path, content: str | bytes) -> PatchIndex:
    (tmp_path / "t.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return read_patches(tmp_path / "t.csv")


def table_refusal(tmp_path: Path, content: str | bytes) -> str:
    (tmp_path / "t.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    message = refusal(tmp_path / "t.csv")
    assert message.startswith("t.csv")
    return message


# Folders


@pytest.mark.parametrize("ending", ["", ".tar", ".zip"])
@pytest.mark.parametrize("top", ["", "metu/"])
def test_metu(tmp_path: Path, ending: str, top: str) -> None:
    names = ["Positive/00001.jpg", "Positive/19378_1.jpg", "Negative/00001.jpg"]
    index = read_patches(make(tmp_path / f"METU{ending}", names, top=top))
    assert index.name == "METU"
    assert index.paths == sorted(top + name for name in names)
    assert [patch.label for patch in index.patches] == ["uncracked", "crack", "crack"]
    assert {(patch.dataset, patch.photo, patch.part) for patch in index.patches} == {("metu", None, None)}
    assert not index.knows_photos
    assert index.counts() == {"uncracked": 1, "crack": 2}
    assert decode_image(index.files.read(index.paths[0])).pixels.shape == (32, 32, 3)


@pytest.mark.parametrize("ending", ["", ".tar", ".zip"])
def test_sdnet2018(tmp_path: Path, ending: str) -> None:
    names = ["D/CD/7001-115.jpg", "D/UD/7001-2.jpg", "P/CP/001-115.jpg", "W/UW/7069-103.jpg", "W/CW/7069-1_2.jpg"]
    index = read_patches(make(tmp_path / f"sdnet{ending}", names))
    found = {patch.path: (patch.label, patch.photo, patch.dataset) for patch in index.patches}
    assert found == {
        "D/CD/7001-115.jpg": ("crack", "D-7001", "sdnet2018-D"),
        "D/UD/7001-2.jpg": ("uncracked", "D-7001", "sdnet2018-D"),
        "P/CP/001-115.jpg": ("crack", "P-001", "sdnet2018-P"),
        "W/UW/7069-103.jpg": ("uncracked", "W-7069", "sdnet2018-W"),
        "W/CW/7069-1_2.jpg": ("crack", "W-7069", "sdnet2018-W"),
    }
    assert index.knows_photos


def test_sdnet2018_names(tmp_path: Path) -> None:
    """A patch with a suffix is of the same photo; one without a number is of none."""
    names = [f"D/CD/{name}.jpg" for name in ("7039-112", "7039-112_2", "other")]
    index = read_patches(make(tmp_path, names))
    assert [patch.photo for patch in index.patches] == ["D-7039", "D-7039", None]
    assert [patch.dataset for patch in index.patches] == ["sdnet2018-D", "sdnet2018-D", "folder"]
    assert not index.knows_photos


def test_sdnet2018_as_kaggle_has_it(tmp_path: Path) -> None:
    names = [
        "Decks/Cracked/7001-115.jpg",
        "Walls/Non-cracked/7001-2.jpg",
        "walls/Cracked/7001-3.jpg",
        "Walls/Cracked/a.jpg",
    ]
    index = read_patches(make(tmp_path, names))
    assert {patch.path: patch.photo for patch in index.patches} == dict(
        zip(names, ["D-7001", "W-7001", None, None], strict=True)
    )


def test_lower_case_sdnet2018_keeps_its_photos(tmp_path: Path) -> None:
    index = read_patches(make(tmp_path, ["d/cd/7001-115.jpg", "d/ud/7001-1.jpg"]))
    assert {patch.photo for patch in index.patches} == {"D-7001"}


def test_metu_and_sdnet2018_under_one_root(tmp_path: Path) -> None:
    index = read_patches(
        make(tmp_path, ["metu/Positive/00001.jpg", "metu/Negative/1.jpg", "SDNET2018/D/CD/7001-1.jpg"])
    )
    assert [patch.dataset for patch in index.patches] == ["sdnet2018-D", "folder", "metu"]


SPELLINGS = {
    "crack": ("crack", "Crack", "CRACKS", "cracked", "Positive", "with crack", "WithCrack", "CD", "cw"),
    "uncracked": (
        *("uncracked", "Uncracked", "Non-cracked", "non_crack", "no_crack", "No Crack", "NoCracks", "not-cracked"),
        *("WithoutCrack", "without_cracks", "Negative", "UD", "up", "intact"),
    ),
}


@pytest.mark.parametrize(("label", "word"), [(label, word) for label, words in SPELLINGS.items() for word in words])
def test_spellings(tmp_path: Path, label: str, word: str) -> None:
    patch = one(tmp_path, f"{word}/1.jpg")
    assert patch is not None
    assert (patch.label, patch.dataset, patch.photo) == (label, "folder", None)


@pytest.mark.parametrize(
    "name",
    ["1.jpg", "crack.jpg", "cracking/1.jpg", "crack_dataset/1.jpg", "positive_results/1.jpg", "0/1.jpg", "1/1.jpg"],
)
def test_what_is_no_label(tmp_path: Path, name: str) -> None:
    assert one(tmp_path, name) is None


def test_folders_above_the_data_do_not_count(tmp_path: Path) -> None:
    place = make(tmp_path / "test" / "Positive" / "crack_data", ["crack/1.jpg", "uncracked/1.jpg", "2.jpg"])
    index = read_patches(place)
    assert index.counts() == {"uncracked": 1, "crack": 1}
    assert index.ignored == ("2.jpg",)
    assert {patch.part for patch in index.patches} == {None}
    assert "they lie at the top" in refusal(place / "crack")


def test_the_nearest_folder_tells(tmp_path: Path) -> None:
    """Numbered shards below a class folder keep its label; nothing is a label by its number."""
    for name, label in (
        ("Positive/0/1.jpg", "crack"),
        ("uncracked/site 1/CD/1.jpg", "crack"),
        ("crack/crack/2.jpg", "crack"),
    ):
        patch = one(tmp_path / label / name[:5], name)
        assert patch is not None
        assert patch.label == label


def test_a_word_above_folders_of_the_other_label_says_nothing(tmp_path: Path) -> None:
    names = ["Cracks/uncracked/1.jpg", "Cracks/cracked/1.jpg", "Cracks/legend.png", "Cracks/more/2.jpg"]
    index = read_patches(make(tmp_path, names))
    assert index.paths == ["Cracks/cracked/1.jpg", "Cracks/uncracked/1.jpg"]
    assert index.ignored == ("Cracks/legend.png", "Cracks/more/2.jpg")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train/crack/1.jpg", "train"),
        ("Training/crack/1.jpg", "train"),
        ("valid/crack/1.jpg", "val"),
        ("crack/validation/1.jpg", "val"),
        ("D/CD/test/7001-1.jpg", "test"),
        ("test/train/crack/1.jpg", "train"),
        ("test_images/crack/1.jpg", None),
        ("contest/crack/1.jpg", None),
        ("crack/test.jpg", None),
    ],
)
def test_parts(tmp_path: Path, name: str, part: str | None) -> None:
    patch = one(tmp_path, name)
    assert patch is not None
    assert (patch.label, patch.part) == ("crack", part)


def test_only_images_count(tmp_path: Path) -> None:
    names = [f"crack/{name}" for name in ("a.JPG", "b.tiff", "c.heic", "d.txt", "e.gif", "f.jpg.part", ".g.jpg")]
    index = read_patches(make(tmp_path, [*names, "__MACOSX/crack/._a.jpg"]))
    assert index.paths == ["crack/a.JPG", "crack/b.tiff", "crack/c.heic"]
    assert index.ignored == ()


@settings(max_examples=60, deadline=None)
@given(
    st.sets(
        st.lists(st.sampled_from(["crack", "Uncracked", "train", "a b", "1", "D", "UD"]), max_size=4).map("/".join),
        min_size=1,
    )
)
def test_every_image_is_a_patch_or_ignored(tmp_path_factory: pytest.TempPathFactory, folders: set[str]) -> None:
    names = [f"{folder}/7001-1.jpg".lstrip("/") for folder in folders]
    place = make(tmp_path_factory.mktemp("any") / "a.zip", [*names, "zz/crack/1.jpg"])
    index = read_patches(place)
    assert sorted((*index.paths, *index.ignored)) == sorted([*names, "zz/crack/1.jpg"])
    for patch in index.patches:
        assert patch.label in LABELS
        assert patch.part in (None, *PARTS)


# What is wrong with a folder


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("a")
    for name in ("empty", "text"):
        assert "no images found. Give a folder of class folders" in refusal(tmp_path / name)
    for name in ("none", "none.csv", "none.tar"):
        assert f"{tmp_path / name}: no such" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (
            ["craked"],
            "2 images, but no folder names a label (found 'craked'). Did you mean 'crack'? Say what it means: ",
        ),
        (["concrete_crack"], "(found 'concrete_crack'). Say what it means: --crack 'concrete_crack' or --uncracked "),
        (
            ["0", "1"],
            "(found '0', '1'). Say what each means: --crack '0', or --uncracked '0', and so on. Or name the f",
        ),
        (["a", "b", "c"], "(found 'a', 'b', 'c', 3 classes where there are two labels). Say what each means: "),
    ],
)
def test_no_folder_names_a_label(tmp_path: Path, folders: list[str], said: str) -> None:
    names = [f"{folder}/{i}.jpg" for folder in folders for i in range(2 if len(folders) == 1 else 1)]
    assert said in refusal(make(tmp_path / "data", names))


def test_names_of_the_users_own_label_folders_and_rows(tmp_path: Path) -> None:
    own = ClassNames(crack=("Riss", "1"), uncracked=("ohne Riss", "crack"))
    folders = make(tmp_path / "data", ["riss/1.jpg", "1/1.jpg", "ohne_riss/1.jpg", "crack/1.jpg", "spalling/1.jpg"])
    index = read_patches(folders, names=own)
    assert {patch.path.split("/")[0]: patch.label for patch in index.patches} == {
        **{"riss": "crack", "1": "crack"},
        **{"ohne_riss": "uncracked", "crack": "uncracked"},
    }
    assert index.ignored == ("spalling/1.jpg",)
    assert index.what_is_ignored() == (
        "1 image lies in folders that name no label ('spalling'), such as spalling/1.jpg: left out. "
        "Say what it means: --crack 'spalling' or --uncracked 'spalling'."
    )
    (tmp_path / "t.csv").write_text("path,label\na.jpg,RISS\nb.jpg,Ohne Riss\nc.jpg,cracked\n")
    rows = read_patches(tmp_path / "t.csv", names=own).patches
    assert [patch.label for patch in rows] == ["crack", "uncracked", "crack"]


def test_one_label_beside_other_folders_names_them(tmp_path: Path) -> None:
    index = read_patches(make(tmp_path / "walls", ["crack/1.jpg", "good/2.jpg"]))
    with pytest.raises(DataError) as caught:
        index.require_both_labels("a split")
    assert str(caught.value) == (
        "walls: a split needs both labels; found 1 crack and 0 uncracked; folders that name no label are left out "
        "('good'). Say what it means: --crack 'good' or --uncracked 'good'."
    )


def test_one_label_is_refused_where_two_are_needed(tmp_path: Path) -> None:
    index = read_patches(make(tmp_path / "walls", ["crack/1.jpg", "crack/2.jpg"]))
    assert index.counts() == {"uncracked": 0, "crack": 2}
    with pytest.raises(DataError) as caught:
        index.require_both_labels("training")
    assert str(caught.value) == (
        "walls: training needs both labels; found 2 crack and 0 uncracked. Add patches labelled 'uncracked'."
    )
    read_patches(make(tmp_path / "walls", ["no crack/1.jpg"])).require_both_labels("training")


def test_selecting(tmp_path: Path) -> None:
    index = read_patches(make(tmp_path, ["crack/1.jpg", "uncracked/2.jpg"]))
    few = index.select(index.patches[:1])
    assert (len(few), few.paths, few.name) == (1, ["crack/1.jpg"], index.name)
    assert few.files is index.files
    assert len(content_digest(b"")) == 32


def test_parts_and_labels_of_an_index() -> None:
    patches = [Patch("a.jpg", "crack", part="val"), Patch("b.jpg", "uncracked"), Patch("c.jpg", "crack", part="train")]
    index = PatchIndex("walls", tuple(patches), MemoryFiles({}))
    assert index.part("train").paths == ["c.jpg"]
    assert index.part("train", "val").paths == ["a.jpg", "c.jpg"]
    assert index.part("test").paths == []
    assert index.labels.tolist() == [1, 0, 1]
    assert index.labels.dtype == np.int64
    assert index.part("test").labels.shape == (0,)
    with pytest.raises(SplitError, match=r"part 'trian' is none of train, val, test\. Did you mean 'train'\?"):
        index.part("trian")


@pytest.mark.parametrize("threads", [1, 3])
def test_digests_read_each_file_once_and_decode_none(threads: int) -> None:
    contents = {f"{i:02d}.jpg": f"no image {i}".encode() for i in range(20)}
    files = MemoryFiles(contents)
    names = ["gone.jpg", *contents]
    index = PatchIndex("walls", tuple(Patch(name, "crack") for name in names), files)
    seen: list[tuple[int, int]] = []
    found = index.digests(threads=threads, progress=lambda done, total: seen.append((done, total)))
    assert found == (b"", *map(content_digest, contents.values()))
    assert sorted(files.read_names) == sorted(names)
    assert seen == [(8, 21), (16, 21), (21, 21)]
    assert index.select([]).digests() == ()


def test_an_index_is_data_as_it_is(tmp_path: Path) -> None:
    index = read_patches(make(tmp_path, ["crack/1.jpg", "uncracked/1.jpg"]))
    assert read_patches(index) is index


@pytest.mark.parametrize(("folder", "name"), [("v1.2 walls", "v1.2 walls"), (".hidden", ".hidden"), ("a", "a")])
def test_the_name_of_the_data(tmp_path: Path, folder: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make(tmp_path / folder, ["crack/1.jpg"])
    assert read_patches(place).name == name
    monkeypatch.chdir(place)
    assert read_patches(".").name == name
    assert read_patches(str(place / "crack" / "..")).name == name


# Tables


@pytest.mark.parametrize(
    "content",
    [
        "path,label\na.jpg,crack\nb/c d.jpg,uncracked\n",
        "\ufeffpath,label\na.jpg,crack\nb/c d.jpg,uncracked\n",
        "path,label\r\na.jpg,crack\r\nb/c d.jpg,uncracked\r\n",
        "path,label\ra.jpg,crack\rb/c d.jpg,uncracked",
        " Path , LABEL \n  a.jpg ,\tcrack \n\n b/c d.jpg,uncracked  \n\n",
        'label,notes,path\ncrack,,a.jpg\nuncracked,"x, y",b\\c d.jpg\n',
        'path,label\n"a.jpg","crack"\n"./b//c d.jpg",uncracked\n',
        "path,label,photo,part\na.jpg,crack\nb/c d.jpg,uncracked,,\n",
        "path,label\na.jpg,crack,,\nb/c d.jpg,uncracked,\n",
    ],
)
def test_one_table_many_spellings(tmp_path: Path, content: str) -> None:
    assert table(tmp_path, content).patches == (Patch("a.jpg", "crack"), Patch("b/c d.jpg", "uncracked"))


def test_photo_and_part(tmp_path: Path) -> None:
    index = table(tmp_path, "path,label,photo,part\na.jpg,crack,7,train\nb.jpg,crack,8,\nc.jpg,uncracked,,test\n")
    assert [(patch.photo, patch.part) for patch in index.patches] == [("7", "train"), ("8", None), (None, "test")]
    assert index.name == "t"
    assert not index.knows_photos


def test_commas_and_unicode_in_a_path(tmp_path: Path) -> None:
    assert table(tmp_path, 'path,label\n"a, b ""c"" 橋.jpg",crack\n').paths == ['a, b "c" 橋.jpg']


@pytest.mark.parametrize("place", ["data", "data.tar", "data.zip"])
@pytest.mark.parametrize("top", ["", "walls/"])
def test_a_table_inside_wins_over_folders(tmp_path: Path, place: str, top: str) -> None:
    found = make(
        tmp_path / place, ["x/1.jpg", "crack/2.jpg"], "path,label\ncrack/2.jpg,uncracked\nx/1.jpg,crack\n", top=top
    )
    index = read_patches(found)
    assert [(patch.path, patch.label) for patch in index.patches] == [
        (f"{top}crack/2.jpg", "uncracked"),
        (f"{top}x/1.jpg", "crack"),
    ]
    assert index.files.read(index.paths[0]) == JPEG
    assert index.name == "data"


def test_a_table_deep_inside_is_none(tmp_path: Path) -> None:
    index = read_patches(make(tmp_path, ["crack/1.jpg", "uncracked/labels.csv"]))
    assert index.paths == ["crack/1.jpg"]


def test_a_wrong_table_inside_names_its_place(tmp_path: Path) -> None:
    place = make(tmp_path / "walls.zip", ["1.jpg"], "path,label\n1.jpg,crak\n", top="in/")
    assert refusal(place).startswith("walls.zip/in/labels.csv, row 2: label 'crak'")


def test_a_table_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make(tmp_path / "walls", ["1.jpg"], "path,label\n1.jpg,crack\n")

    def fail(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert "labels.csv cannot be read (Permission denied)" in refusal(place)
    assert "cannot be read (Permission denied)" in refusal(place / "labels.csv")


def test_the_drawn_data_set_reads_itself(tmp_path: Path) -> None:
    labels_csv = draw_dataset(tmp_path / "walls", n_photos=3, patches_per_photo=4, side_px=32)
    for data in (labels_csv, tmp_path / "walls"):
        index = read_patches(data)
        assert index.knows_photos
        assert {patch.label for patch in index.patches} <= set(LABELS)
        assert all(decode_image(index.files.read(path)).pixels.shape == (32, 32, 3) for path in index.paths)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "path,label\na.jpg,crack\nb.jpg,crak\n",
            "t.csv, row 3: label 'crak' is neither 'crack' nor 'uncracked'. Did you mean 'crack'?",
        ),
        (
            "path,label\nb.jpg,spalling\n",
            "row 2: label 'spalling' is neither 'crack' nor 'uncracked'. "
            "Say what it means: --crack 'spalling' or --uncracked 'spalling'. Or delete such rows.",
        ),
        (
            "path,label\na.jpg,Riss\nb.jpg,Beton\n",
            "row 2: label 'Riss' is neither 'crack' nor 'uncracked', nor is 'Beton'. Say what each means: "
            "--crack 'Riss', or",
        ),
        (
            "path,label\na.jpg,crack\nb.jpg,spalling\nc.jpg,ok\nd.jpg,spalling\n",
            "row 3: label 'spalling' is neither 'crack' nor 'uncracked', nor is 'ok'; 3 classes, where there are two ",
        ),
        ("path,label\nb.jpg\n", "row 2: label '' is neither"),
        (
            "path,label,part\nb.jpg,crack,tran\n",
            "row 2: part 'tran' is none of train, val, test. Did you mean 'train'?",
        ),
        ("path,label\n\n\n ,crack\n", "row 4: the path is empty. Name the image, or delete the row."),
        ("path,label\n,\n", "no rows"),
        (
            "path,label\na.jpg,crack\nb.jpg,crack\n./a.jpg,crack\n",
            "row 4: 'a.jpg' is listed twice, first in row 2. Keep",
        ),
        ("path,label\na, b.jpg,crack\n", "row 2: 3 values, but the first line names 2 columns. Put quotes"),
        ("path,lable\na.jpg,crack\n", "t.csv: no column 'label' among path, lable. Did you mean 'lable'?"),
        ("file,label\na.jpg,crack\n", "no column 'path' among file, label. The first line must name"),
        (
            "path;label\na.jpg;crack\n",
            "no column 'path' among path;label. The first line must name path,label",
        ),
        ("path,label,label\na.jpg,crack,crack\n", "two columns 'label' among path, label, label"),
        ("a.jpg,crack\nb.jpg,uncracked\n", "no column 'path' among a.jpg, crack"),
        ("", "no column 'path' among none"),
        ("path,label\n", "no rows. List one patch a line"),
        ("path,label\n\n\n", "no rows"),
        ('path,label\n"a.jpg,crack\nb.jpg,crack\n', "not a CSV (a quote opens here and is never closed rightly)"),
        ('path,label\na.jpg,"sp\nall"\n', "label 'sp all' is neither"),
        (f"path,label\na.jpg,{'x' * 500}\n", "xxx...' is neither"),
        (f"path,label\n{'x' * 200_000},crack\n", "not a CSV (field larger"),
        ("path,label\nStraße.jpg,crack\n".encode("latin-1"), "not UTF-8 text (byte 15). Save it as CSV in UTF-8."),
        ("path,label\na.jpg,crack\n".encode("utf-16"), "not UTF-8 text (byte 0)"),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert said in table_refusal(tmp_path, content)


@settings(max_examples=80, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=80), st.text(alphabet='path,label\n\r"; crack\x00\\', max_size=80).map(str.encode)
    )
)
def test_no_table_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    for start in (b"", b"path,label\n"):
        place = tmp_path_factory.mktemp("any") / "t.csv"
        place.write_bytes(start + content)
        try:
            index = read_patches(place)
        except DataError:
            continue
        assert len(index) > 0


WORDS = st.text(alphabet="abÄ橋,;\" '._-", min_size=1, max_size=8).map(str.strip).filter(lambda word: word.strip("."))


@settings(max_examples=60, deadline=None)
@given(rows=st.dictionaries(WORDS, st.tuples(st.sampled_from(LABELS), WORDS, st.sampled_from(PARTS)), min_size=1))
def test_what_a_csv_writer_wrote_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, tuple[str, str, str]]
) -> None:
    place = tmp_path_factory.mktemp("any") / "t.csv"
    with place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "photo", "part"])
        writer.writerows([path, *row] for path, row in rows.items())
    assert read_patches(place).patches == tuple(Patch(path, *row) for path, row in rows.items())
