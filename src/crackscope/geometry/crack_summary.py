"""Width of a whole crack: median, 90th percentile and maximum over its length, each with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crackscope.arrays import BoolArray, Float64Array
from crackscope.errors import DataError
from crackscope.geometry.crack_width import WidthsAlong
from crackscope.geometry.profile_width import WidthEstimate
from crackscope.geometry.width_intervals import CRACK_MAXIMA, CRACK_MEDIANS, CRACK_P90S, IntervalScale, widened

__all__ = ["CrackWidth", "crack_width"]

_SMOOTHED = 5  # places whose median is one width, so that a single odd place is no maximum


@dataclass(frozen=True)
class CrackWidth:
    """Width of a crack over its length.

    Attributes:
        median: Width that half of the crack's length exceeds.
        p90: Width that a tenth of the crack's length exceeds.
        maximum: Greatest width, as the median over about 20 px of length.
        maximum_xy: Place of the greatest width, x and y in pixels of the photo.
        measured_px: Length of the places that count, in pixels.
        resolved_share: Share of that length where the width is resolved.
        filled_share: Share of that length where the crack is lighter than the concrete.
        lit_share: Share of that length where light falls on one wall or edge.
        spalled_share: Share of that length where a strip beside the crack is darker or brighter than the concrete.
        wet_share: Share of that length where the concrete near the crack is darker.
    """

    median: WidthEstimate
    p90: WidthEstimate
    maximum: WidthEstimate
    maximum_xy: tuple[float, float]
    measured_px: float
    resolved_share: float
    filled_share: float
    lit_share: float
    spalled_share: float
    wet_share: float


def crack_width(
    branches: Sequence[WidthsAlong],
    *,
    scales: tuple[IntervalScale, IntervalScale, IntervalScale] = (CRACK_MEDIANS, CRACK_P90S, CRACK_MAXIMA),
) -> CrackWidth:
    """Summarise the widths along all branches of a crack.

    Args:
        branches: Widths along each branch, at least one. Doubtful places count only if there are no others.
        scales: Factors that widen the intervals of median, 90th percentile and maximum.

    Raises:
        DataError: If there is no branch.
    """
    if not branches:
        raise DataError("A crack has no branches; give the widths along at least one line.")
    sure = any((~one.doubtful).any() for one in branches)
    kept = [np.flatnonzero(~one.doubtful) if sure else np.arange(len(one.width_px)) for one in branches]

    def joined(name: str) -> Float64Array:
        return np.concatenate([getattr(one, name)[rows] for one, rows in zip(branches, kept, strict=True)])

    smooth = np.concatenate([_smoothed(one.width_px[rows]) for one, rows in zip(branches, kept, strict=True)])
    widths, lengths = joined("width_px"), joined("lengths_px")
    below = np.log(widths / np.maximum(joined("low_px"), 0.05 * widths))
    above = np.log(joined("high_px") / widths)
    total = max(float(lengths.sum()), 1e-9)
    limits = joined("limit_px")

    def share_of(name: str) -> float:
        return float(lengths[joined(name) > 0].sum()) / total

    def estimate(width: float, near: BoolArray, scale: IntervalScale) -> WidthEstimate:
        """Interval of a figure, from the intervals of the places whose widths are near it."""
        one = np.array([width])
        ends = widened(one, one * np.exp(-np.median(below[near])), one * np.exp(np.median(above[near])), scale)
        low, high = (float(end[0]) for end in ends)
        return WidthEstimate(width, low, high, low >= float(np.median(limits[near])))

    order = np.argsort(widths, kind="stable")
    share = np.cumsum(lengths[order]) / total
    half, most = (float(widths[order[min(int(np.searchsorted(share, part)), len(order) - 1)]]) for part in (0.5, 0.9))
    widest = int(np.argmax(smooth))
    everywhere, upper = np.ones(len(widths), np.bool_), widths >= float(widths[order[int(0.8 * (len(order) - 1))]])
    here = np.abs(np.arange(len(widths)) - widest) <= _SMOOTHED // 2
    x, y = joined("points_xy")[widest]
    return CrackWidth(
        median=estimate(half, everywhere, scales[0]),
        p90=estimate(most, upper, scales[1]),
        maximum=estimate(float(smooth[widest]), here, scales[2]),
        maximum_xy=(float(x), float(y)),
        measured_px=float(lengths.sum()),
        resolved_share=share_of("resolved"),
        filled_share=share_of("filled"),
        lit_share=share_of("lit"),
        spalled_share=share_of("spalled"),
        wet_share=share_of("wet"),
    )


def _smoothed(widths_px: Float64Array) -> Float64Array:
    """Running median over neighbouring places; fewer at the ends."""
    reach = _SMOOTHED // 2
    padded = np.concatenate([np.full(reach, np.nan), widths_px, np.full(reach, np.nan)])
    if len(widths_px) == 0:
        return widths_px
    windows = np.lib.stride_tricks.sliding_window_view(padded, _SMOOTHED)
    return np.asarray(np.nanmedian(windows, axis=1))
