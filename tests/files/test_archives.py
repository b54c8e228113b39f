"""A folder, a tar and a zip of the same files read the same; what is damaged says so, and never gives short bytes."""

from __future__ import annotations

import io
import os
import stat
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.drawing.walls import draw_patch
from crackscope.errors import DataError
from crackscope.files.archives import Files, is_archive, open_files

PATCH = cv2.imencode(".jpg", draw_patch(1, side_px=64).pixels)[1].tobytes()
FILES = {
    "Positive/1.jpg": PATCH,
    "Negative/2.jpg": PATCH[::-1],
    "empty.jpg": b"",
    "a b/Straße 橋 é/x.jpg": b"unicode",
    f"deep/{'n' * 250}.jpg": b"long",
    "readme.txt": b"text",
}
HIDDEN = {".DS_Store": b"x", "a b/.hidden/3.jpg": b"x", "__MACOSX/Positive/._1.jpg": b"x", "lost+found/4.jpg": b"x"}


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def add(archive: tarfile.TarFile, name: str, content: bytes = b"", **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    archive.addfile(member, io.BytesIO(content))


def write_tar(path: Path, files: dict[str, bytes], *, prefix: str = "", mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            add(archive, prefix + name, content)
    return path


def write_zip(path: Path, files: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def contents(files: Files) -> dict[str, bytes]:
    return {name: files.read(name) for name in files.names}


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        assert open_files(path).names is None
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_folder_tar_and_zip_are_alike(tmp_path: Path) -> None:
    everything = {**FILES, **HIDDEN}
    places = [
        write_folder(tmp_path / "data", everything),
        write_tar(tmp_path / "data.tar", everything),
        write_tar(tmp_path / "dotted.TAR", everything, prefix="./"),
        write_zip(tmp_path / "data.zip", everything),
        write_zip(tmp_path / "stored.zip", everything, method=zipfile.ZIP_STORED),
    ]
    for place in places:
        files = open_files(place)
        assert files.names == tuple(sorted(FILES)), place
        assert contents(files) == FILES


def test_archives_made_by_the_standard_library_s_own_packer(tmp_path: Path) -> None:
    import shutil

    folder = write_folder(tmp_path / "data", FILES)
    for kind in ("tar", "zip"):
        made = Path(shutil.make_archive(str(tmp_path / "packed"), kind, folder))
        assert contents(open_files(made)) == FILES


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.lists(st.text("abÄ9 _-橋", min_size=1, max_size=6), min_size=1, max_size=3).map("/".join),
        st.binary(max_size=700),
        max_size=6,
    )
)
def test_whatever_is_put_in_comes_out(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    folder = tmp_path_factory.mktemp("any")
    for place in (write_tar(folder / "a.tar", files), write_zip(folder / "a.zip", files)):
        assert contents(open_files(place)) == files


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_a_name_that_is_not_there_is_an_oserror(tmp_path: Path, kind: str) -> None:
    place = {
        "folder": lambda: write_folder(tmp_path / "a", FILES),
        "tar": lambda: write_tar(tmp_path / "a.tar", FILES),
        "zip": lambda: write_zip(tmp_path / "a.zip", FILES),
    }[kind]()
    files = open_files(place)
    for name in ("none.jpg", "Positive", "../a.tar", ""):
        with pytest.raises(OSError, match=r"."):
            files.read(name)


def test_an_empty_archive_has_no_names(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", write_tar(tmp_path / "a.tar", {}), write_zip(tmp_path / "a.zip", {})):
        assert open_files(place).names == ()


# Folders

posix = pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")


@posix
def test_loops_of_links_end(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a/1.jpg": b"1"})
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "me").symlink_to(tmp_path / "me")
    (tmp_path / "x").symlink_to(tmp_path / "y")
    (tmp_path / "y").symlink_to(tmp_path / "x")
    names = open_files(tmp_path).names
    assert names == ("a/1.jpg", "me", "x", "y")
    with pytest.raises(OSError, match=r"."):
        open_files(tmp_path).read("me")


@posix
@pytest.mark.parametrize("link", ["aaa", "zzz"])
def test_a_linked_folder_is_read_once_under_its_real_name(tmp_path: Path, link: str) -> None:
    write_folder(tmp_path / "data", {"mmm/1.jpg": b"1"})
    write_folder(tmp_path / "elsewhere", {"2.jpg": b"2"})
    (tmp_path / "data" / link).symlink_to("mmm")
    (tmp_path / "data" / "other").symlink_to(tmp_path / "elsewhere")
    assert contents(open_files(tmp_path / "data")) == {"mmm/1.jpg": b"1", "other/2.jpg": b"2"}


@posix
def test_a_broken_link_is_a_row_and_a_pipe_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    (tmp_path / "linked.jpg").symlink_to("real.jpg")
    (tmp_path / "real.jpg").write_bytes(b"1")
    os.mkfifo(tmp_path / "pipe.jpg")
    files = open_files(tmp_path)
    assert files.names == ("broken.jpg", "linked.jpg", "real.jpg")
    assert files.read("linked.jpg") == b"1"
    for name in ("broken.jpg", "pipe.jpg"):
        with pytest.raises(OSError, match=r"."):
            files.read(name)


@posix
def test_names_that_are_no_unicode(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(b"1")
    except OSError:
        pytest.skip("this disk takes Unicode alone")
    assert list(contents(open_files(tmp_path)).values()) == [b"1"]


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", fail)
    assert "cannot be listed (Permission denied)" in refusal(tmp_path)


def test_a_folder_is_listed_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path, {"1.jpg": b"1"})
    monkeypatch.setattr(os, "scandir", None)
    assert open_files(tmp_path).read("1.jpg") == b"1"


# Damage


def test_what_is_no_archive(tmp_path: Path) -> None:
    write_folder(
        tmp_path, {"a.tar": b"junk" * 300, "b.zip": b"junk" * 300, "c.txt": b"text", "d.tar": b"", "e.zip": b""}
    )
    for name in ("a.tar", "b.zip", "d.tar", "e.zip"):
        assert "damaged archive" in refusal(tmp_path / name)
    assert "neither a folder" in refusal(tmp_path / "c.txt")
    assert "no such" in refusal(tmp_path / "none.tar")
    assert "Check the path" in refusal(tmp_path / ("n" * 400))


def test_a_packed_tar_says_what_to_do(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar.gz", FILES, mode="w:gz")
    write_tar(tmp_path / "b.tar", FILES, mode="w:gz")  # packed, whatever its name
    write_tar(tmp_path / "c.tar", FILES, mode="w:xz")
    write_folder(tmp_path, {"d.7z": b"7z", "e.tgz": b""})
    for path in sorted(tmp_path.iterdir()):
        assert "compressed archive cannot be read in place. Unpack it" in refusal(path)


def test_an_archive_one_may_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    place = write_tar(tmp_path / "a.tar", FILES)
    monkeypatch.setattr(Path, "open", fail)
    assert "cannot be read (Permission denied)" in refusal(place)


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1))
def test_a_tar_cut_short_is_refused(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    folder = tmp_path_factory.mktemp("cut")
    files = {f"{i}.jpg": bytes([i]) * (300 * i + 1) for i in range(6)}
    content = write_tar(folder / "a.tar", files).read_bytes()
    end = len(content.rstrip(b"\0"))
    (folder / "a.tar").write_bytes(content[: int(share * end)])
    assert "damaged archive" in refusal(folder / "a.tar")


def test_a_tar_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    place = write_tar(tmp_path / "a.tar", {"1.jpg": b"1" * 512, "2.jpg": b"2" * 512})
    place.write_bytes(place.read_bytes()[:1024])
    assert "cut short at byte 1024" in refusal(place)


def test_a_damaged_header_in_the_middle_does_not_hide_the_rest(tmp_path: Path) -> None:
    place = write_tar(tmp_path / "a.tar", {"1.jpg": b"1" * 512, "2.jpg": b"2" * 512, "3.jpg": b"3"})
    content = bytearray(place.read_bytes())
    content[1024:1030] = b"\xffnoise"
    place.write_bytes(bytes(content))
    with tarfile.open(place) as archive:
        assert archive.getnames() == ["1.jpg"]  # this is what it would look like
    assert "is damaged at byte 1024" in refusal(place)


def test_a_tar_that_shrinks_while_it_is_read_gives_no_short_bytes(tmp_path: Path) -> None:
    place = write_tar(tmp_path / "a.tar", {"1.jpg": b"1" * 900})
    files = open_files(place)
    place.write_bytes(place.read_bytes()[:1000])
    with pytest.raises(OSError, match="cut short: 488 of 900 bytes"):
        files.read("1.jpg")


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_zip_cut_short_is_refused(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    place = write_zip(tmp_path_factory.mktemp("cut") / "a.zip", FILES)
    content = place.read_bytes()
    place.write_bytes(content[: int(share * len(content))])
    assert "damaged archive" in refusal(place)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_of_a_zip_is_an_oserror(tmp_path: Path, method: int) -> None:
    good = bytes(range(256)) * 8
    place = write_zip(tmp_path / "a.zip", {"1.jpg": good, "2.jpg": b"2"}, method=method)
    whole = place.read_bytes()
    for at in range(0, 60, 3):
        content = bytearray(whole)
        content[at] ^= 0xFF
        place.write_bytes(bytes(content))
        files = open_files(place)
        try:
            assert files.read("1.jpg") == good
        except OSError as error:
            assert "damaged member" in str(error)  # noqa: PT017
        assert files.read("2.jpg") == b"2"


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["tar", "zip"]),
    places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=5),
)
def test_no_damage_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, kind: str, places: list[tuple[float, int]]
) -> None:
    write: Callable[..., Path] = write_tar if kind == "tar" else write_zip
    place = write(tmp_path_factory.mktemp("any") / f"a.{kind}", FILES)
    content = bytearray(place.read_bytes())
    for share, value in places:
        content[int(share * len(content))] = value
    place.write_bytes(bytes(content))
    try:
        files = open_files(place)
    except DataError:
        return
    for name in files.names:
        try:
            files.read(name)
        except OSError:
            continue


# Odd members


def test_links_inside_a_tar_lead_to_their_files(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "a/1.jpg", b"one")
        add(archive, "b/hard.jpg", type=tarfile.LNKTYPE, linkname="a/1.jpg")
        add(archive, "b/soft.jpg", type=tarfile.SYMTYPE, linkname="../a/1.jpg")
        add(archive, "b/twice.jpg", type=tarfile.SYMTYPE, linkname="soft.jpg")
        add(archive, "b/broken.jpg", type=tarfile.SYMTYPE, linkname="none.jpg")
        add(archive, "b/out.jpg", type=tarfile.SYMTYPE, linkname="../../etc/passwd")
        add(archive, "b/loop.jpg", type=tarfile.SYMTYPE, linkname="loop.jpg")
        add(archive, "c", type=tarfile.SYMTYPE, linkname="a")
        add(archive, "a", type=tarfile.DIRTYPE)
        add(archive, "null", type=tarfile.CHRTYPE)
    files = open_files(tmp_path / "a.tar")
    names = {f"b/{name}.jpg" for name in ("hard", "soft", "twice", "broken", "out", "loop")}
    assert set(files.names) == {"a/1.jpg", *names}
    assert {files.read(f"b/{name}.jpg") for name in ("hard", "soft", "twice")} == {b"one"}
    for name in ("broken", "out", "loop"):
        with pytest.raises(OSError, match="no such file"):
            files.read(f"b/{name}.jpg")


def test_a_later_member_replaces_an_earlier_one(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "1.jpg", b"old")
        add(archive, "./1.jpg", b"new")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zipped.writestr("1.jpg", b"old")
        zipped.writestr("1.jpg", b"new")
    for place in (tmp_path / "a.tar", tmp_path / "a.zip"):
        assert contents(open_files(place)) == {"1.jpg": b"new"}


@pytest.mark.parametrize("dialect", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_dialect_of_tar(tmp_path: Path, dialect: int) -> None:
    names = {"a.jpg": b"1", "d/" * 20 + "n" * 90 + ".jpg": b"2", "back\\slash.jpg": b"3", "caf\udce9.jpg": b"4"}
    with tarfile.open(tmp_path / "a.tar", "w", format=dialect) as archive:
        for name, content in names.items():
            add(archive, name, content)
    assert contents(open_files(tmp_path / "a.tar")) == names


def test_members_that_leave_the_archive_are_left_out(tmp_path: Path) -> None:
    files = {"../out.jpg": b"1", "/abs.jpg": b"2", "a/../../b.jpg": b"3", "a//c.jpg": b"4"}
    for place in (write_tar(tmp_path / "a.tar", files), write_zip(tmp_path / "a.zip", files)):
        assert contents(open_files(place)) == {"abs.jpg": b"2", "a/c.jpg": b"4"}


def test_a_zip_from_windows_may_have_backslashes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, system in (("data\\Positive\\1.jpg", 0), ("data\\Positive\\", 0), ("odd\\name.jpg", 3)):
            info = zipfile.ZipInfo("x")
            info.filename, info.create_system = name, system
            archive.writestr(info, b"" if name.endswith("\\") else b"1")
    expected = "odd/name.jpg" if os.sep == "\\" else "odd\\name.jpg"
    assert contents(open_files(tmp_path / "a.zip")) == {"data/Positive/1.jpg": b"1", expected: b"1"}


def test_names_of_a_zip_that_are_no_unicode(tmp_path: Path) -> None:
    place = write_zip(tmp_path / "a.zip", {"cafe.jpg": b"1"})
    place.write_bytes(place.read_bytes().replace(b"cafe", b"caf\xe9"))
    assert list(contents(open_files(place)).values()) == [b"1"]


def test_links_and_locked_members_of_a_zip_say_why(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("link.jpg")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "1.jpg")
        archive.writestr("locked.jpg", b"1")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(bytes(content))
    files = open_files(tmp_path / "a.zip")
    with pytest.raises(OSError, match="a link inside a zip"):
        files.read("link.jpg")
    with pytest.raises(OSError, match=r"damaged member|encrypted"):
        files.read("locked.jpg")


def test_a_bomb_inside_a_zip_is_not_unpacked(tmp_path: Path) -> None:
    place = write_zip(tmp_path / "a.zip", {"bomb.jpg": bytes(1000)})
    content = bytearray(place.read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (4_200_000_000).to_bytes(4, "little")
    place.write_bytes(bytes(content))
    with pytest.raises(OSError, match="above 4 GB"):
        open_files(place).read("bomb.jpg")


# Threads and handles


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_threads_agree(tmp_path: Path, kind: str) -> None:
    wanted = {f"{i}.jpg": bytes([i]) * (i * 37 + 1) for i in range(60)}
    place = {
        "folder": lambda: write_folder(tmp_path / "a", wanted),
        "tar": lambda: write_tar(tmp_path / "a.tar", wanted),
        "zip": lambda: write_zip(tmp_path / "a.zip", wanted),
    }[kind]()
    files = open_files(place)
    names = list(wanted) * 20
    with ThreadPoolExecutor(8) as pool:
        for name, content in zip(names, pool.map(files.read, names), strict=True):
            assert content == wanted[name]


def test_no_file_stays_open_after_a_refusal(tmp_path: Path) -> None:
    for name in ("a.tar", "a.zip"):
        (tmp_path / name).write_bytes(b"junk" * 400)
        refusal(tmp_path / name)
        (tmp_path / name).unlink()  # fails on Windows while a handle is open


def test_what_is_named_like_an_archive() -> None:
    assert all(is_archive(Path(name)) for name in ("a.tar", "a.ZIP", "a.tar.gz", "a.tgz", "a.7z", "none.tar.zst"))
    assert not any(is_archive(Path(name)) for name in ("a.csv", "tar", "a.zip.jpg", "folder"))
