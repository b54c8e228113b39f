"""Pictures of augmented views: patches, and beside each the changed views that training uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from crackscope.arrays import UInt8Array
from crackscope.errors import DataError
from crackscope.files.output import new_file
from crackscope.reports.contact_sheet import contact_sheet

__all__ = ["draw_augmented_views", "write_augmented_views"]


def write_augmented_views(
    originals: Sequence[UInt8Array], views: Sequence[Sequence[UInt8Array]], path: Path, *, overwrite: bool = False
) -> None:
    """Write the picture of `draw_augmented_views` as a PNG.

    Raises:
        OutputError: If `path` exists, or cannot be written.
        DataError: If `draw_augmented_views` raises it.
    """
    sheet = draw_augmented_views(originals, views)
    with new_file(path, overwrite=overwrite) as part:
        Image.fromarray(sheet).save(part, format="PNG")


def draw_augmented_views(
    originals: Sequence[UInt8Array], views: Sequence[Sequence[UInt8Array]], *, side_px: int = 160
) -> UInt8Array:
    """Draw a row for each original: the patch itself, then its views.

    Args:
        originals: Original patches, each RGB, uint8, shape (h, w, 3).
        views: Views of each original, the same number for each.
        side_px: Side of a picture's square in pixels.

    Returns:
        The picture, RGB, uint8, shape (height, width, 3).

    Raises:
        DataError: If rows are missing or of unequal length, or a picture is not RGB uint8.
    """
    lengths = sorted({len(row) for row in views})
    if len(originals) != len(views) or len(lengths) != 1:
        raise DataError(
            f"{len(originals)} originals and {len(views)} rows of {' or '.join(map(str, lengths)) or 'no'} views "
            "make no grid. Give as many views of every original."
        )
    items = []
    for original, row in zip(originals, views, strict=True):
        items += [(original, "original"), *((view, f"view {number}") for number, view in enumerate(row, 1))]
    return contact_sheet(items, columns=1 + lengths[0], side_px=side_px, title="Patches and their augmented views")
