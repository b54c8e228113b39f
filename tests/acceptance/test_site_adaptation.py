"""What is fitted to a site is judged on photos that it was not fitted on, and stays the model where little is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from crackscope.acceptance.site_adaptation import _rotated, deal_photos, head_margins, site_threshold, threshold_margins
from crackscope.measuring.metrics import measure

LIMITS: dict[str, Any] = {"min_recall": 0.9, "max_false_alarms": 0.1, "own": 0.0}


def a_site(seed: int = 0, n_photos: int = 12, each: int = 15, skill: float = 2.0) -> tuple[Any, Any, list[str]]:
    """Labels, logits of a model of some skill, and photos."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n_photos * each)
    logits = rng.normal(skill * (labels - 0.5), 1)
    return labels, logits, [f"photo {i // each}" for i in range(len(labels))]


# Dealing photos


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 1)), min_size=1, max_size=60), st.integers(1, 2))
def test_a_photo_lies_in_one_fold_and_each_label_is_left_when_one_is_taken_out(
    pairs: list[tuple[int, int]], n_left: int
) -> None:
    photos, labels = [f"{photo}" for photo, _ in pairs], np.array([label for _, label in pairs])
    folds = deal_photos(labels, photos, n_left=n_left)
    n_with = [len({p for p, one in zip(photos, labels, strict=True) if one == label}) for label in (0, 1)]
    if min(n_with) <= n_left:
        assert folds is None
        return
    assert folds is not None
    assert sorted(set(folds)) == list(range(min(5, *n_with)))
    for photo in set(photos):
        assert len({fold for fold, one in zip(folds, photos, strict=True) if one == photo}) == 1
    for fold in set(folds):
        for label in (0, 1):
            left = {p for p, at, one in zip(photos, folds, labels, strict=True) if at != fold and one == label}
            assert len(left) >= n_left


def test_labels_are_spread_evenly() -> None:
    rng = np.random.default_rng(0)
    photos = [f"{i // 10}" for i in range(400)]
    labels = (rng.random(400) < np.repeat(rng.random(40) ** 3, 10)).astype(int)
    folds = deal_photos(labels, photos)
    assert folds is not None
    shares = np.bincount(folds, weights=labels) / labels.sum()
    assert 0.15 < shares.min() <= shares.max() < 0.25


# A threshold


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-8, 8), st.booleans()), min_size=4, max_size=40).filter(
        lambda rows: len({crack for _, crack in rows}) == 2 and len({value for value, _ in rows}) > 1
    ),
    st.floats(0.5, 0.99),
    st.floats(0.01, 0.5),
)
def test_no_other_threshold_uses_up_less(rows: list[tuple[int, bool]], min_recall: float, allowed: float) -> None:
    logits = np.array([value for value, _ in rows], float)
    labels = np.array([crack for _, crack in rows], int)

    def used_up(threshold: float) -> float:
        missed, alarms = (logits[labels == 1] < threshold).mean(), (logits[labels == 0] >= threshold).mean()
        return float(max(missed / (1 - min_recall), alarms / allowed))

    found = site_threshold(labels, logits, min_recall=min_recall, max_false_alarms=allowed, own=0.3)
    between = np.arange(np.unique(logits)[0] + 0.5, logits.max())
    assert used_up(found) <= min(map(used_up, between)) + 1e-9
    order = np.argsort(labels)
    again = site_threshold(labels[order], logits[order], min_recall=min_recall, max_false_alarms=allowed, own=0.3)
    assert again == found


def test_the_models_own_threshold_stays_where_it_decides_as_the_best_does() -> None:
    labels, logits = np.array([0, 0, 1, 1]), np.array([-3.0, -1.0, 2.0, 3.0])
    assert site_threshold(labels, logits, **{**LIMITS, "own": 1.7}) == 1.7
    assert site_threshold(labels, logits, **{**LIMITS, "own": -2.0}) == 0.5
    assert site_threshold(labels, np.ones(4), **LIMITS) == 0.0


def test_a_threshold_across_photos_mends_a_shifted_model() -> None:
    labels, logits, photos = a_site(skill=4.0, n_photos=20)
    folds = deal_photos(labels, photos)
    assert folds is not None
    shifted = logits - 2.5
    margins = threshold_margins(labels, shifted, folds, **LIMITS)
    assert (shifted >= 0)[labels == 1].mean() < 0.5
    assert (margins >= 0)[labels == 1].mean() > 0.93
    assert (margins >= 0)[labels == 0].mean() < 0.07


# A head


def test_a_folds_own_labels_do_not_touch_its_answers() -> None:
    labels, logits, photos = a_site(n_photos=8, each=10)
    features = np.random.default_rng(1).normal(0, 1, (len(labels), 6)).astype(np.float32)
    folds = deal_photos(labels, photos, n_left=2)
    assert folds is not None
    held = folds == 1
    changed = np.where(held, 1 - labels, labels)
    for one, other in (
        (threshold_margins(labels, logits, folds, **LIMITS), threshold_margins(changed, logits, folds, **LIMITS)),
        (
            head_margins(labels, logits, features, photos, folds, **LIMITS),
            head_margins(changed, logits, features, photos, folds, **LIMITS),
        ),
    ):
        np.testing.assert_array_equal(one[held], other[held])
        assert not np.array_equal(one[~held], other[~held])


def test_a_head_is_not_fitted_to_what_is_rejected() -> None:
    labels, logits, photos = a_site(n_photos=12, each=10, skill=1.0)
    rng = np.random.default_rng(3)
    features = rng.normal(0, 1, (len(labels), 6)).astype(np.float32)
    features[:, 0] += 4 * labels
    rejected = rng.random(len(labels)) < 0.3
    logits[rejected] = -16.0
    folds = deal_photos(labels, photos, n_left=2)
    assert folds is not None
    # Labels of rejected patches are turned about in pairs: the threshold, which counts them, stays.
    changed = labels.copy()
    for fold in range(folds.max() + 1):
        crack, other = (np.flatnonzero(rejected & (folds == fold) & (labels == label)) for label in (1, 0))
        n = min(len(crack), len(other))
        changed[crack[:n]], changed[other[:n]] = 0, 1
    assert (changed != labels).sum() >= 10
    before, after = (
        head_margins(given, logits, features, photos, folds, rejected=rejected, **LIMITS) for given in (labels, changed)
    )
    np.testing.assert_array_equal(before[~rejected], after[~rejected])
    np.testing.assert_array_equal(
        head_margins(labels, logits, features, photos, folds, **LIMITS),
        head_margins(labels, logits, features, photos, folds, rejected=np.zeros(len(labels), bool), **LIMITS),
    )


def test_where_all_is_rejected_the_head_stays_the_models() -> None:
    labels, logits, photos = a_site(n_photos=8, each=10)
    features = np.random.default_rng(1).normal(0, 1, (len(labels), 6)).astype(np.float32)
    folds = deal_photos(labels, photos, n_left=2)
    assert folds is not None
    everything = np.ones(len(labels), bool)
    margins = head_margins(labels, logits, features, photos, folds, rejected=everything, **LIMITS)
    np.testing.assert_allclose(margins, threshold_margins(labels, logits, folds, **LIMITS))


def test_features_that_tell_more_than_the_model_are_used_and_idle_ones_are_not() -> None:
    labels, logits, photos = a_site(n_photos=16, skill=1.0)
    folds = deal_photos(labels, photos, n_left=2)
    assert folds is not None
    rng = np.random.default_rng(2)
    idle = rng.normal(0, 1, (len(labels), 30)).astype(np.float32)
    telling = idle.copy()
    telling[:, 0] += 4 * labels

    def auroc(margins: Any) -> float:
        return measure(labels, expit(margins), threshold=0.5, photos=photos, n_resamples=0)["auroc"].value

    own = auroc(logits)
    assert auroc(head_margins(labels, logits, telling, photos, folds, **LIMITS)) > own + 0.12
    margins = head_margins(labels, logits, idle, photos, folds, **LIMITS)
    for fold in range(folds.max() + 1):  # only shifted: the ranking within a fold is the model's
        mine = folds == fold
        np.testing.assert_allclose(np.diff(margins[mine]), np.diff(logits[mine]), atol=0.35)


def test_features_are_turned_without_changing_a_distance() -> None:
    features = np.random.default_rng(0).normal(3, 2, (7, 40)).astype(np.float32)
    turned = _rotated(features)
    assert turned.shape == (7, 7)
    assert (turned**2).sum(1).mean() == pytest.approx(1)
    centred = features - features.mean(0)
    products = centred @ centred.T
    np.testing.assert_allclose(turned @ turned.T, products / np.trace(products) * 7, atol=1e-5)
    assert _rotated(features.T).shape == (40, 7)
