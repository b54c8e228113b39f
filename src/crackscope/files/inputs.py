"""What a user points at becomes a list of image files: files, folders, globs, CSV lists, archives."""

from __future__ import annotations

import csv
import glob
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path, PurePosixPath

from crackscope.errors import DataError, ImageError, did_you_mean
from crackscope.files.archives import is_archive, open_files
from crackscope.files.images import IMAGE_SUFFIXES

__all__ = ["ImageFile", "list_images"]

ImageFile = tuple[str, Callable[[], bytes]]
"""A path as it is reported, and a function that reads the bytes."""

_MAX_BYTES = 2**32
"""A JPEG, TIFF, BMP or WebP cannot be larger; a file that is would only fill the memory."""


def list_images(paths: Sequence[str | Path]) -> list[ImageFile]:
    """List the images behind paths, in the order given; those of a folder or archive by name.

    Args:
        paths: Files of any name, folders (searched wholly, by file name ending), ``.tar`` and ``.zip`` archives,
            globs, and ``.csv`` files with a column ``path`` (relative to the CSV). What is named twice is listed
            twice, but a glob gives each file once.

    Returns:
        A pair for each image. A file that is missing is listed too: reading it says so.

    Raises:
        DataError: If a folder or archive holds no image, a glob matches nothing, or a CSV has no column ``path``.
    """
    return [image for path in paths for image in _expand(str(path))]


def _expand(text: str) -> list[ImageFile]:
    if not text:
        raise DataError("an empty path was given. Name a file or a folder; '.' is the one you are in.")
    # os.path says False, where pathlib raises, of names that are too long or lie where one may not look.
    if os.path.isdir(text) or (os.path.isfile(text) and is_archive(Path(text))):  # noqa: PTH112, PTH113
        path = Path(text)
        return _in_container(path) or _none_inside(path)
    if text.lower().endswith(".csv") and os.path.isfile(text):  # noqa: PTH113
        return _in_list(Path(text))
    if not os.path.lexists(text) and glob.has_magic(text):
        return _in_glob(text)
    return [(text, partial(_read, Path(text)))]


def _read(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device would never end
        raise ImageError("a folder, not a file" if stat.S_ISDIR(status.st_mode) else "not a file")
    if status.st_size > _MAX_BYTES:
        raise ImageError(f"{status.st_size / 1e9:.1f} GB is too large for an image")
    return path.read_bytes()


# Folders and archives


def _in_container(path: Path) -> list[ImageFile]:
    files = open_files(path)
    names = [name for name in files.names if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES]
    if path.is_dir():
        return [(f"{path}/{name}", partial(_read, path / name)) for name in names]
    return [(f"{path}/{name}", partial(files.read, name)) for name in names]


def _none_inside(path: Path) -> list[ImageFile]:
    endings = " ".join(sorted(IMAGE_SUFFIXES))
    raise DataError(f"{path}: no images found (names ending in {endings}). Check the path.")


# Globs


def _in_glob(pattern: str) -> list[ImageFile]:
    """Files that match, and what lies in folders that match; each once, links to a parent folder followed once."""
    found = sorted(set(glob.glob(_escaped(pattern), recursive=True)))  # noqa: PTH207  Path.glob takes no absolute one
    if not found:
        raise DataError(f"'{pattern}' matches no file. Check the pattern, or quote it for the shell.")
    folders = {os.path.normpath(name) for name in found if os.path.isdir(name)}  # noqa: PTH112
    images: list[ImageFile] = []
    for name in _once(found):
        if folders.isdisjoint(map(str, Path(os.path.normpath(name)).parents)):  # else its folder brings it
            images += _in_container(Path(name)) if os.path.normpath(name) in folders else _expand(name)
    return images or _none_inside(Path(pattern))


def _escaped(pattern: str) -> str:
    """The pattern with its beginning that is the name of a real folder taken literally, brackets and all."""
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
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            names = [name for name in _paths_of(csv.DictReader(file), path) if name]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV in UTF-8 ({error}). Save it again as CSV in UTF-8.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    if not names:
        raise DataError(f"{path}: the list is empty. Give one path a line below the header.")
    return [(os.fspath(path.parent / name), partial(_read, path.parent / name)) for name in names]


def _paths_of(reader: csv.DictReader[str], path: Path) -> Iterator[str]:
    """The cell ``path`` of each row; empty where the whole row is, as spreadsheets leave them at the end."""
    columns = [column.strip() for column in reader.fieldnames or ()]
    if "path" not in columns:
        hint = next((hint for column in columns if (hint := did_you_mean(column, ["path"]))), "")
        raise DataError(f"{path}: no column 'path' among {', '.join(columns) or 'none'}. Name it in line 1.{hint}")
    reader.fieldnames = columns
    for row in reader:
        name = (row["path"] or "").strip()
        if not name and any(isinstance(cell, str) and cell.strip() for cell in row.values()):
            raise DataError(f"{path}, line {reader.line_num}: no path. Fill it in, or take the line out.")
        yield name
