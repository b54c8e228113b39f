"""A threshold and a head fitted to a site, judged on photos that they were not fitted to.

Anything can be fitted to a small sample, so nothing is judged on the photos that it was fitted to. Photos are dealt to
folds. The patches of a fold are judged by a threshold or a head that was fitted to the other folds. The new head adds a
linear function of the bundle's features to the bundle's logit. A penalty shrinks its weights towards zero; the penalty
is chosen inside the other folds, again by photo. So the model stays nearly as it is where there is little to learn.

Logits here are those of calibrated probabilities. The results are *margins*: logit minus threshold. A patch is called
crack if its margin is at least 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from crackscope.arrays import BoolArray, Float32Array, Float64Array, Int64Array

__all__ = ["deal_photos", "head_margins", "site_threshold", "threshold_margins"]


MOST_FOLDS = 5
PENALTIES = (np.inf, 1.0, 1e-1, 1e-2, 1e-3, 1e-4)
"""Factors on half the sum of squared weights, which is added to the mean log loss. Features are scaled to a mean square
length of 1. With the first, infinite penalty, all weights are zero and only the shift is fitted."""

_DEALS = 200


def deal_photos(labels: Int64Array, photos: Sequence[str], *, n_left: int = 1, seed: int = 0) -> Int64Array | None:
    """Deal patches to at most five folds, each photo whole, and keep the most even of many random deals.

    Args:
        labels: Labels, shape (n,), 1 for crack.
        photos: Name of the photo, or group, of each patch, n names.
        n_left: Least number of photos with either label that must be left when any fold is taken out.
        seed: Seed of the random deals.

    Returns:
        Number of each patch's fold, shape (n,); None where there are too few photos with one of the labels.
    """
    photo = np.unique(np.asarray(photos), return_inverse=True)[1]
    counts = np.stack([np.bincount(photo[labels == label], minlength=photo.max() + 1) for label in (0, 1)], axis=1)
    n_folds = min(MOST_FOLDS, int((counts > 0).sum(0).min()))
    if n_folds <= n_left:
        return None
    rng = np.random.default_rng(seed)
    best, least = None, np.inf
    for _ in range(_DEALS):
        fold = rng.permutation(len(counts)) % n_folds  # (n_photos,)
        one_hot = (fold == np.arange(n_folds)[:, None]).astype(np.int64)  # (n_folds, n_photos)
        n_held = one_hot @ (counts > 0)
        unevenness = ((one_hot @ counts / counts.sum(0)) ** 2).sum()
        if (n_held.sum(0) - n_held).min() >= n_left and unevenness < least:
            best, least = fold, unevenness
    found: Int64Array | None = None if best is None else best[photo]
    return found


def site_threshold(
    labels: Int64Array, logits: Float64Array, *, min_recall: float, max_false_alarms: float, own: float
) -> float:
    """Find the threshold that suits two requirements best.

    For each requirement, the measured share of errors is divided by the allowed share: missed cracks by 1 - min_recall,
    false alarms by max_false_alarms. The threshold is chosen so that the greater of the two quotients is as small as
    possible. If it is at most 1, both requirements are met.

    Args:
        labels: Labels, shape (n,), 1 for crack; both labels must be there.
        logits: Logits, shape (n,); a patch is called crack from the threshold on.
        min_recall: Least recall that is required, in (0, 1).
        max_false_alarms: Greatest false alarm rate that is allowed, in (0, 1).
        own: The model's threshold, as a logit. If several thresholds are equally good, the one nearest to it is taken.

    Returns:
        A logit halfway between two neighbouring logits; `own` if it decides equally well, or all logits are equal.

    Example:
        >>> labels, logits = np.array([0, 0, 0, 1, 1]), np.array([-3.0, -2.0, 1.0, 2.0, 4.0])
        >>> site_threshold(labels, logits, min_recall=0.9, max_false_alarms=0.1, own=0.0)
        1.5
    """
    scores, place = np.unique(logits, return_inverse=True)
    if len(scores) < 2:
        return own
    n_crack = int(labels.sum())
    missed = np.bincount(place, weights=labels).cumsum()[:-1] / n_crack
    alarms = 1 - np.bincount(place, weights=1 - labels).cumsum()[:-1] / (len(labels) - n_crack)
    used_up = np.maximum(missed / (1 - min_recall), alarms / max_false_alarms)
    best = np.flatnonzero(used_up <= used_up.min() + 1e-12)
    low, high = scores[best], scores[best + 1]
    middles = (low + high) / 2
    chosen = int(np.argmin(np.abs(np.clip(own, low, high) - own) + 1e-9 * np.abs(middles - own)))
    # The model keeps its own threshold where this gives the same answers as the best threshold.
    return own if low[chosen] < own <= high[chosen] else float(middles[chosen])


def threshold_margins(
    labels: Int64Array,
    logits: Float64Array,
    folds: Int64Array,
    *,
    min_recall: float,
    max_false_alarms: float,
    own: float,
) -> Float64Array:
    """Judge each fold with a threshold that was fitted to the other folds.

    Args:
        labels: Labels, shape (n,), 1 for crack.
        logits: Logits of the model, shape (n,).
        folds: Number of each patch's fold from `deal_photos`, shape (n,).
        min_recall: Least recall that is required, in (0, 1).
        max_false_alarms: Greatest false alarm rate that is allowed, in (0, 1).
        own: The model's threshold, as a logit.

    Returns:
        Margins, shape (n,): logit minus threshold.
    """
    margins = np.empty(len(labels))
    for fold in np.unique(folds):
        held, rest = folds == fold, folds != fold
        margins[held] = logits[held] - site_threshold(
            labels[rest], logits[rest], min_recall=min_recall, max_false_alarms=max_false_alarms, own=own
        )
    return margins


def head_margins(
    labels: Int64Array,
    logits: Float64Array,
    features: Float32Array,
    photos: Sequence[str],
    folds: Int64Array,
    *,
    min_recall: float,
    max_false_alarms: float,
    own: float,
    rejected: BoolArray | None = None,
    seed: int = 0,
) -> Float64Array:
    """Judge each fold with a head and a threshold that were fitted to the other folds.

    The head is a logistic regression: it adds a shift and a weighted sum of the features to the model's logit. A
    penalty keeps the weights small. It is chosen by cross-validation inside the other folds: the largest penalty whose
    loss lies within one standard error of the least.

    Source:
        The one-standard-error rule: Hastie et al. 2009, The Elements of Statistical Learning, section 7.10; here with
        standard errors over photos.

    Args:
        labels: Labels, shape (n,), 1 for crack.
        logits: Logits of the model, shape (n,), finite.
        features: Features of the model, shape (n, d).
        photos: Name of the photo, or group, of each patch, n names.
        folds: Number of the fold of each patch, shape (n,), from `deal_photos` with ``n_left=2``.
        min_recall: Least recall that is required, in (0, 1).
        max_false_alarms: Greatest false alarm rate that is allowed, in (0, 1).
        own: The model's threshold, as a logit.
        rejected: Whether the model's gate rejects each patch, shape (n,). No head is fitted to a rejected patch.
        seed: Seed of dealing photos to folds inside the other folds.

    Returns:
        Margins, shape (n,): logit minus threshold.
    """
    rows = _rotated(features)
    names = np.asarray(photos)
    judged = np.ones(len(labels), bool) if rejected is None else ~rejected
    margins = np.empty(len(labels))
    for fold in np.unique(folds):
        held, rest = folds == fold, folds != fold
        learnt, answered = rest & judged, logits.copy()
        weights, shift = np.zeros(rows.shape[1]), 0.0
        inner = deal_photos(labels[learnt], list(names[learnt]), seed=seed) if learnt.any() else None
        if inner is not None:  # if None, too few patches are left to learn from, and the model stays as it is
            given = labels[learnt], logits[learnt], rows[learnt]
            penalty, answered[learnt] = _chosen(*given, names[learnt], inner)
            weights, shift = _fitted(*given, penalty)
        threshold = site_threshold(
            labels[rest], answered[rest], min_recall=min_recall, max_false_alarms=max_false_alarms, own=own
        )
        margins[held] = logits[held] + rows[held] @ weights + shift - threshold
    return margins


def _rotated(features: Float32Array) -> Float64Array:
    """Centre the features, scale them to a mean square length of 1, and turn them into at most n dimensions.

    The turn changes no distance between rows, so a fit with a penalty on squared weights stays the same. No label is
    used.
    """
    rows: Float64Array = np.asarray(features, np.float64)
    rows = rows - rows.mean(0)
    rows = rows / max(1e-12, float(np.sqrt((rows**2).sum(1).mean())))
    if rows.shape[0] >= rows.shape[1]:
        return rows
    left, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    turned: Float64Array = left * sizes
    return turned


def _chosen(
    labels: Int64Array, logits: Float64Array, rows: Float64Array, names: npt.NDArray[np.str_], folds: Int64Array
) -> tuple[float, Float64Array]:
    """Choose the penalty; return it with the logits of heads with this penalty, on folds they were not fitted to."""
    answers = np.empty((len(PENALTIES), len(labels)))
    for fold in np.unique(folds):
        held, rest = folds == fold, folds != fold
        for i, penalty in enumerate(PENALTIES):
            weights, shift = _fitted(labels[rest], logits[rest], rows[rest], penalty)
            answers[i, held] = logits[held] + rows[held] @ weights + shift
    losses = np.logaddexp(0, answers) - labels * answers  # (n_penalties, n)
    excess = losses - losses[np.argmin(losses.mean(1))]
    photo = np.unique(names, return_inverse=True)[1]
    by_photo = np.stack([np.bincount(photo, weights=one) for one in excess])
    error = np.sqrt((by_photo**2).sum(1)) / len(labels)
    i = int(np.flatnonzero(excess.mean(1) <= error)[0])
    return PENALTIES[i], answers[i]


def _fitted(labels: Int64Array, logits: Float64Array, rows: Float64Array, penalty: float) -> tuple[Float64Array, float]:
    """Fit weights and shift with the least penalised log loss; with an infinite penalty, the weights are zero."""
    used = rows if np.isfinite(penalty) else rows[:, :0]
    strength = penalty if np.isfinite(penalty) else 0.0

    def loss(line: Float64Array) -> tuple[float, Float64Array]:
        answers = logits + used @ line[1:] + line[0]
        off = (expit(answers) - labels) / len(labels)
        value = (np.logaddexp(0, answers) - labels * answers).mean() + strength / 2 * (line[1:] ** 2).sum()
        return float(value), np.concatenate([[off.sum()], off @ used + strength * line[1:]])

    found = minimize(loss, np.zeros(1 + used.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    weights = np.zeros(rows.shape[1])
    weights[: used.shape[1]] = found[1:]
    return weights, float(found[0])
