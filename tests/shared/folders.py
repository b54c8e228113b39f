"""What lies in a folder, and files that lie in memory."""

from __future__ import annotations

from pathlib import Path


def contents_of(folder: Path) -> dict[str, bytes]:
    """What each file below a folder holds, by its path from there."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names_in(folder: Path) -> list[str]:
    """Names of the files and folders that lie right in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())
