"""Features of photos: points that can be found again in another photo, each with a description of its surroundings.

A photo is shrunk to at most `WORKING_MEGAPIXELS`, and its local contrast is made even, so that other light changes
little. Points come from SIFT: they keep their description when the photo is turned, enlarged or slightly blurred. Each
cell of a grid over the photo keeps its strongest points. So one logo or ruler cannot take all of them.

Source:
    Lowe 2004, Distinctive Image Features from Scale-Invariant Keypoints.
    Arandjelović & Zisserman 2012, Three Things Everyone Should Know to Improve Object Retrieval (the square root).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float32Array, Float64Array, Int64Array, UInt8Array

__all__ = [
    "WORKING_MEGAPIXELS",
    "PhotoFeatures",
    "features_of",
    "grey_of",
    "hw_of",
    "in_working_px",
    "matches_between",
    "shrunk",
]


WORKING_MEGAPIXELS = 1.4
"""Size that a larger photo is shrunk to before it is compared. At this size a photo takes about half a second."""

_LEAST_SIDE_PX = 32  # a strip that is narrower at working size shows no surroundings
_MOST_FEATURES = 4000
_CELLS = 8  # cells of the grid a side
_COARSE_PX = 4.0  # diameter from which a point is coarse: it can be found again in a photo from farther away
_COARSE_SHARE = 0.4
_CONTRAST = 0.01  # least contrast of a point by SIFT's own measure: concrete is dull, and a quarter of the usual one
_EDGE = 12.0
_CLAHE = (3.0, (8, 8))
_RATIO = 0.85  # greatest distance of the nearest description, as a share of the distance of the second nearest


@dataclass(frozen=True, eq=False)
class PhotoFeatures:
    """Features of a photo.

    Attributes:
        photo_hw: Height and width of the photo in pixels.
        scale: Working pixels per pixel of the photo, at most 1.
        grey: Photo at working size, shape (h, w), uint8.
        points_xy: Place of each point in working pixels, shape (n, 2), float32.
        sizes_px: Diameter of each point in working pixels, shape (n,), float32.
        descriptors: Description of each point, shape (n, 128), uint8.
    """

    photo_hw: tuple[int, int]
    scale: float
    grey: UInt8Array
    points_xy: Float32Array
    sizes_px: Float32Array
    descriptors: UInt8Array

    def __len__(self) -> int:
        return len(self.points_xy)

    def unit_descriptors(self) -> Float32Array:
        """Square roots of the descriptions, each of length 1, shape (n, 128)."""
        found = self.descriptors.astype(np.float32)
        return np.asarray(np.sqrt(found / np.maximum(found.sum(1, keepdims=True), 1)), np.float32)


def grey_of(pixels: UInt8Array) -> UInt8Array:
    """Grey levels of RGB pixels.

    Args:
        pixels: RGB pixels, uint8, shape (H, W, 3).
    """
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def shrunk(grey: UInt8Array, factor: float) -> UInt8Array:
    """Shrink a picture by averaging areas; a factor of 1 or more leaves it as it is.

    Args:
        grey: Picture, uint8, shape (H, W) or (H, W, 3).
        factor: New side as a share of the old.
    """
    if factor >= 1:
        return grey
    size = max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def in_working_px(photo_hw: tuple[int, int], working_hw: tuple[int, int]) -> Float64Array:
    """Affine map, shape (3, 3), from pixels of a photo to pixels of the shrunk one; both count from pixel centres.

    Args:
        photo_hw: Height and width of the photo in pixels.
        working_hw: Height and width of the shrunk photo in pixels.
    """
    across, down = working_hw[1] / photo_hw[1], working_hw[0] / photo_hw[0]
    return np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]], np.float64)


def hw_of(pixels: UInt8Array) -> tuple[int, int]:
    """Height and width of a picture.

    Args:
        pixels: Picture, shape (H, W) or (H, W, 3).
    """
    return pixels.shape[0], pixels.shape[1]


def features_of(grey: UInt8Array, *, megapixels: float = WORKING_MEGAPIXELS) -> PhotoFeatures:
    """Find the features of a photo. A photo that is too narrow has none.

    Args:
        grey: Grey levels, uint8, shape (H, W).
        megapixels: Size that a larger photo is shrunk to.

    Example:
        >>> from crackscope.drawing.walls import draw_photo
        >>> features = features_of(grey_of(draw_photo(1, photo_hw=(240, 320)).pixels))
        >>> features.scale, features.descriptors.shape[1]
        (1.0, 128)
    """
    height, width = grey.shape[:2]
    scale = min(1.0, float(np.sqrt(megapixels * 1e6 / max(1, height * width))))
    small = shrunk(grey, scale)
    none = np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 128), np.uint8)
    if min(small.shape) < _LEAST_SIDE_PX:
        return PhotoFeatures((height, width), scale, small, *none)
    even = np.asarray(cv2.createCLAHE(*_CLAHE).apply(small), np.uint8)
    sift = cv2.SIFT.create(0, 3, _CONTRAST, _EDGE, 1.6, True)
    found = sift.detect(even, None)
    kept = [found[i] for i in _chosen(found, (small.shape[0], small.shape[1])).tolist()]
    if not kept:
        return PhotoFeatures((height, width), scale, small, *none)
    points, descriptors = sift.compute(even, kept)
    points_xy = np.array([point.pt for point in points], np.float32)
    sizes = np.array([point.size for point in points], np.float32)
    return PhotoFeatures((height, width), scale, small, points_xy, sizes, np.asarray(descriptors).astype(np.uint8))


def _chosen(points: Sequence[cv2.KeyPoint], hw: tuple[int, int]) -> Int64Array:
    """Places of the strongest points of each cell of the grid; coarse points have a share of their own."""
    if not points:
        return np.empty(0, np.int64)
    xy = np.array([point.pt for point in points])
    strength = np.array([point.response for point in points])
    coarse = np.array([point.size >= _COARSE_PX for point in points])
    column, row = (np.clip(xy[:, i] * _CELLS // hw[1 - i], 0, _CELLS - 1).astype(np.int64) for i in (0, 1))
    per_cell = _MOST_FEATURES / _CELLS**2
    first = _strongest(row * _CELLS + column, strength, coarse, round(per_cell * _COARSE_SHARE))
    n_left = round(per_cell) - round(per_cell * _COARSE_SHARE)
    rest = np.ones(len(points), np.bool_)
    rest[first] = False
    second = _strongest(row * _CELLS + column, strength, rest, n_left)
    return np.sort(np.concatenate([first, second]))


def _strongest(cells: Int64Array, strength: Float64Array, allowed: BoolArray, most: int) -> Int64Array:
    """Places of the strongest allowed points of each cell, at most so many a cell."""
    places = np.flatnonzero(allowed)
    order = places[np.lexsort((-strength[places], cells[places]))]
    _, starts = np.unique(cells[order], return_index=True)
    rank = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
    return np.asarray(order[rank < most], np.int64)


def matches_between(a: PhotoFeatures, b: PhotoFeatures) -> Int64Array:
    """Pairs of points that are nearest to each other, and clearly nearer than the second nearest.

    Args:
        a: Features of one photo.
        b: Features of the other photo.

    Returns:
        Numbers of the points in `a` and in `b`, shape (n, 2).
    """
    if len(a) < 2 or len(b) < 2:
        return np.empty((0, 2), np.int64)
    likeness = a.unit_descriptors() @ b.unit_descriptors().T
    own = np.arange(len(a))
    nearest = likeness.argmax(1)
    back = likeness.argmax(0)
    best = likeness[own, nearest]
    likeness[own, nearest] = -1
    second = likeness.max(1)
    clear = 1 - best < _RATIO**2 * (1 - second)  # squared distances of vectors of length 1 are 2 - 2 likeness
    kept = np.flatnonzero(clear & (back[nearest] == own))
    return np.asarray(np.stack([kept, nearest[kept]], 1), np.int64)
