"""Width of a crack from its grey profile, with an interval, in pixels.

The width that a profile shows at half depth is mostly the camera's blur, if the crack is narrower than about two
pixels. So a dark box that the camera has blurred is compared with the profile, for all widths; see `width_posterior`.
The width of a thin crack follows from how much light is missing, and thus depends on how dark its floor is. This is
known only roughly, and the interval says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crackscope.arrays import BoolArray, Float64Array
from crackscope.errors import DataError
from crackscope.geometry.width_intervals import SINGLE_PROFILES, IntervalScale, resolution_limit, widened
from crackscope.geometry.width_posterior import FLOORS, LARGEST_PX, FloorPrior, WidthPosterior, width_posterior
from crackscope.geometry.widths import WidthEstimate

__all__ = ["FEWEST_SAMPLES", "ProfileWidths", "dark_run", "profile_width", "profile_widths"]

FEWEST_SAMPLES = 5
MOST_SAMPLES = 72
"""Most samples that are compared with boxes; of a longer profile, the middle is taken."""

_WIDE_PX = 0.88 * LARGEST_PX  # a wider crack is looked at from afar
_SHARPEST_PX = 0.25  # a smaller blur cannot be told from none


@dataclass(frozen=True)
class ProfileWidths:
    """Widths of cracks in many grey profiles of one length; all arrays have the shape (n,).

    Attributes:
        width_px: Best estimates in pixels.
        low_px: Lower ends of the 95 % intervals in pixels.
        high_px: Upper ends of the 95 % intervals in pixels.
        resolved: Whether each width is resolved; see `WidthEstimate`.
        limit_px: Limit of resolution, which the lower end of a resolved width reaches, in pixels.
        centre_px: Middle of each crack, in pixels from the middle of its profile.
        floor: Grey of each crack's floor as a share of the concrete's.
        floor_spread: Standard deviation of `floor`.
        noise: Standard deviation of the concrete's texture, as a share of its grey.
        dip: How far both sides are brighter than the crack, as a share of the concrete's grey.
        dark_run: Length of the dark run around the middle, below half depth, in pixels.
    """

    width_px: Float64Array
    low_px: Float64Array
    high_px: Float64Array
    resolved: BoolArray
    limit_px: Float64Array
    centre_px: Float64Array
    floor: Float64Array
    floor_spread: Float64Array
    noise: Float64Array
    dip: Float64Array
    dark_run: Float64Array


def profile_width(values: Sequence[float] | npt.NDArray[np.generic], blur_px: float | None = None) -> WidthEstimate:
    """Measure how wide a crack is in one grey profile across it.

    Args:
        values: Grey levels along a line across the crack, shape (n,), n at least 5, in any unit, one sample a pixel.
            The crack is dark, its darkest sample within about 3 samples of the middle. 20 to 60 samples are best, with
            6 or more samples of concrete on each side.
        blur_px: Standard deviation of the photo's Gaussian blur in pixels; if left out, it is taken from the profile
            as far as possible, and else to be 0.5 to 2 px.

    Returns:
        Best estimate, 95 % interval, and whether the width is resolved. A constant profile, and one that rises or
        falls throughout, gives a small width that is not resolved.

    Raises:
        DataError: If there are fewer than 5 values, one of them is not a finite number, or the blur is not.

    Example:
        >>> estimate = profile_width([200] * 12 + [196, 150, 62, 40, 40, 62, 150, 196] + [200] * 12)
        >>> round(estimate.width_px, 1), estimate.resolved
        (4.3, True)
    """
    profile = np.asarray(values, np.float64)
    if profile.ndim != 1 or len(profile) < FEWEST_SAMPLES:
        raise DataError(
            f"The profile has shape {profile.shape}; give one row of at least {FEWEST_SAMPLES} grey levels."
        )
    if not np.isfinite(profile).all():
        where = int(np.flatnonzero(~np.isfinite(profile))[0])
        raise DataError(f"Value {where} of the profile is {profile[where]}; leave out what is not a finite number.")
    if blur_px is not None and not 0 <= blur_px < math.inf:
        raise DataError(f"blur_px is {blur_px}; give a number of pixels of at least 0, or leave it out.")
    found = profile_widths(profile[None], blur_px)
    return WidthEstimate(
        float(found.width_px[0]), float(found.low_px[0]), float(found.high_px[0]), bool(found.resolved[0])
    )


def profile_widths(
    profiles: Float64Array,
    blur_px: float | None = None,
    *,
    floors: FloorPrior = FLOORS,
    middle_px: float = 3.2,
    scale: IntervalScale = SINGLE_PROFILES,
) -> ProfileWidths:
    """Measure how wide cracks are in many grey profiles of one length.

    Args:
        profiles: Grey levels, shape (n, m), m at least 5, finite; see `profile_width`.
        blur_px: Standard deviation of the photo's Gaussian blur in pixels, 0 or more; None if it is not known.
        floors: Prior of the floor's grey.
        middle_px: Distance of the cracks from the middle of the profiles up to which all places are equally likely.
        scale: Factors that widen the intervals.
    """
    known = None if blur_px is None else max(blur_px, _SHARPEST_PX)
    shares = _as_shares(_middle_of(profiles))
    found = _estimates(
        width_posterior(shares, blur_px=known, floors=floors, middle_px=middle_px), scale, dark_run(profiles)
    )
    m = profiles.shape[1] // 2
    far = np.flatnonzero((found.width_px > _WIDE_PX) | (found.dark_run > _WIDE_PX))
    if len(far) == 0 or m < _WIDE_PX:
        return found
    # From afar: two samples become one, and all lengths are halved.
    halves = profiles[far, : 2 * m].reshape(len(far), m, 2).mean(axis=2)
    wide = profile_widths(halves, None if known is None else known / 2, floors=floors, middle_px=middle_px, scale=scale)
    for name in ("width_px", "low_px", "high_px", "limit_px", "centre_px"):
        getattr(found, name)[far] = 2 * getattr(wide, name)
    for name in ("resolved", "floor", "floor_spread", "noise", "dip"):
        getattr(found, name)[far] = getattr(wide, name)
    return found


def dark_run(profiles: Float64Array) -> Float64Array:
    """Find how long the dark run around the middle of each profile is.

    Args:
        profiles: Grey levels, shape (n, m).

    Returns:
        Number of samples below half depth, shape (n,).
    """
    m = profiles.shape[1]
    near = profiles[:, max(m // 2 - 4, 0) : m // 2 + 5]
    bright = np.quantile(profiles, 0.9, axis=1)
    dark = profiles < (0.5 * (near.min(axis=1) + bright))[:, None]
    begin = m // 2 - 4 + near.argmin(axis=1) if m > 8 else near.argmin(axis=1)
    after = np.cumsum(~dark & (np.arange(m) > begin[:, None]), axis=1) == 0
    before = np.cumsum((~dark & (np.arange(m) < begin[:, None]))[:, ::-1], axis=1)[:, ::-1] == 0
    return np.asarray((after & before & dark).sum(axis=1), np.float64)


def _middle_of(profiles: Float64Array) -> Float64Array:
    """Cut profiles to one of few lengths, because each length needs tables of its own."""
    m = profiles.shape[1]
    step = 1 if m < 24 else 4 if m < 40 else 8
    kept = min(m - m % step, MOST_SAMPLES)
    begin = (m - kept) // 2
    return profiles[:, begin : begin + kept]


def _as_shares(profiles: Float64Array) -> Float64Array:
    """Bring profiles to the range from 0 to about 1; those that reach below 0 are shifted."""
    lowest, highest = profiles.min(axis=1), profiles.max(axis=1)
    shift = np.minimum(lowest, 0)
    height = np.where(highest > shift, highest - shift, 1)
    shares = (profiles - shift[:, None]) / height[:, None]
    return np.asarray(np.where((highest > shift)[:, None], shares, 1))


def _estimates(posterior: WidthPosterior, scale: IntervalScale, dark_run: Float64Array) -> ProfileWidths:
    """Read best estimate and interval from a posterior."""
    width = posterior.quantile(0.5)
    low, high = widened(width, posterior.quantile(0.025), posterior.quantile(0.975), scale)
    low = np.where(posterior.dips > 0.5 * posterior.noises, low, 0.0)
    limit = resolution_limit(posterior.blurs_px)
    return ProfileWidths(
        width_px=width,
        low_px=low,
        high_px=high,
        resolved=low >= limit,
        limit_px=limit,
        centre_px=posterior.centres_px,
        floor=posterior.floors,
        floor_spread=posterior.floor_spreads,
        noise=posterior.noises,
        dip=posterior.dips,
        dark_run=dark_run,
    )
