"""Line sheets: photos with found and true lines laid over them, those with the worst lines first."""

from __future__ import annotations

import math

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float64Array, Int64Array, UInt8Array
from crackscope.errors import DataError
from crackscope.files.tables import table_text
from crackscope.measuring.line_figures import TOLERANCES_PX
from crackscope.measuring.lines import LineCounts, PhotoLines
from crackscope.measuring.photo_evaluation import PhotoEvaluation
from crackscope.measuring.scanned_photos import ScannedPhoto
from crackscope.measuring.wording import LINE_FIGURES
from crackscope.reports.contact_sheet import contact_sheet

__all__ = ["line_sheet", "line_table"]


_SIDE_PX = 400
# Sky blue, vermilion and yellow of Okabe & Ito (2008), which readers with any colour vision can tell apart.
_TRUE, _MISSED, _FOUND, _FALSE, _EDGE = (86, 180, 233), (213, 94, 0), (0, 0, 0), (240, 228, 66), (60, 60, 60)
_PHOTO_SHARE = 0.45  # of a pixel's own value under the lines; the rest is white


def line_sheet(evaluation: PhotoEvaluation, *, limit: int = 12) -> UInt8Array:
    """Draw photos, those whose traced lines have the least F1 within 4 px first; beside each, the same with its lines.

    The second picture of a photo shows its traced lines. A third one shows the line of the fine map, where the model
    has one. The true line is wide: blue where it is found, and orange where it is missed. The found line is thin and
    black, but yellow with a dark edge where it is false. Photos without any line come last. Photos are read again, and
    one that is gone is left out.

    Args:
        evaluation: Evaluation of photos with traced lines.
        limit: Greatest number of photos.

    Returns:
        The sheet, RGB, uint8, shape (height, width, 3).
    """
    ranked = _ranked(evaluation)
    items = []
    for one, traced in ranked[:limit]:
        try:
            pixels, _ = one.photo.load()
        except (OSError, DataError):
            continue
        small = _fitted(pixels)
        items.append((small, f"{one.photo.name}\n "))
        for kind, lines in (("traced lines", traced), ("line of the fine map", one.lines)):
            if lines is not None:
                drawn = _with_lines(small, lines, (pixels.shape[0], pixels.shape[1]))
                items.append((drawn, _caption(kind, lines)))
    which = f"The worst {limit} of {len(ranked)}" if len(ranked) > limit else f"All {len(ranked)}"
    title = f"{which} photos, the worst first; blue: true and found; orange: missed; black: found; yellow: false"
    columns = 3 if any(one.lines is not None for one, _ in ranked) else 4
    return contact_sheet(items, columns=columns, side_px=_SIDE_PX, title=title, alert=evaluation.tiles.leaky)


def line_table(evaluation: PhotoEvaluation) -> str:
    """Write the figures of each photo as a table, those whose traced lines have the least F1 within 4 px first."""
    named = [f"{name}_{tolerance:g}px" for tolerance in TOLERANCES_PX for name in LINE_FIGURES]
    traced_columns = ("traced_px", *(f"traced_{name}" for name in named))
    rows = []
    for one, traced in _ranked(evaluation):
        found_px, *figures = _cells(one.lines)
        rows.append((one.photo.name, found_px, len(traced.true_xy), traced.factor, *figures, *_cells(traced)))
    return table_text(("photo", "found_px", "true_px", "tolerance_factor", *named, *traced_columns), rows)


def _cells(lines: PhotoLines | None) -> list[float | None]:
    """Number of found pixels, and the figures at each tolerance; all empty without lines."""
    if lines is None:
        return [None] * (1 + len(TOLERANCES_PX) * len(LINE_FIGURES))
    counts = [lines.counts(tolerance) for tolerance in TOLERANCES_PX]
    return [len(lines.found_xy), *(_cell(getattr(each, name)) for each in counts for name in LINE_FIGURES)]


def _cell(figure: float) -> float | None:
    return None if math.isnan(figure) else figure


def _ranked(evaluation: PhotoEvaluation) -> list[tuple[ScannedPhoto, PhotoLines]]:
    """Photos with their traced lines, the worst first; those without any line last."""
    there = [(one, one.traced) for one in evaluation.scanned if one.traced is not None]

    def rank(pair: tuple[ScannedPhoto, PhotoLines]) -> tuple[float, int, str]:
        counts = _widest(pair[1])
        return (2.0 if math.isnan(counts.f1) else counts.f1, -counts.n_found - counts.n_true, pair[0].photo.name)

    return sorted(there, key=rank)


def _widest(lines: PhotoLines) -> LineCounts:
    return lines.counts(TOLERANCES_PX[-1])


def _caption(kind: str, lines: PhotoLines) -> str:
    counts = _widest(lines)
    if math.isnan(counts.f1):
        return f"{kind}: none\nand no true line"
    shares = f"precision {counts.precision:.2f}, recall {counts.recall:.2f}"
    figures = f"{shares}, F1 {counts.f1:.2f}, clIoU {counts.cl_iou:.2f}"
    return f"{kind}: {counts.n_found:,} px, true line: {counts.n_true:,} px\n{figures}"


def _fitted(pixels: UInt8Array) -> UInt8Array:
    """The photo at the size that it has on the sheet, so that lines drawn on it stay sharp."""
    height, width = pixels.shape[:2]
    scale = _SIDE_PX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    rule = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=rule), np.uint8)


def _with_lines(small: UInt8Array, lines: PhotoLines, photo_hw: tuple[int, int]) -> UInt8Array:
    picture = np.asarray(255 - (255 - small.astype(np.float32)) * _PHOTO_SHARE, np.uint8)
    reach = TOLERANCES_PX[-1] * lines.factor
    true_off, found_off = lines.true_off_px > reach, lines.found_off_px > reach
    layers = (
        (lines.true_xy[~true_off], 3, _TRUE),
        (lines.true_xy[true_off], 3, _MISSED),
        (lines.found_xy[found_off], 4, _EDGE),
        (lines.found_xy[found_off], 2, _FALSE),
        (lines.found_xy[~found_off], 1, _FOUND),
    )
    for points_xy, width_px, colour in layers:
        picture[_widened(points_xy, width_px, photo_hw, small)] = colour
    return picture


def _widened(points_xy: Int64Array, width_px: int, photo_hw: tuple[int, int], small: UInt8Array) -> BoolArray:
    """Whether a pixel of the small picture lies on a line of this width."""
    height, width = small.shape[:2]
    scale: Float64Array = np.array([width / photo_hw[1], height / photo_hw[0]])
    places = np.minimum(((points_xy + 0.5) * scale).astype(np.int64), (width - 1, height - 1))
    thin = np.zeros((height, width), np.uint8)
    thin[places[:, 1], places[:, 0]] = 1
    wide = max(width_px, math.ceil(scale.max()))  # without gaps in a photo that is enlarged
    return np.asarray(cv2.dilate(thin, np.ones((wide, wide), np.uint8)) > 0)
