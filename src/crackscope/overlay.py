"""A photo with what a scan found drawn over it: regions tinted and outlined, numbered by rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from crackscope.errors import DataError
from crackscope.prediction import require_rgb

if TYPE_CHECKING:
    from crackscope.crack_map import CrackMap, Region

__all__ = ["draw_overlay", "shrunk"]

UInt8Array = npt.NDArray[np.uint8]

_TINT = np.array((230, 159, 0), np.float32)  # amber for little above the threshold
_STRONG = np.array((213, 94, 0), np.float32)  # vermilion for certain
_OPACITY = 0.35
_WHITE, _INK = (255, 255, 255), (27, 39, 51)


def draw_overlay(
    found: CrackMap, pixels: UInt8Array, *, threshold: float | None = None, longest_px: int | None = None
) -> UInt8Array:
    """See `crackscope.crack_map.CrackMap.overlay`."""
    chosen = found.calibration.threshold if threshold is None else threshold
    require_rgb(pixels)
    if longest_px is not None and longest_px < 1:
        raise DataError(f"longest_px is {longest_px}; it must be at least 1.")
    picture: UInt8Array = shrunk(pixels, max(pixels.shape[:2]) if longest_px is None else longest_px).copy()
    regions = found.regions(chosen)
    line_px = max(1, round(max(picture.shape[:2]) / 800))
    if not regions:
        return _marked(picture, found, line_px)
    height, width = picture.shape[:2]
    probabilities = _stretched(found, (height, width))
    inside = probabilities >= chosen
    certainty = ((probabilities[inside] - chosen) / max(1e-6, 1 - chosen))[:, None]
    tint = _TINT + certainty * (_STRONG - _TINT)
    picture[inside] = np.round((1 - _OPACITY) * picture[inside] + _OPACITY * tint).astype(np.uint8)
    outlines, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, tuple(map(int, _STRONG)), line_px)
    scale_y, scale_x = height / found.photo_hw[0], width / found.photo_hw[1]
    for number, region in reversed([*enumerate(regions, start=1)]):  # the strongest last, on top
        x, y = _first_corner(found, region, chosen)
        _write(picture, str(number), (round(x * scale_x), round(y * scale_y)), line_px)
    return _marked(picture, found, line_px)


def _marked(picture: UInt8Array, found: CrackMap, line_px: int) -> UInt8Array:
    """Says on the picture why the photo is rejected, at its lower left."""
    if found.reason is not None:
        _write(picture, f"rejected: {found.reason}", (0, picture.shape[0]), line_px)
    return picture


def shrunk(pixels: UInt8Array, longest_px: int) -> UInt8Array:
    """The picture with its longer side at most so long; itself where it is no longer."""
    height, width = pixels.shape[:2]
    factor = longest_px / max(height, width)
    if factor >= 1:
        return pixels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _stretched(found: CrackMap, size_hw: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Probabilities at every pixel of a picture of the whole photo: those of the cell it lies in."""
    rows, columns = (
        np.minimum((np.arange(n) + 0.5) * whole / n / cell, n_cells - 1).astype(np.int64)
        for n, whole, cell, n_cells in zip(size_hw, found.photo_hw, found.cell_px, found.logits.shape, strict=True)
    )
    return found.probabilities[np.ix_(rows, columns)]


def _first_corner(found: CrackMap, region: Region, threshold: float) -> tuple[float, float]:
    """The upper left corner of a region's first cell, in photo pixels; that of its box may lie outside of it."""
    cell_height, cell_width = found.cell_px
    left, top, right, _ = region.box_xyxy
    row, first = round(top / cell_height), round(left / cell_width)
    above = found.probabilities[row, first : max(first + 1, round(right / cell_width))] >= threshold
    return (first + int(above.argmax())) * cell_width, row * cell_height


def _write(picture: UInt8Array, text: str, point_xy: tuple[int, int], line_px: int) -> None:
    """A number on a dark plate, its upper left corner at a point, kept inside the picture."""
    size = max(0.4, max(picture.shape[:2]) / 2200)
    (width, height), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, line_px)
    x = max(0, min(point_xy[0], picture.shape[1] - width - 5))  # a rectangle's last pixel is drawn too
    y = max(0, min(point_xy[1], picture.shape[0] - height - baseline - 3))
    cv2.rectangle(picture, (x, y), (x + width + 4, y + height + baseline + 2), _INK, -1)
    cv2.putText(picture, text, (x + 2, y + height + 1), cv2.FONT_HERSHEY_SIMPLEX, size, _WHITE, line_px, cv2.LINE_AA)
