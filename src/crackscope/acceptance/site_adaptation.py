"""A threshold and a head fitted to a site, and what they would give on photos that they were not fitted on.

A small sample fits anything, so nothing is judged on what it was fitted on. Photos are dealt to folds, and the patches
of a fold are answered by what was fitted on the photos of the other folds. The new head adds a linear function of the
bundle's own features to the bundle's own logit. Its weights are shrunk towards zero; how much is chosen inside the
other folds, again by photo. So where there is little to learn from, the model stays as it is.

Logits here are those of calibrated probabilities. Answers are *margins*: logit minus threshold, crack from 0 on.
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
"""Factors on half the squared weights, against the mean log loss; features have mean square length 1. The first penalty
lets no weight differ from zero, and fits the shift alone."""

_DEALS = 200


def deal_photos(labels: Int64Array, photos: Sequence[str], *, n_left: int = 1, seed: int = 0) -> Int64Array | None:
    """Deal patches to at most five folds, all patches of a photo to one; of many random deals, keep the most even one.

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
    """Find the threshold that suits two requirements best: the one that uses up least of the errors that they allow.

    For each requirement, the share of errors is divided by the share that is allowed: misses by 1 - min_recall, false
    alarms by max_false_alarms. The greater of the two quotients is made as small as it gets. Below 1, both requirements
    are met.

    Args:
        labels: Labels, shape (n,), 1 for crack; both labels must be there.
        logits: Logits, shape (n,); a patch is called crack from the threshold on.
        min_recall: Least recall that is required, in (0, 1).
        max_false_alarms: Greatest false alarm rate that is allowed, in (0, 1).
        own: The model's threshold, as a logit; of equally good thresholds, the nearest to it is taken.

    Returns:
        A logit in the middle between two of those given; `own` where all are equal.

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
    # The model's own threshold is left alone where it decides as the best does.
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
    """Answer each fold with the threshold that the other folds gave.

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
    """Answer each fold with the head and the threshold that were fitted to the other folds.

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
        rejected: Whether the model's gate rejects each patch, shape (n,); no head is fitted to a rejected patch, and
            its logit stays as it is.
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
        if inner is not None:  # else too much is rejected to learn from, and the model stays as it is
            given = labels[learnt], logits[learnt], rows[learnt]
            penalty, answered[learnt] = _chosen(*given, names[learnt], inner)
            weights, shift = _fitted(*given, penalty)
        threshold = site_threshold(
            labels[rest], answered[rest], min_recall=min_recall, max_false_alarms=max_false_alarms, own=own
        )
        margins[held] = logits[held] + rows[held] @ weights + shift - threshold
    return margins


def _rotated(features: Float32Array) -> Float64Array:
    """Features about their mean, of mean square length 1, in at most as many dimensions as there are rows.

    Turning them changes no distance, and so no fit whose penalty is of squares; no label is looked at.
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
    """The penalty, and what heads with it answer to folds that they were not fitted on."""
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
    """Weights and shift with the least penalised log loss; without weights where the penalty is infinite."""
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
