"""Width of a whole crack: median, 90th percentile and maximum over its length, each with an interval.

A tilted surface is seen with another scale at each place. So the figures in millimetres are chosen among the widths in
millimetres; their intervals hold the uncertainty of the scale as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from crackscope.arrays import BoolArray, Float64Array, Int64Array
from crackscope.errors import DataError
from crackscope.geometry.crack_width import WidthsAlong
from crackscope.geometry.scale import COVERAGE, LocalScale
from crackscope.geometry.width_intervals import (
    CRACK_MAXIMA,
    CRACK_MEDIANS,
    CRACK_P90S,
    IntervalScale,
    smallest_width,
    widened,
)
from crackscope.geometry.widths import BranchWidths, CrackWidth, WidthEstimate, WidthMm

__all__ = ["crack_width", "crack_width_mm"]

Scales: TypeAlias = tuple[IntervalScale, IntervalScale, IntervalScale]
_SCALES: Scales = (CRACK_MEDIANS, CRACK_P90S, CRACK_MAXIMA)
_SMOOTHED = 5  # places whose median is one width, so that a single odd place is no maximum


def crack_width(branches: Sequence[WidthsAlong], *, scales: Scales = _SCALES) -> CrackWidth:
    """Summarise the widths along all branches of a crack.

    Args:
        branches: Widths along each branch, at least one. Doubtful places count only if there are no others.
        scales: Factors that widen the intervals of median, 90th percentile and maximum.

    Raises:
        DataError: If there is no branch.
    """
    places = _Places.of(branches)
    median, p90, maximum = places.figures(scales)
    x, y = places.joined("points_xy")[maximum.place]
    total = max(float(places.lengths_px.sum()), 1e-9)

    def share_of(name: str) -> float:
        return float(places.lengths_px[places.joined(name) > 0].sum()) / total

    return CrackWidth(
        median=median.width,
        p90=p90.width,
        maximum=maximum.width,
        maximum_xy=(float(x), float(y)),
        smallest_px=places.smallest_px,
        measured_px=float(places.lengths_px.sum()),
        resolved_share=share_of("resolved"),
        filled_share=share_of("filled"),
        lit_share=share_of("lit"),
        spalled_share=share_of("spalled"),
        wet_share=share_of("wet"),
    )


def crack_width_mm(
    branches: Sequence[BranchWidths], across: Sequence[LocalScale], *, scales: Scales = _SCALES
) -> tuple[WidthMm, WidthMm, WidthMm]:
    """Summarise the widths along all branches of a crack in millimetres: median, 90th percentile and maximum.

    Args:
        branches: Widths along each branch, at least one.
        across: Scale across the crack at the places of each branch.
        scales: Factors that widen the intervals.

    Raises:
        DataError: If there is no branch.
    """
    places = _Places.of(branches, [one.mm_per_px for one in across])
    unsure = [one.uncertainty_mm_per_px for one in across if one.uncertainty_mm_per_px is not None]
    shares = np.concatenate([part / one.mm_per_px for part, one in zip(unsure, across, strict=False)] or [np.zeros(0)])
    kept = places.of_all(shares) if len(unsure) == len(across) else np.zeros(len(places.widths_px))
    median, p90, maximum = (
        _in_mm(one.width, places.mm_per_px[one.place], float(kept[one.place])) for one in places.figures(scales)
    )
    return median, p90, maximum


def _in_mm(width: WidthEstimate, mm_per_px: float, relative_uncertainty: float) -> WidthMm:
    """A width in mm; its interval in log width is that of the pixels and that of the scale, added in squares."""
    of_scale, best = COVERAGE * relative_uncertainty, width.width_px
    below = np.hypot(np.log(best / width.low_px), of_scale) if width.low_px > 0 else np.inf
    above = np.hypot(np.log(width.high_px / best), of_scale)
    low, high = (float(mm_per_px * best * np.exp(by)) for by in (-below, above))
    return WidthMm(float(mm_per_px * best), low, high, width.resolved)


@dataclass(frozen=True)
class _Figure:
    """A figure of a crack, and the place that it was taken from."""

    width: WidthEstimate
    place: int


@dataclass(frozen=True, eq=False)
class _Places:
    """The places of all branches that count, one after the other."""

    branches: Sequence[WidthsAlong | BranchWidths]
    rows: Sequence[Int64Array]  # numbers of the places of each branch that count
    widths_px: Float64Array
    smooth_px: Float64Array
    lengths_px: Float64Array
    limits_px: Float64Array
    mm_per_px: Float64Array  # ones where figures are wanted in pixels

    @classmethod
    def of(
        cls, branches: Sequence[WidthsAlong | BranchWidths], mm_per_px: Sequence[Float64Array] | None = None
    ) -> _Places:
        if not branches:
            raise DataError("A crack has no branches; give the widths along at least one line.")
        sure = any((~one.doubtful).any() for one in branches)
        rows = [np.flatnonzero(~one.doubtful) if sure else np.arange(len(one.width_px)) for one in branches]
        factors = [np.ones(len(one.width_px)) for one in branches] if mm_per_px is None else mm_per_px
        widths, lengths, limits = (
            np.concatenate([getattr(one, name)[own] for one, own in zip(branches, rows, strict=True)])
            for name in ("width_px", "lengths_px", "limit_px")
        )
        smooth = np.concatenate([_smoothed(one.width_px[own]) for one, own in zip(branches, rows, strict=True)])
        factor = np.concatenate([one[own] for one, own in zip(factors, rows, strict=True)])
        return cls(branches, rows, widths, smooth, lengths, limits, factor)

    @property
    def smallest_px(self) -> float:
        """Smallest width that can be measured, typical over the places."""
        return float(smallest_width(np.median(self.limits_px)))

    def joined(self, name: str) -> Float64Array:
        """Values of the places that count, by the name of an attribute of the branches."""
        return np.concatenate([getattr(one, name)[own] for one, own in zip(self.branches, self.rows, strict=True)])

    def of_all(self, values: Float64Array) -> Float64Array:
        """Values of the places that count, of values of all places of all branches."""
        starts = np.concatenate([[0], np.cumsum([len(one.width_px) for one in self.branches])])
        return np.concatenate([values[start + own] for start, own in zip(starts[:-1], self.rows, strict=True)])

    def figures(self, scales: Scales) -> tuple[_Figure, _Figure, _Figure]:
        """Median, 90th percentile and maximum of the widths times their factor, in pixels, with their places."""
        sizes = self.widths_px * self.mm_per_px
        order = np.argsort(sizes, kind="stable")
        share = np.cumsum(self.lengths_px[order]) / max(float(self.lengths_px.sum()), 1e-9)
        half, most = (int(order[min(int(np.searchsorted(share, part)), len(order) - 1)]) for part in (0.5, 0.9))
        widest, smooth = int(np.argmax(self.smooth_px * self.mm_per_px)), self.smooth_px
        if smooth[widest] * self.mm_per_px[widest] < sizes[most]:  # in a short crack, a few places are a tenth
            widest, smooth = most, self.widths_px
        everywhere = np.ones(len(sizes), np.bool_)
        upper = sizes >= float(sizes[order[int(0.8 * (len(order) - 1))]])
        here = np.abs(np.arange(len(sizes)) - widest) <= _SMOOTHED // 2
        return (
            _Figure(self._estimate(float(self.widths_px[half]), everywhere, scales[0]), half),
            _Figure(self._estimate(float(self.widths_px[most]), upper, scales[1]), most),
            _Figure(self._estimate(float(smooth[widest]), here, scales[2]), widest),
        )

    def _estimate(self, width: float, near: BoolArray, scale: IntervalScale) -> WidthEstimate:
        """Interval of a figure, from the intervals of the places whose widths are near it."""
        below = np.log(self.widths_px / np.maximum(self.joined("low_px"), 0.05 * self.widths_px))
        above = np.log(self.joined("high_px") / self.widths_px)
        one = np.array([width])
        ends = widened(one, one * np.exp(-np.median(below[near])), one * np.exp(np.median(above[near])), scale)
        low, high = (float(end[0]) for end in ends)
        limit = float(np.median(self.limits_px[near]))
        smallest = max(float(smallest_width(limit)), self.smallest_px)  # here, and as it is told of the crack
        return WidthEstimate(width, low, high, low >= limit and width >= smallest)


def _smoothed(widths_px: Float64Array) -> Float64Array:
    """Running median over neighbouring places; fewer at the ends."""
    reach = _SMOOTHED // 2
    padded = np.concatenate([np.full(reach, np.nan), widths_px, np.full(reach, np.nan)])
    if len(widths_px) == 0:
        return widths_px
    windows = np.lib.stride_tricks.sliding_window_view(padded, _SMOOTHED)
    return np.asarray(np.nanmedian(windows, axis=1))
