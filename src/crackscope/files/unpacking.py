"""Unpacking: an archive of labelled images becomes a folder with one folder for each label, or nothing at all.

Zip and tar are read by the standard library; rar by bsdtar or unrar, because Python does not know it. Names and links
are checked before a byte is written; the folder takes its name when it is whole.
"""

from __future__ import annotations

import contextlib
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, Popen
from typing import IO

from crackscope.errors import DataError, OutputError
from crackscope.files.output import new_folder
from crackscope.files.streaming import Progress

__all__ = ["archive_kind", "count_images", "find_rar_tool", "require_space", "unpack"]


def unpack(
    archive: Path, out: Path, *, folders: Mapping[str, str], progress: Progress, overwrite: bool = False
) -> dict[str, int]:
    """Make `out` of the folders of the labels, wherever they lie in an archive, and leave the rest of it out.

    The archive is a zip, tar or rar, recognised by its content, not by its name. `folders` maps each label to the
    folder of the archive that holds its images, and the result maps it to the number of images found. `progress`
    counts the files of the archive.

    Raises:
        DataError: If the archive is damaged, hostile or of something else, or no program reads it.
        OutputError: If the folder is there, or cannot be written.
    """
    with new_folder(out, ours=tuple(folders.values()), overwrite=overwrite) as whole:
        scratch = whole / ".unpacking"
        root = _unpack_to_root(archive, scratch, list(folders.values()), progress)
        for name in folders.values():
            (root / name).rename(whole / name)
        shutil.rmtree(scratch)
    return count_images(out, folders)


def count_images(folder: Path, folders: Mapping[str, str]) -> dict[str, int]:
    """Label to the number of JPEG files in its folder, 0 where there is none."""
    found = {label: (folder / name).glob("[!.]*") for label, name in folders.items()}
    return {label: sum(path.suffix.lower() == ".jpg" for path in paths) for label, paths in found.items()}


def archive_kind(path: Path) -> str:
    """``"zip"``, ``"tar"`` or ``"rar"``, by content; a DataError for anything else."""
    with path.open("rb") as file:
        beginning = file.read(15)
    if beginning.startswith(b"Rar!\x1a\x07"):
        return "rar"
    if beginning.startswith(b"PK") and zipfile.is_zipfile(path):
        return "zip"
    if tarfile.is_tarfile(path):
        return "tar"
    shown = repr(beginning)[1:]
    raise DataError(f"{path} is no zip, tar or rar archive, so get another: it begins with {shown}.")


def require_space(place: Path, n_bytes: int, purpose: str) -> None:
    """Raise an OutputError where fewer bytes are free."""
    free = shutil.disk_usage(place).free
    if free < n_bytes:
        raise OutputError(
            f"{purpose} needs {n_bytes / 1e6:,.1f} MB in {place}, and {free / 1e6:,.1f} MB are free. "
            "Make room, or choose another --out; the same command goes on from here."
        )


# --- any archive --------------------------------------------------------------------------------------------


def _unpack_to_root(archive: Path, scratch: Path, wanted: list[str], progress: Progress) -> Path:
    """Unpack, and return the folder that holds the wanted folders."""
    outer, inner = scratch / "outer", scratch / "inner"
    _unpack_any(archive, outer, progress)
    root = _find_root(outer, wanted)
    # "Download all" on the page of a Mendeley data set gives a zip around the rar.
    nested = [path for path in outer.rglob("*") if path.suffix.lower() in (".zip", ".tar", ".rar")]
    if root is None and len(nested) == 1 and nested[0].is_file():
        _unpack_any(nested[0], inner, progress)
        root = _find_root(inner, wanted)
    if root is None:
        found = ", ".join(sorted(entry.name for entry in outer.iterdir())[:3]) or "nothing"
        raise DataError(
            f"{archive} does not hold {' and '.join(f'{name}/' for name in wanted)}; it holds {found}. "
            "Get the archive of this data set from its publisher."
        )
    return root


def _find_root(folder: Path, wanted: list[str]) -> Path | None:
    return next((Path(root) for root, names, _ in os.walk(folder) if set(wanted) <= set(names)), None)


def _unpack_any(archive: Path, folder: Path, progress: Progress) -> None:
    folder.mkdir(parents=True)
    try:
        unpackers = {"zip": _unpack_zip, "tar": _unpack_tar, "rar": _unpack_rar}
        unpackers[archive_kind(archive)](archive, folder, progress)
    except (*_DAMAGED, EOFError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; gzip and bz2 speak of damaged data without a number
        raise _damaged(archive, error) from error


# Together with the built-in ones above: data that is cut off, flipped, encrypted or packed in an unknown way.
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError)


def _damaged(archive: Path, why: object) -> DataError:
    return DataError(f"{archive} cannot be unpacked ({why}). If it is damaged, delete it and get it again.")


@dataclass(frozen=True)
class _Member:
    """One entry of an archive."""

    name: str
    n_bytes: int = 0
    is_link: bool = False  # or a device
    open: Callable[[], IO[bytes] | None] = lambda: None  # gives None for a folder


def _check(archive: Path, members: list[_Member], folder: Path) -> None:
    for member in members:
        outside = ".." in _parts(member.name) or re.match(r"[/\\]|[A-Za-z]:", member.name)
        if member.is_link or outside:
            what = "is a link or a device" if member.is_link else "points outside the folder"
            raise DataError(
                f"{archive}: member '{member.name}' {what}, so nothing was unpacked. "
                "Get the archive from its publisher."
            )
    require_space(folder, sum(member.n_bytes for member in members), "Unpacking")


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"[/\\]+", name) if part not in ("", ".")]


# --- zip and tar --------------------------------------------------------------------------------------------


def _unpack_zip(archive: Path, folder: Path, progress: Progress) -> None:
    with zipfile.ZipFile(archive) as file:
        _save(archive, [_zip_member(file, info) for info in file.infolist()], folder, progress)


def _zip_member(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    is_link = stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR)
    if info.is_dir():
        return _Member(info.filename, is_link=is_link)
    return _Member(info.filename, info.file_size, is_link, partial(file.open, info))


def _unpack_tar(archive: Path, folder: Path, progress: Progress) -> None:
    with tarfile.open(archive) as file:
        members = [
            _Member(info.name, info.size, not (info.isreg() or info.isdir()), partial(file.extractfile, info))
            for info in file
        ]
        _save(archive, members, folder, progress)


def _save(archive: Path, members: list[_Member], folder: Path, progress: Progress) -> None:
    _check(archive, members, folder)
    for done, member in enumerate(members, start=1):
        stream = member.open()
        if stream is not None:
            path = folder.joinpath(*_parts(member.name))
            path.parent.mkdir(parents=True, exist_ok=True)
            with stream, path.open("wb") as file:
                shutil.copyfileobj(stream, file)
        progress(done, len(members))


# --- rar ----------------------------------------------------------------------------------------------------


def find_rar_tool(archive: Path) -> tuple[str, bool]:
    """The program that unpacks rar, and whether it is bsdtar or else unrar; a DataError without either."""
    windows_tar = shutil.which("tar") if os.name == "nt" else None  # bsdtar by another name
    if bsdtar := shutil.which("bsdtar") or windows_tar:
        return bsdtar, True
    if unrar := shutil.which("unrar"):
        return unrar, False
    raise DataError(
        f"{archive} is a rar archive, and neither bsdtar nor unrar is installed to unpack it. "
        "Try: apt install libarchive-tools, or: brew install libarchive. A zip or tar of the same images "
        "is taken by --archive too."
    )


# A line of `bsdtar -tv`: mode, links, user, group, size, three words of date, name. Warnings do not match.
_LISTED = re.compile(r"(.)[-rwxsStT]{9}\s+\S+\s+\S+\s+\S+\s+(\S+)\s+\S+\s+\S+\s+\S+ (.*)")


def _unpack_rar(archive: Path, folder: Path, progress: Progress) -> None:
    tool, is_bsdtar = find_rar_tool(archive)
    # Absolute, so that no name is taken for an option.
    source, target = str(archive.absolute()), f"{folder.absolute()}{os.sep}"
    if is_bsdtar:
        listed = [_LISTED.fullmatch(line) for line in _lines([tool, "-tvf", source], archive)]
        members = [_listed_member(*match.groups()) for match in listed if match]
        command = [tool, "--no-same-owner", "--no-same-permissions", "-xvf", source, "-C", target]
    else:
        members = [_Member(line) for line in _lines([tool, "lb", "-p-", source], archive)]
        command = [tool, "x", "-y", "-p-", source, target]
    _check(archive, members, folder)
    with contextlib.closing(_lines(command, archive)) as lines:  # an interrupt ends the program, too
        for done, _ in enumerate(lines, start=1):  # a line for every member; unrar prints a few more
            progress(min(done, len(members)), len(members))
    _check(archive, [_found_member(path, folder) for path in folder.rglob("*")], folder)


def _listed_member(kind: str, size: str, name: str) -> _Member:
    return _Member(name, int(size) if size.isdecimal() else 0, is_link=kind not in "-d")


def _found_member(path: Path, folder: Path) -> _Member:
    """The member as it lies on the disk now; the listing of a foreign program may have left things out."""
    found = path.lstat()
    is_file = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
    return _Member(str(path.relative_to(folder)), is_link=not (is_file or stat.S_ISDIR(found.st_mode)))


def _lines(command: list[str], archive: Path) -> Generator[str, None, None]:
    """The lines of a program as it prints them; a DataError with the last one if it fails."""
    last = ""
    with Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, text=True, errors="replace") as process:
        for line in process.stdout or ():
            last = line.strip() or last
            yield line.rstrip("\n")
    if process.returncode:
        raise _damaged(archive, f"{Path(command[0]).name} says: {last}")
