"""Inputs: what a user points at becomes a list of image files, from files, folders, globs, CSV lists and archives."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath

from crackscope.errors import DataError, ImageError
from crackscope.files.archives import Files, is_archive, open_files
from crackscope.files.images import IMAGE_SUFFIXES, MAX_MEGAPIXELS, Image, decode_image
from crackscope.files.raw_files import RAW_SUFFIXES, raw_reason
from crackscope.files.tables import TableForm, read_table

__all__ = ["ImageFile", "files_behind", "list_images", "require_any"]

_LIST = TableForm(("path",), columns_remedy="Name it in line 1.")
_NOWHERE = "no such file, folder or archive"
_MAX_BYTES = 2**32
"""A JPEG, TIFF, BMP or WebP cannot be larger; a file that is would only fill the memory."""


@dataclass(frozen=True)
class ImageFile:
    """An image file in a folder, an archive or a list. It is small and can be pickled: another process can read it.

    Attributes:
        path: Path as it is reported; for a file inside an archive, the archive's path and the name in it.
        place: Path of the file that holds the image: the image file itself, or the archive.
        member: Name inside the archive; None for an image file by itself.
        fault: Why there is no image: an empty folder or archive, a glob without a match, or a camera's raw file. None
            for an image file.
    """

    path: str
    place: str
    member: str | None = None
    fault: str | None = None

    def read(self) -> bytes:
        """Read the bytes of the file.

        Raises:
            OSError: If the file cannot be read.
            ImageError: If it is a folder or a device, too large for an image, or lies in a damaged archive; or if
                there is no image, as `fault` says.
        """
        if self.fault:
            raise ImageError(self.fault)
        try:
            return _read(Path(self.place)) if self.member is None else _opened(self.place).read(self.member)
        except (OSError, DataError):
            raise
        except Exception as error:  # a damaged archive raises anything, and so does a zero byte inside a path
            raise ImageError(f"cannot be read: {' '.join(str(error).split()) or type(error).__name__}") from error

    def load(self, *, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
        """Read and decode the image.

        Args:
            max_megapixels: Limit in megapixels; a larger image is refused.

        Raises:
            OSError: If the file cannot be read.
            ImageError: If it is no whole image within the limit.
        """
        return decode_image(self.read(), path=self.path, max_megapixels=max_megapixels)

    def why_absent(self) -> str | None:
        """Why there is nothing to read, as far as can be told without opening a file; None where a file is there."""
        if self.fault or self.member is not None:
            return self.fault
        try:
            Path(self.place).stat()
        except OSError as error:
            reached = not isinstance(error, (FileNotFoundError, NotADirectoryError))
            return error.strerror if reached and error.strerror else _NOWHERE
        except ValueError:  # a zero byte in the path
            return _NOWHERE
        return None


def list_images(paths: Sequence[str | Path]) -> list[ImageFile]:
    """List the images behind paths, in the order given; those of a folder or archive by name.

    Args:
        paths: Files of any name, folders (searched wholly, by file name ending), ``.tar`` and ``.zip`` archives,
            globs, and ``.csv`` files with a column ``path`` (relative to the CSV). What is named twice is listed
            twice, but a glob gives each file once.

    Returns:
        The files, in order. Among others, a path behind which there is no image is listed too: reading it says why.

    Raises:
        DataError: If there is no image behind any of the paths, an archive is damaged, or a CSV has no column ``path``.
    """
    images = [image for path in paths for image in files_behind(path)]
    require_any(images)
    return images


def files_behind(path: str | Path) -> list[ImageFile]:
    """List the images behind one path, as `list_images`; where there is none, the list holds one file that says why.

    Raises:
        DataError: If the path is empty, an archive is damaged, or a CSV has no column ``path``.
    """
    return _expand(str(path))


def require_any(images: Sequence[ImageFile]) -> None:
    """Refuse images of which none is there, so that a run over nothing but missing files is not begun.

    Args:
        images: Image files; an empty list is not refused.

    Raises:
        DataError: If each of them is absent; the message tells the first and the number of the others.
    """
    for image in images:
        if image.why_absent() is None:
            return
    if images:
        first, n_more = images[0], len(images) - 1
        others = f"; nor is there an image behind {n_more:,} other path{'s' * (n_more > 1)}" if n_more else ""
        raise DataError(f"{first.path}: {first.why_absent()}{others}. Check the path.")


def _expand(text: str) -> list[ImageFile]:
    if not text:
        raise DataError("an empty path was given. Name a file or a folder; '.' is the one you are in.")
    # os.path says False, where pathlib raises, of names that are too long or lie where one may not look.
    if os.path.isdir(text) or (os.path.isfile(text) and is_archive(Path(text))):  # noqa: PTH112, PTH113
        return _in_container(Path(text)) or [_none_inside(text)]
    if text.lower().endswith(".csv") and os.path.isfile(text):  # noqa: PTH113
        return _in_list(Path(text))
    if not os.path.lexists(text) and glob.has_magic(text):
        return _in_glob(text)
    return [ImageFile(text, text)]


def _read(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device would never end
        raise ImageError("a folder, not a file" if stat.S_ISDIR(status.st_mode) else "not a file")
    if status.st_size > _MAX_BYTES:
        raise ImageError(f"{status.st_size / 1e9:.1f} GB is too large for an image")
    return path.read_bytes()


# Folders and archives


def _in_container(path: Path) -> list[ImageFile]:
    is_folder = path.is_dir()
    files = open_files(path) if is_folder else _opened(str(path))
    found = []
    for name, fault in _images_among(files.names):
        place, member = (path / name, None) if is_folder else (path, name)
        found.append(ImageFile(f"{path}/{name}", str(place), member, fault))
    return found


def _images_among(names: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Names of images, and of raw files with the reason why they are none.

    A raw file beside an image of its name is left out: it is the same photo.
    """
    stems = {_stem(name) for name in names if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES}
    for name in names:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            yield name, None
        elif suffix in RAW_SUFFIXES and _stem(name) not in stems:
            yield name, raw_reason(suffix[1:].upper())


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _opened(archive: str) -> Files:
    """An archive, opened once in this process, and again when its file has changed."""
    status = Path(archive).stat()
    return _opened_once(archive, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _opened_once(archive: str, mtime_ns: int, n_bytes: int) -> Files:
    return open_files(archive)


def _none_inside(path: str) -> ImageFile:
    return ImageFile(path, path, fault=f"no images found (names ending in {' '.join(sorted(IMAGE_SUFFIXES))})")


# Globs


def _in_glob(pattern: str) -> list[ImageFile]:
    """Files that match, and the images in folders that match, each once. A link to a parent folder is followed once."""
    found = sorted(set(glob.glob(_escaped(pattern), recursive=True)))  # noqa: PTH207  Path.glob takes no absolute one
    if not found:
        return [ImageFile(pattern, pattern, fault="this pattern matches no file; quote it for the shell")]
    folders = {os.path.normpath(name) for name in found if os.path.isdir(name)}  # noqa: PTH112
    images: list[ImageFile] = []
    for name in _once(found):
        if folders.isdisjoint(map(str, Path(os.path.normpath(name)).parents)):  # else its folder brings it
            images += _in_container(Path(name)) if os.path.normpath(name) in folders else _expand(name)
    return images or [_none_inside(pattern)]


def _escaped(pattern: str) -> str:
    """The pattern, with brackets taken literally where its beginning is the name of a real folder."""
    parents = [str(parent) for parent in Path(pattern).parents if glob.has_magic(str(parent))]
    real = next((parent for parent in parents if os.path.isdir(parent)), "")  # noqa: PTH112
    return glob.escape(real) + pattern[len(real) :] if pattern.startswith(real) else pattern


def _once(names: Sequence[str]) -> Iterator[str]:
    real_folder = cache(os.path.realpath)
    seen: set[tuple[str, str]] = set()
    for name in names:
        folder, last = os.path.split(name)
        if (key := (str(real_folder(folder)), last)) not in seen:
            seen.add(key)
            yield name


# Lists


def _in_list(path: Path) -> list[ImageFile]:
    names = []
    for row in read_table(path, _LIST):
        name = row["path"].strip()
        if not name:
            raise DataError(f"{path}, line {row.number}: no path. Fill it in, or take the line out.")
        names.append(name)
    if not names:
        raise DataError(f"{path}: the list is empty. Give one path a line below the header.")
    places = [os.fspath(path.parent / name) for name in names]
    return [ImageFile(place, place) for place in places]
