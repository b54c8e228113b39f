"""Wrong labels are found by what others say, and never by what a patch, or its photo, says of itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.arrays import Float32Array, Int64Array
from crackscope.auditing.label_errors import confident_errors, deal_folds, find_label_errors
from crackscope.errors import DataError


def features_of(labels: Int64Array, groups: Int64Array, seed: int = 0) -> Float32Array:
    """Each label at a place of its own in 40 dimensions, each photo a little aside."""
    rng = np.random.default_rng(seed)
    places, asides = rng.normal(0, 0.5, (2, 40)), rng.normal(0, 0.3, (groups.max() + 1, 40))
    return (places[labels] + asides[groups] + rng.normal(0, 0.4, (len(labels), 40))).astype(np.float32)


def planted(n: int = 900, n_groups: int = 30, seed: int = 0) -> tuple[Float32Array, Int64Array, Int64Array, Int64Array]:
    """Features, labels of which 5 % are wrong, groups, and the right labels."""
    rng = np.random.default_rng(seed)
    groups, right = rng.integers(0, n_groups, n), rng.integers(0, 2, n)
    labels = right.copy()
    wrong = rng.choice(n, n // 20, replace=False)
    labels[wrong] = 1 - labels[wrong]
    return features_of(right, groups, seed), labels, groups, right


@pytest.mark.parametrize("seed", range(3))
def test_planted_wrong_labels_are_found(seed: int) -> None:
    features, labels, groups, right = planted(seed=seed)
    before = features.copy()
    found = find_label_errors(features, labels, groups)
    wrong = labels != right
    assert (found.wrong & wrong).sum() >= 0.7 * wrong.sum()
    assert (found.wrong & wrong).sum() >= 0.95 * found.wrong.sum()
    assert found.doubt(labels)[wrong].min() > np.median(found.doubt(labels)[~wrong])
    assert found.n_groups == 30
    np.testing.assert_array_equal(features, before)


def test_the_order_of_patches_and_the_names_of_groups_change_nothing_but_rounding() -> None:
    features, labels, groups, _ = planted(300, 12)
    found = find_label_errors(features, labels, groups)
    spread = find_label_errors(features, labels, 7 * groups + 3)
    np.testing.assert_array_equal(found.probabilities, spread.probabilities)
    order = np.random.default_rng(5).permutation(len(labels))
    moved = find_label_errors(features[order], labels[order], groups[order])
    np.testing.assert_allclose(moved.probabilities, found.probabilities[order], atol=2e-3)
    np.testing.assert_array_equal(moved.wrong, found.wrong[order])
    scaled = find_label_errors((features * np.linspace(0.1, 9, 40)).astype(np.float32), labels, groups)
    np.testing.assert_allclose(scaled.probabilities, found.probabilities, atol=2e-3)
    np.testing.assert_array_equal(scaled.wrong, found.wrong)


def test_a_patch_is_not_judged_by_its_own_photo() -> None:
    """A photo whose labels are all wrong is told by the others, although its patches agree among themselves."""
    features, _, groups, right = planted(600, 20, seed=3)
    of_wall = groups == 4
    labels = np.where(of_wall, 1 - right, right)
    watermark = np.where(of_wall, 4.0 * labels - 2, 0)[:, None]  # by which they could be learnt by heart
    features = np.hstack([features, watermark]).astype(np.float32)
    alone, whole = (find_label_errors(features, labels, given) for given in (np.arange(600), groups))
    right_alone, right_whole = (((one.probabilities >= 0.5) == right)[of_wall].mean() for one in (alone, whole))
    assert right_whole > 0.8 > right_alone + 0.15
    assert whole.wrong[of_wall].mean() > 0.5


def test_what_cannot_be_judged_is_refused_with_the_reason() -> None:
    features, labels, groups, _ = planted(60, 6)
    with pytest.raises(DataError, match="one label is missing"):
        find_label_errors(features, np.zeros_like(labels), groups)
    with pytest.raises(DataError, match="one photo or group"):
        find_label_errors(features, labels, np.zeros_like(groups))
    with pytest.raises(DataError, match="all patches of one label are from one photo"):
        find_label_errors(features, (groups == 2).astype(np.int64), groups)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1)), min_size=1, max_size=80), st.integers(2, 6))
def test_folds_keep_groups_whole_and_none_is_empty(pairs: list[tuple[int, int]], n_folds: int) -> None:
    groups, labels = np.array(pairs, np.int64).T
    folds = deal_folds(groups, labels, n_folds=n_folds)
    n_groups = len(set(groups.tolist()))
    assert all(len(set(folds[groups == group].tolist())) == 1 for group in groups)
    assert set(folds.tolist()) <= set(range(min(n_folds, n_groups)))
    if n_groups >= 2:
        assert len(set(folds.tolist())) >= 2


def test_folds_share_out_both_labels() -> None:
    rng = np.random.default_rng(0)
    groups, labels = rng.integers(0, 60, 2000), (rng.random(2000) < 0.15).astype(np.int64)
    folds = deal_folds(groups, labels)
    for label in (0, 1):
        shares = np.bincount(folds[labels == label], minlength=5) / (labels == label).sum()
        np.testing.assert_allclose(shares, 0.2, atol=0.03)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=2, max_size=40))
def test_errors_are_the_off_diagonal_of_the_confident_joint(pairs: list[tuple[float, int]]) -> None:
    """Against the definition, word for word: Northcutt et al. 2021, equations 1 and 2."""
    probabilities, labels = np.array([p for p, _ in pairs]), np.array([y for _, y in pairs], np.int64)
    if len(set(labels.tolist())) < 2:
        labels[0] = 1 - labels[0]
    found, thresholds = confident_errors(probabilities, labels)
    of_label = {0: 1 - probabilities, 1: probabilities}
    means = [np.mean([of_label[j][i] for i in range(len(labels)) if labels[i] == j]) for j in (0, 1)]
    assert thresholds == pytest.approx(means)
    for i, label in enumerate(labels.tolist()):
        reached = [j for j in (0, 1) if of_label[j][i] >= thresholds[j]]
        believed = max(reached, key=lambda j: (of_label[j][i], j == label), default=label)
        assert bool(found[i]) == (believed != label)
