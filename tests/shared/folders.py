"""Contents of folders."""

from __future__ import annotations

from pathlib import Path


def contents_of(folder: Path) -> dict[str, bytes]:
    """Read the content of each file below a folder, by its path from there."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names_in(folder: Path) -> list[str]:
    """Names of the files and folders directly in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())
