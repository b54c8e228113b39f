import os
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from crackscope.errors import DataError, ImageError
from crackscope.files.inputs import ImageFile, files_behind, list_images

symlinks = pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")


@pytest.fixture
def walls(tmp_path: Path) -> Path:
    """A folder with images among other things; every file holds its own name."""
    folder = tmp_path / "walls"
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "north/c.heic", "north/deep/d.TIFF", "e.jpeg.bak"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


IMAGES = ["a.png", "b.JPG", "north/c.heic", "north/deep/d.TIFF"]


def names(images: list[ImageFile], folder: Path | str) -> list[str]:
    return [Path(path).relative_to(folder).as_posix() for path in (image.path for image in images)]


def contents(images: list[ImageFile]) -> list[str]:
    return [image.read().decode() for image in images]


def test_a_folder_gives_its_images_by_name(walls: Path) -> None:
    images = list_images([walls])
    assert names(images, walls) == IMAGES
    assert contents(images) == IMAGES
    assert list_images([f"{walls}/"])[0].path == f"{walls}/a.png"


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_is_read_like_a_folder(walls: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"walls.{kind}"
    if kind == "tar":
        with tarfile.open(path, "w") as archive:
            archive.add(walls, ".")
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(walls.rglob("*"), reverse=True):
                archive.write(file, file.relative_to(walls))
    images = list_images([path])
    assert names(images, path) == IMAGES
    assert contents(images) == IMAGES


def test_files_of_any_name_are_listed_in_the_order_given(walls: Path) -> None:
    (walls / "report.jpg").write_bytes(b"%PDF-1.7")
    given = [walls / name for name in ("notes.txt", "b.JPG", "report.jpg", "gone.jpg", "b.JPG")]
    images = list_images(given)
    assert [image.path for image in images] == [str(path) for path in given]
    with pytest.raises(FileNotFoundError):
        images[3].read()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png"]),
        ("?.[pJ]*", ["a.png", "b.JPG"]),
        ("**/*.heic", ["north/c.heic"]),
        ("**/[cd].*", ["north/c.heic", "north/deep/d.TIFF"]),
        ("**", IMAGES),
        ("nor*", IMAGES[2:]),
        ("nor*/", IMAGES[2:]),
        ("*/deep", IMAGES[3:]),
        ("*.txt", ["notes.txt"]),
    ],
)
def test_a_glob_gives_each_match_once(walls: Path, pattern: str, expected: list[str]) -> None:
    assert names(list_images([f"{walls}/{pattern}"]), walls) == expected


def test_a_glob_may_be_relative(walls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(walls)
    assert [image.path for image in list_images(["**/*.heic", "*.png"])] == [os.path.join("north", "c.heic"), "a.png"]  # noqa: PTH118
    assert names(list_images(["."]), ".") == IMAGES


def test_brackets_in_a_real_name_are_no_pattern(tmp_path: Path) -> None:
    for name in ("wall[1].png", "wall1.png", "site[2]/a.png", "site2/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert contents(list_images([tmp_path / "wall[1].png"])) == ["wall[1].png"]
    assert contents(list_images([tmp_path / "site[2]"])) == ["site[2]/a.png"]
    assert contents(list_images([tmp_path / "site[2]" / "*.png"])) == ["site[2]/a.png"]
    assert contents(list_images([tmp_path / "wall[12].png"])) == ["wall1.png"]


def test_a_glob_that_matches_nothing_is_an_error(walls: Path) -> None:
    with pytest.raises(DataError, match=r"\*\.gif: this pattern matches no file"):
        list_images([f"{walls}/*.gif"])


def test_an_empty_folder_is_an_error_when_named_and_not_when_matched(walls: Path, tmp_path: Path) -> None:
    (walls / "south").mkdir()
    for named in (walls / "south", tmp_path / "empty*"):
        (tmp_path / "empty1").mkdir(exist_ok=True)
        with pytest.raises(DataError, match="no images found"):
            list_images([named])
    assert names(list_images([f"{walls}/*th"]), walls) == IMAGES[2:]


@symlinks
def test_a_loop_of_links_ends(walls: Path) -> None:
    (walls / "north" / "up").symlink_to(walls, target_is_directory=True)
    assert names(list_images([walls]), walls) == IMAGES
    assert names(list_images([f"{walls}/**/*.heic"]), walls) == ["north/c.heic"]


@symlinks
def test_a_link_to_nowhere_is_listed(walls: Path) -> None:
    (walls / "a.png").unlink()
    (walls / "a.png").symlink_to("gone.png")
    image = files_behind(walls / "a.png")
    assert names(image, walls) == ["a.png"]
    with pytest.raises(FileNotFoundError):
        image[0].read()
    with pytest.raises(DataError, match=r"a\.png: no such file"):
        list_images([walls / "a.png"])
    assert names(files_behind(f"{walls}/*.png"), walls) == ["a.png"]


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_list_names_files_from_where_it_lies(walls: Path, tmp_path: Path, start: str) -> None:
    lines = [
        f"{start}number, path ,label",
        "1,a.png,crack",
        f"2,{walls}/b.JPG,",
        "3,north/c.heic",
        ",,",
        "",
        "4,gone.png,",
    ]
    (walls / "list.CSV").write_text("\n".join(lines), encoding="utf-8")
    images = list_images([walls / "list.CSV", walls / "a.png"])
    assert [image.path for image in images] == [
        str(walls / name) for name in ("a.png", "b.JPG", "north/c.heic", "gone.png", "a.png")
    ]
    assert contents(images[:3]) == ["a.png", "b.JPG", "north/c.heic"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.png,crack\n", r"list\.csv: no column 'path' among file, label\. Name it in line 1\.$"),
        ("Pth\na.png\n", r"no column 'path' among Pth\. Did you mean 'pth'\? Name it in line 1\."),
        ("path;label\na.png;crack\n", "no column 'path' among path;label"),
        ("", "no column 'path' among none"),
        ("path,label\n", "the list is empty"),
        ("path,label\n\n,,\n", "the list is empty"),
        ("path,label\na.png,crack\n,crack\n", "list.csv, line 3: no path"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        list_images([tmp_path / "list.csv"])


@pytest.mark.parametrize("content", ["path\nwände.png".encode("utf-16"), "path\nwände.png".encode("latin-1")])
def test_a_list_in_another_encoding_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DataError, match="not UTF-8 text"):
        list_images([tmp_path / "list.csv"])


def test_a_list_that_is_missing_is_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (image,) = files_behind(tmp_path / "list.csv")
    assert image.path == str(tmp_path / "list.csv")
    with pytest.raises(FileNotFoundError):
        image.read()


def test_an_empty_path_is_not_the_folder_we_are_in(walls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(walls)
    with pytest.raises(DataError, match="an empty path was given"):
        list_images([""])


@pytest.mark.parametrize("path", ["a\0b.png", "x" * 300 + ".png", "x" * 5000, "a.png/b.png"])
def test_an_impossible_path_is_one_that_cannot_be_read(walls: Path, path: str) -> None:
    (image,) = files_behind(f"{walls}/{path}")
    assert image.path == f"{walls}/{path}"
    with pytest.raises((OSError, ImageError)):
        image.read()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(walls: Path) -> None:
    os.mkfifo(walls / "pipe.jpg")
    for given in (walls, walls / "pipe.jpg", f"{walls}/*.jpg"):
        image = {one.path: one for one in list_images([given])}.get(str(walls / "pipe.jpg"))
        if image:  # a folder may leave it out
            with pytest.raises(ImageError, match="not a file"):
                image.read()


def test_a_file_no_image_can_fill_is_not_loaded(walls: Path) -> None:
    with (walls / "huge.jpg").open("wb") as file:
        file.truncate(2**32 + 1)  # a hole: it takes no room on the disk
    with pytest.raises(ImageError, match=r"4\.3 GB is too large"):
        next(one for one in list_images([walls]) if one.path == str(walls / "huge.jpg")).read()


def test_a_folder_named_in_a_list_is_no_image(walls: Path) -> None:
    (walls / "list.csv").write_text("path\nnorth\n")
    with pytest.raises(ImageError, match="a folder, not a file"):
        list_images([walls / "list.csv"])[0].read()


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are Unicode there")
def test_a_name_that_is_no_unicode_is_read(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/w\xff.png"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"x")
    (image,) = list_images([tmp_path])
    assert image.path.endswith("w\udcff.png")
    assert image.read() == b"x"


ABSENT = {
    "a missing file": ("gone.jpg", "gone.jpg: no such file, folder or archive"),
    "a missing folder": ("gone/", "gone/: no such file, folder or archive"),
    "a missing archive": ("gone.tar", "gone.tar: no such file, folder or archive"),
    "a file below a file": ("walls/a.png/b.png", "b.png: no such file, folder or archive"),
    "an empty folder": ("empty", "empty: no images found"),
    "a folder without images": ("texts", "texts: no images found"),
    "an empty archive": ("empty.zip", "empty.zip: no images found"),
    "an archive without images": ("texts.tar", "texts.tar: no images found"),
    "a glob without match": ("*.gif", "*.gif: this pattern matches no file"),
    "a glob of empty folders": ("emp*y", "emp*y: no images found"),
    "a list of missing files": ("gone.csv", "a.jpg: no such file, folder or archive; nor is there an image behind 1 o"),
}
"""Paths behind which there is no image, below the folder `absent`, and what is said of them."""


@pytest.fixture
def absent(walls: Path) -> Path:
    """The folder that the paths of `ABSENT` lie in."""
    folder = walls.parent
    (folder / "empty").mkdir()
    (folder / "texts").mkdir()
    (folder / "texts" / "notes.txt").write_text("notes")
    zipfile.ZipFile(folder / "empty.zip", "w").close()
    with tarfile.open(folder / "texts.tar", "w") as archive:
        archive.add(folder / "texts", ".")
    (folder / "gone.csv").write_text("path\na.jpg\nb.jpg\n")
    return folder


@pytest.mark.parametrize("kind", ABSENT)
def test_nothing_behind_any_path_is_an_error_and_behind_one_of_several_is_told_by_reading(
    absent: Path, kind: str
) -> None:
    path, told = ABSENT[kind]
    with pytest.raises(DataError) as caught:
        list_images([f"{absent}/{path}"])
    assert told in str(caught.value)
    assert str(caught.value).endswith(". Check the path.")
    *lost, found = list_images([f"{absent}/{path}", absent / "walls" / "a.png"])
    assert (found.read(), found.why_absent()) == (b"a.png", None)
    for image in lost:
        assert image.why_absent()
        with pytest.raises((OSError, ImageError)):
            image.read()


def test_nothing_behind_several_paths_is_one_error(absent: Path) -> None:
    with pytest.raises(DataError) as caught:
        list_images([f"{absent}/{path}" for path, _ in ABSENT.values()])
    assert str(caught.value) == (
        f"{absent}/gone.jpg: no such file, folder or archive; nor is there an image behind {len(ABSENT)} other paths. "
        "Check the path."
    )


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="all may look there")
def test_a_place_where_one_may_not_look_is_told_as_such(walls: Path) -> None:
    (walls / "north").chmod(0)
    try:
        with pytest.raises(DataError, match=r"c\.heic: Permission denied"):
            list_images([walls / "north" / "c.heic"])
    finally:
        (walls / "north").chmod(0o755)


def test_nothing_gives_nothing() -> None:
    assert list_images([]) == []
