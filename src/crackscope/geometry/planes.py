"""Planes: a flat surface in a photo, and how many millimetres a pixel shows at each place of it.

A camera shows a plane by a homography. It is stated here by a square of known side that lies in the plane: the pixels
that show its four corners. These eight numbers say the same as the homography, can be drawn over the photo, and their
uncertainty is what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from crackscope.arrays import Float64Array
from crackscope.errors import DataError

__all__ = ["Plane", "homography_of", "mapped"]

_STEP_PX = 0.01  # half a step for derivatives; far above rounding, far below what bends them


@dataclass(frozen=True)
class Plane:
    """Plane of a surface in a photo, stated by a square that lies in it.

    Attributes:
        corners_xy_px: Pixels (x, y) that show the corners of the square, clockwise in the photo.
        side_mm: Side of the square in mm, above 0.
        covariance_px2: Covariance of the corners in square pixels, eight rows of eight numbers, in the order x, y of
            the first corner, x, y of the second one, and so on.
        side_uncertainty_mm: Standard uncertainty of `side_mm` in mm, at least 0.

    Raises:
        DataError: If these are no four corners of a convex square as a photo shows it, with a covariance and a side.
    """

    corners_xy_px: tuple[tuple[float, float], ...]
    side_mm: float
    covariance_px2: tuple[tuple[float, ...], ...]
    side_uncertainty_mm: float = 0.0

    def __post_init__(self) -> None:
        corners, covariance = self._corners, np.array(self.covariance_px2, np.float64)
        if corners.shape != (4, 2) or covariance.shape != (8, 8) or not np.isfinite([*corners.ravel()]).all():
            raise DataError("a plane is stated by four corners, and eight rows of eight numbers of their covariance.")
        if not (np.isfinite(covariance).all() and 0 < self.side_mm < math.inf and self.side_uncertainty_mm >= 0):
            raise DataError(f"a plane needs numbers, and a square with a side above 0 mm; found {self.side_mm:g} mm.")
        sides = np.roll(corners, -1, 0) - corners
        following = np.roll(sides, -1, 0)
        if (sides[:, 0] * following[:, 1] <= sides[:, 1] * following[:, 0]).any():  # y points downwards
            raise DataError("a square that a photo shows has four convex corners, clockwise. These are not.")

    @classmethod
    def from_arrays(
        cls, corners_xy: Float64Array, covariance: Float64Array, *, side_mm: float, side_uncertainty_mm: float = 0.0
    ) -> Plane:
        """Make a plane from arrays.

        Args:
            corners_xy: Pixels (x, y) of the corners, shape (4, 2).
            covariance: Covariance of the corners in square pixels, shape (8, 8).
            side_mm: Side of the square in mm.
            side_uncertainty_mm: Standard uncertainty of `side_mm` in mm.
        """
        corners, rows = (tuple(tuple(map(float, row)) for row in array) for array in (corners_xy, covariance))
        return cls(corners, side_mm, rows, side_uncertainty_mm)  # type: ignore[arg-type]  # four pairs

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Plane:
        """Make a plane from a dictionary of `dataclasses.asdict`, also after it was JSON.

        Args:
            found: The dictionary; unknown keys are ignored.

        Raises:
            DataError: If it holds no plane.
        """
        try:
            corners, covariance = (np.array(found[name], np.float64) for name in ("corners_xy_px", "covariance_px2"))
            side_mm, side_uncertainty_mm = float(found["side_mm"]), float(found.get("side_uncertainty_mm", 0.0))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"no plane: {error!r}. Take what asdict gave.") from error
        return cls.from_arrays(corners, covariance, side_mm=side_mm, side_uncertainty_mm=side_uncertainty_mm)

    @property
    def centre_xy_px(self) -> tuple[float, float]:
        """Pixel (x, y) that shows the middle of the square."""
        x, y = mapped(np.linalg.inv(self._to_mm), np.full((1, 2), self.side_mm / 2))[0]
        return float(x), float(y)

    def mm_of(self, points_xy: Float64Array) -> Float64Array:
        """Compute where points of the photo lie on the plane.

        Args:
            points_xy: Pixels (x, y), shape (..., 2).

        Returns:
            Millimetres (x, y) from the first corner of the square, x along its first side, shape (..., 2). NaN where
            the photo does not show the plane, beyond its horizon.
        """
        return mapped(self._to_mm, np.asarray(points_xy, np.float64))

    def mm_per_px(self, points_xy: Float64Array, directions_xy: Float64Array | None = None) -> Float64Array:
        """Compute the millimetres per pixel at points of the photo.

        Args:
            points_xy: Pixels (x, y), shape (..., 2).
            directions_xy: Direction (x, y) in the photo in which a length is measured, of any length, shape (..., 2).
                If left out, the geometric mean of all directions is given.

        Returns:
            Millimetres per pixel, shape (...). NaN beyond the horizon of the plane.
        """
        return _local(self._to_mm, np.asarray(points_xy, np.float64), directions_xy)

    def relative_uncertainty(self, points_xy: Float64Array, directions_xy: Float64Array | None = None) -> Float64Array:
        """Compute the standard uncertainty of `mm_per_px`, as a share of it.

        Args:
            points_xy: Pixels (x, y), shape (..., 2).
            directions_xy: Directions as for `mm_per_px`, shape (..., 2).

        Returns:
            Shares, at least 0, shape (...).
        """
        points = np.asarray(points_xy, np.float64)
        return self._propagated(lambda to_mm: np.log(_local(to_mm, points, directions_xy)))

    def length_mm(self, points_xy: Float64Array) -> tuple[float, float]:
        """Measure the length of a line on the plane.

        Args:
            points_xy: Pixels (x, y) along the line, shape (n, 2).

        Returns:
            Length in mm, and its standard uncertainty in mm as far as it comes from the plane.
        """
        points = np.asarray(points_xy, np.float64)

        def length(to_mm: Float64Array) -> Float64Array:
            steps = np.diff(mapped(to_mm, points), axis=0)
            return np.asarray(np.hypot(steps[:, 0], steps[:, 1]).sum())

        total = float(length(self._to_mm))
        if total == 0:
            return 0.0, 0.0
        return total, total * float(self._propagated(lambda to_mm: np.log(length(to_mm))))

    @property
    def _corners(self) -> Float64Array:
        return np.array(self.corners_xy_px, np.float64)

    @cached_property
    def _to_mm(self) -> Float64Array:
        """Homography from pixels to millimetres, shape (3, 3)."""
        return homography_of(self._corners, self.side_mm)

    def _propagated(self, logarithm_of: Callable[[Float64Array], Float64Array]) -> Float64Array:
        """Relative uncertainty of what follows from the homography, by its derivative at each of the corners."""
        steps = np.eye(8).reshape(8, 4, 2) * _STEP_PX
        slopes = [
            (
                logarithm_of(homography_of(self._corners + step, self.side_mm))
                - logarithm_of(homography_of(self._corners - step, self.side_mm))
            )
            / (2 * _STEP_PX)
            for step in steps
        ]
        variance = np.einsum("i...,ij,j...->...", np.array(slopes), np.array(self.covariance_px2), np.array(slopes))
        return np.asarray(np.sqrt(np.maximum(variance, 0) + (self.side_uncertainty_mm / self.side_mm) ** 2))


def homography_of(corners_xy: Float64Array, side_mm: float) -> Float64Array:
    """Find the homography from pixels to millimetres by which a photo shows a square.

    Args:
        corners_xy: Pixels (x, y) of the square's corners, shape (4, 2).
        side_mm: Side of the square in mm.

    Returns:
        Homography, shape (3, 3); the first corner is the origin, and the third factor is above 0 where the photo shows
        the plane.
    """
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64) * side_mm
    middle, size = corners_xy.mean(0), np.ptp(corners_xy, axis=0).max()  # so that the equations are well conditioned
    places = (corners_xy - middle) / size
    rows, right = [], []
    for (x, y), (u, v) in zip(places, square, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    solved = np.append(np.linalg.solve(np.array(rows), np.array(right)), 1.0).reshape(3, 3)
    return np.asarray(solved @ np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, size]]) / size, np.float64)


def mapped(homography: Any, points: Any) -> Float64Array:
    """Map points by a homography.

    Args:
        homography: Homography, shape (3, 3).
        points: Points (x, y), shape (..., 2).

    Returns:
        Points (x, y), shape (..., 2); NaN where the third factor is not above 0.
    """
    found = np.asarray(points) @ homography[:, :2].T + homography[:, 2]
    depth = found[..., 2:]
    return np.asarray(found[..., :2] / np.where(depth > 0, depth, np.nan), np.float64)


def _local(to_mm: Float64Array, points: Float64Array, directions: Float64Array | None) -> Float64Array:
    """Millimetres per pixel, by the derivative of the homography."""
    depth = points @ to_mm[2, :2] + to_mm[2, 2]
    places = mapped(to_mm, points)
    # (..., 2, 2): how x and y in mm change with x and y in pixels
    slopes = (to_mm[:2, :2] - places[..., :, None] * to_mm[2, :2]) / depth[..., None, None]
    if directions is None:
        determinants = slopes[..., 0, 0] * slopes[..., 1, 1] - slopes[..., 0, 1] * slopes[..., 1, 0]
        return np.asarray(np.sqrt(np.abs(determinants)), np.float64)
    along = np.asarray(directions, np.float64)
    moved = np.einsum("...ij,...j->...i", slopes, along / np.linalg.norm(along, axis=-1, keepdims=True))
    return np.asarray(np.linalg.norm(moved, axis=-1), np.float64)
