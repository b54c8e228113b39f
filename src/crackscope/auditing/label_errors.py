"""Labels that are probably wrong: what other photos say of a patch, against what its label says.

A logistic regression is fitted on the features of four fifths of the photos and asked about the last fifth, five times.
So no patch is judged by a model that has seen it, its photo or its duplicate. Then comes *confident learning*: a patch
is probably mislabelled if the model is as sure of the other label as it is, on average, of patches that carry it.

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
_PENALTIES = (1e-4, 1e-3, 1e-2)  # scikit-learn's C; the least log loss out of sample decides
_N_COMPONENTS = 256  # hold 91 to 97 % of the variance of 1,280 features; more found no more planted errors
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """What a model that has not seen a patch says of its label.

    Attributes:
        probabilities: Probability of crack, out of sample, shape (n,).
        wrong: Whether a label is probably wrong, shape (n,).
        thresholds: Mean probability of their own label among patches labelled uncracked, and among those labelled
            crack.
        accuracy: Share of the patches for which the model gives the same label.
        n_groups: Number of photos, or groups, that folds were dealt from.
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
    """Look for labels that are probably wrong.

    Args:
        features: Shape (n, d), of a frozen backbone. They are not changed.
        labels: Shape (n,): 1 is crack.
        groups: Shape (n,): what must stay together, such as photos with their duplicates, as numbers from 0.

    Raises:
        DataError: If a label is missing, or stands in too few groups to be learnt from others.
    """
    if len(np.unique(labels)) < 2:
        raise DataError("one label is missing, so no model can be fitted")
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise DataError("all patches are of one photo or group, so none can be judged by others")
    folds = deal_folds(groups, labels)
    for fold in np.unique(folds).tolist():
        if len(np.unique(labels[folds != fold])) < 2:
            raise DataError("all patches of one label are of one photo or group, so none can be judged by others")
    standard = _projected(features)
    tried = [_out_of_sample(standard, labels, folds, penalty) for penalty in _PENALTIES]
    best = int(np.argmin([_log_loss(probabilities, labels) for probabilities in tried]))
    wrong, thresholds = confident_errors(tried[best], labels)
    accuracy = float(((tried[best] >= 0.5) == labels).mean())
    return LabelErrors(tried[best], wrong, thresholds, accuracy, n_groups, _PENALTIES[best])


def deal_folds(groups: Int64Array, labels: Int64Array, *, n_folds: int = N_FOLDS) -> Int64Array:
    """Fold of each patch: whole groups, large ones first, each to the fold that lacks most of what it holds.

    Args:
        groups: Shape (n,), numbers from 0.
        labels: Shape (n,), 0 or 1.
        n_folds: At most so many; no more than there are groups.

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
        gain = (shares[group] * (2 * lacking - shares[group])).sum(1)  # lacking² before, less that after
        chosen[group] = int(np.lexsort((-lacking.sum(1), -gain.round(12)))[0])  # of equals, the emptier fold
        lacking[chosen[group]] -= shares[group]
    return np.asarray(chosen[groups], np.int64)


def confident_errors(probabilities: Float64Array, labels: Int64Array) -> tuple[BoolArray, tuple[float, float]]:
    """The off-diagonal of the confident joint, and the class thresholds.

    Args:
        probabilities: Probability of crack, out of sample, shape (n,).
        labels: Shape (n,), both labels present.

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
    """Roots of features, standardised, on their main axes, (n, 256 or fewer); the labels have no say in it.

    Features are means over a map, in which a thin crack is little: roots bring it out (power normalisation: Perronnin,
    Sánchez & Mensink 2010, section 3.1). A chunk at a time: a hundred thousand patches have half a gigabyte of
    features, which is not copied.
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
        # Main axes of correlation; a sign is a matter of taste, and no probability depends on it.
        _, axes = np.linalg.eigh(gram / np.outer(spread, spread))
        onto = (axes[:, ::-1][:, :_N_COMPONENTS] / spread[:, None]).astype(np.float32)
        return np.concatenate([(rooted(s) - mean).astype(np.float32) @ onto for s in starts])


def _out_of_sample(standard: Float32Array, labels: Int64Array, folds: Int64Array, penalty: float) -> Float64Array:
    """Probability of crack of each patch, by a model of the other folds."""
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
