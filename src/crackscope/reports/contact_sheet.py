"""Contact sheets: many small pictures on one sheet, each with a caption below.

Text is set in DejaVu Sans, which comes with matplotlib. So a sheet looks the same on every machine, and a path with
accents stays readable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from crackscope.arrays import UInt8Array
from crackscope.errors import DataError

__all__ = ["ALERT", "class_samples", "contact_sheet", "fit_square"]


_PAPER, _WELL, _INK, _MUTED, ALERT = (
    (255, 255, 255),
    (238, 240, 242),
    (27, 39, 51),
    (91, 103, 115),
    (213, 94, 0),
)
_GAP_PX = 12
_CAPTION_PX = 12
_LINE_PX = 16
_TITLE_PX = 18


def contact_sheet(
    items: Sequence[tuple[UInt8Array, str]],
    *,
    columns: int = 6,
    side_px: int = 160,
    title: str | None = None,
    alert: bool = False,
) -> UInt8Array:
    """Lay out pictures in rows; each is shown whole inside a square, with its caption below.

    Args:
        items: Pairs of a picture, RGB, uint8, shape (h, w, 3), and its caption. A newline parts the lines of a caption.
            A line that is too long loses its beginning, because the end of a path names the file.
        columns: Number of pictures in a row.
        side_px: Side of a picture's square in pixels.
        title: Line above the pictures, for example how they were chosen.
        alert: Whether the title is set in the colour of a warning.

    Returns:
        The sheet, RGB, uint8, shape (height, width, 3). Without items, it holds the title alone.

    Raises:
        DataError: If a picture is not RGB uint8, `columns` is below 1, or `side_px` is below 16.
    """
    if columns < 1 or side_px < 16:
        raise DataError(f"A contact sheet of {columns} columns of {side_px} px shows nothing. Try 6 columns of 160 px.")
    n_lines = max((caption.count("\n") + 1 for _, caption in items if caption), default=0)
    cell_height = side_px + (4 + n_lines * _LINE_PX if n_lines else 0) + _GAP_PX
    top = _GAP_PX + (_TITLE_PX + _GAP_PX if title else 0)
    n_rows = -(-len(items) // columns)
    sheet = Image.new("RGB", (_GAP_PX + columns * (side_px + _GAP_PX), top + n_rows * cell_height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        text = _fit(title, sheet.width - 2 * _GAP_PX, _TITLE_PX - 2, keep_end=False)
        draw.text((_GAP_PX, _GAP_PX), text, font=_font(_TITLE_PX - 2, bold=True), fill=ALERT if alert else _INK)
    for number, (pixels, caption) in enumerate(items):
        x = _GAP_PX + number % columns * (side_px + _GAP_PX)
        y = top + number // columns * cell_height
        sheet.paste(Image.fromarray(fit_square(pixels, side_px)), (x, y))
        for row, line in enumerate(caption.split("\n")):
            text = _fit(line, side_px, _CAPTION_PX)
            place = (x, y + side_px + 4 + row * _LINE_PX)
            draw.text(place, text, font=_font(_CAPTION_PX), fill=_MUTED if row == 0 and n_lines > 1 else _INK)
    return np.asarray(sheet, dtype=np.uint8)


def class_samples(
    images_by_label: Mapping[str, Sequence[UInt8Array]],
    counts: Mapping[str, int],
    *,
    columns: int = 6,
    side_px: int = 160,
) -> UInt8Array:
    """Show a sample of each label, under its name and its number of patches.

    Args:
        images_by_label: Pictures of each label, RGB, uint8, in the order in which they are shown.
        counts: Number of patches of each label in the whole data set.
        columns: Number of pictures in a row.
        side_px: Side of a picture's square in pixels.

    Returns:
        The sheet, RGB, uint8, shape (height, width, 3).

    Raises:
        DataError: If there is no label, or `contact_sheet` raises it.
    """
    if not images_by_label:
        raise DataError("No label to show a sample of. Read a data set with labelled patches first.")
    total = sum(counts.values())
    sheets = []
    for label, images in images_by_label.items():
        n = counts.get(label, 0)
        title = f"{label}: {n:,} patches" + (f" ({n / total:.1%})" if total else "")
        items = [(pixels, "") for pixels in images]
        sheets.append(contact_sheet(items, columns=columns, side_px=side_px, title=title))
    return np.concatenate(sheets)


def fit_square(pixels: UInt8Array, side_px: int) -> UInt8Array:
    """Scale a picture so that all of it fits into a square, and centre it on grey.

    Raises:
        DataError: If the picture is not RGB uint8.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise DataError(f"Pixels of shape {pixels.shape} and type {pixels.dtype} are not RGB uint8 (h, w, 3).")
    height, width = pixels.shape[:2]
    scale = side_px / max(height, width)
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    rule = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    square = np.empty((side_px, side_px, 3), dtype=np.uint8)
    square[:] = _WELL
    y, x = (side_px - new_height) // 2, (side_px - new_width) // 2
    square[y : y + new_height, x : x + new_width] = cv2.resize(pixels, (new_width, new_height), interpolation=rule)
    return square


def _fit(line: str, width_px: int, size_px: int, *, keep_end: bool = True) -> str:
    """Shorten a line with an ellipsis until it fits."""
    font = _font(size_px, bold=not keep_end)
    line = "".join(letter if letter.isprintable() else "�" for letter in line)
    if font.getlength(line) <= width_px:
        return line
    for n in range(len(line) - 1, 0, -1):
        short = f"…{line[-n:]}" if keep_end else f"{line[:n]}…"
        if font.getlength(short) <= width_px:
            return short
    return "…"


@cache
def _font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size_px)
