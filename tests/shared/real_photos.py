"""Real photos that come with their masks, by the part that a training may or may not learn."""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Collection
from pathlib import Path


def photos_with_masks(real_data: Path, folder: Path, *, parts: Collection[str]) -> Path:
    """Unpack the photos of some parts, and their masks.

    Args:
        real_data: Folder of the real images.
        folder: Folder to unpack into.
        parts: Parts of ``photo_parts.csv``: ``train`` or ``test``.

    Returns:
        Folder with ``images`` and ``masks``.
    """
    rows = csv.DictReader((real_data / "photo_parts.csv").read_text(encoding="utf-8").splitlines())
    stems = {Path(row["file"]).stem for row in rows if row["set"] == "photos" and row["part"] in parts}
    with tarfile.open(real_data / "photos_with_masks.tar") as archive:
        chosen = [one for one in archive.getmembers() if one.isfile() and Path(one.name).stem in stems]
        archive.extractall(folder, members=chosen, filter="data")
    return folder / "photos"
