"""Cleaned indexes: the patches that an audit leaves in, as a table that `read_patches` takes. No file is touched."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from crackscope.auditing.kinds import Audit, left_out
from crackscope.data.patches import PatchIndex
from crackscope.errors import DataError, OutputError
from crackscope.files.output import require_free, write_text
from crackscope.files.tables import table_text

__all__ = ["require_cleanable", "write_clean_index"]

_TABLE = "labels.csv"  # at the top of a folder, or in its only folder: what `read_patches` goes by


def require_cleanable(
    index: PatchIndex, data: str | Path, out: Path, *, split: str | Path | None = None, overwrite: bool = False
) -> None:
    """Refuse, before anything is read, a cleaned index that could not be read back, or would replace what was given.

    Args:
        index: The patches.
        data: Where they come from: a folder or a table.
        out: The cleaned index.
        split: The split file, if one was given.
        overwrite: Whether `out` may be replaced.

    Raises:
        DataError: If the data lies in an archive, or a name cannot stand in a table.
        OutputError: If `out` is the data's own table or the split file, or exists and `overwrite` is not said.
    """
    place = Path(data)
    if out.suffix.lower() != ".csv":
        raise DataError(f"--clean {out}: a table is to be written there. Give it a name that ends in .csv.")
    if not place.is_dir() and place.suffix.lower() != ".csv":
        raise DataError(f"--clean {out}: {place} is an archive, which a table cannot point into. Unpack it first.")
    _require_not_given(place, split, out)
    require_free(out, overwrite=overwrite)
    start = _from_table_to_data(place, out)
    for path in index.paths:
        if not _can_be_listed(str(start / path)):
            raise DataError(f"--clean {out}: {path!r} cannot be named in a table that is read back. Rename it.")


def write_clean_index(found: Audit, data: str | Path, out: Path, *, overwrite: bool = False) -> int:
    """Write ``path,label,photo,part`` of what is left; paths are relative to the table's own folder.

    Returns:
        How many patches it holds.

    Raises:
        DataError: If nothing would be left.
        OutputError: If `out` exists and `overwrite` is not said, or it cannot be written.
    """
    start, without = _from_table_to_data(Path(data), out), left_out(found)
    kept = [patch for patch in found.index.patches if patch.path not in without]
    if not kept:
        raise DataError(f"{found.index.name}: every patch would be left out, so no cleaned index is written.")
    rows = ((str(start / patch.path), patch.label, patch.photo, patch.part) for patch in kept)
    write_text(out, table_text(("path", "label", "photo", "part"), rows), overwrite=overwrite)
    return len(kept)


def _require_not_given(data: Path, split: str | Path | None, out: Path) -> None:
    """Refuse to replace the table that the data is read by, there already or not, or the split file."""
    place, root = out.resolve(), data.resolve()
    if place == root or (place.name == _TABLE and root in place.parents[:2]):
        raise OutputError(f"--clean {out}: {data} is read by a table of that name. Write the index elsewhere.")
    if split is not None and place == Path(split).resolve():
        raise OutputError(f"--clean {out}: that is the split file, which stays. Write the index elsewhere.")


def _can_be_listed(path: str) -> bool:
    """Whether a path survives being written to a table and read again."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return path == path.strip() and "\\" not in path


def _from_table_to_data(data: Path, out: Path) -> PurePosixPath:
    """The way from the cleaned index's folder to what paths are relative to."""
    root = data if data.is_dir() else data.parent
    try:
        way = os.path.relpath(root.resolve(), out.parent.resolve())
    except ValueError as error:
        raise DataError(f"--clean {out}: {root} lies on another drive. Choose a place on that drive.") from error
    return PurePosixPath(Path(way).as_posix())
