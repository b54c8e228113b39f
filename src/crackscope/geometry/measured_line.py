"""Measured line: a line that a person drew in a photo is measured as a traced crack is.

A person clicks a few points beside the crack, not on its middle. So the line is moved onto the dark line beneath it,
by at most `REACH_PX` pixels, and what it moved is told. No model is needed: the person says where the crack is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from crackscope.arrays import Float64Array, UInt8Array
from crackscope.errors import DataError
from crackscope.files.images import Image
from crackscope.files.sources import AnyImage, as_image
from crackscope.geometry.cracks import Crack
from crackscope.geometry.scale_sources import AnyScale, PhotoScale, photo_scale_of, sources_of

if TYPE_CHECKING:
    from crackscope.geometry.photo_blur import PhotoBlur

__all__ = ["LEAST_PX", "REACH_PX", "AnyLine", "LineMeasurement", "MeasuredLine", "line_of", "measure", "measured_lines"]

REACH_PX = 10.0
"""Distance by which a line may be moved onto the dark line beneath it, in pixels."""

LEAST_PX = 10.0
"""Least length of a line, in pixels."""

MOST_PX = 200_000.0
"""Greatest length of a line, in pixels: memory grows with it."""

AnyLine: TypeAlias = Float64Array | Sequence[Sequence[float]]
"""Points x and y of a line, in pixels of the upright photo: an array of shape (n, 2), or pairs of numbers."""

_CORNERS_PX = 3.0  # the line's corners are rounded by so much, so that profiles at a corner do not cross
_FREE = 0.2  # share of the usual price of lying away from the line: people draw less exactly than a map
_FINE_REACH_PX = 2.0  # of the second time, with profiles that now run straight across the crack
_EVEN_PX = 1.0


@dataclass(frozen=True, eq=False)
class MeasuredLine:
    """A line that a person drew, and the crack that was measured along it.

    Attributes:
        drawn_xy: Points that the person drew, shape (n, 2), in pixels of the upright photo.
        crack: The crack, with its widths, and with millimetres if the photo has a scale.
        moved_px: Mean distance of the measured line from the drawn one, in pixels.
        most_moved_px: Greatest such distance, in pixels.
    """

    drawn_xy: Float64Array
    crack: Crack
    moved_px: float
    most_moved_px: float


@dataclass(frozen=True, eq=False)
class LineMeasurement:
    """Lines that were measured in a photo.

    Attributes:
        lines: The lines, in the order in which they were given.
        photo_hw: Height and width of the photo, in pixels.
        blur: Blur of the photo.
        scale: Scale of the photo, and what other sources say.
    """

    lines: tuple[MeasuredLine, ...]
    photo_hw: tuple[int, int]
    blur: PhotoBlur
    scale: PhotoScale


def measure(
    photo: AnyImage, line: AnyLine, *, scale: AnyScale = None, as_drawn: bool = False, reach_px: float = REACH_PX
) -> Crack:
    """Measure a line that a person drew in a photo: its length, its direction, and the widths of the crack beneath it.

    The line is moved onto the dark line beneath it. It needs no model.

    Args:
        photo: A path, the bytes of an image file, an `Image`, a PIL image, or an array (H, W, 3) RGB or (H, W) grey.
        line: Points x and y along the crack, shape (n, 2), n at least 2, in pixels of the upright photo; (0, 0) is the
            middle of the first pixel.
        scale: Millimetres per pixel of the photo, or sources that may tell them. What the camera noted is asked in any
            case.
        as_drawn: Whether to measure exactly where the line was drawn. It must then lie within 1.5 px of the middle of
            the crack.
        reach_px: Distance by which the line may be moved, in pixels, from 1 to 50.

    Returns:
        The crack, of one branch. Its confidence is 1, because a person says that it is a crack.

    Raises:
        DataError: If the line has fewer than two points, a point that is no number or lies outside the photo, or a
            length below 10 px, above 200,000 px, or of more pixels than the photo has; if `reach_px` lies outside its
            range; or if `photo` is no image.
        ImageError: If the photo cannot be read.

    Example:
        >>> from crackscope.geometry.scale import Scale
        >>> grey = np.full((80, 200), 180, np.uint8)
        >>> grey[40:44] = 40
        >>> crack = measure(grey, [(20, 38), (180, 45)], scale=Scale(0.25))
        >>> round(crack.width.median.width_px), round(crack.mm.median.width_mm)
        (4, 1)
    """
    found = measured_lines(as_image(photo), [line_of(line)], scale=scale, as_drawn=as_drawn, reach_px=reach_px)
    return found.lines[0].crack


def measured_lines(
    photo: Image,
    lines: Sequence[Float64Array],
    *,
    scale: AnyScale = None,
    as_drawn: bool = False,
    reach_px: float = REACH_PX,
) -> LineMeasurement:
    """Measure several lines in one photo; see `measure`.

    Args:
        photo: The photo.
        lines: Lines, from `line_of`; each becomes a crack of its own.
        scale: Millimetres per pixel of the photo, or sources that may tell them.
        as_drawn: Whether to measure exactly where the lines were drawn.
        reach_px: Distance by which a line may be moved, in pixels, from 1 to 50.

    Raises:
        DataError: If a line does not fit the photo, or `reach_px` lies outside its range.
    """
    from crackscope.geometry.grouping import crack_along
    from crackscope.geometry.measured_cracks import in_millimetres, with_widths
    from crackscope.geometry.photo_blur import photo_blur

    if not 1 <= reach_px <= 50:
        raise DataError(f"the reach is {reach_px:g} px; it must lie between 1 and 50 px.")
    photo_hw = photo.pixels.shape[0], photo.pixels.shape[1]
    for line in lines:
        _require_inside(line, photo_hw)
    found = photo_scale_of(photo, sources_of(scale))
    grey = np.asarray(cv2.cvtColor(photo.pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    blur = photo_blur(grey)
    measured = []
    for line in lines:
        path = _as_drawn(line) if as_drawn else _moved(grey, line, reach_px)
        (crack,) = with_widths([crack_along(path)], grey, blur.blur_px)
        away = np.zeros(1) if as_drawn else _distances(crack.path_xy[0], line)
        crack = in_millimetres(crack, found.scale)
        measured.append(MeasuredLine(line, crack, float(away.mean()), float(away.max())))
    return LineMeasurement(tuple(measured), photo_hw, blur, found)


def line_of(points: AnyLine | str) -> Float64Array:
    """Read the points of a line, and check all that can be checked without the photo.

    Args:
        points: Points x and y, or words such as ``10,20,300,40``.

    Returns:
        Points, shape (n, 2), n at least 2; points that repeat the one before are left out.

    Raises:
        DataError: If it is no such line; the message says why.

    Example:
        >>> line_of("10,20,300,40").tolist()
        [[10.0, 20.0], [300.0, 40.0]]
    """
    found = _numbers(points) if isinstance(points, str) else points
    try:
        line = np.asarray(found, np.float64)
    except (TypeError, ValueError):
        raise DataError("the line is no list of points; give pairs of numbers x and y.") from None
    if line.ndim != 2 or line.shape[1] != 2:
        raise DataError(f"the line has shape {line.shape}; give points x and y, shape (n, 2).")
    for number, (x, y) in enumerate(line.tolist(), 1):
        if not (np.isfinite(x) and np.isfinite(y)):
            raise DataError(f"point {number} of the line is {x:g},{y:g}; both must be numbers of pixels.")
    if len(line) < 2:
        raise DataError(f"the line has {len(line)} point{'' if len(line) == 1 else 's'}; a line needs at least two.")
    steps = np.hypot(*np.diff(line, axis=0).T)
    length = float(steps.sum())
    if length < LEAST_PX:
        raise DataError(f"the line is {length:.3g} px long; draw one of at least {LEAST_PX:g} px.")
    return np.asarray(line[np.concatenate([[True], steps > 0])], np.float64)


def _numbers(text: str) -> Float64Array:
    if not text.strip():
        raise DataError("the line is empty; give pixels as x,y,x,y.")
    words = [word.strip() for word in text.split(",")]
    values = []
    for word in words:
        try:
            values.append(float(word))
        except ValueError:
            raise DataError(f"'{word}' in '{_short(text)}' is no number; give pixels as x,y,x,y.") from None
    if len(values) % 2:
        raise DataError(f"'{_short(text)}' has {len(values)} numbers; each point needs two, x and y.")
    return np.array(values, np.float64).reshape(-1, 2)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _require_inside(line: Float64Array, photo_hw: tuple[int, int]) -> None:
    height, width = photo_hw
    outside = (line < -0.5).any(1) | (line > np.array([width, height]) - 0.5).any(1)
    if outside.any():
        first = int(outside.argmax())
        x, y = line[first].tolist()
        raise DataError(
            f"point {first + 1} of the line, {x:g},{y:g}, lies outside the photo of {width}×{height} px; give pixels "
            "of the full photo, turned upright."
        )
    length = float(np.hypot(*np.diff(line, axis=0).T).sum())
    if length > width * height:
        raise DataError(
            f"the line is {length:,.0f} px long, and the photo has {width * height:,} pixels; draw along a crack once."
        )
    if length > MOST_PX:
        raise DataError(f"the line is {length:,.0f} px long; draw lines of at most {MOST_PX:,.0f} px.")


def _as_drawn(line: Float64Array, step_px: float = 1.0) -> Float64Array:
    """Points along a line, none of whose corners is cut: each segment is resampled on its own."""
    from crackscope.geometry.paths import resampled

    parts = [resampled(line[i : i + 2], step_px)[1:] for i in range(len(line) - 1)]
    return np.asarray(np.concatenate([line[:1], *parts]), np.float64)


def _moved(grey: UInt8Array, line: Float64Array, reach_px: float) -> Float64Array:
    """Move a line onto the dark line beneath it; no point ends farther than the reach from the line."""
    from crackscope.geometry.centring import HOME, centred
    from crackscope.geometry.paths import resampled, smoothed

    path = resampled(smoothed(resampled(line), _CORNERS_PX))
    rough = resampled(smoothed(centred(grey, path, reach_px, home=_FREE * HOME), _EVEN_PX))
    fine = smoothed(centred(grey, rough, min(_FINE_REACH_PX, reach_px)), _EVEN_PX)
    return _within(resampled(fine), line, reach_px)


def _within(path: Float64Array, line: Float64Array, reach_px: float) -> Float64Array:
    """Draw points back that lie farther from a line than the reach, and keep all inside."""
    nearest = _nearest(path, line)
    away = np.hypot(*(path - nearest).T)
    share = np.minimum(1.0, reach_px / np.maximum(away, 1e-9))[:, None]
    return np.asarray(nearest + share * (path - nearest), np.float64)


def _distances(path: Float64Array, line: Float64Array) -> Float64Array:
    return np.asarray(np.hypot(*(path - _nearest(path, line)).T), np.float64)


def _nearest(path: Float64Array, line: Float64Array) -> Float64Array:
    """Nearest point of a line to each point of a path, shape (n, 2)."""
    from scipy.spatial import KDTree

    points = _as_drawn(line, 0.25)
    return np.asarray(points[KDTree(points).query(path)[1]], np.float64)
