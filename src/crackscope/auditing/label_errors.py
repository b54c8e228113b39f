"""Labels that are probably wrong: a patch is judged by a model of other photos, and compared with its label.

A logistic regression is fitted to the features of four fifths of the photos and judges the last fifth. This is done
five times. So no patch is judged by a model that has seen it, its photo or a copy. Then comes *confident learning*: a
label is probably wrong if the model gives the other label a high probability. High means at least the mean probability
of that label over the patches that carry it.

Source: Northcutt, Jiang & Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70, section
3.1 (class thresholds and confident joint; its off-diagonal is what is listed here).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from crackscope.arrays import BoolArray, Float32Array, Float64Array, Int64Array
from crackscope.errors import DataError

__all__ = ["LabelErrors", "confident_errors", "deal_folds", "find_label_errors"]


N_FOLDS = 5
_PENALTIES = (1e-4, 1e-3, 1e-2)  # values of scikit-learn's C; the one with the least log loss out of sample is taken
_N_COMPONENTS = 256  # holds 91 to 97 % of the variance of 1,280 features; more did not find more planted errors
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """How probable the label of each patch is to a model that has not seen the patch.

    Attributes:
        probabilities: Probability of crack, out of sample, shape (n,).
        wrong: Whether a label is probably wrong, shape (n,).
        thresholds: Mean probability of their own label among patches labelled uncracked, and among those labelled
            crack.
        accuracy: Share of the patches for which the model gives the same label.
        n_groups: Number of photos or groups that were dealt to folds.
        penalty: Chosen value of scikit-learn's C.
    """

    probabilities: Float64Array
    wrong: BoolArray
    thresholds: tuple[float, float]
    accuracy: float
    n_groups: int
    penalty: float

    def doubt(self, labels: Int64Array) -> Float64Array:
        """Probability of the other label, shape (n,)."""
        return np.where(labels == 1, 1 - self.probabilities, self.probabilities)


def find_label_errors(features: Float32Array, labels: Int64Array, groups: Int64Array) -> LabelErrors:
    """Search for labels that are probably wrong.

    Args:
        features: Features from a frozen backbone, shape (n, d). They are not changed.
        labels: Labels, shape (n,), 1 for crack.
        groups: Numbers from 0 of groups that must stay together, such as photos with their copies, shape (n,).

    Raises:
        DataError: If a label is missing, or stands in too few groups to be learnt from other groups.
    """
    if len(np.unique(labels)) < 2:
        raise DataError("one label is missing, so no model can be fitted")
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise DataError("all patches are from one photo or group, so no other can judge them")
    folds = deal_folds(groups, labels)
    for fold in np.unique(folds).tolist():
        if len(np.unique(labels[folds != fold])) < 2:
            raise DataError("all patches of one label are from one photo or group, so no other can judge them")
    standard = _projected(features)
    tried = [_out_of_sample(standard, labels, folds, penalty) for penalty in _PENALTIES]
    best = int(np.argmin([_log_loss(probabilities, labels) for probabilities in tried]))
    wrong, thresholds = confident_errors(tried[best], labels)
    accuracy = float(((tried[best] >= 0.5) == labels).mean())
    return LabelErrors(tried[best], wrong, thresholds, accuracy, n_groups, _PENALTIES[best])


def deal_folds(groups: Int64Array, labels: Int64Array, *, n_folds: int = N_FOLDS) -> Int64Array:
    """Deal whole groups to folds, large groups first, so that the folds hold about as many patches of each label.

    Args:
        groups: Number of each patch's group from 0, shape (n,).
        labels: Labels, shape (n,), 0 or 1.
        n_folds: Greatest number of folds; there are never more folds than groups.

    Returns:
        Number of each patch's fold, shape (n,).

    Example:
        >>> deal_folds(np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 1]), n_folds=2).tolist()
        [0, 0, 1, 1, 0, 0]
    """
    _, groups = np.unique(groups, return_inverse=True)
    held = np.stack([np.bincount(groups[labels == label], minlength=groups.max() + 1) for label in (0, 1)], 1)
    totals = np.maximum(held.sum(0), 1)
    shares = held / totals  # (n_groups, 2): of each label
    lacking = np.full((min(n_folds, len(held)), 2), 1 / min(n_folds, len(held)))
    chosen = np.zeros(len(held), np.int64)
    for group in np.argsort(-held.sum(1), kind="stable").tolist():
        gain = (shares[group] * (2 * lacking - shares[group])).sum(1)  # decrease of lacking²
        chosen[group] = int(np.lexsort((-lacking.sum(1), -gain.round(12)))[0])  # the emptier fold if two are equal
        lacking[chosen[group]] -= shares[group]
    return np.asarray(chosen[groups], np.int64)


def confident_errors(probabilities: Float64Array, labels: Int64Array) -> tuple[BoolArray, tuple[float, float]]:
    """Find the off-diagonal of the confident joint: labels that are probably wrong.

    Args:
        probabilities: Probability of crack, out of sample, shape (n,).
        labels: Labels, shape (n,); both labels must occur.

    Returns:
        Whether each label is probably wrong, shape (n,), and the thresholds of uncracked and of crack.

    Example:
        >>> confident_errors(np.array([0.1, 0.2, 0.9, 0.8, 0.9, 0.1]), np.array([0, 0, 0, 1, 1, 1]))[0].tolist()
        [False, False, True, False, False, True]
    """
    of_label = np.stack([1 - probabilities, probabilities], 1)
    thresholds = np.array([of_label[labels == label, label].mean() for label in (0, 1)])
    at = np.arange(len(labels))
    own, other = of_label[at, labels], of_label[at, 1 - labels]
    sure_of_other = other >= thresholds[1 - labels]
    # Where both labels reach their threshold, the greater probability counts.
    sure_of_own = (own >= thresholds[labels]) & (own >= other)
    return sure_of_other & ~sure_of_own, (float(thresholds[0]), float(thresholds[1]))


def _projected(features: Float32Array) -> Float32Array:
    """Take roots of the features, standardise them, and project them on their main axes, shape (n, 256 or fewer).

    Labels are not used. Features are means over a map, and a thin crack changes a mean little. Roots enlarge small
    values (power normalisation: Perronnin, Sánchez & Mensink 2010, section 3.1). The work is done in chunks, because
    the features of a hundred thousand patches take half a gigabyte, which is not copied.
    """

    def rooted(start: int) -> Float32Array:
        chunk = features[start : start + _CHUNK]
        return np.sign(chunk) * np.sqrt(np.abs(chunk))

    starts = range(0, len(features), _CHUNK)
    mean = sum((rooted(s).sum(0, dtype=np.float64) for s in starts), np.zeros(1)) / len(features)
    gram = np.zeros((features.shape[1],) * 2)
    with threadpool_limits(1, "blas"):  # sums in another order could move a threshold
        for s in starts:
            centred = (rooted(s) - mean).astype(np.float32)
            gram += centred.T @ centred
        spread = np.sqrt(np.maximum(np.diag(gram) / len(features), 1e-12))
        # Main axes of the correlation matrix. No probability depends on the sign of an axis.
        _, axes = np.linalg.eigh(gram / np.outer(spread, spread))
        onto = (axes[:, ::-1][:, :_N_COMPONENTS] / spread[:, None]).astype(np.float32)
        return np.concatenate([(rooted(s) - mean).astype(np.float32) @ onto for s in starts])


def _out_of_sample(standard: Float32Array, labels: Int64Array, folds: Int64Array, penalty: float) -> Float64Array:
    """Compute the crack probability of each patch with a model that was fitted to the other folds."""
    from sklearn.linear_model import LogisticRegression

    probabilities = np.empty(len(labels))
    with threadpool_limits(1, "blas"):
        for fold in np.unique(folds).tolist():
            held_out = folds == fold
            model = LogisticRegression(C=penalty, max_iter=300, tol=1e-3)
            model.fit(standard[~held_out], labels[~held_out])
            scores = standard[held_out].astype(np.float64) @ model.coef_[0] + model.intercept_[0]
            probabilities[held_out] = 1 / (1 + np.exp(-np.clip(scores, -500, 500)))
    return probabilities


def _log_loss(probabilities: Float64Array, labels: Int64Array) -> float:
    own = np.where(labels == 1, probabilities, 1 - probabilities)
    return float(-np.log(np.maximum(own, 1e-12)).mean())
