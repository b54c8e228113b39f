"""Centring: a traced path is moved onto the middle of the dark line beneath it.

A map says where a crack runs to within a few pixels; the grey picture says it to a fraction of a pixel. Grey profiles
are taken across the path. In each, dark valleys of several widths are looked for (second derivatives of Gaussians, as
in Lindeberg 1998, "Edge detection and ridge detection with automatic scale selection"). The path then takes the way
along which the valleys are strongest, without jumps, by dynamic programming. Where no valley rises above the picture's
own roughness, the path stays where the map has it.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from crackscope.arrays import Float32Array, Float64Array, UInt8Array
from crackscope.geometry.paths import normals_of, smoothed

__all__ = ["centred", "profiles_across"]

STEP_PX = 0.5  # between two places across the path
SIGMAS_PX = (0.8, 1.4, 2.4, 4.0, 6.5)  # of the valleys that are looked for; a valley of width w answers most to w / 2
ALONG = 1.0  # points over which profiles are averaged along the path
EVEN = 0.7  # points over which the way is smoothed
STIFFNESS = 1.5  # price of moving sideways by a place from one point to the next, squared
HOME = 0.06  # price of lying a pixel away from where the map has the path, squared
_MOST_ROWS = 30_000  # OpenCV reads at most 32,767 rows at once
LEAST_GREY = 1.0  # roughness, in grey levels of 255, below which none is believed


def profiles_across(
    grey: UInt8Array | Float32Array, path_xy: Float64Array, normals: Float64Array, offsets_px: Float64Array
) -> Float32Array:
    """Read grey values across a path, interpolated between pixels; beyond the picture, its border is repeated.

    Args:
        grey: Grey picture, shape (H, W), uint8 or float32.
        path_xy: Points in pixels, with pixel centres at integers, shape (n, 2).
        normals: Unit vectors across the path, shape (n, 2).
        offsets_px: Distances from the path along its normals, shape (m,).

    Returns:
        Grey values, shape (n, m), float32.
    """
    places = path_xy[:, None] + normals[:, None] * offsets_px[:, None]
    height, width = grey.shape
    # Only what lies around the path is turned into floating point: the photo may be large.
    low = np.clip(np.floor(places.min((0, 1))).astype(np.int64) - 1, 0, (width - 1, height - 1))
    high = np.clip(np.ceil(places.max((0, 1))).astype(np.int64) + 2, low + 1, (width, height))
    around = np.ascontiguousarray(grey[low[1] : high[1], low[0] : high[0]], np.float32)
    near = (places - low).astype(np.float32)
    blocks = [
        cv2.remap(around, block[..., 0], block[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for block in np.array_split(near, -(-len(near) // _MOST_ROWS))
    ]
    return np.concatenate(blocks).astype(np.float32)


def centred(
    grey: UInt8Array | Float32Array, path_xy: Float64Array, reach_px: float, *, home: float = HOME
) -> Float64Array:
    """Move a path onto the dark line beneath it.

    Args:
        grey: Grey picture, shape (H, W), in levels of 0 to 255.
        path_xy: Points in pixels at distances of about one pixel, shape (n, 2).
        reach_px: Distance by which a point may be moved, in pixels.
        home: Price of lying a pixel away from the given path, squared; less for a path that is less exact.

    Returns:
        Points, shape (n, 2).
    """
    if len(path_xy) < 3:
        return path_xy
    normals = normals_of(smoothed(path_xy, 2.0))
    n_beside, margin = int(np.ceil(reach_px / STEP_PX)), int(np.ceil(3 * SIGMAS_PX[-1] / STEP_PX))
    offsets = np.asarray(STEP_PX * np.arange(-n_beside - margin, n_beside + margin + 1), np.float64)
    answers = _valleys(profiles_across(grey, path_xy, normals, offsets), margin)
    offsets = offsets[margin:-margin]
    chosen = _strongest_way(answers - home * offsets**2)
    moved = smoothed(_refined(answers, chosen, offsets)[:, None], EVEN)
    return path_xy + normals * moved


def _valleys(profiles: Float32Array, margin: int) -> Float64Array:
    """(n, m) strength of the strongest valley at each place, in units of the picture's roughness."""
    averaged = gaussian_filter1d(profiles, ALONG, axis=0, mode="nearest")
    strongest = np.full((len(profiles), profiles.shape[1] - 2 * margin), -np.inf)
    for sigma_px in SIGMAS_PX:
        sigma = sigma_px / STEP_PX
        answer = sigma**2 * gaussian_filter1d(averaged, sigma, axis=1, order=2, mode="nearest", truncate=3)
        strongest = np.maximum(strongest, answer[:, margin:-margin])
    middle = np.median(strongest)
    roughness = max(1.4826 * float(np.median(np.abs(strongest - middle))), LEAST_GREY)
    return np.asarray(np.clip((strongest - middle) / roughness, -3, 6), np.float64)


def _strongest_way(answers: Float64Array) -> np.ndarray:
    """(n,) number of the place that the best way takes at each point; it moves by at most two places a point."""
    n, m = answers.shape
    prices = {move: STIFFNESS * STEP_PX**2 * move**2 for move in (-2, -1, 1, 2)}
    came_by = np.zeros((n, m), np.int8)
    total = answers[0].copy()
    for i in range(1, n):
        best = total.copy()
        for move, price in prices.items():
            ahead = np.full(m, -np.inf)
            if move > 0:
                ahead[move:] = total[:-move] - price
            else:
                ahead[:move] = total[-move:] - price
            better = ahead > best
            best[better] = ahead[better]
            came_by[i, better] = move
        total = best + answers[i]
    way = np.empty(n, np.int64)
    way[-1] = int(total.argmax())
    for i in range(n - 1, 0, -1):
        way[i - 1] = way[i] - came_by[i, way[i]]
    return way


def _refined(answers: Float64Array, chosen: np.ndarray, offsets: Float64Array) -> Float64Array:
    """(n,) offset of the top of the parabola through the chosen place and its two neighbours."""
    rows, last = np.arange(len(chosen)), answers.shape[1] - 1
    left, middle, right = (answers[rows, np.clip(chosen + step, 0, last)] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.where(bend < -1e-9, (left - right) / np.where(bend < -1e-9, 2 * bend, 1), 0.0)
    return np.asarray(offsets[chosen] + STEP_PX * np.clip(shift, -0.5, 0.5), np.float64)
