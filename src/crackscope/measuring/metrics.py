"""Metrics: figures for crack against uncracked, each with its 95 % interval.

Every figure is a function of one weight per patch. The figure itself weighs every patch once; a bootstrap resample of
the photos weighs a patch by how often its photo was drawn. So a thousand resamples are a few matrix products and
cumulative sums, in blocks of bounded memory. `crackscope.measuring.intervals` says which figures need resamples.
``crack`` is 1 and the positive class, ``uncracked`` is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crackscope.arrays import Float64Array, Int64Array
from crackscope.errors import DataError
from crackscope.measuring.estimates import LEAST_CLUSTERS, Estimate
from crackscope.measuring.intervals import (
    n_in_error,
    percentile_interval,
    rank_interval,
    share_interval,
    square_and_add,
)

__all__ = ["LOWER_IS_BETTER", "METRICS", "Estimate", "always_crack", "choose_threshold", "mcc", "measure"]


N_CALIBRATION_BINS = 15  # Guo et al. (2017), table 1, use 15
_BLOCK_CELLS = 1 << 20  # resamples x patches in memory at once; a block's temporaries stay under 100 MB
_LOG_EPSILON = float(np.finfo(np.float64).eps)  # as scikit-learn's log_loss clips
_LOGIT_EPSILON = 1e-7  # about float32's step below 1: what a bundle's saturated sigmoid still tells apart


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

# A figure that is a share of patches: which cells of (TP, FP, TN, FN) count, and which are its denominator. F1 is a
# function of the Jaccard share TP / (TP + FP + FN), so its row is that share.
_SHARES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "accuracy": ((0, 2), (0, 1, 2, 3)),
    "precision_crack": ((0,), (0, 1)),
    "recall_crack": ((0,), (0, 3)),
    "f1_crack": ((0,), (0, 1, 3)),
    "precision_uncracked": ((2,), (2, 3)),
    "recall_uncracked": ((2,), (1, 2)),
    "f1_uncracked": ((2,), (1, 2, 3)),
    "false_alarm_rate": ((1,), (1, 2)),
}
_OF_ONE_LABEL = {"recall_crack": 1, "recall_uncracked": 0, "false_alarm_rate": 0}  # the label it is a share of
_LEAST_IN_ERROR = 2.0  # photos that the loss of rank comes from, from which average precision is resampled
_RESAMPLED = ("average_precision", "log_loss", "brier", "ece")
_BY_CONSTRUCTION = (
    "recall_crack",
    "recall_uncracked",
    "f1_uncracked",
    "false_alarm_rate",
    "balanced_accuracy",
)


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

    Intervals are those of photos like these, because patches of one photo share light and texture and are not
    independent. `crackscope.measuring.intervals` lists the method for each figure: beta-binomial intervals of shares,
    what follows from them for balanced accuracy and MCC, an interval of its own for AUROC, and a bootstrap for the
    rest, which draws whole photos with replacement. The order of the patches changes nothing.

    There is no interval (NaN) where a label that the figure rests on comes from fewer than three photos, or its
    denominator does. A bootstrap gives none where all resamples agree, and none for ``average_precision`` where the
    loss of rank comes from too few photos (`n_in_error`): it would be too short. ``n_resamples=0`` gives no
    interval at all.

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
        resampled whole: Davison & Hinkley (1997), section 3.8. Intervals: see `crackscope.measuring.intervals`.

    Raises:
        DataError: If lengths differ, a label is neither 0 nor 1, or a probability is outside [0, 1].

    Example:
        >>> figures = measure(np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.3, 0.1]), threshold=0.5)
        >>> figures["accuracy"].value, figures["auroc"].value
        (0.75, 1.0)
    """
    _check(labels, probabilities, photos)
    sample = _Sample.of(labels, probabilities, threshold=threshold, photos=photos)
    whole = np.ones((1, sample.n_clusters))
    values = {name: float(figure[0]) for name, figure in sample.figures(whole).items()}
    estimates = {name: Estimate(value, np.nan, np.nan) for name, value in values.items()}
    if n_resamples < 1 or sample.n_clusters < LEAST_CLUSTERS:
        return estimates
    blocks = [sample.resampled(block) for block in sample.resamples(n_resamples, seed=seed)]
    for name, (low, high) in {**sample.closed_intervals(values), **_bootstrap(values, blocks)}.items():
        if sample.can_tell(name):
            estimates[name] = Estimate(values[name], low, high)
    return estimates


def _bootstrap(values: dict[str, float], blocks: Sequence[dict[str, Float64Array]]) -> dict[str, tuple[float, float]]:
    return {
        name: percentile_interval(values[name], np.concatenate([block[name] for block in blocks]))
        for name in _RESAMPLED
    }


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
        """Blocks (b, n_clusters) of how often each photo was drawn."""
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
        totals = self._totals(weights)
        tp, fp, tn, fn = totals[:4]
        recall_crack, recall_uncracked = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
        above, crack_above = self._steps(weights)
        found = {
            "accuracy": _ratio(tp + tn, tp + fp + tn + fn),
            "balanced_accuracy": (recall_crack + recall_uncracked) / 2,
            "precision_crack": _ratio(tp, tp + fp),
            "recall_crack": recall_crack,
            "f1_crack": _ratio(2 * tp, 2 * tp + fp + fn),
            "precision_uncracked": _ratio(tn, tn + fn),
            "recall_uncracked": recall_uncracked,
            "f1_uncracked": _ratio(2 * tn, 2 * tn + fp + fn),
            "false_alarm_rate": _ratio(fp, tn + fp),
            "auroc": _auroc(above, crack_above),
            "average_precision": _average_precision(above, crack_above),
            "mcc": mcc(tp, fp, tn, fn),
            **_means(totals),
        }
        return {name: found[name] for name in METRICS}

    def resampled(self, weights: Float64Array) -> dict[str, Float64Array]:
        """The figures (b,) that a bootstrap is for, for the weights (b, n_clusters) of the photos."""
        return {"average_precision": _average_precision(*self._steps(weights)), **_means(self._totals(weights))}

    def _totals(self, weights: Float64Array) -> Float64Array:
        # Not `@`: beside a busy process, BLAS threads made this 15 times slower.
        totals: Float64Array = np.einsum("bc,fc->fb", weights, self.sums)  # (6 + bins, b)
        return totals

    def _steps(self, weights: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Patches, and cracked ones, down to each probability (b, steps); equal ones are one step."""
        per_patch = weights[:, self.clusters]  # (b, n)
        above = per_patch.cumsum(1)[:, self.group_ends]
        per_patch *= self.is_crack
        return above, per_patch.cumsum(1)[:, self.group_ends]

    def closed_intervals(self, values: dict[str, float]) -> dict[str, tuple[float, float]]:
        """Ends of the intervals that need no resamples, by figure."""
        cells = self.sums[:4]
        found = {
            name: share_interval(cells[list(part)].sum(0), cells[list(whole)].sum(0))
            for name, (part, whole) in _SHARES.items()
        }
        for name in ("f1_crack", "f1_uncracked"):  # F1 = 2 J / (1 + J)
            low, high = found[name]
            found[name] = 2 * low / (1 + low), 2 * high / (1 + high)
        if np.isnan(values["balanced_accuracy"]):
            return found
        recalls = [Estimate(values[name], *found[name]) for name in ("recall_crack", "recall_uncracked")]
        together = self._correlation_of_recalls()
        found["balanced_accuracy"] = square_and_add(
            lambda *both: sum(both) / 2, recalls, correlation=together, bounds=(0.0, 1.0)
        )
        n_crack, n = cells[[0, 3]].sum(0), cells.sum(0)
        crack = Estimate(n_crack.sum() / n.sum(), *share_interval(n_crack, n))
        found["mcc"] = square_and_add(_mcc_at, [*recalls, crack], correlation=together, bounds=(-1.0, 1.0))
        found["auroc"] = rank_interval(values["auroc"], *self._placements())
        return found

    def _correlation_of_recalls(self) -> float:
        """Correlation over photos of what each adds to both recalls; 0 where it would narrow an interval."""
        tp, fp, tn, fn = self.sums[:4]
        pulls = [hits - hits.sum() / n.sum() * n for hits, n in ((tp, tp + fn), (tn, tn + fp))]
        size = np.sqrt((pulls[0] ** 2).sum() * (pulls[1] ** 2).sum())
        return max(0.0, float(pulls[0] @ pulls[1] / size)) if size > 0 else 0.0

    def _placements(self) -> tuple[tuple[Float64Array, Float64Array], tuple[Float64Array, Float64Array]]:
        """By photo: how far patches rank on the right side of the other label's, summed, and how many they are."""
        steps = np.diff(self.group_ends, prepend=-1)
        step = np.repeat(np.arange(len(steps)), steps)  # (n,) the run of equal probabilities of each patch
        crack = np.bincount(step, weights=self.is_crack)
        uncracked = steps - crack
        above = (crack.cumsum() - crack / 2) / crack.sum()  # share of cracked patches above, those beside by half
        below = 1 - (uncracked.cumsum() - uncracked / 2) / uncracked.sum()
        is_uncracked = 1 - self.is_crack

        def by_photo(values: Float64Array) -> Float64Array:
            return np.bincount(self.clusters, values, self.n_clusters).astype(np.float64)

        crack_side = by_photo(self.is_crack * below[step]), by_photo(self.is_crack)
        return crack_side, (by_photo(is_uncracked * above[step]), by_photo(is_uncracked))

    def can_tell(self, name: str) -> bool:
        """Whether a figure rests on enough photos for an interval."""
        labels = [self._n_with((0, 3)), self._n_with((1, 2))]
        rests_on = [labels[1 - _OF_ONE_LABEL[name]]] if name in _OF_ONE_LABEL else [n for n in labels if n]
        if name in _SHARES:
            rests_on.append(self._n_with(_SHARES[name][1]))
        if name == "average_precision" and not (all(labels) and n_in_error(*self._placements()) >= _LEAST_IN_ERROR):
            return False
        return min(rests_on) >= LEAST_CLUSTERS

    def _n_with(self, cells: Sequence[int]) -> int:
        """How many photos have a patch in these cells of TP, FP, TN, FN."""
        return int((self.sums[list(cells)].sum(0) > 0).sum())


def _mcc_at(recall_crack: float, recall_uncracked: float, crack: float) -> float:
    """MCC at both recalls where a share of the patches is cracked."""
    tp, tn = recall_crack * crack, recall_uncracked * (1 - crack)
    return float(mcc(*(np.array([each]) for each in (tp, 1 - crack - tn, tn, crack - tp)))[0])


def _auroc(above: Float64Array, crack_above: Float64Array) -> Float64Array:
    """AUROC (b,) from the counts (b, steps) of `_Sample._steps`."""
    crack = np.diff(crack_above, axis=1, prepend=0)
    uncracked = np.diff(above - crack_above, axis=1, prepend=0)
    return _ratio((uncracked * (crack_above - crack / 2)).sum(1), crack.sum(1) * uncracked.sum(1))


def _average_precision(above: Float64Array, crack_above: Float64Array) -> Float64Array:
    """Average precision (b,) from the counts (b, steps) of `_Sample._steps`."""
    crack = np.diff(crack_above, axis=1, prepend=0)
    precision = crack_above / np.maximum(above, 1)  # weights are counts, so only an empty step is below 1
    return _ratio((crack * precision).sum(1), crack.sum(1))


def _means(totals: Float64Array) -> dict[str, Float64Array]:
    """The figures (b,) that are means over patches, from the sums (6 + bins, b) of `_columns`."""
    n = totals[:4].sum(0)
    gaps = np.abs(totals[6:]).sum(0)
    return {"log_loss": _ratio(totals[4], n), "brier": _ratio(totals[5], n), "ece": _ratio(gaps, n)}


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
