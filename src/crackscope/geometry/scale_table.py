"""Scale tables: a CSV that states the scale of photos, one row a photo."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from crackscope.errors import DataError, did_you_mean
from crackscope.files.tables import TableForm, TableRow, read_table
from crackscope.geometry.references import Reference
from crackscope.geometry.scale import Scale

__all__ = ["ScaleTable", "read_scales"]

_ENDS = ("x0", "y0", "x1", "y1", "mm")
_FORM = TableForm(
    ("path",),
    optional=("mm_per_px", "uncertainty_mm_per_px", *_ENDS),
    remedy="A table of scales has a column path, and mm_per_px or x0,y0,x1,y1,mm.",
)


@dataclass(frozen=True)
class ScaleTable:
    """Scales of photos, from `crackscope.read_scales`.

    Attributes:
        name: Name of the table, for messages.
        rows: Scale, or two points with their distance, of each photo by its path as the table states it.
        places: Row of each photo in the table, such as ``scales.csv, row 2``, by its path.
        folder: Folder that relative paths start from.
    """

    name: str
    rows: Mapping[str, Scale | Reference]
    places: Mapping[str, str]
    folder: str = ""

    def row_of(self, path: str) -> Scale | Reference | None:
        """Find the row of a photo.

        Args:
            path: Path of the photo, as its result states it.

        Returns:
            Its scale, or its two points; None if the table has no row for it.
        """
        return self._by_key.get(_key(path), self.rows.get(path))

    def require_known(self, paths: Iterable[str]) -> None:
        """Refuse a table that names a photo which is not there.

        Args:
            paths: Paths of all photos, as their results state them.

        Raises:
            DataError: If a row names another photo; the message offers the nearest name.
        """
        given = [*paths]
        there = {*given, *map(_key, given)}
        for path, place in self.places.items():
            if path not in there and _key(Path(self.folder, path)) not in there:
                raise DataError(
                    f"{place}: '{path}' is none of the {len(given):,} photos to be scanned."
                    f"{did_you_mean(path, given)} Give its path from the table's folder, or as photos.csv states it."
                )

    @cached_property
    def _by_key(self) -> dict[str, Scale | Reference]:
        return {_key(Path(self.folder, path)): row for path, row in self.rows.items()}


def read_scales(path: str | Path) -> ScaleTable:
    """Read the scales of photos from a CSV.

    Each row names a photo in the column ``path``, from the folder of the CSV or as ``photos.csv`` of a scan states it.
    It has either ``mm_per_px``, and if it is known ``uncertainty_mm_per_px``, or the two points of a reference in
    pixels and their distance in ``x0,y0,x1,y1,mm``.

    Args:
        path: Path of the CSV.

    Raises:
        DataError: If the file is no such table, names a photo twice, or a row has no scale, two of them, or a value
            that cannot be believed.
    """
    place = Path(path)
    rows: dict[str, Scale | Reference] = {}
    places: dict[str, str] = {}
    keys: dict[str, str] = {}
    for row in read_table(place, _FORM):
        name = row["path"].strip()
        if not name:
            raise DataError(f"{row.where}: no path. Fill it in, or take the row out.")
        key = _key(place.parent / name)
        if key in keys:
            raise DataError(f"{row.where}: a second scale for '{name}'; the first is in {keys[key]}. Take one out.")
        rows[name], places[name], keys[key] = _scale_in(row), row.where, row.where
    if not rows:
        raise DataError(f"{place}: the table has no row. Give one photo a row.")
    return ScaleTable(str(path), rows, places, str(place.parent))


def _scale_in(row: TableRow) -> Scale | Reference:
    has_number = bool(row["mm_per_px"].strip())
    filled = [name for name in _ENDS if row[name].strip()]
    if has_number == bool(filled):
        found = "two scales" if has_number else "no scale"
        raise DataError(f"{row.where}: {found}. Fill in either mm_per_px or x0,y0,x1,y1,mm.")
    if filled and len(filled) < len(_ENDS):
        missing = ", ".join(name for name in _ENDS if name not in filled)
        raise DataError(f"{row.where}: no {missing}. Two points need all of x0,y0,x1,y1,mm.")
    if filled and row["uncertainty_mm_per_px"].strip():
        raise DataError(f"{row.where}: the uncertainty of two points is computed. Leave uncertainty_mm_per_px empty.")
    try:
        if filled:
            return Reference(*(_number(row, name) for name in _ENDS))
        known = row["uncertainty_mm_per_px"].strip()
        return Scale(_number(row, "mm_per_px"), _number(row, "uncertainty_mm_per_px") if known else None, "table")
    except DataError as error:
        raise DataError(str(error) if str(error).startswith(row.where) else f"{row.where}: {error}") from error


def _number(row: TableRow, column: str) -> float:
    text = row[column].strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{row.where}: {column} is '{text}'; it must be a number, written with a point, such as 0.3.")
    return value


def _key(path: str | Path) -> str:
    """Equal for paths of the same place, however they are written; links are not followed."""
    return os.path.normcase(os.path.abspath(path))  # noqa: PTH100
