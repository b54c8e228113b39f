"""Joint markers: several markers of one size that lie in one plane, fitted together.

Each may lie anywhere in the plane, turned in any way. Their sizes and shapes then fix the homography far better than
one of them could, since they are far apart. Markers that do not fit give no scale: one was printed in another size, or
lies in another plane.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crackscope.arrays import Float64Array
from crackscope.geometry.marker_edges import FittedMarker
from crackscope.geometry.planes import homography_of, mapped
from crackscope.geometry.scale import NoScale

__all__ = ["SeenMarker", "fit_together"]

SIDE_TOLERANCE = 0.02
"""Share by which a side may differ from that of the fit to all markers, beyond three standard uncertainties. A lens
that bends straight lines costs up to 2 %."""

FIT_FLOOR_PX = 0.1
"""Error of a corner that is granted when markers are fitted together: real walls and lenses are not quite flat."""

FIT_LIMIT = 9.0
"""Mean square of the misses of corners, in their uncertainties, from which markers do not lie in one plane."""


@dataclass(frozen=True, eq=False)
class SeenMarker:
    """A marker in a photo.

    Attributes:
        id: Number of the marker in its family.
        fitted: Its corners with their uncertainty.
    """

    id: int
    fitted: FittedMarker

    @property
    def side_px(self) -> float:
        """Mean side in pixels."""
        corners = self.fitted.corners_xy
        return float(np.linalg.norm(np.roll(corners, -1, 0) - corners, axis=1).mean())


def fit_together(markers: Sequence[SeenMarker], side_mm: float) -> tuple[Float64Array, Float64Array] | NoScale:
    """Fit one plane to several markers.

    Args:
        markers: At least two markers; the corners of the first one state the plane.
        side_mm: Side of each marker in mm.

    Returns:
        Corners of the first marker by the fit, shape (4, 2), and their covariance in square pixels, shape (8, 8); or
        the reason why the markers do not lie in one plane.
    """
    from scipy.optimize import least_squares

    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64) * side_mm
    fitted = [one.fitted for one in markers]
    whiten = [np.linalg.inv(np.linalg.cholesky(one.covariance + FIT_FLOOR_PX**2 * np.eye(8))) for one in fitted]
    to_mm = homography_of(fitted[0].corners_xy, side_mm)

    def misses(numbers: Float64Array) -> Float64Array:
        corners = numbers[:8].reshape(4, 2)
        to_px, places = np.linalg.inv(homography_of(corners, side_mm)), [corners]
        for turn, x, y in numbers[8:].reshape(-1, 3):
            cos, sin = np.cos(turn), np.sin(turn)
            places.append(mapped(to_px, square @ np.array([[cos, sin], [-sin, cos]]) + (x, y)))
        parts = [w @ (place - one.corners_xy).ravel() for w, place, one in zip(whiten, places, fitted, strict=True)]
        return np.nan_to_num(np.concatenate(parts), nan=1e6)

    start = np.concatenate([fitted[0].corners_xy.ravel(), *(_pose(to_mm, one.corners_xy) for one in fitted[1:])])
    found = least_squares(misses, start, x_scale="jac", max_nfev=100)
    corners = np.asarray(found.x[:8].reshape(4, 2), np.float64)
    mean_square = float((found.fun**2).sum()) / (len(found.fun) - len(start))
    if (doubt := _doubt(markers, corners, side_mm, mean_square)) is not None:
        return NoScale(doubt, is_final=True)
    covariance = np.linalg.pinv(found.jac.T @ found.jac)[:8, :8] * max(1.0, mean_square)
    return corners, np.asarray(covariance, np.float64)


def _pose(to_mm: Float64Array, corners_xy: Float64Array) -> Float64Array:
    """Turn in radians and first corner (x, y) in mm of a marker in the plane of another one, to begin with."""
    places = np.nan_to_num(mapped(to_mm, corners_xy))
    along = places[1] - places[0]
    return np.array([math.atan2(along[1], along[0]), *places[0]])


def _doubt(markers: Sequence[SeenMarker], corners_xy: Float64Array, side_mm: float, mean_square: float) -> str | None:
    """Reason why markers cannot be believed, or None."""
    to_mm = homography_of(corners_xy, side_mm)
    for one in markers:
        places = mapped(to_mm, one.fitted.corners_xy)
        sides = np.linalg.norm(np.roll(places, -1, 0) - places, axis=1)
        corner_px = math.sqrt(float(np.trace(one.fitted.covariance)) / 8)
        allowed = SIDE_TOLERANCE + 3 * math.sqrt(2) * corner_px / one.side_px
        worst = float(sides[np.abs(sides - side_mm).argmax()])
        if not abs(worst / side_mm - 1) <= allowed:
            return (
                f"{_names(markers)} disagree: in one plane a side of marker {one.id} would be {worst:.4g} mm, not "
                f"{side_mm:g} mm. They differ in size, or lie in different planes"
            )
    if mean_square > FIT_LIMIT:
        return f"{_names(markers)} disagree: they do not fit into one plane with sides of {side_mm:g} mm"
    return None


def _names(markers: Sequence[SeenMarker]) -> str:
    numbers = [str(one.id) for one in markers]
    return f"markers {', '.join(numbers[:-1])} and {numbers[-1]}"
