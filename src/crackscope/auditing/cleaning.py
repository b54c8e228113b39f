"""Cleaned indexes: a table of the patches that an audit keeps, which `read_patches` reads. No file is changed."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from crackscope.auditing.kinds import Audit, left_out
from crackscope.data.patches import PatchIndex
from crackscope.errors import DataError, OutputError
from crackscope.files.output import require_free, write_text
from crackscope.files.tables import table_text

__all__ = ["require_cleanable", "write_clean_index"]

_TABLE = "labels.csv"  # `read_patches` reads a folder by this table, in the folder itself or in its only subfolder


def require_cleanable(
    index: PatchIndex, data: str | Path, out: Path, *, split: str | Path | None = None, overwrite: bool = False
) -> None:
    """Refuse, before the audit, a cleaned index that could not be read back or would replace an input.

    Args:
        index: The patches.
        data: Folder or table that the patches were read from.
        out: Path of the cleaned index.
        split: Path of the split file, if one was given.
        overwrite: Whether an existing `out` is replaced.

    Raises:
        DataError: If the data lies in an archive, or a name cannot stand in a table.
        OutputError: If `out` is the data's own table or the split file, or exists and `overwrite` is false.
    """
    place = Path(data)
    if out.suffix.lower() != ".csv":
        raise DataError(f"--clean {out}: the table's name must end in .csv. Give it such a name.")
    if not place.is_dir() and place.suffix.lower() != ".csv":
        raise DataError(f"--clean {out}: {place} is an archive, and a table cannot name files in one. Unpack it first.")
    _require_not_given(place, split, out)
    require_free(out, overwrite=overwrite)
    start = _from_table_to_data(place, out)
    for path in index.paths:
        if not _can_be_listed(str(start / path)):
            raise DataError(f"--clean {out}: {path!r} cannot be written to a table and read back. Rename the file.")


def write_clean_index(found: Audit, data: str | Path, out: Path, *, overwrite: bool = False) -> int:
    """Write ``path,label,photo,part`` of the kept patches; paths are relative to the table's own folder.

    The column ``scene`` follows where the scene of some patch is known.

    Returns:
        Number of patches in the table.

    Raises:
        DataError: If no patch would be left.
        OutputError: If `out` exists and `overwrite` is false, or it cannot be written.
    """
    start, without = _from_table_to_data(Path(data), out), left_out(found)
    kept = [patch for patch in found.index.patches if patch.path not in without]
    if not kept:
        raise DataError(f"{found.index.name}: every patch would be left out, so no cleaned index is written.")
    n = 5 if any(patch.scene for patch in kept) else 4
    rows = ((str(start / patch.path), patch.label, patch.photo, patch.part, patch.scene)[:n] for patch in kept)
    write_text(out, table_text(("path", "label", "photo", "part", "scene")[:n], rows), overwrite=overwrite)
    return len(kept)


def _require_not_given(data: Path, split: str | Path | None, out: Path) -> None:
    """Refuse a path that would replace the split file or the table of the data, even if that does not exist."""
    place, root = out.resolve(), data.resolve()
    if place == root or (place.name == _TABLE and root in place.parents[:2]):
        raise OutputError(f"--clean {out}: {data} is read by a table of that name. Choose another path.")
    if split is not None and place == Path(split).resolve():
        raise OutputError(f"--clean {out}: this is the split file, which must stay. Choose another path.")


def _can_be_listed(path: str) -> bool:
    """Whether a path survives being written to a table and read again."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return path == path.strip() and "\\" not in path


def _from_table_to_data(data: Path, out: Path) -> PurePosixPath:
    """Relative path from the cleaned index's folder to the folder that the patches' paths start from."""
    root = data if data.is_dir() else data.parent
    try:
        way = os.path.relpath(root.resolve(), out.parent.resolve())
    except ValueError as error:
        raise DataError(f"--clean {out}: {root} lies on another drive. Choose a path on that drive.") from error
    return PurePosixPath(Path(way).as_posix())
