"""Intervals of widths: how a posterior is widened until its 95 % interval holds as often as it says.

No model knows broken edges, rims, grains and camera sharpening well enough, so the posterior alone is too sure of wide
cracks. The factors here were found on drawn profiles and drawn cracks with much variety, and checked on others that
were drawn with other seeds; see docs/development/widths.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crackscope.arrays import Float64Array

__all__ = [
    "ALONG_CRACKS",
    "CRACK_MAXIMA",
    "CRACK_MEDIANS",
    "CRACK_P90S",
    "SINGLE_PROFILES",
    "IntervalScale",
    "resolution_limit",
    "smallest_width",
    "widened",
]

NOTHING_PX = 0.12
"""A lower bound below this many pixels is given as 0: the profile may show no crack at all."""

_PIXEL = 1 / 12  # variance of a pixel's square, in px²
_LIMIT_SHARE = 0.5


@dataclass(frozen=True)
class IntervalScale:
    """Factors that widen the interval of a posterior, by the estimated width.

    Attributes:
        widths_px: Widths for which the factors are given; between them they are interpolated over log width.
        below: Factor of the logarithmic distance from the estimate to the lower bound, at each width.
        above: Factor of the logarithmic distance to the upper bound, at each width.
        edges_px: Uncertainty of the edges of wide cracks, in pixels, below and above. It grows from nothing at 1 px to
            this at 5 px, and is added in squares.
    """

    widths_px: tuple[float, ...]
    below: tuple[float, ...]
    above: tuple[float, ...]
    edges_px: tuple[float, float]


SINGLE_PROFILES = IntervalScale(
    widths_px=(0.3, 0.6, 1.2, 2.4, 6.0),
    below=(1.52, 1.69, 1.63, 0.79, 0.69),
    above=(0.7, 0.85, 0.87, 1.13, 1.47),
    edges_px=(0.66, 0.32),
)
"""For single profiles; found by ``python benchmarks/crack_widths.py profiles --calibrate --n 1200``."""

ALONG_CRACKS = IntervalScale(
    widths_px=(0.3, 0.6, 1.2, 2.4, 6.0),
    below=(1.19, 1.23, 1.26, 1.19, 1.09),
    above=(0.77, 0.84, 0.93, 1.03, 1.08),
    edges_px=(0.72, 0.74),
)
"""For places along a line; found by ``python benchmarks/crack_widths.py cracks --calibrate --n 990``."""

CRACK_MEDIANS = IntervalScale(
    widths_px=(0.3, 0.6, 1.2, 2.4, 6.0),
    below=(0.92, 0.92, 0.82, 0.82, 0.82),
    above=(1.13, 0.94, 0.84, 0.81, 0.92),
    edges_px=(0.18, 0.04),
)
"""Factors for the median of a whole crack, on top of the intervals of its places; found on traced cracks, with the blur
that was measured on their pictures, by ``python benchmarks/drawn_traces.py --calibrate --n 60``."""

CRACK_P90S = IntervalScale(
    widths_px=(0.3, 0.6, 1.2, 2.4, 6.0),
    below=(0.77, 0.75, 0.75, 0.88, 0.68),
    above=(0.45, 0.53, 0.63, 0.7, 0.68),
    edges_px=(0.02, 0.02),
)
CRACK_MAXIMA = IntervalScale(
    widths_px=(0.3, 0.6, 1.2, 2.4, 6.0),
    below=(0.97, 0.96, 0.95, 0.92, 0.85),
    above=(0.65, 0.53, 0.59, 0.73, 0.85),
    edges_px=(0.16, 0.64),
)
"""Factors for the other figures of a whole crack; found by the same command as `ALONG_CRACKS`."""


def widened(
    width_px: Float64Array, low_px: Float64Array, high_px: Float64Array, scale: IntervalScale
) -> tuple[Float64Array, Float64Array]:
    """Widen 95 % intervals.

    Args:
        width_px: Best estimates in pixels, above 0, shape (n,).
        low_px: Width below which 2.5 % of the posterior lies, shape (n,).
        high_px: Width above which 2.5 % of the posterior lies, shape (n,).
        scale: Factors.

    Returns:
        Lower and upper bounds in pixels, each of shape (n,). A lower bound below `NOTHING_PX` is 0.
    """
    at, places = np.log(np.maximum(width_px, 1e-3)), np.log(scale.widths_px)
    wide = np.clip((width_px - 1) / 4, 0, 1) / width_px
    below = np.hypot(np.interp(at, places, scale.below) * np.log(width_px / low_px), scale.edges_px[0] * wide)
    above = np.hypot(np.interp(at, places, scale.above) * np.log(high_px / width_px), scale.edges_px[1] * wide)
    low = width_px * np.exp(-below)
    return np.where(low < NOTHING_PX, 0.0, low), np.asarray(width_px * np.exp(above))


def resolution_limit(blur_px: Float64Array | float) -> Float64Array:
    """Width in pixels that the lower bound must reach for a width to count as resolved.

    It is half of the standard deviation of what spreads a point of light: the blur and the pixel's square. A narrower
    crack has the same shape in the photo as one without width, so only its missing light speaks of its width, and that
    is a guess of how dark its floor is.

    Args:
        blur_px: Standard deviation of the photo's Gaussian blur in pixels, 0 or more; any shape.
    """
    return np.asarray(_LIMIT_SHARE * np.sqrt(np.square(blur_px) + _PIXEL))


def smallest_width(limit_px: Float64Array | float) -> Float64Array:
    """Smallest width in pixels that is printed as a measurement, from the limit of resolution.

    It is the whole standard deviation of what spreads a point of light. A smaller width may be resolved at a lucky
    place; over a crack, it is told as "below" (docs/development/widths.md has the shares).

    Args:
        limit_px: Limit of resolution in pixels, from `resolution_limit`; any shape.
    """
    return np.asarray(limit_px / _LIMIT_SHARE)
