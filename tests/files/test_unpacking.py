"""Archives that are whole, damaged, hostile or of something else, through the programs that read them."""

from __future__ import annotations

import io
import os
import random
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from crackscope.errors import DataError
from crackscope.files import unpacking
from crackscope.files.streaming import Progress
from crackscope.files.unpacking import unpack
from shared.tools import require_tool

FILES = {
    **{f"Positive/{n:05}.jpg": random.Random(n).randbytes(40_000) for n in range(1, 4)},
    **{f"Negative/{n:05}.jpg": random.Random(-n).randbytes(40_000) for n in range(1, 3)},
}
COUNTS = {"crack": 3, "uncracked": 2}


def zip_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


def tar_of(files: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def rar_of(files: dict[str, bytes]) -> bytes:
    """A RAR 4 archive that stores without packing, which is simple enough to write by hand."""

    def block(kind: int, flags: int, body: bytes) -> bytes:
        head = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
        return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head

    blocks = [b"Rar!\x1a\x07\x00", block(0x73, 0, bytes(6))]
    for name, content in files.items():
        raw = name.replace("/", "\\").encode()
        body = struct.pack(
            "<IIBIIBBHI",
            len(content),
            len(content),
            2,
            zlib.crc32(content),
            0x5A21_0000,
            20,
            0x30,
            len(raw),
            32,
        )
        blocks += [block(0x74, 0x8000, body + raw), content]
    return b"".join([*blocks, block(0x7B, 0x4000, b"")])


ARCHIVE = zip_of(FILES)


def say_nothing(done: int, total: int) -> None:
    pass


def unpacked(archive: Path, out: Path, progress: Progress = say_nothing) -> dict[str, int]:
    return unpack(archive, out, folders={"crack": "Positive", "uncracked": "Negative"}, progress=progress)


def assert_whole(out: Path) -> None:
    for name, content in FILES.items():
        assert (out / name).read_bytes() == content
    assert not list(out.parent.glob("*.part"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data" / "metu"


@pytest.mark.parametrize(
    "content",
    [
        ARCHIVE,
        tar_of(FILES),
        tar_of(FILES, "w:gz"),
        zip_of({f"Concrete Crack Images/{name}": content for name, content in FILES.items()}),
        zip_of({name.replace("/", "\\"): content for name, content in FILES.items()}),
        zip_of({"5y9wdsg2zt-2/set.tar": tar_of(FILES)}),
        zip_of({**FILES, "__MACOSX/._Positive": b"", "Readme.txt": b"hello"}),
    ],
    ids=["zip", "tar", "tar.gz", "a folder around", "backslashes", "an archive in an archive", "more files"],
)
def test_archives_by_hand(tmp_path: Path, out: Path, content: bytes) -> None:
    archive = tmp_path / "whatever its name"
    archive.write_bytes(content)
    assert unpacked(archive, out) == COUNTS
    assert_whole(out)
    assert sorted(path.name for path in out.iterdir()) == ["Negative", "Positive"]


@pytest.fixture
def _bsdtar() -> None:
    require_tool("bsdtar")


needs_bsdtar = pytest.mark.usefixtures("_bsdtar")


@needs_bsdtar
def test_a_stored_rar_through_the_real_bsdtar(tmp_path: Path, out: Path) -> None:
    archive = tmp_path / "got.rar"
    archive.write_bytes(rar_of({f"Concrete Crack Images/{name}": data for name, data in FILES.items()}))
    steps: list[tuple[int, int]] = []
    assert unpacked(archive, out, lambda *step: steps.append(step)) == COUNTS
    assert_whole(out)
    assert steps[-1][0] >= 5


@needs_bsdtar
def test_a_zip_renamed_rar_given_to_the_real_bsdtar(tmp_path: Path) -> None:
    archive = tmp_path / "got.rar"
    archive.write_bytes(ARCHIVE)
    folder = tmp_path / "folder"
    folder.mkdir()
    unpacking._unpack_rar(archive, folder, say_nothing)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.jpg")} == set(FILES)


@needs_bsdtar
def test_a_damaged_rar_through_the_real_bsdtar(tmp_path: Path, out: Path) -> None:
    archive = tmp_path / "got.rar"
    archive.write_bytes(rar_of(FILES)[:100_000])
    with pytest.raises(DataError, match=r"cannot be unpacked \(bsdtar says: "):
        unpacked(archive, out)
    assert not out.exists()


FAKE_BSDTAR = """#!{python}
import os, sys
names = {names!r}
if sys.argv[1] == "-tf":
    print(*names, sep="\\n")
elif sys.argv[1] == "-tvf":
    for name in names:
        print("{mode}  0 0 0 40000 Jan  1  2019", name)
else:
    folder = sys.argv[-1]
    for name in names:
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        {write}
        print("x", name, file=sys.stderr)
"""
WRITE = "open(os.path.join(folder, name), 'wb').close()"
FAKE_UNRAR = """#!{python}
import os, sys
names = {names!r}
if sys.argv[1] == "lb":
    print(*names, sep="\\n")
else:
    for name in names:
        path = os.path.join(sys.argv[-1], name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "wb").close()
        print("Extracting ", path, " OK")
"""


@pytest.fixture
def fake_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of one folder that is still empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(script: Path, text: str) -> None:
    script.write_text(text)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


posix = pytest.mark.skipif(os.name != "posix", reason="the fake program is a script")


@posix
@pytest.mark.parametrize("program", ["bsdtar", "unrar"])
def test_a_rar_through_a_mocked_program(tmp_path: Path, out: Path, fake_path: Path, program: str) -> None:
    template = FAKE_BSDTAR if program == "bsdtar" else FAKE_UNRAR
    text = template.format(python=sys.executable, names=list(FILES), mode="-rw-r--r--", write=WRITE)
    install(fake_path / program, text)
    archive = tmp_path / "got.rar"
    archive.write_bytes(b"Rar!\x1a\x07\x01\x00")
    steps: list[tuple[int, int]] = []
    assert unpacked(archive, out, lambda *step: steps.append(step)) == COUNTS
    assert steps[-1] == (5, 5)


@posix
@pytest.mark.parametrize(
    ("mode", "names", "write"),
    [
        ("lrwxrwxrwx", list(FILES), WRITE),
        ("hrw-r--r--", list(FILES), WRITE),
        ("-rw-r--r--", ["../../outside.jpg"], WRITE),
        ("-rw-r--r--", ["/outside.jpg"], WRITE),
        ("-rw-r--r--", list(FILES), "os.symlink('/etc/passwd', os.path.join(folder, name))"),
    ],
    ids=["listed link", "listed hard link", "parent", "absolute", "link that was not listed"],
)
def test_a_hostile_rar_is_refused_with_a_mocked_bsdtar(
    tmp_path: Path, out: Path, fake_path: Path, mode: str, names: list[str], write: str
) -> None:
    install(
        fake_path / "bsdtar",
        FAKE_BSDTAR.format(python=sys.executable, names=names, mode=mode, write=write),
    )
    archive = tmp_path / "got.rar"
    archive.write_bytes(b"Rar!\x1a\x07\x01\x00")
    with pytest.raises(DataError, match=r"is a link or a device|points outside"):
        unpacked(archive, out)
    assert list(out.parent.iterdir()) == []
    assert not list(tmp_path.rglob("outside.jpg"))


@pytest.mark.parametrize("name", ["../evil.jpg", "/evil.jpg", "Positive/../../evil.jpg", "C:\\evil.jpg", "\\evil.jpg"])
@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_members_that_point_outside_are_refused(tmp_path: Path, out: Path, pack: object, name: str) -> None:
    archive = tmp_path / "got.archive"
    archive.write_bytes((zip_of if pack is zip_of else tar_of)({**FILES, name: b"evil"}))
    with pytest.raises(DataError, match="points outside the folder, so nothing was unpacked"):
        unpacked(archive, out)
    assert list(out.parent.iterdir()) == []
    assert not list(tmp_path.rglob("evil.jpg"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, out: Path, kind: bytes) -> None:
    archive = tmp_path / "got.tar"
    with tarfile.open(archive, "w") as file:
        info = tarfile.TarInfo("Positive/00001.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)
    with pytest.raises(DataError, match=r"'Positive/00001\.jpg' is a link or a device"):
        unpacked(archive, out)


def test_links_in_a_zip_are_refused(tmp_path: Path, out: Path) -> None:
    archive = tmp_path / "got.zip"
    with zipfile.ZipFile(archive, "w") as file:
        info = zipfile.ZipInfo("Positive/00001.jpg")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="is a link or a device"):
        unpacked(archive, out)


@needs_bsdtar
def test_an_interrupted_unpacking_by_the_real_bsdtar_leaves_no_folder(tmp_path: Path, out: Path) -> None:
    def press_ctrl_c(done: int, total: int) -> None:
        raise KeyboardInterrupt

    archive = tmp_path / "got.rar"
    archive.write_bytes(rar_of(FILES))
    with pytest.raises(KeyboardInterrupt):
        unpacked(archive, out, press_ctrl_c)
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ARCHIVE[:100_000], "is no zip, tar or rar archive"),
        (b"", "is no zip, tar or rar archive"),
        (
            ARCHIVE.replace(FILES["Positive/00002.jpg"][:9], bytes(9)),
            "Bad CRC-32.* delete it and get it again",
        ),
        (tar_of(FILES, "w:gz")[:100_000], "cannot be unpacked"),
        (tar_of(FILES, "w:xz")[:100_000], "cannot be unpacked"),
        (tar_of(FILES)[:100_000], "cannot be unpacked"),
        (
            zip_of({"cats/1.jpg": b"", "dogs/1.jpg": b""}),
            r"does not hold Positive/ and Negative/; it holds cats, dogs",
        ),
        (zip_of({}), "it holds nothing"),
    ],
    ids=["cut zip", "empty", "flipped", "cut gz", "cut xz", "cut tar", "other set", "empty zip"],
)
def test_damaged_and_foreign_archives(tmp_path: Path, out: Path, content: bytes, message: str) -> None:
    archive = tmp_path / "got"
    archive.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        unpacked(archive, out)
    assert "\n" not in str(caught.value)
    assert not out.exists()
