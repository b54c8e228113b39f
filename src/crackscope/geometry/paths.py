"""Paths: lengths, directions and normals of lines that are given by points.

A path is an array of points x and y, shape (n, 2), in pixels. Counting steps between pixels reads a wavy or slanted
line up to 8 % too long, so a path is smoothed before it is measured.
"""

from __future__ import annotations

import numpy as np

from crackscope.arrays import Float64Array

__all__ = ["direction_deg", "direction_histogram", "length_of", "normals_of", "places_along", "resampled", "smoothed"]

N_BINS = 18
"""Number of bins of a histogram of directions; each covers 10 degrees."""


def places_along(path_xy: Float64Array) -> Float64Array:
    """Distance of each point from the first one, along the path, shape (n,)."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path_xy, axis=0).T))])


def length_of(path_xy: Float64Array) -> float:
    """Length along the points; 0 for a single point.

    Example:
        >>> length_of(np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 10.0]]))
        11.0
    """
    return float(places_along(path_xy)[-1])


def resampled(path_xy: Float64Array, step_px: float = 1.0) -> Float64Array:
    """Place points at even distances along a path; both ends stay.

    Args:
        path_xy: Points, shape (n, 2).
        step_px: Distance between points in pixels, above 0; it is changed a little so that it divides the length.

    Returns:
        Points, shape (m, 2), m at least 2, or 1 for a path without length.
    """
    at = places_along(path_xy)
    if at[-1] <= 0:
        return path_xy[:1]
    places = np.linspace(0, at[-1], max(2, round(at[-1] / step_px) + 1))
    return np.column_stack([np.interp(places, at, path_xy[:, axis]) for axis in (0, 1)])


def smoothed(path_xy: Float64Array, sigma: float) -> Float64Array:
    """Smooth a path whose points lie at even distances; its ends stay where they are.

    Args:
        path_xy: Points, shape (n, 2).
        sigma: Standard deviation of the Gaussian weights, in points.
    """
    from scipy.ndimage import gaussian_filter1d  # drawing lines needs this module, and not SciPy

    if len(path_xy) < 3 or sigma <= 0:
        return path_xy
    # A path is continued by its own image, turned about each end, so that ends are neither moved nor bent.
    n = int(4 * sigma) + 1
    whole = np.pad(path_xy, ((n, n), (0, 0)), mode="reflect", reflect_type="odd")
    found: Float64Array = gaussian_filter1d(whole, sigma, axis=0, mode="nearest")[n:-n]
    found[0], found[-1] = path_xy[0], path_xy[-1]
    return found


def normals_of(path_xy: Float64Array) -> Float64Array:
    """Unit vectors across a path, to the right of its way in a picture whose y points down, shape (n, 2).

    Example:
        >>> normals_of(np.array([[0.0, 0.0], [5.0, 0.0]])).tolist()
        [[-0.0, 1.0], [-0.0, 1.0]]
    """
    along = np.gradient(path_xy, axis=0) if len(path_xy) > 1 else np.array([[1.0, 0.0]])
    size = np.hypot(along[:, 0], along[:, 1])
    along = np.where(size[:, None] > 0, along / np.maximum(size, 1e-12)[:, None], (1.0, 0.0))
    return np.column_stack([-along[:, 1], along[:, 0]])


def direction_histogram(path_xy: Float64Array) -> Float64Array:
    """Length by direction, shape (18,), in pixels.

    The first bin holds directions from 0 to 10 degrees. A direction is an angle from the horizontal, from 0 to below
    180 degrees; a line that rises to the right in the picture lies between 0 and 90 degrees.
    """
    steps = np.diff(path_xy, axis=0)
    degrees = np.rad2deg(np.arctan2(-steps[:, 1], steps[:, 0])) % 180
    rows = np.minimum((degrees * N_BINS / 180).astype(np.int64), N_BINS - 1)
    return np.asarray(np.bincount(rows, np.hypot(steps[:, 0], steps[:, 1]), N_BINS), np.float64)


def direction_deg(path_xy: Float64Array) -> tuple[float, float]:
    """Mean direction of a path, weighted by length, and how well it is kept.

    Directions are axial: 0 and 180 degrees are the same. Their angles are doubled before the mean is taken (Mardia and
    Jupp 2000, Directional Statistics, section 1.4).

    Returns:
        Direction in degrees from the horizontal, in [0, 180), as in `direction_histogram`, and the length of the mean
        vector, in [0, 1]: 1 for a straight line.

    Example:
        >>> direction_deg(np.array([[0.0, 10.0], [10.0, 0.0]]))
        (45.0, 1.0)
    """
    steps = np.diff(path_xy, axis=0)
    doubled, lengths = 2 * np.arctan2(-steps[:, 1], steps[:, 0]), np.hypot(steps[:, 0], steps[:, 1])
    if not lengths.sum():
        return 0.0, 0.0
    x, y = (float((lengths * part).sum() / lengths.sum()) for part in (np.cos(doubled), np.sin(doubled)))
    return float(np.rad2deg(np.arctan2(y, x)) / 2 % 180), float(np.hypot(x, y))
