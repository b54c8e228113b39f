"""What lies beside and inside a crack that disturbs the measure of its width: light on an edge, spalls, damp.

The measures are differences of grey between strips of a profile, as shares of the concrete's grey far from the crack,
and their medians along the line. They tell that a width needs a second look, not what the cause is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crackscope.arrays import BoolArray, Float64Array

__all__ = ["PROFILE_SAMPLES", "CrackEdges", "crack_edges"]

PROFILE_SAMPLES = 96
"""Samples of the profiles, so that concrete far from the crack is seen."""

_NEIGHBOURS = 7  # places whose median is one measure
_WALL, _RIM, _SPALL, _WET = 0.07, 0.06, 0.075, 0.06  # shares of the concrete's grey; see docs/development/widths.md
_WIDE_PX = 4.0  # inside a narrower crack, no wall is seen


@dataclass(frozen=True)
class CrackEdges:
    """Where the edges of a crack are not plain; all arrays have one entry a place.

    Attributes:
        lit: Whether light falls on one wall inside a wide crack, or one edge is brighter and the other darker than the
            concrete, shape (n,).
        spalled: Whether a strip beside the crack is much darker or brighter than the concrete on the same side, shape
            (n,).
        wet: Whether the concrete is darker on both sides, up to 12 px from the crack, than farther away, shape (n,).
    """

    lit: BoolArray
    spalled: BoolArray
    wet: BoolArray


def crack_edges(
    profiles: Float64Array, width_px: Float64Array, off_px: Float64Array, blur_px: Float64Array | float
) -> CrackEdges:
    """Look at the edges of a crack at all places along a line.

    Args:
        profiles: Grey profiles across the line, shape (n, m), m about `PROFILE_SAMPLES`, one sample a pixel.
        width_px: Widths in pixels, shape (n,).
        off_px: Middle of the crack, in pixels from the middle of each profile, shape (n,).
        blur_px: Standard deviation of the blur in pixels, shape (n,) or a number.
    """
    x = np.arange(profiles.shape[1]) - (profiles.shape[1] - 1) / 2 - off_px[:, None]
    half, soft = (width_px / 2)[:, None], np.broadcast_to(np.asarray(blur_px, np.float64), width_px.shape)[:, None]
    edge = half + 1.5 * soft

    def strip(side: int, begin: Float64Array, end: Float64Array) -> Float64Array:
        """Mean grey of a strip on one side, as a share of the concrete's; NaN where it has no sample."""
        inside = (side * x >= begin) & (side * x <= end)
        count = inside.sum(axis=1)
        mean = (profiles * inside).sum(axis=1) / np.maximum(count, 1)
        return np.where(count > 0, mean / level, np.nan)

    level = np.ones(len(profiles))
    far = np.stack([strip(side, edge + 14, edge + 32) for side in (-1, 1)])
    known = np.isfinite(far)
    mean = np.where(known, far, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    level = np.maximum(np.where(known.any(axis=0), mean, np.median(profiles, axis=1)), 1e-9)
    far /= level
    wall = strip(-1, 0.1 * half, 0.75 * half) - strip(1, 0.1 * half, 0.75 * half)
    close = [strip(side, half + 0.5 * soft, edge + 1.5) for side in (-1, 1)]
    near = [strip(side, edge + 2, edge + 12) for side in (-1, 1)]
    rims = [a - b for a, b in zip(close, near, strict=True)]
    beside = [strip(side, edge + 0.5, edge + 5) - one for side, one in zip((-1, 1), far, strict=True)]
    damp = [a - b for a, b in zip(near, far, strict=True)]
    lit = (np.abs(_along(wall)) > _WALL) & (width_px > _WIDE_PX)
    lit |= np.abs(_along(rims[0] - rims[1])) > _RIM
    wet = np.maximum(_along(damp[0]), _along(damp[1])) < -_WET
    spalled = np.maximum(np.abs(_along(beside[0])), np.abs(_along(beside[1]))) > _SPALL
    return CrackEdges(lit=lit, spalled=spalled & ~wet, wet=wet)


def _along(values: Float64Array) -> Float64Array:
    """Running median over neighbouring places; 0 where nothing is known."""
    reach = _NEIGHBOURS // 2
    padded = np.concatenate([np.zeros(reach), np.where(np.isfinite(values), values, 0.0), np.zeros(reach)])
    if len(values) == 0:
        return values
    padded[:reach], padded[len(padded) - reach :] = padded[reach], padded[-reach - 1]
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, _NEIGHBOURS), axis=1))
