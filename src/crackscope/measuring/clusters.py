"""Clusters: which photos belong together, and figures of what photos bring, with intervals over clusters.

A cluster is a scene, where scenes are known, or else a single photo. Photos of one scene are alike, so an interval
counts clusters, and not photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from crackscope.arrays import Float64Array, Int64Array
from crackscope.measuring.estimates import Estimate
from crackscope.measuring.intervals import ratio_interval, share_interval

__all__ = ["Clusters", "Counted"]

Counted: TypeAlias = tuple[Float64Array, Float64Array]
"""What counts and all that is counted in each photo, both of shape (n_photos,)."""

_ALIKE = 1000  # pixels of each photo, where photos count alike


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of photos.

    Attributes:
        rows: Number of the cluster of each photo, shape (n_photos,).
        n: Number of clusters.
        kind: What they are, in the plural: ``scenes`` or ``photos``.
    """

    rows: Int64Array
    n: int
    kind: str

    @classmethod
    def of(cls, n_photos: int, names: Sequence[str] | None = None, kind: str = "photos") -> Clusters:
        """Put photos into clusters.

        Args:
            n_photos: Number of photos.
            names: Name of the cluster of each photo. Without it, each photo stands alone.
            kind: What the clusters are, in the plural.
        """
        found, rows = np.unique(np.arange(n_photos) if names is None else np.array(names), return_inverse=True)
        return cls(rows.astype(np.int64), len(found), kind)

    def n_with(self, held: Sequence[bool]) -> int:
        """Number of clusters with a photo of which this holds."""
        return len(np.unique(self.rows[np.array(held, np.bool_)]))

    def share(self, counted: Counted) -> Estimate:
        """A share of pixels, with its interval; NaN where nothing is counted."""
        hits, counts = (self._sums(values) for values in counted)
        total = float(counts.sum())
        if not total:
            return Estimate(np.nan, np.nan, np.nan)
        return _holding(float(hits.sum()) / total, share_interval(np.round(hits), np.round(counts)))

    def mean(self, values: Float64Array) -> Estimate:
        """The mean of shares over photos, without those whose value is NaN, with its interval."""
        there = np.isfinite(values)
        value = float(values[there].mean()) if there.any() else np.nan
        pixels = _ALIKE * there.astype(np.float64)
        right = np.round(_ALIKE * np.where(there, values, 0))
        return _holding(value, share_interval(self._sums(right), self._sums(pixels)))

    def ratio(self, counted: Counted) -> Estimate:
        """The ratio of two sums over photos, with its interval; NaN where the second sum is 0."""
        parts, wholes = (self._sums(values) for values in counted)
        total = float(wholes.sum())
        return Estimate(float(parts.sum()) / total if total else np.nan, *ratio_interval(parts, wholes))

    def correlation(self, *shares: Counted) -> float:
        """Correlation over clusters of what each adds to two shares; 0 where it would narrow an interval."""
        pulls = []
        for counted in shares:
            hits, counts = (self._sums(values) for values in counted)
            pulls.append(hits - hits.sum() / counts.sum() * counts)
        size = float(np.sqrt((pulls[0] ** 2).sum() * (pulls[1] ** 2).sum()))
        return max(0.0, float((pulls[0] * pulls[1]).sum()) / size) if size > 0 else 0.0

    def drawn(self, n_resamples: int, seed: int) -> Float64Array:
        """How often each photo is drawn, if clusters are drawn again, shape (n_resamples, n_photos).

        Args:
            n_resamples: Number of bootstrap resamples.
            seed: Seed of the resamples.
        """
        drawn = np.random.default_rng(seed).multinomial(self.n, np.full(self.n, 1 / self.n), n_resamples)
        return drawn[:, self.rows].astype(np.float64)

    def _sums(self, values: Float64Array) -> Float64Array:
        """(n,) sums of what the photos of each cluster bring."""
        return np.bincount(self.rows, values, self.n).astype(np.float64)


def _holding(value: float, ends: tuple[float, float]) -> Estimate:
    """An estimate whose interval is widened to hold its value, which rounded counts may miss."""
    low, high = ends
    return Estimate(value, low, high) if np.isnan(low) else Estimate(value, min(low, value), max(high, value))
