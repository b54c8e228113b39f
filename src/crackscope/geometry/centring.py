"""Centring: a traced path is moved onto the middle of the dark line beneath it.

A map says where a crack runs to within a few pixels; the grey picture says it to a fraction of a pixel. Grey profiles
are taken across the path. In each, dark valleys of several widths are looked for (second derivatives of Gaussians, as
in Lindeberg 1998, "Edge detection and ridge detection with automatic scale selection"). How strong the valleys are, how
far the path moves from one point to the next, and how far it lies from where the map has it, together give a
probability of each place in each profile (forward and backward sums, Rabiner 1989, "A tutorial on hidden Markov
models"). The path first goes to the most probable place. Then profiles are taken across this better path, and it goes
to the mean place, which is exact to a fraction of a pixel. Where no valley rises above the picture's own roughness, the
path stays near where the map has it.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from crackscope.arrays import Float32Array, Float64Array, UInt8Array
from crackscope.geometry.paths import normals_of, resampled, smoothed

__all__ = ["centred", "profiles_across"]

STEP_PX = 0.5  # between two places across the path
SIGMAS_PX = (1.0, 2.0, 4.0, 6.5, 10.0)  # of the valleys that are looked for; a valley of width w answers most to w / 2
LESS = (0.0, 1.0, 1.5, 2.0, 2.0)  # how much less a wide valley counts, in units of the roughness of the narrowest ones
ALONG = (1.0, 0.7)  # points over which profiles are averaged along the path, the first time and the second
SURE = (2.0, 3.0)  # how much a valley counts: weight of its strength
STIFFNESS = (1.0, 1.5)  # price of moving sideways by a pixel from one point to the next, squared
HOME = 0.02  # price of lying a pixel away from where the path was, squared
EVEN, BETWEEN = 1.0, 0.7  # points over which the first way is smoothed, and the path is smoothed before the second time
AGAIN_PX = 2.5  # distance by which a point may be moved the second time
MOVES = 2  # places by which the way may move from one point to the next
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
        reach_px: Distance by which a point may be moved, in pixels; it may be moved by `AGAIN_PX` more.
        home: Price of lying a pixel away from the given path, squared; less for a path that is less exact.

    Returns:
        Points at distances of about one pixel, shape (m, 2).
    """
    if len(path_xy) < 3:
        return path_xy
    normals, offsets, chances = _chances(grey, path_xy, reach_px, home, 0)
    most = offsets[chances.argmax(axis=1)]
    near = resampled(smoothed(path_xy + normals * smoothed(most[:, None], EVEN), BETWEEN))
    if len(near) < 3:
        return near
    normals, offsets, chances = _chances(grey, near, AGAIN_PX, HOME, 1)
    return near + normals * (chances @ offsets)[:, None]


def _chances(
    grey: UInt8Array | Float32Array, path_xy: Float64Array, reach_px: float, home: float, time: int
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Normals (n, 2) of a path, places (m,) across it, and the probability (n, m) that the middle is there."""
    normals = normals_of(smoothed(path_xy, 2.0))
    n_beside, margin = max(int(np.ceil(reach_px / STEP_PX)), MOVES), int(np.ceil(3 * SIGMAS_PX[-1] / STEP_PX))
    offsets = np.asarray(STEP_PX * np.arange(-n_beside - margin, n_beside + margin + 1), np.float64)
    answers = _valleys(profiles_across(grey, path_xy, normals, offsets), margin, ALONG[time])
    offsets = offsets[margin:-margin]
    return normals, offsets, _along_the_way(SURE[time] * answers - home * offsets**2, STIFFNESS[time])


def _valleys(profiles: Float32Array, margin: int, along: float) -> Float64Array:
    """(n, m) strength of the strongest valley at each place, in units of the picture's roughness."""
    averaged = gaussian_filter1d(profiles, along, axis=0, mode="nearest")
    strongest = np.full((len(profiles), profiles.shape[1] - 2 * margin), -np.inf, np.float32)
    unit = 0.0
    for sigma_px, less in zip(SIGMAS_PX, LESS, strict=True):
        kernel = _second_derivative(sigma_px / STEP_PX)
        whole = cv2.filter2D(averaged, cv2.CV_32F, kernel, borderType=cv2.BORDER_REPLICATE)
        answer = np.asarray(whole[:, margin:-margin], np.float32)
        unit = unit or _roughness(answer)
        # All widths answer to a narrow line; the wide ones blur its place, and see more of what lies beside it.
        np.maximum(strongest, answer - less * unit, out=strongest)
    standing_out = (strongest.astype(np.float64) - np.median(strongest)) / _roughness(strongest)
    return np.asarray(np.clip(standing_out, -3, 6), np.float64)


def _roughness(answers: Float32Array) -> float:
    """Standard deviation of the answers of plain concrete, in grey levels; few that stand out do not change it."""
    return max(1.4826 * float(np.median(np.abs(answers - np.median(answers)))), LEAST_GREY)


def _second_derivative(sigma: float) -> Float32Array:
    """Weights of the second derivative of a Gaussian, times sigma², shape (1, n); they sum up to nothing."""
    at = np.arange(-int(3 * sigma + 0.5), int(3 * sigma + 0.5) + 1)
    gauss = np.exp(-0.5 * (at / sigma) ** 2)
    weights = (at**2 / sigma**2 - 1) * gauss / gauss.sum()
    return np.asarray(weights - weights.mean(), np.float32)[None]


def _along_the_way(answers: Float64Array, stiffness: float) -> Float64Array:
    """(n, m) probability of each place, from what each profile says of it, and from all that come before and after."""
    moves = np.exp(-stiffness * (STEP_PX * np.arange(-MOVES, MOVES + 1)) ** 2)
    said = np.exp(answers - answers.max(axis=1, keepdims=True))
    before, after = said.copy(), np.ones_like(said)
    for i in range(1, len(said)):
        ahead = np.convolve(before[i - 1], moves, "same") * said[i]
        before[i] = ahead / ahead.sum()
        back = np.convolve(after[-i] * said[-i], moves, "same")
        after[-i - 1] = back / back.sum()
    both = before * after
    return np.asarray(both / both.sum(axis=1, keepdims=True), np.float64)
