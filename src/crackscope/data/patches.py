"""Labelled patches, however they are laid out, become one `PatchIndex`.

Read are the METU/Kaggle layout (``Positive/``, ``Negative/``), the SDNET2018 layouts (``D/CD/7001-115.jpg``,
``Decks/Cracked/7001-115.jpg``), class folders, ``train/val/test`` folders of these, a CSV
(``path,label[,photo][,part]``), and a ``.tar`` or ``.zip`` of any.
A label is told by the nearest folder below DATA whose name is a known word. An image below no such folder is
left out and counted; so is one beside folders of the other label, as in ``cracks/uncracked/``, since it is
unclear what the outer word means. Numbers (``0``, ``1``) are no labels: as often they are shards or folds.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path, PurePosixPath

from crackscope.arrays import UInt8Array
from crackscope.errors import DataError, did_you_mean
from crackscope.files.archives import Files, open_files
from crackscope.files.images import IMAGE_SUFFIXES, decode_image

__all__ = ["LABELS", "PARTS", "Patch", "PatchIndex", "content_digest", "label_of_word", "read_patches"]


LABELS = ("uncracked", "crack")
"""Labels in the order of their index inside arrays: 0 is ``uncracked``, 1 is ``crack``."""

PARTS = ("train", "val", "test")

_LABEL_FOLDERS = {  # as `_plain` leaves them: lower case, without blanks and punctuation
    "crack": (*("crack", "cracks", "cracked", "withcrack", "withcracks", "positive", "positives", "cd", "cp", "cw"),),
    "uncracked": (
        *("uncracked", "uncrack", "nocrack", "nocracks", "nocracked", "notcracked", "noncrack", "noncracks"),
        *("noncracked", "withoutcrack", "withoutcracks", "intact", "negative", "negatives", "ud", "up", "uw"),
    ),
}
_LABEL_OF_FOLDER = {word: label for label, words in _LABEL_FOLDERS.items() for word in words}
_PART_OF_FOLDER = {
    **{"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
_SDNET_FOLDERS = {"CD", "UD", "CP", "UP", "CW", "UW"}
_SDNET_NAME = re.compile(r"(\d+)-\d+")
# Kaggle's copy: Decks/Cracked/7001-115.jpg. Its folders are everyday words, so its photo numbers are asked too.
_SDNET_SURFACES = {"Decks": "D", "Pavements": "P", "Walls": "W"}
_SDNET_KAGGLE_NAME = re.compile(r"(7\d{3})-\d{1,3}(_\d+)?")
_METU_FOLDERS = {"Positive", "Negative"}
_METU_NAME = re.compile(r"\d{5}(_\d+)?")
_TABLE = "labels.csv"


@dataclass(frozen=True)
class Patch:
    """One labelled crop.

    Attributes:
        path: Relative to the data, with forward slashes.
        label: ``crack`` or ``uncracked``.
        photo: The photo it was cut from, unique within the data; None where it is not known.
        part: ``train``, ``val`` or ``test`` where the layout says so.
        dataset: ``metu``, ``sdnet2018-D``, ``sdnet2018-P``, ``sdnet2018-W`` or ``folder``.
    """

    path: str
    label: str
    photo: str | None = None
    part: str | None = None
    dataset: str = "folder"


@dataclass(frozen=True)
class PatchIndex:
    """The patches of one data set and the files they are read from.

    Attributes:
        name: The last part of the data's path, for reports.
        patches: In the order of their paths (of their rows, for a CSV).
        files: Where the bytes come from.
        ignored: Names of images that no folder labels.
    """

    name: str
    patches: tuple[Patch, ...]
    files: Files = field(repr=False, compare=False)
    ignored: tuple[str, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.patches)

    @property
    def paths(self) -> list[str]:
        """Path of each patch."""
        return [patch.path for patch in self.patches]

    @property
    def knows_photos(self) -> bool:
        """Whether the photo of every patch is known."""
        return all(patch.photo is not None for patch in self.patches)

    def counts(self) -> dict[str, int]:
        """Number of patches of each label, both labels always present."""
        found = Counter(patch.label for patch in self.patches)
        return {label: found[label] for label in LABELS}

    def select(self, patches: Sequence[Patch]) -> PatchIndex:
        """The same data reduced to some of its patches."""
        return replace(self, patches=tuple(patches))

    def read_pixels(self, path: str) -> UInt8Array:
        """RGB pixels of one patch, shape (H, W, 3).

        Raises:
            ImageError: If it cannot be read.
        """
        return decode_image(self.files.read(path), path=path).pixels

    def require_both_labels(self, purpose: str) -> None:
        """Refuse an index in which one label is missing.

        Raises:
            DataError: With the counts.
        """
        counts = self.counts()
        missing = [label for label in LABELS if not counts[label]]
        if missing:
            raise DataError(
                f"{self.name}: {purpose} needs both labels; found {counts['crack']} crack and "
                f"{counts['uncracked']} uncracked. Add patches labelled '{missing[0]}'."
            )


def content_digest(content: bytes) -> bytes:
    """SHA-256 of a file's bytes, 32 bytes: what tells two files apart everywhere in this package."""
    return hashlib.sha256(content).digest()


def label_of_word(word: str) -> str | None:
    """The label that a word stands for, such as ``CD``, ``Positive`` or ``no crack``; None where it stands for none."""
    return _LABEL_OF_FOLDER.get(_plain(word))


def read_patches(data: str | Path) -> PatchIndex:
    """List the labelled patches of a folder, an archive or a CSV. No image is opened.

    Args:
        data: A folder, a ``.tar``, a ``.zip`` or a ``.csv``. A ``labels.csv`` at the top of a folder or an
            archive, or in its only folder, is used in place of folder names. Paths are relative to the CSV.

    Raises:
        DataError: If nothing is there, no image is labelled, or a row of the CSV is wrong.
    """
    place = Path(data)
    if place.suffix.lower() == ".csv" and not place.is_dir():
        patches = _from_table(_read_bytes(place), place.name)
        name = place.resolve().parent.name if place.name == _TABLE else place.stem
        return _index(name, patches, open_files(place.parent))
    files = open_files(place)
    name = place.stem if place.is_file() else place.resolve().name
    if table := _table_of(files):
        folder = table[: -len(_TABLE)]
        found = _from_table(_read_member(files, table, place), f"{place.name}/{table}")
        return _index(name, [replace(patch, path=folder + patch.path) for patch in found], files)
    images = [path for path in files.names if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES]
    patches, ignored = _from_folders(images)
    if not patches:
        raise DataError(_nothing_labelled(place, images))
    return _index(name, patches, files, ignored)


def _index(name: str, patches: list[Patch], files: Files, ignored: Sequence[str] = ()) -> PatchIndex:
    return PatchIndex(name, tuple(patches), files, tuple(ignored))


def _table_of(files: Files) -> str | None:
    """Name of the ``labels.csv`` at the top, or in the only folder, as an archive of a folder has it."""
    if _TABLE in files.names:
        return _TABLE
    tops = {name.split("/")[0] for name in files.names}
    inner = f"{tops.pop()}/{_TABLE}" if len(tops) == 1 else ""
    return inner if inner in files.names else None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. Check the path.") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({why}). Check its permissions.") from error


def _read_member(files: Files, name: str, place: Path) -> bytes:
    try:
        return files.read(name)
    except OSError as error:
        why = error.strerror or error
        raise DataError(f"{place}: {name} cannot be read ({why}). Fetch or unpack it again.") from error


# From the names of folders


def _from_folders(images: Sequence[str]) -> tuple[list[Patch], list[str]]:
    """Patches, and the images that no folder labels."""
    # For each folder with images, the folders named like a label on the way to it, the nearest last.
    ways = {folder: _label_folders(folder) for folder in {path.rpartition("/")[0] for path in images}}
    # A folder named like a label that holds folders of the other one does not say what lies beside them.
    unclear = {above for way in ways.values() for above in way[:-1] if _label_of(above) != _label_of(way[-1])}
    patches, ignored = [], []
    for path in images:
        way = ways[path.rpartition("/")[0]]
        if way and way[-1] not in unclear:
            patches.append(_from_path(path, way[-1]))
        else:
            ignored.append(path)
    return patches, ignored


def _label_folders(folder: str) -> list[PurePosixPath]:
    way = [*reversed(PurePosixPath(folder).parents), PurePosixPath(folder)]
    return [above for above in way if _plain(above.name) in _LABEL_OF_FOLDER]


def _label_of(folder: PurePosixPath) -> str:
    return _LABEL_OF_FOLDER[_plain(folder.name)]


def _plain(folder: str) -> str:
    return re.sub(r"[\s_\-.]", "", folder.lower())


def _from_path(path: str, folder: PurePosixPath) -> Patch:
    """Read photo, part and data set from the names above an image, whose label the folder tells."""
    pure = PurePosixPath(path)
    parts = [_PART_OF_FOLDER[word] for word in map(_plain, pure.parts[:-1]) if word in _PART_OF_FOLDER]
    photo, dataset = None, "folder"
    surface = _SDNET_SURFACES.get(folder.parent.name)
    if folder.name.upper() in _SDNET_FOLDERS and (match := _SDNET_NAME.match(pure.stem)):
        surface = folder.name[1].upper()
        photo, dataset = f"{surface}-{match[1]}", f"sdnet2018-{surface}"
    elif surface and (match := _SDNET_KAGGLE_NAME.fullmatch(pure.stem)):
        photo, dataset = f"{surface}-{match[1]}", f"sdnet2018-{surface}"
    elif folder.name in _METU_FOLDERS and _METU_NAME.fullmatch(pure.stem):
        dataset = "metu"
    return Patch(path, _label_of(folder), photo, parts[-1] if parts else None, dataset)


def _nothing_labelled(place: Path, images: Sequence[str]) -> str:
    if not images:
        return f"{place}: no images found. Give a folder of class folders, or a CSV with path,label."
    folder = PurePosixPath(images[0]).parent.name
    found = f"found '{folder}'" if folder else "they lie at the top"
    hint = did_you_mean(folder, _LABEL_OF_FOLDER) if folder else ""
    return (
        f"{place}: {len(images)} images, but no folder names a label ({found}).{hint} "
        "Name the folders crack and uncracked, or give a CSV with path,label."
    )


# From a table


def _from_table(content: bytes, name: str) -> list[Patch]:
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        columns = [column.strip().lower() for column in next(reader, [])]
        _check_columns(columns, name)
        rows: dict[str, tuple[int, Patch]] = {}
        for cells in reader:
            if cells:  # an empty line is none
                where = f"{name}, row {reader.line_num}"
                patch = _from_row(_by_column(cells, columns, where), where)
                if patch.path in rows:
                    first = rows[patch.path][0]
                    raise DataError(
                        f"{where}: '{_shown(patch.path)}' is listed twice, first in row {first}. Keep one row a patch."
                    )
                rows[patch.path] = (reader.line_num, patch)
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 text (byte {error.start}). Save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise DataError(
            f"{name}, row {reader.line_num}: not a CSV ({error}). Save it with commas, one patch a line."
        ) from error
    if not rows:
        raise DataError(f"{name}: no rows. List one patch a line: path,label.")
    return [patch for _, patch in rows.values()]


def _check_columns(columns: Sequence[str], name: str) -> None:
    for column in ("path", "label", "photo", "part"):
        n_times = columns.count(column)
        if n_times > 1 or (not n_times and column in ("path", "label")):
            near = "" if n_times else did_you_mean(column, columns)
            raise DataError(
                f"{name}: {'two columns' if n_times else 'no column'} '{column}' among "
                f"{_shown(', '.join(columns)) or 'none'}.{near} "
                "The first line must name path,label[,photo][,part], with commas between."
            )


def _by_column(cells: Sequence[str], columns: Sequence[str], where: str) -> dict[str, str]:
    if any(cell.strip() for cell in cells[len(columns) :]):
        raise DataError(
            f"{where}: {len(cells)} values, but the first line names {len(columns)} columns. "
            "Put quotes around a value that holds a comma."
        )
    # Spreadsheets leave out the commas behind a row's last value.
    return {column: cell.strip() for column, cell in zip_longest(columns, cells[: len(columns)], fillvalue="")}


def _from_row(row: dict[str, str], where: str) -> Patch:
    path, label, part = row["path"], row["label"], row.get("part", "")
    if not path:
        raise DataError(f"{where}: the path is empty. Name the image, or delete the row.")
    if label not in LABELS:
        raise DataError(
            f"{where}: label '{_shown(label)}' is neither 'crack' nor 'uncracked'.{did_you_mean(label, LABELS)}"
        )
    if part and part not in PARTS:
        raise DataError(f"{where}: part '{_shown(part)}' is none of {', '.join(PARTS)}.{did_you_mean(part, PARTS)}")
    return Patch(str(PurePosixPath(path.replace("\\", "/"))), label, row.get("photo") or None, part or None)


def _shown(text: str) -> str:
    """A value for a message: on one line, and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:77] + "..."
