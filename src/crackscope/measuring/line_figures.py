"""Line figures: how well found lines follow true ones, over many photos.

At a tolerance, precision is the share of the found pixels that are right, recall is the share of the true pixels that
are found, and F1 is their harmonic mean. (`crackscope.measuring.lines` says what lines and tolerances are.) Each is
given in two ways:

- *Pooled*: pixels are summed over photos, so a photo counts as much as it has lines.
- *Mean*: each photo counts once. A photo in which only one of the two lines has pixels counts as 0. A photo in which
  neither has any is left out.

A photo without a crack thus costs precision, pooled and in the mean, as soon as a line is found in it, and tells
nothing if none is found.

Intervals are over photos, or over the scenes that they show (`crackscope.measuring.intervals`). Pooled precision and
recall are shares, counted by photo. The interval of the pooled F1 follows from the two by `square_and_add`. A mean over
photos has the interval of a share to which each photo brings equally many pixels. Only the calibration error is
resampled. Of F1, resampling gives intervals that hold the truth in 78 to 89 of 100 samples of eight photos, these in 95
or more (``benchmarks/line_figures.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from crackscope.arrays import BoolArray, Float64Array, Int64Array
from crackscope.errors import DataError
from crackscope.measuring.estimates import LEAST_CLUSTERS, Estimate, few_text
from crackscope.measuring.intervals import percentile_interval, share_interval, square_and_add
from crackscope.measuring.lines import LineCounts, LineMap, PhotoLines, compare_lines, tolerance_factor, true_line

__all__ = ["TOLERANCES_PX", "LineFigures", "LinesWithin", "choose_line_threshold", "line_rows", "measure_lines"]


TOLERANCES_PX = (2.0, 4.0)
"""Tolerances of the line figures, in photo pixels, before they are widened for a photo."""

_THRESHOLDS = tuple(n / 20 for n in range(1, 20))
_PIXELS_ALIKE = 1000  # of each photo, where photos count alike


@dataclass(frozen=True)
class LinesWithin:
    """Line figures at one tolerance.

    Attributes:
        tolerance_px: Tolerance in photo pixels, before it is widened for large photos and small masks.
        precision: Share of all found pixels that lie within the tolerance of a true one; NaN if none is found.
        recall: Share of all true pixels that lie within the tolerance of a found one; NaN if there is none.
        f1: Harmonic mean of the two; 0 if only one kind of line has pixels.
        mean_precision: Mean of the precisions of photos.
        mean_recall: Mean of the recalls of photos.
        mean_f1: Mean of the F1 of photos.
    """

    tolerance_px: float
    precision: Estimate
    recall: Estimate
    f1: Estimate
    mean_precision: Estimate
    mean_recall: Estimate
    mean_f1: Estimate

    def document(self) -> dict[str, object]:
        """Tolerance and figures, ready for JSON."""
        names = ("precision", "recall", "f1", "mean_precision", "mean_recall", "mean_f1")
        return {"tolerance_px": self.tolerance_px, **{name: getattr(self, name).document() for name in names}}


_TITLES = {
    "precision": "Line precision",
    "recall": "Line recall",
    "f1": "Line F1",
    "mean_f1": "Line F1, photo mean",
}


@dataclass(frozen=True)
class LineFigures:
    """Line figures of many photos.

    Attributes:
        threshold: Probability from which a place belongs to a found line.
        within: Figures at each tolerance, the least tolerance first.
        ece: Calibration error of the cells of the fine maps, over 15 bins of equal width; NaN if no map was compared.
            The neighbours of cells that a true line passes through are left out.
        n_photos: Number of photos.
        n_without_lines: Number of photos in which no line is found, and none is true; they are left out of the means.
        n_clusters: Number of photos, or other clusters, that have a line.
        cluster_kind: What the intervals are over: ``scenes`` or ``photos``.
    """

    threshold: float
    within: tuple[LinesWithin, ...]
    ece: Estimate
    n_photos: int
    n_without_lines: int
    n_clusters: int
    cluster_kind: str

    @property
    def few(self) -> str:
        """What is said if too few photos have a line for the figures to mean much; empty if there are enough."""
        return few_text(self.n_clusters, None, self.cluster_kind).replace("crack in", "lines in", 1)

    def document(self) -> dict[str, object]:
        """Figures and counts as ``metrics.json`` holds them, ready for JSON."""
        return {
            "threshold": self.threshold,
            "within": [one.document() for one in self.within],
            "ece": self.ece.document(),
            "n_photos": self.n_photos,
            "n_without_lines": self.n_without_lines,
            "n_clusters": self.n_clusters,
            "resampled": self.cluster_kind,
        }


def measure_lines(
    photos: Sequence[PhotoLines],
    *,
    threshold: float,
    tolerances_px: Sequence[float] = TOLERANCES_PX,
    clusters: Sequence[str] | None = None,
    cluster_kind: str = "photos",
    n_resamples: int = 1000,
    seed: int = 0,
) -> LineFigures:
    """Measure found lines against true ones, with intervals over photos.

    There is no interval (NaN) where a figure rests on fewer than three photos, or where all resamples agree.

    Args:
        photos: Lines of each photo, from `crackscope.measuring.lines.read_lines`.
        threshold: Probability that the found lines were made with, for the record.
        tolerances_px: Tolerances in photo pixels, before they are widened for a photo.
        clusters: Name of the scene, or other cluster, of each photo. Without it, each photo stands alone.
        cluster_kind: What these are, in the plural.
        n_resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap resamples.

    Better: higher; lower for the calibration error.

    Empty: NaN where nothing is found and nothing is true.

    Raises:
        DataError: If there is no photo, or not one cluster for each.
    """
    if not photos or (clusters is not None and len(clusters) != len(photos)):
        n_clusters = "no" if clusters is None else len(clusters)
        raise DataError(f"{len(photos)} photos with {n_clusters} clusters have no line figures. Give one for each.")
    names, rows = np.unique(np.arange(len(photos)) if clusters is None else np.array(clusters), return_inverse=True)
    sample = _Sample(rows.astype(np.int64), len(names), n_resamples, seed)
    within = tuple(
        _within(tolerance, [photo.counts(tolerance) for photo in photos], sample) for tolerance in sorted(tolerances_px)
    )
    has_lines = np.array([bool(len(photo.found_xy) or len(photo.true_xy)) for photo in photos])
    return LineFigures(
        threshold=threshold,
        within=within,
        ece=_calibration_error([photo.bins for photo in photos if photo.bins is not None], sample, photos),
        n_photos=len(photos),
        n_without_lines=int((~has_lines).sum()),
        n_clusters=len(np.unique(rows[has_lines])),
        cluster_kind=cluster_kind,
    )


def line_rows(figures: LineFigures) -> list[tuple[str, Estimate]]:
    """Titles and figures, in the order in which tables list them.

    Args:
        figures: Line figures.
    """
    rows = [
        (f"{title}, {one.tolerance_px:g} px", getattr(one, name))
        for one in figures.within
        for name, title in _TITLES.items()
    ]
    return [*rows, ("Calibration error of cells", figures.ece)]


def choose_line_threshold(
    maps: Iterable[tuple[LineMap, BoolArray]],
    *,
    tolerance_px: float = TOLERANCES_PX[-1],
    thresholds: Sequence[float] = _THRESHOLDS,
) -> tuple[float, float]:
    """Choose the threshold at which lines have the highest pooled F1; of equally good ones, the nearest to 0.5.

    Choose it on training or validation photos. On the photos that are judged with it, it would flatter.

    Args:
        maps: Fine map and mask of each photo. The mask says whether a pixel is white, shape (h, w); it may be smaller
            than the photo. The maps are gone through once.
        tolerance_px: Tolerance in photo pixels, before it is widened for a photo.
        thresholds: Probabilities to choose from.

    Returns:
        The threshold, and the pooled F1 there.

    Raises:
        DataError: If there is no threshold to choose from, or no mask has a white pixel.
    """
    totals = [LineCounts(0, 0, 0, 0)] * len(thresholds)
    for line_map, mask in maps:
        truth = true_line(mask, line_map.photo_hw)
        factor = tolerance_factor(line_map.photo_hw, (mask.shape[0], mask.shape[1]))
        for i, threshold in enumerate(thresholds):
            found = compare_lines(line_map.line(threshold), truth, factor=factor)
            totals[i] = _sum([totals[i], found.counts(tolerance_px)])
    if not totals or not totals[0].n_true:
        raise DataError(f"{len(thresholds)} thresholds, but no true line to choose one by. Give photos with cracks.")
    scores = [round(one.f1, 12) for one in totals]
    best = min(range(len(scores)), key=lambda i: (-scores[i], abs(thresholds[i] - 0.5), thresholds[i]))
    return float(thresholds[best]), float(totals[best].f1)


_Counted: TypeAlias = tuple[Float64Array, Float64Array]  # (n_photos,) pixels that are right, and all pixels


@dataclass(frozen=True)
class _Sample:
    """Which cluster each photo belongs to, and how clusters are drawn again."""

    rows: Int64Array  # (n_photos,) the cluster of each photo
    n_clusters: int
    n_resamples: int
    seed: int

    def by_cluster(self, values: Float64Array) -> Float64Array:
        """(n_clusters,) sums of what photos bring."""
        return np.bincount(self.rows, values, self.n_clusters).astype(np.float64)

    def weights(self) -> Float64Array:
        """(n_resamples, n_photos) how often each photo was drawn."""
        drawn = np.random.default_rng(self.seed).multinomial(
            self.n_clusters, np.full(self.n_clusters, 1 / self.n_clusters), self.n_resamples
        )
        return drawn[:, self.rows].astype(np.float64)

    def share(self, counted: _Counted) -> Estimate:
        """A share of pixels, with its interval."""
        hits, counts = (self.by_cluster(values) for values in counted)
        n_hits, n = float(hits.sum()), float(counts.sum())
        return Estimate(n_hits / n if n else np.nan, *share_interval(hits, counts))

    def mean(self, values: Float64Array) -> Estimate:
        """The mean over photos, without those whose value is NaN, with its interval."""
        there = np.isfinite(values)
        value = float(values[there].mean()) if there.any() else np.nan
        pixels = _PIXELS_ALIKE * there.astype(np.float64)
        right = np.round(_PIXELS_ALIKE * np.where(there, values, 0))
        low, high = share_interval(self.by_cluster(right), self.by_cluster(pixels))
        return Estimate(value, *((low, high) if np.isnan(low) else (min(low, value), max(high, value))))

    def correlation(self, *shares: _Counted) -> float:
        """Correlation over clusters of what each adds to two shares; 0 where it would narrow an interval."""
        pulls = []
        for counted in shares:
            hits, counts = (self.by_cluster(values) for values in counted)
            pulls.append(hits - hits.sum() / counts.sum() * counts)
        size = float(np.sqrt((pulls[0] ** 2).sum() * (pulls[1] ** 2).sum()))
        return max(0.0, float((pulls[0] * pulls[1]).sum()) / size) if size > 0 else 0.0


def _within(tolerance_px: float, counts: Sequence[LineCounts], sample: _Sample) -> LinesWithin:
    def column(name: str) -> Float64Array:
        return np.array([getattr(one, name) for one in counts], np.float64)

    found = column("n_found_right"), column("n_found")
    true = column("n_true_found"), column("n_true")
    precision, recall = sample.share(found), sample.share(true)
    low = high = np.nan
    if not np.isnan([precision.low, recall.low]).any():
        together = sample.correlation(found, true)
        low, high = square_and_add(_harmonic, [precision, recall], correlation=together, bounds=(0.0, 1.0))
    f1 = Estimate(_sum(counts).f1, low, high)
    means = [sample.mean(column(name)) for name in ("precision", "recall", "f1")]
    return LinesWithin(tolerance_px, precision, recall, f1, *means)


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def _sum(counts: Sequence[LineCounts]) -> LineCounts:
    return LineCounts(
        *(sum(getattr(one, name) for one in counts) for name in ("n_found", "n_found_right", "n_true", "n_true_found"))
    )


def _calibration_error(bins: Sequence[Float64Array], sample: _Sample, photos: Sequence[PhotoLines]) -> Estimate:
    """The calibration error of all cells, as `crackscope.measuring.metrics.measure` defines it."""
    if len(bins) < len(photos):
        return Estimate(np.nan, np.nan, np.nan)
    sums = np.stack(bins)  # (photos, bins, 3)
    gaps, cells = sums[:, :, 2] - sums[:, :, 1], sums[:, :, 0].sum(1)
    value = float(np.abs(gaps.sum(0)).sum() / cells.sum())
    if sample.n_resamples < 1 or sample.n_clusters < LEAST_CLUSTERS:
        return Estimate(value, np.nan, np.nan)
    weights = sample.weights()
    resampled = np.abs(np.einsum("bp,pk->bk", weights, gaps)).sum(1) / np.einsum("bp,p->b", weights, cells)
    return Estimate(value, *percentile_interval(value, resampled))
