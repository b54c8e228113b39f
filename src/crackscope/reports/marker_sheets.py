"""Marker sheets: markers to print true to scale and to lay on a surface, with two rulers to check the print."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crackscope.arrays import UInt8Array
from crackscope.errors import DataError, OutputError
from crackscope.files.output import new_file
from crackscope.geometry.markers import MarkerKind, marker_bits, n_markers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PAPERS_MM", "marker_sheet", "numbers_on_sheets", "write_markers"]

PAPERS_MM = {"a4": (210.0, 297.0), "letter": (215.9, 279.4)}
"""Width and height of the papers in mm."""

DEFAULT_KIND = MarkerKind("APRILTAG_36h11", 50)
"""Markers that are printed if none are named: of 4,000 pixels across 2 m of wall, such a marker covers 100."""

RULER_MM = 150
MM_PER_INCH = 25.4

_MARGIN_MM, _HEAD_MM, _FOOT_MM, _CAPTION_MM = 15.0, 34.0, 20.0, 7.0
_LEAST_GAP_MM = 8.0
_WHITE_SQUARES = 1.5  # white around a marker, in its squares, without which it is not found
_INK = "#000000"
_WIDEST_CAPTION_MM = 4.0  # for letters of one point


def write_markers(
    out: str | Path,
    *,
    marker: MarkerKind | None = None,
    paper: str = "a4",
    sheets: int = 1,
    first: int = 0,
    overwrite: bool = False,
) -> list[int]:
    """Write markers to print, true to scale, into a PDF.

    Args:
        out: Path of the PDF.
        marker: Kind and side of the markers; AprilTags of the family 36h11 with a side of 50 mm if left out.
        paper: Paper: ``a4`` or ``letter``.
        sheets: Number of sheets, at least 1; each holds as many different markers as fit.
        first: Number of the first marker in its family, from 0.
        overwrite: Whether an existing file is replaced.

    Returns:
        Numbers of the markers, in the order of the sheets.

    Raises:
        DataError: If `paper` is another word, a marker does not fit on it, or the family has too few markers.
        OutputError: If the file exists and `overwrite` is false, its name does not end in .pdf, or it cannot be
            written.
    """
    from matplotlib.backends.backend_pdf import PdfPages

    place = Path(out)
    if place.suffix.lower() != ".pdf":
        raise OutputError(f"{place}: the name of the sheets must end in .pdf; found '{place.suffix}'. Rename it.")
    kind = marker or DEFAULT_KIND
    numbers = numbers_on_sheets(kind, paper, sheets=sheets, first=first)
    content = io.BytesIO()
    with PdfPages(content, metadata={"CreationDate": None, "Producer": None, "Creator": "crackscope"}) as pages:
        for own in numbers:
            pages.savefig(marker_sheet(kind, paper, own))
    with new_file(place, overwrite=overwrite) as part:
        part.write_bytes(content.getvalue())
    return [number for own in numbers for number in own]


def numbers_on_sheets(kind: MarkerKind, paper: str, *, sheets: int = 1, first: int = 0) -> list[list[int]]:
    """Choose the markers of each sheet.

    Args:
        kind: Kind and side of the markers.
        paper: Paper, a key of `PAPERS_MM`.
        sheets: Number of sheets, at least 1.
        first: Number of the first marker.

    Raises:
        DataError: If `paper` is another word, a marker does not fit on it, or the family has too few markers.
    """
    if paper not in PAPERS_MM:
        raise DataError(f"paper is '{paper}'; it must be {' or '.join(PAPERS_MM)}.")
    if sheets < 1 or first < 0:
        raise DataError(f"{sheets} sheets from marker {first} on: there must be at least 1 sheet, from marker 0 on.")
    columns, rows = _grid(kind, paper)
    a_sheet, there = columns * rows, n_markers(kind.dictionary)
    if first + sheets * a_sheet > there:
        raise DataError(
            f"{sheets} sheets of {a_sheet} markers from {first} on need {first + sheets * a_sheet:,} markers, and "
            f"{kind.dictionary} has {there:,}. Print fewer sheets, or take a larger family."
        )
    return [[*range(first + i * a_sheet, first + (i + 1) * a_sheet)] for i in range(sheets)]


def marker_sheet(kind: MarkerKind, paper: str, numbers: list[int]) -> Figure:
    """Draw a sheet of markers, true to scale.

    Args:
        kind: Kind and side of the markers.
        paper: Paper, a key of `PAPERS_MM`.
        numbers: Numbers of the markers, as many as fit.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = PAPERS_MM[paper]
    figure = Figure(figsize=(width / MM_PER_INCH, height / MM_PER_INCH), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))  # millimetres from the upper left corner
    axes.set_axis_off()
    _draw_head(axes, kind)
    columns, _ = _grid(kind, paper)
    gap = _gap_mm(kind)
    left = (width - columns * kind.side_mm - (columns - 1) * gap) / 2
    for at, number in enumerate(numbers):
        x = left + at % columns * (kind.side_mm + gap)
        y = _HEAD_MM + at // columns * (kind.side_mm + gap + _CAPTION_MM)
        _draw_squares(axes, marker_bits(kind.dictionary, number), (x, y), kind.side_mm)
        caption = f"{kind.dictionary} {number}\n{kind.side_mm:g} mm"
        points = min(7.0, (kind.side_mm + gap) / _WIDEST_CAPTION_MM)
        axes.text(x, y + kind.side_mm + gap / 2, caption, fontsize=points, color=_INK, va="top")
    _draw_ruler(axes, (width - RULER_MM) / 2, height - _FOOT_MM + 8, is_upright=False)
    _draw_ruler(axes, 8, _HEAD_MM, is_upright=True)
    return figure


def _gap_mm(kind: MarkerKind) -> float:
    n = len(marker_bits(kind.dictionary, 0))
    return max(_LEAST_GAP_MM, _WHITE_SQUARES * kind.side_mm / n)


def _grid(kind: MarkerKind, paper: str) -> tuple[int, int]:
    """Number of columns and rows of markers on a sheet.

    Raises:
        DataError: If none fits.
    """
    width, height = PAPERS_MM[paper]
    gap = _gap_mm(kind)
    across, down = width - 2 * _MARGIN_MM, height - _HEAD_MM - _FOOT_MM
    columns = int((across + gap) // (kind.side_mm + gap))
    rows = int(down // (kind.side_mm + gap + _CAPTION_MM))
    if columns < 1 or rows < 1:
        raise DataError(
            f"a marker with a side of {kind.side_mm:g} mm does not fit on {paper}: at most {across:g} mm do. Have a "
            "larger one printed as a plate, and give its side to the scan."
        )
    return columns, rows


def _draw_head(axes: Axes, kind: MarkerKind) -> None:
    lines = (
        f"Markers for crackscope scan --marker {kind}",
        "Print at 100 % (actual size), on matt paper. Check both rulers: 150 mm on them must measure 150 mm.",
        f"If they measure another length L, give the side as {kind.side_mm:g} × L / 150 mm.",
        "Leave the white border on. Lay the marker flat onto the surface, beside the crack.",
    )
    for row, line in enumerate(lines):
        size = 11 if row == 0 else 8
        axes.text(_MARGIN_MM, 10 + 5 * row, line, fontsize=size, color=_INK, va="center", wrap=False)


def _draw_squares(axes: Axes, bits: UInt8Array, at_mm: tuple[float, float], side_mm: float) -> None:
    """A marker as a black square with white stretches on it.

    White squares are drawn along rows and along columns, so that no seam is left between neighbours. Edges are not
    moved to whole pixels, as matplotlib would do.
    """
    from matplotlib.patches import Rectangle

    x, y = at_mm
    square = side_mm / len(bits)
    axes.add_patch(Rectangle((x, y), side_mm, side_mm, facecolor=_INK, linewidth=0, snap=False))
    for squares, is_upright in ((bits, False), (bits.T, True)):
        for row, values in enumerate(squares > 0):
            bounds = np.flatnonzero(np.diff(np.concatenate([[0], values.astype(np.int8), [0]])))
            for start, stop in bounds.reshape(-1, 2).tolist():
                along, across = x if not is_upright else y, y if not is_upright else x
                place, size = (along + start * square, across + row * square), ((stop - start) * square, square)
                place, size = (place[::-1], size[::-1]) if is_upright else (place, size)
                axes.add_patch(Rectangle(place, *size, facecolor="white", linewidth=0, snap=False))


def _draw_ruler(axes: Axes, x: float, y: float, *, is_upright: bool) -> None:
    """A ruler that begins at a place, with a stroke each mm and a number each cm."""
    for mm in range(RULER_MM + 1):
        length = 4.0 if mm % 10 == 0 else 2.6 if mm % 5 == 0 else 1.6
        start, stop = ((x - length, y + mm), (x, y + mm)) if is_upright else ((x + mm, y - length), (x + mm, y))
        axes.plot(*zip(start, stop, strict=True), color=_INK, linewidth=0.35, solid_capstyle="butt")
        if mm % 10 == 0:
            place = (x + 0.8, y + mm) if is_upright else (x + mm, y + 0.8)
            aligned = {"ha": "left", "va": "center"} if is_upright else {"ha": "center", "va": "top"}
            axes.text(*place, str(mm) if mm else "0 mm", fontsize=6, color=_INK, **aligned)  # type: ignore[arg-type]
