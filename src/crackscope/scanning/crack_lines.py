"""Lines of cracks as pictures show them: cut where their width passes into another class, with places for numbers.

Classes of width are fixed, so a colour means the same in all photos. Their colours get lighter as cracks get wider, and
readers with any colour vision can put them in order (matplotlib's plasma).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from crackscope.arrays import Float64Array, Int64Array
from crackscope.geometry.cracks import Crack
from crackscope.geometry.paths import length_of
from crackscope.geometry.widths import BranchWidths

__all__ = ["COLOURS", "WidthClasses", "coloured_lines", "label_places"]

COLOURS = ((136, 7, 165), (197, 64, 125), (234, 115, 86), (252, 173, 49), (242, 240, 38))
"""Colours of the classes, RGB, the thinnest first."""

_EDGES_PX = (1.0, 2.0, 4.0, 8.0)
_EDGES_MM = (0.2, 0.3, 0.5, 1.0)
_LEAST_WINDOW = 5  # places whose median decides the class, so that a single odd place does not show


@dataclass(frozen=True)
class WidthClasses:
    """Classes of width of a photo.

    Attributes:
        unit: ``mm``, or ``px`` for a photo without a scale.
        edges: Widths at which the next class begins, in `unit`.
    """

    unit: str
    edges: tuple[float, ...]

    @classmethod
    def of(cls, cracks: Sequence[Crack]) -> WidthClasses:
        """Choose millimetres if all cracks that have widths have them in millimetres, too.

        Args:
            cracks: Cracks of one photo.
        """
        measured = [crack for crack in cracks if crack.width is not None]
        in_mm = bool(measured) and all(crack.mm is not None for crack in measured)
        return cls("mm", _EDGES_MM) if in_mm else cls("px", _EDGES_PX)

    @property
    def texts(self) -> tuple[str, ...]:
        """What each class holds, such as ``< 1``, ``1-2`` and ``> 8``, without the unit."""
        ends = [f"{edge:g}" for edge in self.edges]
        between = [f"{low}-{high}" for low, high in pairwise(ends)]
        return (f"< {ends[0]}", *between, f"> {ends[-1]}")


def coloured_lines(
    crack: Crack, classes: WidthClasses, *, tolerance_px: float = 0.5
) -> Iterator[tuple[int | None, Float64Array]]:
    """Cut a crack into lines of one class of width each.

    Args:
        crack: The crack.
        classes: Classes of width.
        tolerance_px: Distance in pixels of the photo by which a line may be simplified.

    Yields:
        Number of the class, from 0, or None if the width was not measured; and the points of the line, shape (n, 2),
        n at least 2, in pixels of the photo. Lines of one branch hang together.
    """
    factor = crack.mm.mm_per_px if classes.unit == "mm" and crack.mm is not None else 1.0
    for path, widths in zip(crack.path_xy, crack.widths or [None] * len(crack.path_xy), strict=True):
        if len(path) < 2:
            continue
        if widths is None or not len(widths.width_px):
            yield None, _simplified(path, tolerance_px)
            continue
        own = _classes_at(path, widths, factor, classes, 20 * tolerance_px)
        cuts = [0, *(np.flatnonzero(np.diff(own)) + 1), len(path)]
        for first, last in pairwise(cuts):
            points = path[max(0, first - 1) : last]  # from the last point of the line before
            if len(points) > 1:
                yield int(own[first]), _simplified(points, tolerance_px)


def _classes_at(
    path: Float64Array, widths: BranchWidths, factor: float, classes: WidthClasses, smooth_px: float
) -> Int64Array:
    """Class of the width at each point of a branch."""
    ends = np.cumsum(widths.lengths_px)
    middles = ends - widths.lengths_px / 2
    sure = ~widths.doubtful if (~widths.doubtful).any() else np.ones_like(widths.doubtful)
    values, at = widths.width_px[sure], middles[sure]
    reach = max(_LEAST_WINDOW, round(smooth_px * len(middles) / max(float(ends[-1]), 1e-9))) // 2
    padded = np.concatenate([np.full(reach, np.nan), values, np.full(reach, np.nan)])
    smooth = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1), axis=1)
    steps = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    nearest = np.searchsorted((at[:-1] + at[1:]) / 2, steps)
    return np.asarray(np.digitize(factor * smooth[nearest], classes.edges), np.int64)


def _simplified(points: Float64Array, tolerance_px: float) -> Float64Array:
    found = cv2.approxPolyDP(points.astype(np.float32).reshape(-1, 1, 2), tolerance_px, False).reshape(-1, 2)
    return found.astype(np.float64) if len(found) > 1 else points[[0, -1]]


def label_places(
    cracks: Sequence[Crack], photo_hw: tuple[int, int], label_hw: tuple[float, float]
) -> list[tuple[float, float]]:
    """Choose a place beside each crack for its number, away from other numbers and from lines.

    Args:
        cracks: Cracks of one photo, the most important first.
        photo_hw: Height and width of the photo, in pixels.
        label_hw: Height and width of a number's plate, in pixels of the photo.

    Returns:
        The middle of each plate, x and y in pixels of the photo; the plate lies inside the photo as far as it fits.
    """
    cell_px = max(label_hw) / 4
    shape = tuple(int(side / cell_px) + 1 for side in photo_hw)
    taken = np.zeros(shape, np.float32)  # how much a plate would cover there
    for crack in cracks:
        for path in crack.path_xy:
            columns, rows = np.clip((path / cell_px).astype(int), 0, np.array(shape)[::-1] - 1).T
            taken[rows, columns] = 1
    found = []
    for crack in cracks:
        places = [_inside(place, photo_hw, label_hw) for place in _beside(crack, label_hw)]
        boxes = [_box(place, label_hw, cell_px) for place in places]
        best = min(range(len(places)), key=lambda i: float(taken[boxes[i]].sum()))
        taken[boxes[best]] += 10
        found.append(places[best])
    return found


def _beside(crack: Crack, label_hw: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """Places on both sides of the longest branch, those near its middle first."""
    path = max(crack.path_xy, key=length_of)
    away = 0.9 * max(label_hw) + (crack.width.median.width_px / 2 if crack.width else 0)
    for share in (0.5, 0.35, 0.65, 0.2, 0.8, 0.05, 0.95):
        i = min(int(share * len(path)), len(path) - 1)
        before, after = path[max(0, i - 5)], path[min(len(path) - 1, i + 5)]
        along = after - before
        normal = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-9)
        for side in (-away, away):
            x, y = path[i] + side * normal
            yield float(x), float(y)


def _inside(
    place: tuple[float, float], photo_hw: tuple[int, int], label_hw: tuple[float, float]
) -> tuple[float, float]:
    x, y = (
        min(max(at, label / 2), max(side - label / 2, label / 2))
        for at, side, label in zip(place, photo_hw[::-1], label_hw[::-1], strict=True)
    )
    return x, y


def _box(place: tuple[float, float], label_hw: tuple[float, float], cell_px: float) -> tuple[slice, slice]:
    (x, y), (height, width) = place, label_hw
    rows, columns = (
        slice(max(0, int((at - side / 2) / cell_px)), int((at + side / 2) / cell_px) + 1)
        for at, side in ((y, height), (x, width))
    )
    return rows, columns
