"""Exact picture of a shape: which share of each pixel it covers, as a camera with a known blur sees it.

A pixel sums the light that falls on its square, and the lens spreads each point of light as a Gaussian. The share of a
pixel is then the integral of the shape, weighted with a box of one pixel that is blurred by this Gaussian. By Green's
theorem this integral over the area is one along the outline, so only the outline is divided into steps. They are
about an eighth of a pixel long where the picture is sharp, and half of the blur where it is not. Across the outline
nothing is divided, so the result is that of an infinitely fine grid, averaged down to pixels. It is right to 0.003.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.special import ndtr

from crackscope.arrays import Float32Array, Float64Array, Int64Array

__all__ = ["outline_share"]

FINEST_STEP_PX, COARSEST_STEP_PX = 1 / 8, 1 / 2
FAINTEST = 1e-5
REACH_SIGMAS = 4.0  # beyond it lies 6e-5 of a Gaussian
SHARPEST_BLUR_PX = 0.05  # less does not show beside the pixel's own square
TABLE_PER_PX = 256  # between entries, linear interpolation is right to 1e-6 for a blur of 0.5 px

_Steps = tuple[Float64Array, Float64Array]  # ends of the steps, each of shape (n, 2)


def outline_share(
    outlines_xy: Sequence[Float64Array], *, picture_hw: tuple[int, int], blur_px: float = 0.0
) -> Float32Array:
    """Compute the share of each pixel that shapes cover, as a blurred camera sees them.

    Args:
        outlines_xy: Outline of each shape, shape (n, 2), n at least 3, in pixels with pixel centres at integers. The
            last point is joined to the first. Parts outside the picture are cut off.
        picture_hw: Height and width of the picture, in pixels.
        blur_px: Standard deviation of the camera's Gaussian blur in pixels, 0 or more. Below 0.05 the picture is sharp:
            the share is that of the pixel's square.

    Returns:
        Shares in [0, 1], float32, shape (height, width). Where shapes overlap, their shares are added, at most to 1.

    Source:
        Green's theorem; the blurred box is the difference of two integrals of the normal distribution.

    Example:
        >>> square = np.array([[1.5, 1.5], [4.0, 1.5], [4.0, 3.5], [1.5, 3.5]])
        >>> outline_share([square], picture_hw=(5, 6))[2].tolist()
        [0.0, 0.0, 1.0, 1.0, 0.5, 0.0]
    """
    height, width = picture_hw
    reach = math.ceil(0.5 + REACH_SIGMAS * blur_px)
    pad = reach + 2  # columns and rows around the picture, so that no step has to be cut
    step_px = min(max(blur_px / 2, FINEST_STEP_PX), max(COARSEST_STEP_PX, blur_px / 4))
    begins, ends = _steps(outlines_xy, step_px)
    low, high = -reach - 1.0, np.array([width, height]) + float(reach)
    both = np.minimum(begins, ends), np.maximum(begins, ends)
    # A step to the right of the picture changes no pixel; one to the left changes whole rows.
    near = (both[1][:, 1] > low) & (both[0][:, 1] < high[1]) & (both[0][:, 0] < high[0])
    begins, ends = begins[near], ends[near]
    middle_x = np.clip((begins[:, 0] + ends[:, 0]) / 2, low, None)
    middle_y = (begins[:, 1] + ends[:, 1]) / 2
    taps = np.arange(-reach - 1, reach + 2)
    columns = np.floor(middle_x + 0.5).astype(np.int64)[:, None] + taps
    rows = np.floor(middle_y + 0.5).astype(np.int64)[:, None] + taps
    below = _share_of_edge(blur_px, reach)
    # The share of the step that falls on each row, times how much the covered share grows from column to column.
    on_row = below(rows - begins[:, 1:]) - below(rows - ends[:, 1:])
    to_left = columns - middle_x[:, None]
    growth = below(to_left) - below(to_left - 1)
    to_rows = _placed(on_row, np.clip(rows + pad, 0, height + 2 * pad - 1), height + 2 * pad)
    to_columns = _placed(growth, np.clip(columns + pad, 0, width + 2 * pad - 1), width + 2 * pad)
    changes = (to_rows.T @ to_columns).toarray()[pad : pad + height]
    shares = -np.cumsum(changes, axis=1)[:, pad : pad + width]
    shares[shares < FAINTEST] = 0  # where there is no shape, rounding leaves a trace
    return np.asarray(np.minimum(shares, 1), np.float32)


def _steps(outlines_xy: Sequence[Float64Array], step_px: float) -> _Steps:
    """Divide closed outlines into steps of about a given length; all outlines run around their shape in one sense."""
    begins: list[Float64Array] = []
    ends: list[Float64Array] = []
    for outline_xy in outlines_xy:
        corners = np.concatenate([outline_xy, outline_xy[:1]])
        x, y = corners.T
        if np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) < 0:
            corners = corners[::-1]
        begin, along = corners[:-1], np.diff(corners, axis=0)
        n_parts = np.maximum(np.rint(np.hypot(*along.T) / step_px).astype(np.int64), 1)
        edge = np.repeat(np.arange(len(along)), n_parts)
        part = np.arange(len(edge)) - np.repeat(np.cumsum(n_parts) - n_parts, n_parts)
        piece = along[edge] / n_parts[edge][:, None]
        begins.append(begin[edge] + part[:, None] * piece)
        ends.append(begin[edge] + (part + 1)[:, None] * piece)
    if not begins:
        return np.zeros((0, 2)), np.zeros((0, 2))
    return np.concatenate(begins), np.concatenate(ends)


def _placed(weights: Float64Array, places: Int64Array, n_places: int) -> csr_array:
    """Give each step's weights their places: a sparse array of shape (n, n_places)."""
    n, n_taps = weights.shape
    return csr_array((weights.ravel(), places.ravel(), n_taps * np.arange(n + 1)), shape=(n, n_places))


def _share_of_edge(blur_px: float, reach: int) -> Callable[[Float64Array], Float64Array]:
    """Share of a blurred pixel that lies on the low side of an edge, by the pixel's distance from the edge."""
    if blur_px < SHARPEST_BLUR_PX:
        return lambda away: np.clip(away + 0.5, 0, 1)
    furthest = reach + 2.0
    away = np.arange(-furthest, furthest + 1.5 / TABLE_PER_PX, 1 / TABLE_PER_PX)
    table = blur_px * (_ramp((away + 0.5) / blur_px) - _ramp((away - 0.5) / blur_px))

    def share(away: Float64Array) -> Float64Array:
        place = np.clip((away + furthest) * TABLE_PER_PX, 0, len(table) - 1.001)
        index = place.astype(np.int64)
        low = table[index]
        return np.asarray(low + (place - index) * (table[index + 1] - low))

    return share


def _ramp(z: Float64Array) -> Float64Array:
    """Integrate the normal distribution function up to z."""
    return np.asarray(z * ndtr(z) + np.exp(-z * z / 2) / math.sqrt(2 * math.pi))
