"""Metrics: figures for crack against uncracked, each with its 95 % interval.

Every figure is a function of one weight per patch. The figure itself weighs every patch once; a bootstrap resample of
the photos weighs a patch by how often its photo was drawn. So a thousand resamples are a few matrix products and
cumulative sums, in blocks of bounded memory. ``crack`` is 1 and the positive class, ``uncracked`` is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crackscope.arrays import Float64Array, Int64Array
from crackscope.errors import DataError

__all__ = ["LOWER_IS_BETTER", "METRICS", "Estimate", "always_crack", "choose_threshold", "mcc", "measure"]


N_CALIBRATION_BINS = 15  # Guo et al. (2017), table 1, use 15
_ALPHA = 0.05  # two-sided, so intervals of 95 %
_BLOCK_CELLS = 1 << 20  # resamples x patches in memory at once; a block's temporaries stay under 100 MB
_LOG_EPSILON = float(np.finfo(np.float64).eps)  # as scikit-learn's log_loss clips
_LOGIT_EPSILON = 1e-7  # about float32's step below 1: what a bundle's saturated sigmoid still tells apart


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; NaN where it is not defined.

    Attributes:
        value: Value of the figure.
        low: Lower end of the interval; NaN where there is no interval.
        high: Upper end of the interval; NaN where there is no interval.
    """

    value: float
    low: float
    high: float

    def document(self) -> dict[str, float | None]:
        """Value and interval, ready for JSON; NaN becomes None, since JSON knows no NaN.

        Example:
            >>> Estimate(0.5, float("nan"), float("nan")).document()
            {'value': 0.5, 'low': None, 'high': None}
        """
        fields = {"value": self.value, "low": self.low, "high": self.high}
        return {name: float(number) if np.isfinite(number) else None for name, number in fields.items()}


METRICS = (
    "accuracy",
    "balanced_accuracy",
    "precision_crack",
    "recall_crack",
    "f1_crack",
    "precision_uncracked",
    "recall_uncracked",
    "f1_uncracked",
    "false_alarm_rate",
    "auroc",
    "average_precision",
    "mcc",
    "log_loss",
    "brier",
    "ece",
)
LOWER_IS_BETTER = frozenset({"false_alarm_rate", "log_loss", "brier", "ece"})

# A figure that is a share of patches, and which cells of (TP, FP, TN, FN) are its denominator. F1 is a
# function of the Jaccard share TP / (TP + FP + FN), so its row is that share's denominator.
_SHARES: dict[str, tuple[int, ...]] = {
    "accuracy": (0, 1, 2, 3),
    "precision_crack": (0, 1),
    "recall_crack": (0, 3),
    "f1_crack": (0, 1, 3),
    "precision_uncracked": (2, 3),
    "recall_uncracked": (1, 2),
    "f1_uncracked": (1, 2, 3),
    "false_alarm_rate": (1, 2),
}
_BY_CONSTRUCTION = (
    "recall_crack",
    "recall_uncracked",
    "f1_uncracked",
    "false_alarm_rate",
    "balanced_accuracy",
)
_PERFECT = {"average_precision": 1.0, "mcc": 1.0, "log_loss": 0.0, "brier": 0.0, "ece": 0.0}


def measure(
    labels: Int64Array,
    probabilities: Float64Array,
    *,
    threshold: float,
    photos: Sequence[str] | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Measure calibrated probabilities against the truth, with intervals by resampling photos.

    Photos are drawn with replacement, every patch of a photo together, because patches of one photo share light and
    texture and are not independent. The order of the patches changes nothing.

    The interval is the 2.5th to 97.5th percentile of the resamples in which the figure is defined, widened to hold the
    value itself (resampling inflates ``ece``). It is NaN with fewer than two photos, because one photo says nothing
    about how photos differ, and with ``n_resamples=0``. Percentile intervals are a little short below some 30 photos.

    A figure that is 0 or 1 in every resample would get an interval of no length, a false certainty. For shares
    (accuracy, balanced accuracy, precision, recall, F1, false alarm rate, ``auroc``) the far end is then the exact
    Clopper–Pearson bound, with n the number of photos in the share's denominator (for ``auroc`` the smaller of those
    with crack and those with uncracked): conservative, not the patches. Perfect ``average_precision``, ``mcc``,
    ``log_loss``, ``brier`` and ``ece`` get no interval (NaN).

    Args:
        labels: Labels, shape (n,): 1 for crack, 0 for uncracked.
        probabilities: Calibrated probability of crack, shape (n,), in [0, 1].
        threshold: Probability from which a patch is called crack.
        photos: Name of the photo of each patch, n names. Without it, each patch counts as its own photo.
        n_resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap resamples.

    Returns:
        ``accuracy``, ``balanced_accuracy``, ``precision_crack``, ``recall_crack``, ``f1_crack``,
        ``precision_uncracked``, ``recall_uncracked``, ``f1_uncracked``, ``false_alarm_rate``, ``auroc``,
        ``average_precision``, ``mcc``, ``log_loss``, ``brier``, ``ece``, in this order.

    Better: higher, except ``false_alarm_rate``, ``log_loss`` (nats), ``brier`` and ``ece``: lower.

    Empty or one class: all NaN on no patches. With one class, ``balanced_accuracy``, ``auroc``, ``mcc`` and
    the recall of the class that is not there are NaN; ``average_precision`` is NaN without crack and 1 with
    nothing else. Precision is NaN where nothing gets the label; ``mcc`` is 0 where all get the same one.

    Source:
        Shares, F1: van Rijsbergen (1979), Information Retrieval, ch. 7. Balanced accuracy: Brodersen et al.
        (2010), ICPR. AUROC with ties at one half: Hanley & McNeil (1982), Radiology 143. Average precision as
        a sum of steps: scikit-learn, ``average_precision_score``. MCC: Matthews (1975), BBA 405; its 0 as in
        Chicco & Jurman (2020), BMC Genomics 21:6. Log loss: Good (1952), JRSS B 14. Brier (1950), Mon.
        Weather Rev. 78. ECE over 15 bins of equal width: Naeini et al. (2015), AAAI, and Guo et al. (2017),
        ICML, section 2; here on the probability of crack (classwise, Kull et al. 2019, NeurIPS). Photos
        resampled whole: Davison & Hinkley (1997), section 3.8; percentile interval: Efron & Tibshirani
        (1993), ch. 13. Ends of collapsed intervals: Clopper & Pearson (1934), Biometrika 26; for AUROC by the
        variance bound A (1 - A) / min(m, n) of Bamber (1975), J. Math. Psychol. 12.

    Raises:
        DataError: If lengths differ, a label is neither 0 nor 1, or a probability is outside [0, 1].

    Example:
        >>> figures = measure(np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.3, 0.1]), threshold=0.5)
        >>> figures["accuracy"].value, figures["auroc"].value
        (0.75, 1.0)
    """
    _check(labels, probabilities, photos)
    sample = _Sample.of(labels, probabilities, threshold=threshold, photos=photos)
    values = sample.figures(np.ones((1, sample.n_clusters)))
    blocks = [sample.figures(block) for block in sample.resamples(n_resamples, seed=seed)]
    estimates = {}
    for name in METRICS:
        resampled = np.concatenate([block[name] for block in blocks]) if blocks else np.empty(0)
        estimates[name] = _estimate(name, float(values[name][0]), resampled, sample)
    return estimates


def always_crack(
    labels: Int64Array, *, photos: Sequence[str] | None = None, n_resamples: int = 1000, seed: int = 0
) -> dict[str, Estimate]:
    """Measure the trivial baseline: call every patch crack, with the share of crack as its probability.

    The keys, directions and intervals are those of `measure`. What holds by construction (recall of crack 1,
    of uncracked 0, ``auroc`` 0.5, ``mcc`` 0 ...) gets an interval without length. ``ece`` is NaN: a constant
    equal to the share is calibrated by construction, which says nothing.

    Empty or one class: as `measure`.

    Source: strategies ``constant`` and ``prior`` of scikit-learn's ``DummyClassifier``; figures as `measure`.

    Raises:
        DataError: If `measure` raises it.

    Example:
        >>> always_crack(np.array([1, 0, 0, 0]))["accuracy"].value
        0.25
    """
    labels = np.asarray(labels, dtype=np.int64)
    share = float(labels.mean()) if labels.size else 0.0
    constant = np.full(labels.shape, share)
    figures = measure(labels, constant, threshold=0.0, photos=photos, n_resamples=n_resamples, seed=seed)
    for name in (*_BY_CONSTRUCTION, "auroc", "mcc"):
        value = figures[name].value
        figures[name] = Estimate(value, value, value)
    return {**figures, "ece": Estimate(np.nan, np.nan, np.nan)}


def choose_threshold(labels: Int64Array, probabilities: Float64Array) -> float:
    """Choose the probability from which we say crack: the one with the highest MCC.

    All thresholds between two neighbouring probabilities decide alike, so the answer is the centre, in logit
    space, of the best gap; of equally good gaps the one whose centre is nearest to 0.5, and of two equally
    near the lower, which misses fewer cracks. For validation patches: on test patches it would flatter.

    Better: higher MCC.

    Empty or one class: 0.5, and also where no threshold has an MCC above 0.

    Source: MCC: Matthews (1975), BBA 405; as a criterion for thresholds: Boughorbel et al. (2017), PLOS ONE.

    Raises:
        DataError: If `measure` raises it.

    Example:
        >>> choose_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9]))
        0.5
    """
    _check(labels, probabilities, None)
    labels = np.asarray(labels, dtype=np.float64)
    scores, group = np.unique(np.asarray(probabilities, dtype=np.float64), return_inverse=True)
    if scores.size < 2:
        return 0.5
    below = np.bincount(group)[:-1].cumsum()  # patches under the gap above each score but the last
    fn = np.bincount(group, weights=labels).cumsum()[:-1]
    tp, tn = labels.sum() - fn, below - fn
    found = mcc(tp, labels.size - below - tp, tn, fn)
    best = np.nanmax(found) if np.isfinite(found).any() else 0.0
    if best <= 0:
        return 0.5
    gaps = np.flatnonzero(found >= best - 1e-12)
    clipped = np.clip(scores, _LOGIT_EPSILON, 1 - _LOGIT_EPSILON)
    logits = np.log(clipped) - np.log1p(-clipped)
    centres = 1 / (1 + np.exp(-(logits[gaps] + logits[gaps + 1]) / 2))
    lowest = np.nextafter(scores[gaps], 1)  # inside the gap, whatever was clipped or rounded
    centres = np.clip(centres, lowest, scores[gaps + 1])
    distances = np.abs(centres - 0.5)
    return float(centres[np.flatnonzero(distances <= distances.min() + 1e-12)[0]])


@dataclass(frozen=True)
class _Sample:
    """Patches in canonical order (falling probability), and what each photo adds to every sum."""

    is_crack: Float64Array  # (n,)
    clusters: Int64Array  # (n,) row of each patch's photo
    group_ends: Int64Array  # last patch of each run of equal probabilities
    sums: Float64Array  # (6 + bins, n_clusters) of `_columns`
    n_clusters: int

    @classmethod
    def of(
        cls, labels: Int64Array, probabilities: Float64Array, *, threshold: float, photos: Sequence[str] | None
    ) -> _Sample:
        y, p = np.asarray(labels, dtype=np.int64), np.asarray(probabilities, dtype=np.float64)
        rows = {photo: row for row, photo in enumerate(sorted(set(photos or ())))}
        if photos is None:
            order = np.lexsort((y, -p))
            clusters, n_clusters = np.arange(y.size), y.size
        else:
            row_of_patch = np.array([rows[photo] for photo in photos], dtype=np.int64)
            order = np.lexsort((row_of_patch, y, -p))
            clusters, n_clusters = row_of_patch[order], len(rows)
        y, p = y[order], p[order]
        columns = _columns(y, p, threshold)
        sums = np.stack([np.bincount(clusters, weights=c, minlength=n_clusters) for c in columns]).astype(np.float64)
        ends = np.flatnonzero(np.diff(p, append=-1.0))
        return cls(y.astype(np.float64), clusters, ends, sums, n_clusters)

    def resamples(self, n_resamples: int, *, seed: int) -> Iterator[Float64Array]:
        """Blocks (b, n_clusters) of how often each photo was drawn; none where there is nothing to draw."""
        if self.n_clusters < 2:
            return
        rng = np.random.default_rng(seed)
        block = max(1, _BLOCK_CELLS // self.is_crack.size)
        for start in range(0, n_resamples, block):
            b = min(block, n_resamples - start)
            drawn = rng.integers(self.n_clusters, size=(b, self.n_clusters))
            drawn += np.arange(b)[:, None] * self.n_clusters
            counts = np.bincount(drawn.ravel(), minlength=b * self.n_clusters)
            yield counts.reshape(b, self.n_clusters).astype(np.float64)

    def figures(self, weights: Float64Array) -> dict[str, Float64Array]:
        """Every figure (b,) for the weights (b, n_clusters) of the photos."""
        # Not `@`: beside a busy process, BLAS threads made this 15 times slower.
        totals = np.einsum("bc,fc->fb", weights, self.sums)  # (6 + bins, b)
        tp, fp, tn, fn = totals[:4]
        n = tp + fp + tn + fn
        recall_crack, recall_uncracked = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
        auroc, average_precision = self._ranks(weights)
        return {
            "accuracy": _ratio(tp + tn, n),
            "balanced_accuracy": (recall_crack + recall_uncracked) / 2,
            "precision_crack": _ratio(tp, tp + fp),
            "recall_crack": recall_crack,
            "f1_crack": _ratio(2 * tp, 2 * tp + fp + fn),
            "precision_uncracked": _ratio(tn, tn + fn),
            "recall_uncracked": recall_uncracked,
            "f1_uncracked": _ratio(2 * tn, 2 * tn + fp + fn),
            "false_alarm_rate": _ratio(fp, tn + fp),
            "auroc": auroc,
            "average_precision": average_precision,
            "mcc": mcc(tp, fp, tn, fn),
            "log_loss": _ratio(totals[4], n),
            "brier": _ratio(totals[5], n),
            "ece": _ratio(np.abs(totals[6:]).sum(0), n),
        }

    def _ranks(self, weights: Float64Array) -> tuple[Float64Array, Float64Array]:
        """AUROC and average precision (b,); equal probabilities are one step, as in scikit-learn."""
        per_patch = weights[:, self.clusters]  # (b, n)
        above = per_patch.cumsum(1)[:, self.group_ends]  # (b, steps): everything down to this probability
        per_patch *= self.is_crack
        crack_above = per_patch.cumsum(1)[:, self.group_ends]
        crack = np.diff(crack_above, axis=1, prepend=0)
        uncracked = np.diff(above - crack_above, axis=1, prepend=0)
        n_crack, n_uncracked = crack.sum(1), uncracked.sum(1)
        auroc = _ratio((uncracked * (crack_above - crack / 2)).sum(1), n_crack * n_uncracked)
        precision = crack_above / np.maximum(above, 1)  # weights are counts, so only an empty step is below 1
        return auroc, _ratio((crack * precision).sum(1), n_crack)

    def n_clusters_with(self, cells: Sequence[int]) -> int:
        """How many photos have a patch in these cells of TP, FP, TN, FN."""
        return int((self.sums[list(cells)].sum(0) > 0).sum())


def _columns(labels: Int64Array, probabilities: Float64Array, threshold: float) -> list[Float64Array]:
    """What a patch adds: TP, FP, TN, FN, log loss, squared error, and its bin's truth minus probability."""
    truth, said = labels == 1, probabilities >= threshold
    clipped = np.clip(probabilities, _LOG_EPSILON, 1 - _LOG_EPSILON)
    gap = labels - probabilities
    bins = np.minimum((probabilities * N_CALIBRATION_BINS).astype(np.int64), N_CALIBRATION_BINS - 1)
    return [
        *(cell.astype(np.float64) for cell in (truth & said, ~truth & said, ~truth & ~said, truth & ~said)),
        -np.log(np.where(truth, clipped, 1 - clipped)),
        gap**2,
        *(np.where(bins == number, gap, 0.0) for number in range(N_CALIBRATION_BINS)),
    ]


def _ratio(part: Float64Array, whole: Float64Array) -> Float64Array:
    """Divide, with NaN where there is nothing to divide by."""
    quotient: Float64Array = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
    return quotient


def mcc(tp: Float64Array, fp: Float64Array, tn: Float64Array, fn: Float64Array) -> Float64Array:
    """Matthews correlation: NaN where the truth has one class, 0 where the answers have."""
    # Paired so that a perfect table gives exactly 1: the roots are of squares.
    scale = np.sqrt((tp + fn) * (tp + fp)) * np.sqrt((tn + fp) * (tn + fn))
    found: Float64Array = _ratio(tp * tn - fp * fn, scale)
    found[(scale == 0) & (tp + fn > 0) & (tn + fp > 0)] = 0.0
    return found


def _estimate(name: str, value: float, resampled: Float64Array, sample: _Sample) -> Estimate:
    defined = resampled[np.isfinite(resampled)]
    if np.isnan(value) or defined.size == 0:
        return Estimate(value, np.nan, np.nan)
    low, high = np.quantile(defined, [_ALPHA / 2, 1 - _ALPHA / 2])
    low, high = min(float(low), value), max(float(high), value)
    if high - low > 1e-9:
        return Estimate(value, low, high)
    if name in _PERFECT and abs(value - _PERFECT[name]) < 1e-9:
        return Estimate(value, np.nan, np.nan)
    return _uncollapsed(name, value, sample)


def _uncollapsed(name: str, value: float, sample: _Sample) -> Estimate:
    """A share of 0 or 1 with the exact bound at its far end; anything else as it is."""
    if value not in (0.0, 1.0) or name in _PERFECT:
        return Estimate(value, value, value)
    n_crack, n_uncracked = sample.n_clusters_with((0, 3)), sample.n_clusters_with((1, 2))
    if name == "balanced_accuracy":
        reach = (_clopper_pearson(n_crack) + _clopper_pearson(n_uncracked)) / 2
    elif name == "auroc":
        reach = _clopper_pearson(min(n_crack, n_uncracked))
    else:
        reach = _clopper_pearson(sample.n_clusters_with(_SHARES[name]))
    if name.startswith("f1"):  # reach bounds the Jaccard share J (0: from above), and F1 = 2 J / (1 + J)
        jaccard = reach if value == 1.0 else 1 - reach
        reach = 2 * jaccard / (1 + jaccard) if value == 1.0 else 1 - 2 * jaccard / (1 + jaccard)
    return Estimate(value, reach, 1.0) if value == 1.0 else Estimate(value, 0.0, 1 - reach)


def _clopper_pearson(n: int) -> float:
    """The exact lower bound of a share that was 1 in all of n photos; one minus it bounds a share of 0."""
    return float((_ALPHA / 2) ** (1 / n))


def _check(labels: Int64Array, probabilities: Float64Array, photos: Sequence[str] | None) -> None:
    y, p = np.asarray(labels), np.asarray(probabilities)
    if y.ndim != 1 or p.shape != y.shape:
        raise DataError(f"{y.shape} labels and {p.shape} probabilities do not pair up. Give one of each per patch.")
    if photos is not None and len(photos) != y.size:
        raise DataError(f"{len(photos)} photos for {y.size} patches. Give the photo of every patch, or none.")
    wrong = np.flatnonzero(~np.isin(y, (0, 1)))
    if wrong.size:
        raise DataError(f"label {y[wrong[0]]} of patch {wrong[0]} is neither 1 (crack) nor 0 (uncracked).")
    outside = np.flatnonzero(~((p >= 0) & (p <= 1)))  # NaN, too
    if outside.size:
        raise DataError(
            f"probability {p[outside[0]]} of patch {outside[0]} is outside [0, 1]. "
            "Pass calibrated probabilities, not logits."
        )
