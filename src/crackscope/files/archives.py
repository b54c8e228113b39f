"""Archives: a folder, a tar and a zip, read alike as a sorted list of file names and the bytes of each.

Names are relative, with forward slashes. Reading is safe from several threads at once. Nothing is unpacked. Hidden
files (``.git``, ``__MACOSX``, a recycle bin), pipes and devices are left out.
"""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
import threading
import zipfile
from collections import deque
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol

from crackscope.errors import DataError

__all__ = ["Files", "is_archive", "open_files"]

_TAR, _ZIP = (".tar",), (".zip",)
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4", ".rar", ".7z")
_PACKED_STARTS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # gzip, bzip2, xz, zstandard
_HIDDEN = {"__MACOSX", "lost+found", "System Volume Information", "$RECYCLE.BIN"}
_MAX_BYTES = 4_000_000_000
"""A larger member is not read: no image within the limits is so large, but a zip bomb may be."""


class Files(Protocol):
    """Files by their names, in a folder or an archive."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names relative to the folder or archive, with forward slashes, sorted.

        Raises:
            DataError: If a folder cannot be listed.
        """

    def read(self, name: str) -> bytes:
        """Read the bytes of one file.

        Args:
            name: Name of the file, one of `names`.

        Raises:
            OSError: If the file is gone, cut short, or cannot be read.
        """


def is_archive(path: Path) -> bool:
    """Whether a file is named like an archive, readable or not."""
    return path.name.lower().endswith(_TAR + _ZIP + _PACKED)


def open_files(path: str | Path) -> Files:
    """Open a folder, a ``.tar`` or a ``.zip``.

    Raises:
        DataError: If nothing is there, or it is neither of the three.
    """
    place = Path(path)
    name = place.name.lower()
    try:
        if place.is_dir():
            return _Folder(place)
        if not place.exists():
            raise DataError(f"{place}: no such folder or archive. Check the path.")
        if name.endswith(_PACKED) or (name.endswith(_TAR) and _is_packed(place)):
            raise DataError(f"{place}: a compressed archive cannot be read in place. Unpack it, or make it a .tar.")
        if name.endswith(_TAR):
            return _Tar(place)
        if name.endswith(_ZIP):
            return _Zip(place)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{place}: cannot be read ({error.strerror or error}). Check the path.") from error
    except Exception as error:  # damaged headers surface as anything
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{place}: damaged archive ({why}). Fetch it again.") from error
    raise DataError(f"{place}: neither a folder nor a .tar or .zip archive.")


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6).startswith(_PACKED_STARTS)


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part in _HIDDEN


def _plain(name: str) -> str | None:
    """A member's name without ``./`` and leading slashes, or None where it hides or leaves the archive."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if not parts or any(_is_hidden(part) for part in parts) else "/".join(parts)


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all files, listed on first use: a CSV names its files itself, and may lie in a large folder."""
        return tuple(sorted(_walk(self._root)))

    def read(self, name: str) -> bytes:
        path = self._root / name
        try:
            status = path.stat()
        except ValueError as error:  # a zero byte inside the name
            raise OSError(str(error)) from error
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would never end
            raise OSError("not a file")
        return path.read_bytes()


def _walk(root: Path) -> Iterator[str]:
    """Names below a folder. Linked folders come after the real ones, each folder once, so a loop ends."""
    seen: set[tuple[int, int]] = set()
    real, linked = deque([("", root)]), deque[tuple[str, Path]]()
    while real or linked:
        prefix, folder = (real or linked).popleft()
        try:
            status = folder.stat()
            if status.st_ino and (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = _entries(folder)
        except OSError as error:
            raise DataError(f"{folder}: cannot be listed ({error.strerror}). Check its permissions.") from error
        for name, kind, is_link in entries:
            if kind == "folder":
                (linked if is_link else real).append((f"{prefix}{name}/", folder / name))
            elif kind == "file":
                yield prefix + name


def _entries(folder: Path) -> list[tuple[str, str, bool]]:
    """Name and kind of each entry that is not hidden, and whether it is a link."""
    with os.scandir(folder) as entries:
        shown = sorted((entry for entry in entries if not _is_hidden(entry.name)), key=lambda entry: entry.name)
        return [(entry.name, _kind(entry), entry.is_symlink()) for entry in shown]


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_dir():
            return "folder"
        # A broken link counts as a file: reading it says what is wrong.
        return "file" if entry.is_file() or entry.is_symlink() else "other"
    except OSError:  # a link to itself
        return "file"


class _Tar:
    """Members lie uncompressed, so their places are noted once, and each read opens the file for itself."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Offset and size, or of a link the name it leads to. A later member replaces one of its name.
        self._places: dict[str, tuple[int, int] | str] = {}
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                name = _plain(member.name)
                if name and member.isfile():
                    self._places[name] = (member.offset_data, -1 if member.issparse() else member.size)
                elif name and (member.islnk() or member.issym()):
                    self._places[name] = _target(member)
            _require_end(file, archive.offset)
        self.names = tuple(sorted(name for name in self._places if not self._leads_to_folder(name)))

    def read(self, name: str) -> bytes:
        offset, size = self._place(name)
        _require_size(size)
        with self._path.open("rb") as file:
            file.seek(offset)
            content = file.read(size)
        if len(content) != size:
            raise OSError(f"cut short: {len(content)} of {size} bytes are there")
        return content

    def _place(self, name: str) -> tuple[int, int]:
        for _ in range(16):  # a chain of links
            place = self._places.get(name)
            if place is None:
                break
            if not isinstance(place, str):
                return place
            name = place
        raise FileNotFoundError(f"no such file in {self._path.name}")

    def _leads_to_folder(self, name: str) -> bool:
        place = self._places[name]
        if not isinstance(place, str) or place in self._places:
            return False
        return any(other.startswith(f"{place}/") for other in self._places)


def _target(member: tarfile.TarInfo) -> str:
    """Name that a link leads to: from the top for a hard link, from its own folder for a symbolic one."""
    folder = "" if member.islnk() else posixpath.dirname(member.name)
    return _plain(posixpath.normpath(posixpath.join(folder, member.linkname))) or ""


def _require_end(file: BinaryIO, at: int) -> None:
    """Refuse a tar whose members stop before its end: `tarfile` takes a damaged header for the end."""
    file.seek(at)
    end = file.read(2 * tarfile.BLOCKSIZE)
    if not end or end.strip(b"\0"):
        raise tarfile.ReadError(f"it {'is damaged' if end else 'is cut short'} at byte {at}")


class _Zip:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._open()
        self._members: dict[str, zipfile.ZipInfo] = {}
        for info in self._archive.infolist():
            # Some Windows programs write backslashes (create_system 0 is FAT), against the specification.
            written = info.filename.replace("\\", "/") if info.create_system == 0 else info.filename
            name = _plain(written)
            if name and not written.endswith("/"):
                self._members[name] = info
        self.names = tuple(sorted(self._members))

    def __reduce__(self) -> tuple[type[_Zip], tuple[Path]]:
        return _Zip, (self._path,)

    def _open(self) -> None:
        """Open the file in this process; after a fork, two processes would share one position in it."""
        self._process, self._lock, self._archive = os.getpid(), threading.Lock(), zipfile.ZipFile(self._path)

    def read(self, name: str) -> bytes:
        info = self._members.get(name)
        if info is None:
            raise FileNotFoundError(f"no such file in {self._path.name}")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise OSError("a link inside a zip archive is not followed; unpack the archive")
        _require_size(info.file_size)
        if self._process != os.getpid():
            self._open()
        try:
            with self._lock:  # ZipFile counts its open members without a lock
                member = self._archive.open(info)
            try:
                return member.read()
            finally:
                with self._lock:
                    member.close()
        except Exception as error:  # BadZipFile, zlib.error, EOFError, RuntimeError, ...
            raise OSError(f"damaged member of the zip archive: {error}") from error


def _require_size(n_bytes: int) -> None:
    if not 0 <= n_bytes <= _MAX_BYTES:
        raise OSError("a sparse member, or one above 4 GB, is not read; unpack the archive")
