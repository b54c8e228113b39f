"""Intervals: which method gives a figure its 95 % interval, and how figures made of several shares get theirs.

- Shares (accuracy, precision, recall, false alarm rate, and F1 through Jaccard's share): `clustered_shares`. What
  counts and what is counted are summed by photo, so the denominator of a precision may differ from photo to photo.
- Functions of both recalls (balanced accuracy; MCC, with the share of cracked patches): the intervals of these shares,
  joined by `square_and_add`.
- AUROC: `rank_interval`.
- The ratio of two lengths, which may exceed 1: `ratio_interval`.
- All else (average precision, log loss, Brier score, calibration error): the percentiles of a bootstrap over photos,
  `percentile_interval`.

A result without an error and one with a single error differ little in the first three, since none of them takes its
width from the errors alone. ``benchmarks/intervals.py`` measures how often each holds the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import stdtrit

from crackscope.arrays import Float64Array
from crackscope.measuring.clustered_shares import measure_share
from crackscope.measuring.estimates import LEAST_CLUSTERS, TAIL, Estimate

__all__ = [
    "n_in_error",
    "percentile_interval",
    "rank_interval",
    "ratio_interval",
    "share_interval",
    "square_and_add",
]


_HALVINGS = 60
_ASSUMED_ICC = 0.2  # before anything is known, the mean of the prior in `clustered_shares`
_FEW_ERRORS = 1  # photos in error for which this assumption stands


def share_interval(hits: Float64Array, counts: Float64Array) -> tuple[float, float]:
    """Ends of the interval of a share; NaN where there is no patch or too few photos.

    Args:
        hits: Number of patches of each photo that count, shape (n_photos,).
        counts: Number of all patches of each photo, shape (n_photos,).
    """
    if not counts.any():
        return np.nan, np.nan
    held = counts > 0
    found = measure_share(hits[held].astype(np.int64), counts[held].astype(np.int64)).estimate
    return found.low, found.high


def ratio_interval(parts: Float64Array, wholes: Float64Array) -> tuple[float, float]:
    """Ends of the interval of the ratio of two sums over photos, such as found length by true length.

    The logarithm of the ratio is taken to be normal. Its variance is that of the jackknife, which leaves out one photo
    after the other; the degrees of freedom are those of photos that would weigh alike (Kish). There is no interval
    (NaN) where a sum is 0, from fewer than three photos, where one photo brings all of `wholes`, or where all photos
    have the same ratio, which would be a false certainty.

    Source: ratio estimator and jackknife: Wolter (2007), Introduction to Variance Estimation, sections 4.3 and 6.2.

    Args:
        parts: What each photo adds to the first sum, shape (n_photos,), at least 0.
        wholes: What each photo adds to the second sum, shape (n_photos,), at least 0.
    """
    held = (parts > 0) | (wholes > 0)
    parts, wholes = parts[held], wholes[held]
    n, total = len(parts), float(wholes.sum())
    if n < LEAST_CLUSTERS or not parts.any() or not total or float(wholes.max()) >= total:
        return np.nan, np.nan
    ratio = float(parts.sum()) / total
    changes = (parts - ratio * wholes) / (total - wholes)  # of the ratio, where a photo is left out
    error = float(np.sqrt((n - 1) / n * (changes**2).sum())) / ratio
    if error <= 1e-9:
        return np.nan, np.nan
    alike = total**2 / float((wholes**2).sum())
    reach = float(np.exp(error * float(stdtrit(max(1.0, alike - 1), 1 - TAIL))))
    return ratio / reach, ratio * reach


def square_and_add(
    figure: Callable[..., float], shares: Sequence[Estimate], *, correlation: float, bounds: tuple[float, float]
) -> tuple[float, float]:
    """Ends of the interval of a figure that is a function of several shares.

    Each share is moved to both ends of its own interval while the others stay. The changes of the figure downwards, and
    those upwards, are added as errors are: the root of the sum of their squares, and of twice the product of the first
    two times their correlation.

    Source: Newcombe (2001), Statistics in Medicine 20 (estimating the difference between differences); MOVER, Zou &
    Donner (2008), Statistics in Medicine 27, for correlated estimates.

    Args:
        figure: Function of as many numbers as there are shares.
        shares: Shares with their intervals; those of the third and further ones are independent of all others.
        correlation: Correlation of the errors of the first two over photos, in [-1, 1].
        bounds: Least and greatest value that the figure can have.
    """
    at = [one.value for one in shares]
    value = figure(*at)
    down, up = [], []
    for i, one in enumerate(shares):
        changes = [figure(*at[:i], end, *at[i + 1 :]) - value for end in (one.low, one.high)]
        down.append(min(0.0, *changes))
        up.append(max(0.0, *changes))
    reach = [
        float(np.sqrt(max(0.0, sum(each**2 for each in side) + 2 * correlation * side[0] * side[1])))
        for side in (down, up)
    ]
    return max(value - reach[0], bounds[0]), min(value + reach[1], bounds[1])


def rank_interval(
    auroc: float, below: tuple[Float64Array, Float64Array], above: tuple[Float64Array, Float64Array]
) -> tuple[float, float]:
    """Ends of the interval of an AUROC where patches of one photo are alike.

    The interval holds every AUROC whose own standard error would make the measured one plausible. That error follows
    from the numbers of patches, each divided by a design effect: how much the variance over photos exceeds that of
    independent patches. Where few photos hold a patch on the wrong side of another, the design effect is drawn towards
    that of the assumed correlation, so the interval of a perfect ranking has a length.

    Source: interval: Newcombe (2006), Statistics in Medicine 25, method 5, from Hanley & McNeil (1982), Radiology 143.
    Variance over clusters: Obuchowski (1997), Biometrics 53.

    Args:
        auroc: Measured AUROC, in [0, 1].
        below: For each photo, the sum over its cracked patches of the share of uncracked patches that rank below them,
            and the number of its cracked patches; both of shape (n_photos,).
        above: For each photo, the sum over its uncracked patches of the share of cracked patches that rank above them,
            and the number of its uncracked patches; both of shape (n_photos,).
    """
    placed, counts = zip(below, above, strict=True)
    totals = [float(each.sum()) for each in counts]
    held = min(int((each > 0).sum()) for each in counts)
    n_photos = len(counts[0])
    pulls = np.sum([(sums - auroc * n) / total for sums, n, total in zip(placed, counts, totals, strict=True)], axis=0)
    between = n_photos / (n_photos - 1) * float((pulls**2).sum())
    independent = _rank_variance(auroc, totals[0], totals[1])
    wrong = n_in_error(below, above)
    trust = wrong / (wrong + _FEW_ERRORS)
    measured = between / independent if independent > 0 else 0.0
    effective = []
    for n, total in zip(counts, totals, strict=True):
        assumed = 1 + _ASSUMED_ICC * (float((n**2).sum()) / total - 1)
        effective.append(total / (trust * measured + (1 - trust) * assumed))
    reach = float(stdtrit(held - 1, 1 - TAIL))  # of Student's distribution; scipy.stats is slow to import

    def plausible(truth: float) -> bool:
        return bool(abs(auroc - truth) <= reach * np.sqrt(_rank_variance(truth, effective[0], effective[1])))

    return _furthest(plausible, auroc, 0.0), _furthest(plausible, auroc, 1.0)


def n_in_error(below: tuple[Float64Array, Float64Array], above: tuple[Float64Array, Float64Array]) -> float:
    """How many photos the loss of rank comes from: 1 where a single patch causes it, all where it is spread evenly.

    It is the whole loss, divided by that of the photo with the greatest. Of the numbers for cracked and for uncracked
    patches it is the smaller, since one false alarm costs each cracked patch a little. Where nearly all ranks are
    wrong, what is right is counted instead. It is 0 without a loss.

    Args:
        below: Sums and numbers of the cracked patches of each photo, see `rank_interval`.
        above: Sums and numbers of the uncracked patches of each photo, see `rank_interval`.
    """
    losses = [np.maximum(each, 0) for placed, n in (below, above) for each in (n - placed, placed)]
    return min(float(loss.sum() / loss.max()) if loss.any() else 0.0 for loss in losses)


def _rank_variance(auroc: float, n_crack: float, n_uncracked: float) -> float:
    """Variance of an AUROC from independent patches, as Newcombe (2006) writes Hanley and McNeil's."""
    n = max(0.0, (n_crack + n_uncracked) / 2 - 1)
    spread = 1 + n * ((1 - auroc) / (2 - auroc) + auroc / (1 + auroc))
    return auroc * (1 - auroc) * spread / (n_crack * n_uncracked)


def _furthest(plausible: Callable[[float], bool], inside: float, outside: float) -> float:
    """The last plausible value on the way from one inside to one outside."""
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if plausible(middle) else (inside, middle)
    return inside


def percentile_interval(value: float, resampled: Float64Array) -> tuple[float, float]:
    """Ends of the interval between the 2.5th and 97.5th percentile of resamples, widened to hold the value.

    It is NaN where the figure is the same in all resamples, which would be a false certainty.

    Source: Efron & Tibshirani (1993), ch. 13.

    Args:
        value: Value of the figure.
        resampled: Value in each resample, shape (n,); NaN where it is not defined.
    """
    defined = resampled[np.isfinite(resampled)]
    if np.isnan(value) or defined.size == 0:
        return np.nan, np.nan
    low, high = np.quantile(defined, [TAIL, 1 - TAIL])
    if high - low <= 1e-9:
        return np.nan, np.nan
    return min(float(low), value), max(float(high), value)
