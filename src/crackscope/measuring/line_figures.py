"""Line figures: how well found lines follow true ones, over many photos.

At a tolerance, precision is the share of the found pixels that are right, recall is the share of the true pixels that
are found, and F1 is their harmonic mean. clIoU is the number of true pixels that are found, divided by that of all true
pixels and the found ones that are wrong. (`crackscope.measuring.lines` says what lines and tolerances are.) Each is
given in two ways:

- *Pooled*: pixels are summed over photos, so a photo counts as much as it has lines.
- *Mean*: each photo counts once. A photo in which only one of the two lines has pixels counts as 0. A photo in which
  neither has any is left out.

A photo without a crack thus costs precision, pooled and in the mean, as soon as a line is found in it, and tells
nothing if none is found.

The *length ratio* is the number of found pixels, divided by that of true pixels, both summed over photos. It is 1 where
as much is found as there is, wherever it lies. Pixels measure length here, because steps of 1 and 1.41 would count the
rough edge of a mask as length.

Intervals are over photos, or over the scenes that they show (`crackscope.measuring.intervals`). Pooled precision,
recall and clIoU are shares, counted by photo. The interval of the pooled F1 follows from the first two by
`square_and_add`. That of the length ratio is `ratio_interval`. A mean over photos has the interval of a share to which
each photo brings equally many pixels. Only the calibration error is resampled. Of F1, resampling gives intervals that
hold the truth in 78 to 89 of 100 samples of eight photos, these in 95 or more (``benchmarks/line_figures.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from crackscope.arrays import BoolArray, Float64Array
from crackscope.errors import DataError
from crackscope.measuring.clusters import Clusters
from crackscope.measuring.estimates import LEAST_CLUSTERS, Estimate, few_text
from crackscope.measuring.intervals import percentile_interval, square_and_add
from crackscope.measuring.lines import LineCounts, LineMap, PhotoLines, compare_lines, tolerance_factor, true_line
from crackscope.measuring.wording import LINE_FIGURES

__all__ = ["TOLERANCES_PX", "LineFigures", "LinesWithin", "choose_line_threshold", "line_rows", "measure_lines"]


TOLERANCES_PX = (2.0, 4.0)
"""Tolerances of the line figures, in photo pixels, before they are widened for a photo."""

_THRESHOLDS = tuple(n / 20 for n in range(1, 20))
_COUNTS = ("n_found", "n_found_right", "n_true", "n_true_found")


@dataclass(frozen=True)
class LinesWithin:
    """Line figures at one tolerance.

    Attributes:
        tolerance_px: Tolerance in photo pixels, before it is widened for large photos and small masks.
        precision: Share of all found pixels that lie within the tolerance of a true one; NaN if none is found.
        recall: Share of all true pixels that lie within the tolerance of a found one; NaN if there is none.
        f1: Harmonic mean of the two; 0 if only one kind of line has pixels.
        cl_iou: Found true pixels by all true pixels and the wrong found ones (clIoU); 0 if only one kind of line has
            pixels.
        mean_precision: Mean of the precisions of photos.
        mean_recall: Mean of the recalls of photos.
        mean_f1: Mean of the F1 of photos.
        mean_cl_iou: Mean of the clIoU of photos.
    """

    tolerance_px: float
    precision: Estimate
    recall: Estimate
    f1: Estimate
    cl_iou: Estimate
    mean_precision: Estimate
    mean_recall: Estimate
    mean_f1: Estimate
    mean_cl_iou: Estimate

    def document(self) -> dict[str, object]:
        """Tolerance and figures, ready for JSON."""
        names = (*LINE_FIGURES, *(f"mean_{name}" for name in LINE_FIGURES))
        return {"tolerance_px": self.tolerance_px, **{name: getattr(self, name).document() for name in names}}


@dataclass(frozen=True)
class LineFigures:
    """Line figures of many photos.

    Attributes:
        threshold: Probability from which a place belongs to the line of a fine map; None for traced lines.
        within: Figures at each tolerance, the least tolerance first.
        length_ratio: Length of the found lines by that of the true ones, both in pixels; NaN without a true line.
        ece: Calibration error of the cells of the fine maps, over 15 bins of equal width; NaN if no map was compared.
            The neighbours of cells that a true line passes through are left out.
        n_photos: Number of photos.
        n_without_lines: Number of photos in which no line is found, and none is true; they are left out of the means.
        n_clusters: Number of photos, or other clusters, that have a line.
        cluster_kind: What the intervals are over: ``scenes`` or ``photos``.
    """

    threshold: float | None
    within: tuple[LinesWithin, ...]
    length_ratio: Estimate
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
            "length_ratio": self.length_ratio.document(),
            "ece": self.ece.document(),
            "n_photos": self.n_photos,
            "n_without_lines": self.n_without_lines,
            "n_clusters": self.n_clusters,
            "resampled": self.cluster_kind,
        }


def measure_lines(
    photos: Sequence[PhotoLines],
    *,
    threshold: float | None,
    tolerances_px: Sequence[float] = TOLERANCES_PX,
    clusters: Sequence[str] | None = None,
    cluster_kind: str = "photos",
    n_resamples: int = 1000,
    seed: int = 0,
) -> LineFigures:
    """Measure found lines against true ones, with intervals over photos.

    There is no interval (NaN) where a figure rests on fewer than three photos, or where all resamples agree.

    Args:
        photos: Lines of each photo, from `crackscope.measuring.lines.compare_lines`.
        threshold: Probability that the lines of fine maps were made with, for the record; None for traced lines.
        tolerances_px: Tolerances in photo pixels, before they are widened for a photo.
        clusters: Name of the scene, or other cluster, of each photo. Without it, each photo stands alone.
        cluster_kind: What these are, in the plural.
        n_resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap resamples.

    Better: higher; lower for the calibration error; 1 for the length ratio.

    Empty: NaN where nothing is found and nothing is true.

    Raises:
        DataError: If there is no photo, or not one cluster for each.
    """
    if not photos or (clusters is not None and len(clusters) != len(photos)):
        n_clusters = "no" if clusters is None else len(clusters)
        raise DataError(f"{len(photos)} photos with {n_clusters} clusters have no line figures. Give one for each.")
    own = Clusters.of(len(photos), clusters, cluster_kind)
    within = tuple(
        _within(tolerance, [photo.counts(tolerance) for photo in photos], own) for tolerance in sorted(tolerances_px)
    )
    n_found = np.array([len(photo.found_xy) for photo in photos], np.float64)
    n_true = np.array([len(photo.true_xy) for photo in photos], np.float64)
    has_lines = (n_found > 0) | (n_true > 0)
    return LineFigures(
        threshold=threshold,
        within=within,
        length_ratio=own.ratio((n_found, n_true)),
        ece=_calibration_error(photos, own, n_resamples, seed),
        n_photos=len(photos),
        n_without_lines=int((~has_lines).sum()),
        n_clusters=own.n_with(has_lines.tolist()),
        cluster_kind=cluster_kind,
    )


def line_rows(figures: LineFigures, of: str = "Line") -> list[tuple[str, Estimate]]:
    """Titles and figures, in the order in which tables list them.

    Args:
        figures: Line figures.
        of: What titles begin with.
    """
    words = {name: figure.title for name, figure in LINE_FIGURES.items()}
    titles = {name: word.lower() if word.istitle() and word.isalpha() else word for name, word in words.items()}
    titles |= {f"mean_{name}": f"{titles[name]}, photo mean" for name in ("f1", "cl_iou")}
    rows = [
        (f"{of} {title}, {one.tolerance_px:g} px", getattr(one, name))
        for one in figures.within
        for name, title in titles.items()
    ]
    rows.append((f"{of} length ratio", figures.length_ratio))
    return rows if figures.threshold is None else [*rows, ("Calibration error of cells", figures.ece)]


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


def _within(tolerance_px: float, counts: Sequence[LineCounts], clusters: Clusters) -> LinesWithin:
    def column(name: str) -> Float64Array:
        return np.array([getattr(one, name) for one in counts], np.float64)

    n_found, n_right, n_true, n_hit = (column(name) for name in _COUNTS)
    precision, recall = clusters.share((n_right, n_found)), clusters.share((n_hit, n_true))
    low = high = np.nan
    if not np.isnan([precision.low, recall.low]).any():
        together = clusters.correlation((n_right, n_found), (n_hit, n_true))
        low, high = square_and_add(_harmonic, [precision, recall], correlation=together, bounds=(0.0, 1.0))
    return LinesWithin(
        tolerance_px=tolerance_px,
        precision=precision,
        recall=recall,
        f1=Estimate(_sum(counts).f1, low, high),
        cl_iou=clusters.share((n_hit, n_true + n_found - n_right)),
        mean_precision=clusters.mean(column("precision")),
        mean_recall=clusters.mean(column("recall")),
        mean_f1=clusters.mean(column("f1")),
        mean_cl_iou=clusters.mean(column("cl_iou")),
    )


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def _sum(counts: Sequence[LineCounts]) -> LineCounts:
    return LineCounts(*(sum(getattr(one, name) for one in counts) for name in _COUNTS))


def _calibration_error(photos: Sequence[PhotoLines], clusters: Clusters, n_resamples: int, seed: int) -> Estimate:
    """The calibration error of all cells, as `crackscope.measuring.metrics.measure` defines it."""
    bins = [photo.bins for photo in photos if photo.bins is not None]
    if len(bins) < len(photos):
        return Estimate(np.nan, np.nan, np.nan)
    sums = np.stack(bins)  # (photos, bins, 3)
    gaps, cells = sums[:, :, 2] - sums[:, :, 1], sums[:, :, 0].sum(1)
    value = float(np.abs(gaps.sum(0)).sum() / cells.sum())
    if n_resamples < 1 or clusters.n < LEAST_CLUSTERS:
        return Estimate(value, np.nan, np.nan)
    weights = clusters.drawn(n_resamples, seed)
    resampled = np.abs(np.einsum("bp,pk->bk", weights, gaps)).sum(1) / np.einsum("bp,p->b", weights, cells)
    return Estimate(value, *percentile_interval(value, resampled))
