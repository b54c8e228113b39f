"""Probabilities that mean something: temperature, threshold, unsure band."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import matthews_corrcoef

from crackscope.measuring.calibration import (
    MAX_UNSURE,
    fit_calibration,
    fit_shift,
    fit_temperature,
    prudent_threshold,
    unsure_band,
)


def simulated(n: int, *, temperature: float, seed: int, prior: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too sharp by a known factor, and labels that follow the true probabilities."""
    rng = np.random.default_rng(seed)
    true_logits = rng.normal(prior, 2, n)
    labels = (rng.random(n) < expit(true_logits)).astype(np.int64)
    return true_logits * temperature, labels


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_true_temperature_is_found(temperature: float) -> None:
    logits, labels = simulated(40_000, temperature=temperature, seed=1)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


@given(scale=st.floats(0.2, 5))
def test_temperature_follows_the_scale_of_the_logits(scale: float) -> None:
    logits, labels = simulated(300, temperature=1, seed=2)
    assert fit_temperature(logits * scale, labels) == pytest.approx(fit_temperature(logits, labels) * scale, rel=1e-3)


def test_patches_all_told_apart_do_not_call_for_certainty() -> None:
    logits = np.concatenate([np.full(50, -3.0), np.full(50, 3.0)])
    labels = np.repeat([0, 1], 50)
    probability = expit(3.0 / fit_temperature(logits, labels))
    assert probability == pytest.approx(51 / 52, abs=1e-3)  # Platt's target


def test_one_class_keeps_the_logits() -> None:
    assert fit_temperature(np.array([1.0, 2.0]), np.array([1, 1])) == 1.0


def test_a_share_of_cracks_that_training_did_not_see_is_made_up_for() -> None:
    logits, labels = simulated(40_000, temperature=0.5, seed=6, prior=-2)
    assert fit_shift(logits + 0.8, labels) == pytest.approx(-0.8, abs=0.05)
    assert fit_shift(logits, labels) == pytest.approx(0, abs=0.05)
    assert fit_shift(np.array([1.0, 2.0]), np.array([0, 0])) == 0.0


def test_the_threshold_stays_at_one_half_where_few_patches_would_move_it() -> None:
    probabilities = np.concatenate([np.full(200, 0.02), np.full(200, 0.98), [0.55]])
    labels = np.concatenate([np.zeros(200), np.ones(200), [0]]).astype(np.int64)
    assert prudent_threshold(probabilities, labels) == 0.5


def test_the_threshold_moves_where_it_surely_helps() -> None:
    logits, labels = simulated(5000, temperature=1, seed=3, prior=-3)
    probabilities = expit(logits - 1.5)  # too low throughout
    threshold = prudent_threshold(probabilities, labels)
    assert threshold < 0.4
    assert matthews_corrcoef(labels, probabilities >= threshold) > matthews_corrcoef(labels, probabilities >= 0.5)


def test_errors_halve_outside_the_unsure_band() -> None:
    logits, labels = simulated(4000, temperature=1, seed=4)
    probabilities = expit(logits * 2)  # 10 % of the patches hold most errors
    low, high = unsure_band(probabilities, labels, threshold=0.5)
    unsure = (probabilities >= low) & (probabilities < high)
    assert 0 < unsure.mean() <= MAX_UNSURE + 1e-9
    wrong = (probabilities >= 0.5) != (labels == 1)
    assert wrong[~unsure].mean() < wrong.mean()


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_the_band_surrounds_the_threshold_evenly_in_logit(seed: int, threshold: float) -> None:
    logits, labels = simulated(80, temperature=1, seed=seed)
    low, high = unsure_band(expit(logits), labels, threshold=threshold)
    assert low <= threshold <= high
    assert logit(threshold) - logit(low) == pytest.approx(logit(high) - logit(threshold), abs=1e-6)


def test_no_error_no_band() -> None:
    assert unsure_band(np.array([0.1, 0.9]), np.array([0, 1]), threshold=0.5) == (0.5, 0.5)


def test_a_calibration_is_whole() -> None:
    logits, labels = simulated(3000, temperature=2, seed=5)
    calibration = fit_calibration(logits, labels, fitted_on="drawn, part val")
    assert calibration.temperature == pytest.approx(2, rel=0.1)
    assert calibration.unsure_low <= calibration.threshold <= calibration.unsure_high
    assert calibration.fitted_on == "drawn, part val"
