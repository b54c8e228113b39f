"""Calibration: from logits to probabilities that mean something, a threshold, and a band of unsure answers.

All three are fitted on validation patches, never on those that a figure is reported on.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit

from crackscope.arrays import Float64Array, Int64Array
from crackscope.measuring.metrics import choose_threshold, mcc
from crackscope.model.card import Calibration

__all__ = ["fit_calibration", "fit_shift", "fit_temperature", "prudent_threshold", "unsure_band"]


MAX_UNSURE = 0.10
"""At most this share of validation patches falls into the unsure band."""

_TEMPERATURES = (0.02, 100.0)


def fit_temperature(logits: Float64Array, labels: Int64Array) -> float:
    """The temperature T for which ``sigmoid(logit / T)`` has the least log loss.

    Targets are Platt's: (n₁ + 1)/(n₁ + 2) for crack and 1/(n₀ + 2) for uncracked, so that patches which are all
    told apart do not call for certainty. One-class input gives 1.

    Source:
        Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2; Platt 1999, section 2.2.

    Args:
        logits: Logits of the patches, shape (n,).
        labels: Labels of the patches, shape (n,), 1 for crack.

    Example:
        >>> logits = np.array([-4.0, -2.0, 2.0, 4.0] * 50)
        >>> round(fit_temperature(logits, np.array([0, 0, 1, 1] * 50)), 2) < 1
        True
    """
    if len(np.unique(labels)) < 2:
        return 1.0
    values = np.asarray(logits, np.float64)

    def loss(log_temperature: float) -> float:
        return _platt_loss(values / np.exp(log_temperature), labels)

    low, high = np.log(_TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x))


def fit_shift(logits: Float64Array, labels: Int64Array) -> float:
    """What to add to logits before a temperature is fitted, where training saw another share of cracks.

    Shift and temperature are fitted together, as Platt's line, with Platt's targets; one-class input gives 0. Added to
    a head's bias, the shift becomes part of the model.

    Source:
        Platt 1999, section 2.2.

    Args:
        logits: Logits of the patches, shape (n,).
        labels: Labels of the patches, shape (n,), 1 for crack.
    """
    if len(np.unique(labels)) < 2:
        return 0.0
    values = np.asarray(logits, np.float64)

    def loss(line: Float64Array) -> float:
        return _platt_loss(np.exp(line[0]) * (values + line[1]), labels)

    return float(minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10}).x[1])


def _platt_loss(logits: Float64Array, labels: Int64Array) -> float:
    """Mean log loss against Platt's targets, which leave room for doubt even where all patches are told apart."""
    n_crack = int(labels.sum())
    targets = np.where(labels == 1, (n_crack + 1) / (n_crack + 2), 1 / (len(labels) - n_crack + 2))
    return float((np.logaddexp(0, logits) - targets * logits).mean())


def prudent_threshold(probabilities: Float64Array, labels: Int64Array, *, seed: int = 0) -> float:
    """The threshold of the greatest MCC where it is surely better than 0.5, and 0.5 otherwise.

    A calibrated probability has its natural threshold at 0.5. On patches that are nearly all told apart, the best
    threshold rests on one or two of them; so it must have the greater MCC in 95 % of 1,000 resamples of the patches.

    Args:
        probabilities: Calibrated probabilities of crack, shape (n,).
        labels: Labels of the patches, shape (n,), 1 for crack.
        seed: Seed of the resamples.
    """
    best = choose_threshold(labels, probabilities)
    low, high = min(best, 0.5), max(best, 0.5)
    # Six kinds of patches: truth (rows) by how many of the two thresholds they reach (columns).
    reached = (probabilities >= low).astype(np.int64) + (probabilities >= high)
    counts = np.bincount(3 * labels + reached, minlength=6)
    resampled = np.random.default_rng(seed).multinomial(len(labels), counts / max(1, counts.sum()), 1000)
    table = resampled.reshape(-1, 2, 3).astype(np.float64)
    # (n, 2) said crack and not, uncracked and crack in truth; MCC is 0 where a resample has one class alone.
    at_low, at_high = (
        np.nan_to_num(mcc(crack[:, 1], crack[:, 0], other[:, 0], other[:, 1]))
        for crack, other in ((table[:, :, 1:].sum(2), table[:, :, 0]), (table[:, :, 2], table[:, :, :2].sum(2)))
    )
    gain = (at_low - at_high) if best == low else (at_high - at_low)
    return best if (gain > 0).mean() >= 0.95 else 0.5


def unsure_band(probabilities: Float64Array, labels: Int64Array, *, threshold: float) -> tuple[float, float]:
    """The narrowest band around the threshold outside of which errors are at most half as frequent.

    The band reaches equally far to both sides in logit, and holds at most `MAX_UNSURE` of the patches; where that is
    not enough to halve the errors, it is as wide as that allows. Without any error it is empty.

    Args:
        probabilities: Calibrated probabilities of crack, shape (n,).
        labels: Labels of the patches, shape (n,), 1 for crack.
        threshold: Probability from which we say crack.

    Returns:
        (low, high) with low <= threshold <= high; unsure is low <= probability < high.
    """
    wrong = (probabilities >= threshold) != (labels == 1)
    if not wrong.any() or not 0 < threshold < 1:
        return threshold, threshold
    centre = float(logit(threshold))
    distances = np.abs(logit(np.clip(probabilities, 1e-9, 1 - 1e-9)) - centre)
    order = np.argsort(distances, kind="stable")
    n = len(order)
    n_unsure = np.arange(1, int(n * MAX_UNSURE) + 1)  # the nearest 1, 2, ... patches taken out
    if not len(n_unsure):
        return threshold, threshold
    errors_left = wrong.sum() - np.cumsum(wrong[order])[: len(n_unsure)]
    halved = errors_left / (n - n_unsure) <= wrong.mean() / 2
    reach = float(distances[order][int(np.argmax(halved)) if halved.any() else len(n_unsure) - 1]) + 1e-6
    return float(expit(centre - reach)), float(expit(centre + reach))


def fit_calibration(logits: Float64Array, labels: Int64Array, *, fitted_on: str) -> Calibration:
    """Temperature, then threshold (see `prudent_threshold`), then unsure band.

    Args:
        logits: Logits of validation patches, shape (n,).
        labels: Labels of the patches, shape (n,), 1 for crack.
        fitted_on: Data and part, for the card.
    """
    temperature = fit_temperature(logits, labels)
    probabilities = expit(np.asarray(logits, np.float64) / temperature)
    threshold = prudent_threshold(probabilities, labels)
    low, high = unsure_band(probabilities, labels, threshold=threshold)
    return Calibration(
        temperature=temperature, threshold=threshold, unsure_low=low, unsure_high=high, fitted_on=fitted_on
    )
