"""Overlays: a photo with its cracks drawn over it, or if there are none, its regions, tinted and numbered by rank."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float32Array, UInt8Array
from crackscope.errors import DataError
from crackscope.files.images import require_rgb
from crackscope.geometry.cracks import Crack
from crackscope.scanning.crack_drawing import draw_cracks
from crackscope.scanning.fine_map import FineMap
from crackscope.scanning.regions import Region

__all__ = ["draw_map", "draw_overlay", "shrunk"]


_OUTLINE = (230, 159, 0)  # amber around a region
_STRONG = np.array((213, 94, 0), np.float32)  # vermilion over its strong cells
_OPACITY = 0.55
_FAINT = 0.45
_WHITE, _INK = (255, 255, 255), (27, 39, 51)


def draw_overlay(
    pixels: UInt8Array,
    probabilities: Float32Array,
    strengths: Float32Array,
    regions: Sequence[Region],
    *,
    threshold: float,
    photo_hw: tuple[int, int],
    cell_px: tuple[float, float],
    reason: str | None = None,
    longest_px: int | None = None,
    fine: FineMap | None = None,
    cracks: Sequence[Crack] = (),
) -> UInt8Array:
    """Draw a map over its photo; `crackscope.scanning.crack_map.CrackMap.overlay` calls it with its own values.

    Args:
        pixels: Photo, RGB, uint8, shape (H, W, 3), of any size with the photo's aspect ratio.
        probabilities: Probability of the footprint around each cell, shape (h, w), in [0, 1].
        strengths: Strength of each cell alone, shape (h, w), in [0, 1].
        regions: Regions to number, the strongest first. The reason of a rejected one is written beside its number.
        threshold: Value from which a region is outlined, and a cell inside it is tinted.
        photo_hw: Height and width of the photo, in pixels.
        cell_px: Height and width of a cell, in photo pixels.
        reason: Reason why the photo is rejected, written on the picture; None if it is not rejected.
        longest_px: Longer side of the picture; the longer side of `pixels` if left out. The picture is never enlarged.
        fine: Fine map, whose lines are drawn in place of strong cells; None if there is none.
        cracks: Cracks to draw, see `draw_cracks`; the regions are then a faint outline without numbers.

    Returns:
        The picture, RGB, uint8, shape (h, w, 3).

    Raises:
        DataError: If `pixels` are no RGB image, or `longest_px` is below 1.
    """
    require_rgb(pixels)
    if longest_px is not None and longest_px < 1:
        raise DataError(f"longest_px is {longest_px}; it must be at least 1.")
    picture: UInt8Array = shrunk(pixels, max(pixels.shape[:2]) if longest_px is None else longest_px).copy()
    line_px = max(1, round(max(picture.shape[:2]) / 800))
    size_hw = picture.shape[0], picture.shape[1]
    if fine is not None:
        _draw_lines(picture, fine.lines_at(size_hw, photo_hw), line_px)
    if cracks:
        above = _stretched(probabilities >= threshold, size_hw, photo_hw, cell_px)
        plain = picture.copy()
        _mark(picture, above, np.zeros_like(above), line_px)
        picture = np.asarray(cv2.addWeighted(picture, _FAINT, plain, 1 - _FAINT, 0), np.uint8)
        draw_cracks(picture, cracks, photo_hw)
    elif regions:
        above, strong = (
            _stretched(values >= threshold, size_hw, photo_hw, cell_px) for values in (probabilities, strengths)
        )
        _mark(picture, above, strong if fine is None else np.zeros_like(strong), line_px)
        scale_y, scale_x = size_hw[0] / photo_hw[0], size_hw[1] / photo_hw[1]
        for number, region in reversed([*enumerate(regions, start=1)]):  # the strongest region is drawn last, on top
            x, y = _first_corner(probabilities >= threshold, region, cell_px)
            text = str(number) if region.reason is None else f"{number} {region.reason}"
            _write(picture, text, (round(x * scale_x), round(y * scale_y)), line_px)
    if reason is not None:
        _write(picture, f"rejected: {reason}", (0, picture.shape[0]), line_px)
    return picture


def draw_map(probabilities: Float32Array, strengths: Float32Array, *, threshold: float) -> UInt8Array:
    """Draw a map without its photo: a darker cell has a more probable crack around it.

    Args:
        probabilities: Probability of the footprint around each cell, shape (h, w), in [0, 1].
        strengths: Strength of each cell alone, shape (h, w), in [0, 1].
        threshold: Value from which a region is outlined, and a cell inside it is tinted.

    Returns:
        The picture, RGB, uint8, shape (h, w, 3), with its longer side near 480 px.
    """
    grey = np.round(255 * (1 - 0.6 * probabilities)).astype(np.uint8)
    picture = np.repeat(grey[:, :, None], 3, axis=2)
    cell_px = max(1, 480 // max(grey.shape))
    size = grey.shape[1] * cell_px, grey.shape[0] * cell_px
    found, above, strong = (
        np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_NEAREST), np.uint8)
        for one in (picture, *((values >= threshold).astype(np.uint8) for values in (probabilities, strengths)))
    )
    _mark(found, above > 0, strong > 0, 1)
    return found


def shrunk(pixels: UInt8Array, longest_px: int) -> UInt8Array:
    """Shrink a picture until its longer side is at most `longest_px`; a smaller picture is returned unchanged."""
    height, width = pixels.shape[:2]
    factor = longest_px / max(height, width)
    if factor >= 1:
        return pixels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _draw_lines(picture: UInt8Array, lines: BoolArray, line_px: int) -> None:
    """Draw lines, at least as wide as an outline; thinner ones would vanish in a small picture."""
    wide = cv2.dilate(lines.astype(np.uint8), np.ones((line_px, line_px), np.uint8)) > 0
    picture[wide] = _STRONG.astype(np.uint8)


def _mark(picture: UInt8Array, above: BoolArray, strong: BoolArray, line_px: int) -> None:
    """Tint the strong cells inside regions, and outline the regions; both arrays hold a value for each pixel."""
    tinted = above & strong
    picture[tinted] = np.round((1 - _OPACITY) * picture[tinted] + _OPACITY * _STRONG).astype(np.uint8)
    outlines, _ = cv2.findContours(above.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, _OUTLINE, line_px)


def _stretched(
    cells: BoolArray, size_hw: tuple[int, int], photo_hw: tuple[int, int], cell_px: tuple[float, float]
) -> BoolArray:
    """Give each pixel of a picture of the whole photo the value of its cell."""
    rows, columns = (
        np.minimum((np.arange(n) + 0.5) * whole / n / cell, n_cells - 1).astype(np.int64)
        for n, whole, cell, n_cells in zip(size_hw, photo_hw, cell_px, cells.shape, strict=True)
    )
    return cells[np.ix_(rows, columns)]


def _first_corner(above: BoolArray, region: Region, cell_px: tuple[float, float]) -> tuple[float, float]:
    """Upper left corner of a region's first cell, in photo pixels; the corner of its box may lie outside the region."""
    cell_height, cell_width = cell_px
    left, top, right, _ = region.box_xyxy
    row, first = round(top / cell_height), round(left / cell_width)
    inside = above[row, first : max(first + 1, round(right / cell_width))]
    return (first + int(inside.argmax())) * cell_width, row * cell_height


def _write(picture: UInt8Array, text: str, point_xy: tuple[int, int], line_px: int) -> None:
    """Write text on a dark plate with its upper left corner at a point, moved inside the picture if needed."""
    size = max(0.4, max(picture.shape[:2]) / 2200)
    (width, height), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, line_px)
    x = max(0, min(point_xy[0], picture.shape[1] - width - 5))  # a rectangle's last pixel is drawn too
    y = max(0, min(point_xy[1], picture.shape[0] - height - baseline - 3))
    cv2.rectangle(picture, (x, y), (x + width + 4, y + height + baseline + 2), _INK, -1)
    cv2.putText(picture, text, (x + 2, y + height + 1), cv2.FONT_HERSHEY_SIMPLEX, size, _WHITE, line_px, cv2.LINE_AA)
