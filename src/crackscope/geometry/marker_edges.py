"""Marker edges: where the corners of a marker lie in a photo, from all edges between its black and white squares.

Corners are blunted by blur, and a camera makes every dark square smaller: it turns light into grey levels by a curve,
so a blurred edge seems to lie on its dark side, by .5 px and more. The four corners alone cannot tell this from a
smaller marker. The edges inside the marker can, since light squares grow by as much as dark ones shrink.

So the position of each edge is measured at many points, about a pixel apart, along the edge's normal. One homography
and one shift towards the dark side are fitted to all of them. What the fit leaves over gives the uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float64Array, UInt8Array
from crackscope.geometry.planes import homography_of

__all__ = ["FittedMarker", "fit_marker", "marker_edges"]

MARGIN = 0.3
"""Part of a square at each end of an edge that is left out, since blur rounds the corners."""

LEAST_CONTRAST = 15.0
"""Least step across an edge, in grey levels."""

LEAST_SHARE = 0.75
"""Share of the points at which the edge must be found; fewer are left of a marker that is folded, dirty or misread."""

GREATEST_MISS_PX = 1.5
"""Distance from the expected edge beyond which something else was found."""

UNCERTAINTY_FACTOR = 1.1
"""Factor on the uncertainty of the fit: neighbouring points share noise. Set so that 95 % intervals hold 95 % of the
drawn scenes (benchmarks/markers.py)."""

CROWDING = 0.25
"""Error of a corner in pixels for a shift of one pixel and squares of one pixel: blurred edges that lie close together
disturb each other. Set in the same way."""

ALIGNED_PX = 0.04
"""Error of a corner in pixels if the marker's edges run along rows and columns of pixels: then all points of an edge
have the same place within their pixels, and the same error. One that crosses a few rows is free of it."""

_N_ROUNDS = 5
_STEP_PX = 0.5  # along a profile
_NEAREST_PX, _MOST_POINTS = 1.0, 6000
_BLURS_PX = [0.6 * 1.25**k for k in range(14)]
_HUBER = 2.0  # standard deviations beyond which a point counts less


@dataclass(frozen=True, eq=False)
class FittedMarker:
    """Corners of a marker in a photo.

    Attributes:
        corners_xy: Pixels (x, y) of the corners of its black border, clockwise from the first one, shape (4, 2).
        covariance: Covariance of the corners in square pixels, shape (8, 8).
        shift_px: Distance by which edges seem to lie on their dark side, in pixels; below 0 there.
        miss_px: Standard deviation of the points from the fit, in pixels.
        n_points: Number of points along edges.
    """

    corners_xy: Float64Array
    covariance: Float64Array
    shift_px: float
    miss_px: float
    n_points: int


def fit_marker(grey: UInt8Array, bits: UInt8Array, corners_xy: Float64Array) -> FittedMarker | None:
    """Fit a marker whose corners are known to about a pixel.

    Args:
        grey: The photo in grey levels, shape (H, W), uint8.
        bits: Squares of the marker with its black border, shape (n, n): 0 is black, everything else white.
        corners_xy: Corners to begin with, clockwise from the upper left one of `bits`, shape (4, 2).

    Returns:
        The fit; None if fewer than 75 % of the points lie at an edge of the right kind, or the edges do not determine
        it.
    """
    side_px = float(np.linalg.norm(np.roll(corners_xy, -1, 0) - corners_xy, axis=1).mean())
    n, square_px = len(bits), side_px / len(bits)
    spacing = max(_NEAREST_PX / square_px, 2 * n * n / _MOST_POINTS)
    places, normals = marker_edges(bits, spacing=spacing)
    homography = np.asarray(np.linalg.inv(homography_of(corners_xy, float(n))), np.float64)
    homography = homography / homography[2, 2]
    fitted: _Solution | None = None
    blur_px, shift = None, 0.0
    image, (left, top) = _around(grey, corners_xy, round(2 * square_px) + 4)
    for _ in range(_N_ROUNDS):
        edges = _Edges(homography, places, normals)
        misses, found, blur_px = _misses(image, edges, shift, blur_px, (left, top))
        if found.mean() < LEAST_SHARE or found.sum() < 60:
            return None
        fitted = _solve(np.column_stack([edges.slopes, np.ones(len(places))]), misses, found)
        if fitted is None:
            return None
        homography = homography + np.append(fitted.change[:8], 0).reshape(3, 3)
        shift += float(fitted.change[8])
    assert fitted is not None
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64) * n
    corners, _, slopes = _seen(homography, square)
    by_corner = slopes.reshape(8, 8)
    crowded_px = CROWDING * abs(shift) / square_px
    n_crossed = float(np.abs(np.roll(corners, -1, 0) - corners).min(1).min())  # rows or columns
    aligned_px = ALIGNED_PX / max(1.0, 2 * n_crossed)
    covariance = (crowded_px**2 + aligned_px**2) * np.eye(8) + UNCERTAINTY_FACTOR**2 * by_corner @ fitted.covariance[
        :8, :8
    ] @ by_corner.T
    return FittedMarker(corners, covariance, shift, fitted.miss, int(found.sum()))


def marker_edges(bits: UInt8Array, *, spacing: float) -> tuple[Float64Array, Float64Array]:
    """Lay points along the edges between black and white squares.

    Args:
        bits: Squares of the marker, shape (n, n): 0 is black, everything else white; white paper lies around it.
        spacing: Distance of neighbouring points, in sides of a square.

    Returns:
        Points (x, y) in sides of a square from the upper left corner, shape (m, 2), and at each the step from the dark
        to the light side, shape (m, 2).
    """
    light = np.pad(np.where(bits > 0, 1, 0), 1, constant_values=1)
    points: list[tuple[float, float]] = []
    normals: list[tuple[int, int]] = []
    for squares, upright in ((light, True), (light.T, False)):
        steps = np.diff(squares, axis=1)  # steps[i, j]: from square j to j + 1 in row i
        for at in range(steps.shape[1]):
            for start, stop, step in _runs(steps[:, at]):
                begin, end = start - 1 + MARGIN, stop - 1 - MARGIN
                n_points = max(1, int((end - begin) / spacing + 1e-9))
                along = begin + (np.arange(n_points) + 0.5) * (end - begin) / n_points
                points += [(float(at), float(one)) if upright else (float(one), float(at)) for one in along]
                normals += [(step, 0) if upright else (0, step)] * n_points
    return np.array(points, np.float64), np.array(normals, np.float64)


def _runs(values: np.ndarray) -> list[tuple[int, int, int]]:
    """Stretches of equal values that are not 0: first place, first place behind, value."""
    bounds = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return [(start, stop, int(values[start])) for start, stop in pairwise(bounds) if values[start] != 0]


class _Edges:
    """Points along edges as a homography shows them.

    Attributes:
        points: Pixels (x, y), shape (m, 2).
        normals: Unit normals in the photo, towards the light side, shape (m, 2).
        square_px: Size of a square along the normal, in pixels, shape (m,).
        slopes: Change of the point along its normal with each of the first eight numbers of the homography, (m, 8).
    """

    def __init__(self, homography: Float64Array, places: Float64Array, normals: Float64Array) -> None:
        self.points, slopes, by_number = _seen(homography, places)
        along = np.einsum("mij,mj->mi", slopes, normals[:, ::-1] * (1, -1))
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        across = along[:, ::-1] * (1, -1)
        through = (across * np.einsum("mij,mj->mi", slopes, normals)).sum(1)
        self.normals = across * np.sign(through)[:, None]
        self.square_px = np.abs(through)
        self.slopes = np.einsum("mi,mik->mk", self.normals, by_number)


def _seen(homography: Float64Array, places: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Points as the photo shows them, (m, 2); how they change with the place, (m, 2, 2), and with the homography.

    The last array, (m, 2, 8), is of the first eight numbers of the homography.
    """
    whole = np.column_stack([places, np.ones(len(places))])
    mapped = whole @ homography.T
    points, whole = mapped[:, :2] / mapped[:, 2:], whole / mapped[:, 2:]
    slopes = (homography[None, :2, :2] - points[:, :, None] * homography[2, :2]) / mapped[:, 2, None, None]
    by_number = np.zeros((len(places), 2, 8))
    by_number[:, 0, :3] = by_number[:, 1, 3:6] = whole
    by_number[:, :, 6:] = -points[:, :, None] * whole[:, None, :2]
    return points, slopes, by_number


def _around(grey: UInt8Array, corners_xy: Float64Array, reach: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The part of the photo around a marker in float32, and its upper left pixel."""
    height, width = grey.shape
    left, top = (max(0, int(low) - reach) for low in corners_xy.min(0))
    right, bottom = (int(high) + reach for high in corners_xy.max(0))
    part = grey[top : min(bottom, height), left : min(right, width)]
    return part.astype(np.float32), (left, top)


def _misses(
    image: np.ndarray, edges: _Edges, shift: float, blur_px: float | None, origin: tuple[int, int]
) -> tuple[Float64Array, BoolArray, float]:
    """Distance of the edge found at each point from the expected one, (m,), where one is found, and the blur.

    Along each normal the grey levels are fitted by a step that is blurred by a Gaussian. Moving the step is linear in
    its first derivative, so one matrix fits all profiles, and the rounds of the fit do the rest.
    """
    typical_px = float(np.median(edges.square_px))
    widest_px = max(0.3 * typical_px, _BLURS_PX[0])
    best: tuple[float, Float64Array, BoolArray, float] | None = None
    for blur in [blur for blur in _BLURS_PX if blur <= widest_px] if blur_px is None else [blur_px]:
        reach = max(1.5, min(max(2.0, 2.2 * blur + 0.5), 0.55 * typical_px))
        offsets = np.arange(-reach, reach + 1e-6, _STEP_PX)
        places = edges.points[:, None] + (offsets + shift)[None, :, None] * edges.normals[:, None] - np.array(origin)
        columns, rows = places[..., 0].astype(np.float32), places[..., 1].astype(np.float32)
        profiles = cv2.remap(image, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        model = _blurred_step(offsets, blur)
        found = profiles.astype(np.float64) @ np.linalg.pinv(model).T  # (m, 3): level, step, step times miss
        left_over = profiles - found @ model.T
        sharp = found[:, 1] > LEAST_CONTRAST
        misses = np.where(sharp, found[:, 2] / np.where(sharp, found[:, 1], 1), 0)
        error = float((left_over[sharp] ** 2).sum() / max(1, sharp.sum() * (len(offsets) - 3)))
        if best is None or error < best[0]:
            best = error, misses, sharp & (np.abs(misses) < GREATEST_MISS_PX), blur
    assert best is not None  # there is at least one blur
    return best[1:]


def _blurred_step(offsets: Float64Array, blur_px: float) -> Float64Array:
    """Level, blurred step, and change of the step as it moves, at the offsets, shape (k, 3)."""
    from scipy.special import ndtr

    share = offsets / blur_px
    moved = -np.exp(-0.5 * share**2) / (blur_px * np.sqrt(2 * np.pi))
    return np.column_stack([np.ones(len(offsets)), ndtr(share), moved])


@dataclass(frozen=True, eq=False)
class _Solution:
    change: Float64Array
    covariance: Float64Array
    miss: float


def _solve(slopes: Float64Array, misses: Float64Array, found: BoolArray) -> _Solution | None:
    """Least squares in which points far from the fit count less (Huber 1964, with a scale by the median)."""
    sizes = np.linalg.norm(slopes, axis=0)
    scaled = slopes / sizes
    weights = found.astype(np.float64)
    try:
        for _ in range(5):
            normal = scaled.T @ (scaled * weights[:, None])
            solved = np.linalg.solve(normal, scaled.T @ (weights * misses))
            rest = misses - scaled @ solved
            spread = 1.4826 * float(np.median(np.abs(rest[found]))) + 1e-6
            weights = found * np.minimum(1, _HUBER * spread / np.maximum(np.abs(rest), 1e-9))
        inverse = np.linalg.inv(normal)
    except np.linalg.LinAlgError:
        return None
    variance = float((weights * rest**2).sum()) / max(1, int(found.sum()) - slopes.shape[1])
    return _Solution(solved / sizes, inverse * variance / np.outer(sizes, sizes), float(np.sqrt(variance)))
