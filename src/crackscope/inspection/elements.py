"""Elements: which part of a structure each photo shows, by a table of the user or by sub-folders."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import get_args

from crackscope.errors import DataError, did_you_mean
from crackscope.files.tables import TableForm, TableRow, read_table
from crackscope.inspection.band_files import Member, plain

__all__ = ["Element", "ElementRow", "Elements", "elements_by_folder", "read_elements"]

_FORM = TableForm(
    ("element",),
    optional=("photo", "glob", "side", "exposure", "importance", "member"),
    remedy="A table of elements has the columns element, and photo or glob. See docs/inspection.md.",
    semicolons=True,
)


@dataclass(frozen=True)
class Element:
    """Part of a structure, as one row of a table tells it.

    Attributes:
        name: Name of the element.
        side: Side of the element; empty if it is not stated.
        exposure: Exposure of that side; None if it is not stated.
        importance: Importance of the element; None if it is not stated.
        member: Kind of member, ``reinforced`` or ``prestressed``.
    """

    name: str
    side: str = ""
    exposure: str | None = None
    importance: str | None = None
    member: Member = "reinforced"


@dataclass(frozen=True)
class ElementRow:
    """Photos that belong to an element.

    Attributes:
        where: Name of the table and number of the row, or the folder; to begin a message with.
        photos: Path of one photo, or a pattern.
        is_pattern: Whether ``*`` and ``?`` in `photos` stand for other characters; ``*`` also for slashes.
        element: The element.
    """

    where: str
    photos: str
    is_pattern: bool
    element: Element


@dataclass(frozen=True)
class Elements:
    """Elements of a structure and the photos that show them, from `crackscope.read_elements`.

    Attributes:
        name: Name of the table or the folder, for messages.
        rows: All rows in order.
        folder: Folder that relative paths start from.
    """

    name: str
    rows: tuple[ElementRow, ...]
    folder: str = ""

    def of(self, photo: str) -> Element | None:
        """Find the element that a photo shows.

        Args:
            photo: Path of the photo, as its result states it.

        Returns:
            The element; None if no row names the photo.

        Raises:
            DataError: If two rows name the photo and do not state the same.
        """
        found = self._rows_of(photo)
        for row in found[1:]:
            if row.element != found[0].element:
                raise DataError(
                    f"{row.where}: '{photo}' belongs to {_described(row.element)} here, and to "
                    f"{_described(found[0].element)} by {found[0].where}. Name each photo in one of the two rows."
                )
        return found[0].element if found else None

    def without_element(self, photos: Iterable[str]) -> list[str]:
        """List the photos that no row names; a report says of them that they belong to no element.

        Args:
            photos: Paths of all photos.

        Raises:
            DataError: If two rows name a photo and do not state the same.
        """
        return [photo for photo in photos if self.of(photo) is None]

    def require_known(self, photos: Iterable[str]) -> None:
        """Refuse rows that name no photo, and photos that two rows give to different elements.

        Args:
            photos: Paths of all photos, as their results state them.

        Raises:
            DataError: If a row names no photo, with the nearest name; or if two rows name the same photo.
        """
        given = [*photos]
        used: set[int] = set()
        for photo in given:
            self.of(photo)
            used |= {id(row) for row in self._rows_of(photo)}
        for row in self.rows:
            if id(row) not in used:
                kind = "matches" if row.is_pattern else "is"
                raise DataError(
                    f"{row.where}: '{row.photos}' {kind} none of the {len(given):,} photos."
                    f"{did_you_mean(row.photos, given)} Write paths from the table's folder; * in a glob stands for "
                    "any characters."
                )

    def require_exposures(self, known: Sequence[str], *, name: str) -> None:
        """Refuse an exposure that a table of bands, or rules, do not know.

        Args:
            known: Names of the known exposures; nothing if any will do.
            name: What knows them, for the message.

        Raises:
            DataError: If a row has another exposure; the message names the row and offers the nearest exposure.
        """
        for row in self.rows:
            _require_among(row.element.exposure, known, f"{row.where}: exposure", name)

    def require_importances(self, known: Sequence[str], *, name: str) -> None:
        """Refuse an importance that rules do not know.

        Args:
            known: Names of the known importances.
            name: What knows them, for the message.

        Raises:
            DataError: If a row has another importance; the message names the row and offers the nearest one.
        """
        for row in self.rows:
            _require_among(row.element.importance, known, f"{row.where}: importance", name)

    def _rows_of(self, photo: str) -> list[ElementRow]:
        paths = self._written(photo)
        found = {at for path in paths for at in self._by_path.get(path, ())}
        found |= {at for at, pattern in self._patterns.items() if any(map(pattern.match, paths))}
        return [self.rows[at] for at in sorted(found)]

    @cached_property
    def _by_path(self) -> dict[str, list[int]]:
        """Places of the rows that name one photo, by its path."""
        found: dict[str, list[int]] = {}
        for at, row in enumerate(self.rows):
            if not row.is_pattern:
                found.setdefault(_slashed(row.photos), []).append(at)
        return found

    @cached_property
    def _patterns(self) -> dict[int, re.Pattern[str]]:
        """Patterns by the places of their rows."""
        rows = enumerate(self.rows)
        return {at: re.compile(fnmatch.translate(_slashed(row.photos))) for at, row in rows if row.is_pattern}

    def _written(self, photo: str) -> set[str]:
        """The ways to write a photo's path: as it is stated, from the table's folder, and whole."""
        whole = _whole(photo)
        try:
            inside = os.path.relpath(whole, self.folder or os.curdir)
        except ValueError:  # another drive of Windows
            inside = photo
        return {_slashed(path) for path in (photo, os.path.normpath(photo), inside, whole)}


def read_elements(path: str | Path) -> Elements:
    """Read which photos show which element from a CSV, with commas or semicolons between its cells.

    Each row has an ``element``, and names its photos by a path in ``photo`` or a pattern in ``glob``: from the folder
    of the CSV, or as ``photos.csv`` of a scan states them. The columns ``side``, ``exposure``, ``importance`` and
    ``member`` (``reinforced`` or ``prestressed``) may be left out or empty.

    Args:
        path: Path of the CSV.

    Raises:
        DataError: If the file is no such table, or a row has no element, no photos, both a photo and a glob, or another
            member.
    """
    place = Path(path)
    rows = tuple(_row_of(row) for row in read_table(place, _FORM))
    if not rows:
        raise DataError(f"{place}: the table has no row. Give each element a row.")
    return Elements(str(path), rows, str(place.parent))


def elements_by_folder(photos: Sequence[str], *, folder: str | Path | None = None) -> Elements:
    """Take the sub-folders that photos lie in as their elements; photos in the folder itself show no element.

    Args:
        photos: Paths of all photos.
        folder: Folder whose sub-folders count; where left out, the deepest one that holds all photos.

    Returns:
        Elements named by their path from the folder, such as ``pier 2/north``.

    Raises:
        DataError: If no folder is given and the photos lie on several drives.
    """
    parents = {photo: PurePosixPath(_slashed(_whole(photo))).parent for photo in photos}
    top = PurePosixPath(_slashed(_whole(str(folder)))) if folder is not None else _deepest([*parents.values()])
    rows = [
        ElementRow(f"folder '{parent.relative_to(top)}'", photo, False, Element(str(parent.relative_to(top))))
        for photo, parent in parents.items()
        if parent != top and parent.is_relative_to(top)
    ]
    return Elements(str(folder or top), tuple(rows))


def _deepest(folders: Sequence[PurePosixPath]) -> PurePosixPath:
    """The deepest folder that holds all of some folders."""
    if not folders:
        return PurePosixPath()
    try:
        return PurePosixPath(_slashed(os.path.commonpath([*map(str, folders)])))
    except ValueError as error:
        raise DataError("The photos lie on several drives, so no folder holds them all. State the folder.") from error


def _row_of(row: TableRow) -> ElementRow:
    photo, pattern = row["photo"].strip(), row["glob"].strip()
    name, side, exposure, importance = (
        " ".join(row[column].split()) for column in ("element", "side", "exposure", "importance")
    )
    if not name:
        raise DataError(f"{row.where}: no element. Fill it in, or take the row out.")
    if bool(photo) == bool(pattern):
        found = "both a photo and a glob" if photo else "neither a photo nor a glob"
        raise DataError(f"{row.where}: {found}. Fill in one of the two columns.")
    member = plain(row["member"]) or "reinforced"
    _require_among(member, get_args(Member), f"{row.where}: member", "elements")
    kind: Member = "prestressed" if member == "prestressed" else "reinforced"
    element = Element(name, side, exposure or None, importance or None, kind)
    return ElementRow(row.where, photo or pattern, bool(pattern), element)


def _require_among(value: str | None, known: Sequence[str], where: str, name: str) -> None:
    if value is not None and known and plain(value) not in map(plain, known):
        raise DataError(
            f"{where} '{value}' is not known to {name}.{did_you_mean(value, known)} Take one of {', '.join(known)}, or "
            "leave it empty."
        )


def _described(element: Element) -> str:
    told = [element.side, element.exposure, element.importance, element.member]
    return f"'{element.name}' ({', '.join(filter(None, told))})"


def _whole(path: str) -> str:
    """A path from the root of its drive; links are not followed."""
    return os.path.abspath(path)  # noqa: PTH100


def _slashed(path: str) -> str:
    """A path with slashes, and without a leading ``./``, so that a table from Windows fits anywhere."""
    return path.replace("\\", "/").removeprefix("./")
