"""Geometry of a pair of photos: the homography that most matches agree with, and what speaks against it."""

from __future__ import annotations

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float64Array
from crackscope.data.refinement import mapped

__all__ = ["find_homography", "homography_fault", "overlap_of", "overlap_share", "spread_of", "within", "zoom_at"]


_INLIER_PX = 4.0  # working pixels; concrete is not quite flat
_CONFIDENCE, _MOST_TRIES = 0.9999, 10_000
_ZOOMS = 0.2, 5.0  # pixels of the second photo per pixel of the first one, both at working size
_LEAST_OVERLAP = 0.01  # share of the smaller photo
_EDGE_POINTS = 24  # points along each side of a photo, for the outline of the overlap
_CELLS = 10  # cells a side over the overlap, for the spread


def find_homography(points_a: Float64Array, points_b: Float64Array) -> tuple[Float64Array | None, BoolArray]:
    """Find the homography that most matches agree with. The same matches give the same homography.

    Args:
        points_a: Places in the first photo, in working pixels, shape (n, 2).
        points_b: Places in the second photo, in working pixels, shape (n, 2).

    Returns:
        The homography, shape (3, 3), or None; and which matches agree, shape (n,).
    """
    none = np.zeros(len(points_a), np.bool_)
    if len(points_a) < 5:
        return None, none
    found, agree = cv2.findHomography(
        points_a, points_b, cv2.USAC_MAGSAC, _INLIER_PX, maxIters=_MOST_TRIES, confidence=_CONFIDENCE
    )
    if found is None or not np.isfinite(found).all() or abs(found[2, 2]) < 1e-12:
        return None, none
    return np.asarray(found / found[2, 2], np.float64), np.asarray(agree.ravel() > 0, np.bool_)


def zoom_at(homography: Float64Array, points_xy: Float64Array) -> Float64Array:
    """Pixels of the second photo per pixel of the first one at places, shape (n,); negative where it is mirrored.

    Args:
        homography: Homography, shape (3, 3).
        points_xy: Places in the first photo, shape (n, 2).
    """
    depth = np.column_stack([points_xy, np.ones(len(points_xy))]) @ homography[2]
    area = np.linalg.det(homography) / depth**3
    return np.asarray(np.sign(area) * np.sqrt(np.abs(area)), np.float64)


def overlap_of(homography: Float64Array, hw_a: tuple[int, int], hw_b: tuple[int, int]) -> Float64Array:
    """Corners of what both photos show, in pixels of the first one, shape (n, 2); empty if they show nothing alike.

    Args:
        homography: Homography from pixels of the first photo to pixels of the second one, shape (3, 3).
        hw_a: Height and width of the first photo in pixels.
        hw_b: Height and width of the second photo in pixels.
    """
    frame_a, frame_b = (np.array([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]], np.float32) for h, w in (hw_a, hw_b))
    laid = mapped(np.asarray(np.linalg.inv(homography), np.float64), frame_b.astype(np.float64))
    if not np.isfinite(laid).all() or not cv2.isContourConvex(laid.astype(np.float32)):
        return np.empty((0, 2))
    area, corners = cv2.intersectConvexConvex(frame_a, laid.astype(np.float32))
    return np.asarray(corners, np.float64).reshape(-1, 2) if area > 1 and corners is not None else np.empty((0, 2))


def overlap_share(corners_xy: Float64Array, photo_hw: tuple[int, int]) -> float:
    """Share of a photo that a polygon in its pixels covers, at most 1.

    Args:
        corners_xy: Corners of the polygon, shape (n, 2).
        photo_hw: Height and width of the photo in pixels.
    """
    if len(corners_xy) < 3:
        return 0.0
    area = float(cv2.contourArea(corners_xy.astype(np.float32)))
    return min(1.0, area / max(1, (photo_hw[0] - 1) * (photo_hw[1] - 1)))


def within(corners_xy: Float64Array, points_xy: Float64Array, margin: float = 0.0) -> BoolArray:
    """Whether each point lies inside a convex polygon, and so far from its edge.

    Args:
        corners_xy: Corners of the polygon in order, shape (n, 2).
        points_xy: Points, shape (m, 2).
        margin: Least distance from the edge.
    """
    if len(corners_xy) < 3:
        return np.zeros(len(points_xy), np.bool_)
    after = np.roll(corners_xy, -1, axis=0)
    turn = np.sign((corners_xy[:, 0] * after[:, 1] - after[:, 0] * corners_xy[:, 1]).sum())
    inside = np.ones(len(points_xy), np.bool_)
    for (x0, y0), (x1, y1) in zip(corners_xy, after, strict=True):
        length = float(np.hypot(x1 - x0, y1 - y0))
        if length > 1e-6:
            away = ((x1 - x0) * (points_xy[:, 1] - y0) - (y1 - y0) * (points_xy[:, 0] - x0)) * turn / length
            inside &= away >= margin
    return inside


def spread_of(corners_xy: Float64Array, points_xy: Float64Array) -> float:
    """Share of the overlap, in cells of a grid, that holds one of the points.

    Args:
        corners_xy: Corners of the overlap, shape (n, 2).
        points_xy: Points, shape (m, 2).
    """
    low = corners_xy.min(0)
    side = np.maximum(corners_xy.max(0) - low, 1e-9) / _CELLS
    row, column = np.mgrid[:_CELLS, :_CELLS]
    middles = low + (np.stack([column.ravel(), row.ravel()], 1) + 0.5) * side
    cells = np.flatnonzero(within(corners_xy, middles))
    at = np.clip((points_xy - low) // side, 0, _CELLS - 1).astype(np.int64)
    held = np.unique(at[:, 1] * _CELLS + at[:, 0])
    return float(np.isin(cells, held).mean()) if len(cells) else 0.0


def homography_fault(homography: Float64Array, hw_a: tuple[int, int], hw_b: tuple[int, int]) -> str | None:
    """What speaks against a homography by itself: it mirrors, folds, enlarges absurdly, or leaves no overlap.

    Args:
        homography: Homography from working pixels of the first photo to those of the second one, shape (3, 3).
        hw_a: Height and width of the first photo at working size.
        hw_b: Height and width of the second photo at working size.
    """
    if np.linalg.det(homography) <= 0:
        return "the one photo would be a mirror image of the other"
    corners = overlap_of(homography, hw_a, hw_b)
    share = max(overlap_share(corners, hw_a), overlap_share(mapped(homography, corners), hw_b))
    if share < _LEAST_OVERLAP:
        return f"the overlap would be {share:.1%} of a photo, {_LEAST_OVERLAP:.0%} needed"
    zooms = zoom_at(homography, corners)
    if (zooms < _ZOOMS[0]).any() or (zooms > _ZOOMS[1]).any() or zooms.max() > 4 * zooms.min():
        return f"the one photo would be {zooms.min():.2g} to {zooms.max():.2g} times as large as the other"
    return None
