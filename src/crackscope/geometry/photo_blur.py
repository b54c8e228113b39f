"""How much a photo is blurred, in pixels, measured on its own sharpest edges.

Lens, focus, movement and enlargement blur every edge alike, while most edges of real things are soft by themselves. So
steps of grey are fitted at the strongest edges of the photo, each with its own softness, and the sharpest of them tell
the blur. An edge that is no clean step, such as the side of a thin line, does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from crackscope.arrays import Float32Array, Float64Array, Int64Array, UInt8Array
from crackscope.errors import DataError
from crackscope.geometry.blurred_box import softened_edge

__all__ = ["USUAL_BLUR_PX", "PhotoBlur", "photo_blur"]

USUAL_BLUR_PX = 1.0
"""Blur that is assumed where a photo shows too few edges to measure it, in pixels."""

_SOFT_PX = 2.0  # more blur than a focused camera gives
_BLOCK_PX = 24  # one edge from each square of this side
_MOST_EDGES = 600
_FEWEST_EDGES = 12
_SHARPEST = 0.1  # share of the edges that are sharper than the result
_HIGHEST = 0.7  # share of the clean edges that count, the highest first
_STEP = 0.06  # least height of an edge, as a share of the photo's range of grey
_OVER_NOISE = 8.0  # least height of an edge, as a multiple of the noise
_MISFIT = 0.05  # greatest misfit of an edge, as a share of its height
_REACH = 6  # samples on each side of an edge
_BLURS_PX = np.geomspace(0.25, 3.2, 24)
_LEVELS = 4  # the photo as it is, and halved up to three times
_TILE_PX, _TILES = 640, 16  # a large photo is looked at in so many tiles, spread over it


@dataclass(frozen=True)
class PhotoBlur:
    """Blur of a photo.

    Attributes:
        blur_px: Standard deviation of the Gaussian that blurs the photo like its lens did, in pixels, without the
            pixel's own square.
        n_edges: Number of edges that it was measured on; 0 if there were too few and `USUAL_BLUR_PX` is assumed.
    """

    blur_px: float
    n_edges: int

    @property
    def soft(self) -> bool:
        """Whether the photo is blurred more than 2 px, as if enlarged or out of focus: thin cracks show its blur."""
        return self.blur_px > _SOFT_PX


def photo_blur(grey: Float32Array | UInt8Array) -> PhotoBlur:
    """Measure how much a photo is blurred.

    Args:
        grey: Grey levels, float32 or uint8, shape (H, W), in any unit, finite.

    Raises:
        DataError: If the photo has another form or holds a value that is not a finite number.
    """
    if grey.ndim != 2 or not np.isfinite(grey.sum(dtype=np.float64)):
        raise DataError(f"The photo has shape {grey.shape}; give finite grey levels of shape (H, W).")
    range_grey = float(np.subtract(*np.percentile(grey[:: max(len(grey) // 500, 1)], [99.5, 0.5])))
    tiles, found = _tiles(grey), PhotoBlur(USUAL_BLUR_PX, 0)
    for halvings in range(_LEVELS):
        tiles = [tile for tile in tiles if min(tile.shape) >= 4 * _REACH]
        blurs = _sharpest([_edges(tile, _STEP * range_grey) for tile in tiles])
        if len(blurs) >= _FEWEST_EDGES:
            side = 2**halvings
            here = float(np.quantile(blurs, _SHARPEST))
            # A halved photo is blurred by the squares that were averaged, too.
            found = PhotoBlur(float(np.sqrt(max((here * side) ** 2 - (side**2 - 1) / 12, 0.05))), len(blurs))
            if here < 0.6 * _BLURS_PX[-1]:
                break
        tiles = [_halved(tile) for tile in tiles]
    return found


def _halved(tile: Float32Array) -> Float32Array:
    """A picture of half the size, each pixel the mean of four."""
    return np.asarray(cv2.resize(tile, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float32)


def _tiles(grey: Float32Array | UInt8Array) -> list[Float32Array]:
    """A small photo as it is, or tiles of a large one."""
    if grey.size <= _TILES * _TILE_PX**2:
        return [np.asarray(grey, np.float32)]
    corners = [np.linspace(0, max(side - _TILE_PX, 0), 4).astype(np.int64) for side in grey.shape]
    parts = [grey[top : top + _TILE_PX, left : left + _TILE_PX] for top in corners[0] for left in corners[1]]
    return [np.asarray(part, np.float32) for part in parts]


def _sharpest(edges: Sequence[tuple[Float64Array, Float64Array]]) -> Float64Array:
    """Blurs of the highest edges of all tiles; low ones may be noise or the blocks of a JPEG."""
    if not edges:
        return np.zeros(0)
    heights, blurs = (np.concatenate(parts) for parts in zip(*edges, strict=True))
    return blurs[np.argsort(-heights, kind="stable")[: max(int(_HIGHEST * len(blurs)), _FEWEST_EDGES)]]


def _edges(grey: Float32Array, least_step: float) -> tuple[Float64Array, Float64Array]:
    """Height and blur of each clean edge of a picture, in its grey levels and pixels."""
    least_step = max(least_step, _OVER_NOISE * _noise(grey))
    smooth = cv2.GaussianBlur(grey, (0, 0), 0.8)
    right, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=0.125)
    slope = np.asarray(cv2.magnitude(right, down), np.float32)
    slope[:_REACH], slope[-_REACH:], slope[:, :_REACH], slope[:, -_REACH:] = 0, 0, 0, 0
    rows, columns = _strongest(slope)
    steep = slope[rows, columns] > least_step / 12
    rows, columns = rows[steep], columns[steep]
    if len(rows) == 0:
        return np.zeros(0), np.zeros(0)
    across = np.stack([right[rows, columns], down[rows, columns]], axis=1) / slope[rows, columns][:, None]
    along = np.stack([-across[:, 1], across[:, 0]], axis=1)
    reach, lines = np.arange(-_REACH, _REACH + 1), np.arange(-1, 2)
    points = (
        np.stack([columns, rows], axis=1)[:, None, None]
        + lines[:, None, None] * along[:, None, None]
        + reach[:, None] * across[:, None, None]
    ).astype(np.float32)  # (n, 3, m, 2)
    flat = points.reshape(-1, len(reach), 2)
    values = cv2.remap(grey, flat[..., 0], flat[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return _fitted(np.median(values.reshape(points.shape[:3]), axis=1), least_step)


def _noise(grey: Float32Array) -> float:
    """Standard deviation of the grey that changes from pixel to pixel, typical over the picture."""
    fine = cv2.filter2D(grey, cv2.CV_32F, np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32))
    return float(1.4826 * np.median(np.abs(fine[::3, ::3])) / 6)


def _strongest(slope: Float32Array) -> tuple[Int64Array, Int64Array]:
    """Rows and columns of the steepest pixels, one from each block, the steepest first."""
    height, width = (side // _BLOCK_PX * _BLOCK_PX for side in slope.shape)
    blocks = slope[:height, :width].reshape(height // _BLOCK_PX, _BLOCK_PX, width // _BLOCK_PX, _BLOCK_PX)
    blocks = blocks.transpose(0, 2, 1, 3).reshape(height // _BLOCK_PX, width // _BLOCK_PX, -1)
    within = blocks.argmax(axis=2)
    row = np.arange(blocks.shape[0])[:, None] * _BLOCK_PX + within // _BLOCK_PX
    column = np.arange(blocks.shape[1])[None] * _BLOCK_PX + within % _BLOCK_PX
    order = np.argsort(-blocks.max(axis=2).ravel(), kind="stable")[:_MOST_EDGES]
    return row.ravel()[order], column.ravel()[order]


def _fitted(profiles: Float64Array, least_step: float) -> tuple[Float64Array, Float64Array]:
    """Height and blur of each profile that is a clean step of sufficient height."""
    x = np.arange(-_REACH, _REACH + 1.0)
    weights = np.exp(-0.5 * (x / 3.0) ** 2)
    places = np.arange(-1.5, 1.6, 0.25)
    steps = softened_edge(x - places[:, None, None], _BLURS_PX[:, None]).reshape(-1, len(x))
    # The step is made free of a constant and a slope, so that one product gives height and misfit.
    basis = np.linalg.qr(np.sqrt(weights)[:, None] * np.stack([np.ones_like(x), x], axis=1))[0]
    weighted = steps * np.sqrt(weights)
    free = weighted - (weighted @ basis) @ basis.T
    size = (free**2).sum(axis=1)
    values = profiles * np.sqrt(weights)
    values = values - (values @ basis) @ basis.T
    product = values @ free.T
    explained = (product**2 / size).reshape(len(profiles), len(places), -1).max(axis=1)  # (n, n_blurs)
    blur = explained.argmax(axis=1)
    rows = np.arange(len(profiles))
    best = (product**2 / size).argmax(axis=1)
    height = product[rows, best] / size[best]
    left = np.maximum((values**2).sum(axis=1) - explained[rows, blur], 0)
    clean = (height > least_step) & (np.sqrt(left / weights.sum()) < _MISFIT * height)
    inner = np.clip(blur, 1, len(_BLURS_PX) - 2)
    below, here, above = (explained[rows, inner + shift] for shift in (-1, 0, 1))
    bend = np.minimum(below - 2 * here + above, -1e-12)
    shift = np.where(inner == blur, np.clip(0.5 * (below - above) / bend, -0.5, 0.5), 0)
    ratio = _BLURS_PX[1] / _BLURS_PX[0]
    return height[clean], np.asarray(_BLURS_PX[blur] * ratio**shift)[clean]
