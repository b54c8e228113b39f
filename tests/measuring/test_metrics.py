"""Figures agree with scikit-learn, intervals behave, and order and block size change nothing."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from sklearn import metrics as sk

from crackscope.arrays import Float64Array, Int64Array
from crackscope.errors import DataError
from crackscope.measuring import metrics
from crackscope.measuring.clustered_shares import measure_share
from crackscope.measuring.metrics import LOWER_IS_BETTER, METRICS, Estimate, always_crack, choose_threshold, measure

# Few distinct probabilities, so that ties are the rule.
PROBABILITIES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.7, 0.95, 1.0])
PATCHES = st.lists(st.tuples(st.integers(0, 1), PROBABILITIES), min_size=2, max_size=40)


def simulate(
    n_photos: int, per_photo: int, seed: int, spread: float = 1.0
) -> tuple[Int64Array, Float64Array, list[str]]:
    """Patches whose difficulty depends on their photo."""
    rng = np.random.default_rng(seed)
    photo = np.repeat(np.arange(n_photos), per_photo)
    labels = rng.integers(0, 2, photo.size)
    logits = 3 * (labels - 0.5) + rng.normal(0, spread, n_photos)[photo] + rng.normal(0, 1, photo.size)
    return labels, 1 / (1 + np.exp(-logits)), [f"{number:04d}" for number in photo]


def reference(labels: Int64Array, probabilities: Float64Array, threshold: float, weights: Int64Array) -> dict[str, Any]:
    """The same figures from scikit-learn."""
    said = (probabilities >= threshold).astype(int)
    w = {"sample_weight": weights}
    shares = {"labels": [0, 1], "average": None, "zero_division": np.nan, **w}
    precision = sk.precision_score(labels, said, **shares)
    recall = sk.recall_score(labels, said, **shares)
    f1 = sk.f1_score(labels, said, **shares)
    return {
        "accuracy": sk.accuracy_score(labels, said, **w),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, said, **w),
        "precision_crack": precision[1],
        "recall_crack": recall[1],
        "f1_crack": f1[1],
        "precision_uncracked": precision[0],
        "recall_uncracked": recall[0],
        "f1_uncracked": f1[0],
        "false_alarm_rate": 1 - recall[0],
        "auroc": sk.roc_auc_score(labels, probabilities, **w),
        "average_precision": sk.average_precision_score(labels, probabilities, **w),
        "mcc": sk.matthews_corrcoef(labels, said, **w),
        "log_loss": sk.log_loss(labels, probabilities, labels=[0, 1], **w),
        "brier": sk.brier_score_loss(labels, probabilities, **w),
    }


def calibration_error(labels: Int64Array, probabilities: Float64Array) -> float:
    """The definition, bin by bin."""
    error = 0.0
    for number in range(15):
        inside = (probabilities * 15 >= number) & ((probabilities * 15 < number + 1) | (number == 14))
        if inside.any():
            error += inside.mean() * abs(labels[inside].mean() - probabilities[inside].mean())
    return error


def same(one: dict[str, Estimate], other: dict[str, Estimate]) -> bool:
    return all(
        np.array_equal((a.value, a.low, a.high), (b.value, b.low, b.high), equal_nan=True)
        for a, b in zip(one.values(), other.values(), strict=True)
    )


@given(patches=PATCHES, threshold=st.sampled_from([0.0, 0.3, 0.5, 1.0]), data=st.data())
@settings(max_examples=60, deadline=None)
def test_weighted_figures_equal_scikit_learn(
    patches: list[tuple[int, float]], threshold: float, data: DataObject
) -> None:
    labels, probabilities = (np.array(column) for column in zip(*patches, strict=True))
    times = st.lists(st.integers(0, 4), min_size=labels.size, max_size=labels.size)
    weights = np.array(data.draw(times))
    drawn = labels[weights > 0]
    if not 0 < drawn.sum() < drawn.size:
        return
    # Drawing a patch w times is giving it the weight w, for us and for scikit-learn.
    ours = measure(np.repeat(labels, weights), np.repeat(probabilities, weights), threshold=threshold, n_resamples=0)
    sample = metrics._Sample.of(labels, probabilities, threshold=threshold, photos=None)
    order = np.lexsort((labels, -probabilities))
    weighted = sample.figures(weights[order][None, :].astype(np.float64))
    theirs = reference(labels, probabilities, threshold, weights)
    for name, value in theirs.items():
        assert ours[name].value == pytest.approx(value, abs=1e-9, nan_ok=True), name
        assert weighted[name][0] == pytest.approx(value, abs=1e-9, nan_ok=True), name
    repeated = np.repeat(labels, weights), np.repeat(probabilities, weights)
    assert ours["ece"].value == pytest.approx(calibration_error(*repeated), abs=1e-9)
    assert weighted["ece"][0] == pytest.approx(ours["ece"].value, abs=1e-9)


def test_names_order_and_directions() -> None:
    labels, probabilities, photos = simulate(10, 5, seed=0)
    figures = measure(labels, probabilities, threshold=0.5, photos=photos)
    assert tuple(figures) == METRICS
    assert tuple(always_crack(labels, photos=photos)) == METRICS
    assert set(METRICS) > LOWER_IS_BETTER
    for name, estimate in figures.items():
        assert estimate.low <= estimate.value <= estimate.high, name


def test_order_of_patches_changes_nothing() -> None:
    labels, probabilities, photos = simulate(20, 6, seed=1)
    shuffled = np.random.default_rng(7).permutation(labels.size)
    moved = labels[shuffled], probabilities[shuffled]
    moved_photos = [photos[i] for i in shuffled]
    assert same(
        measure(labels, probabilities, threshold=0.4, photos=photos),
        measure(*moved, threshold=0.4, photos=moved_photos),
    )
    assert same(measure(labels, probabilities, threshold=0.4), measure(*moved, threshold=0.4))


@pytest.mark.parametrize("cells", [1, 1000, 10**7])
@pytest.mark.parametrize("grouped", [True, False])
def test_block_size_changes_nothing(monkeypatch: pytest.MonkeyPatch, cells: int, grouped: bool) -> None:
    labels, probabilities, photos = simulate(31, 5, seed=2)
    arguments: dict[str, Any] = {"threshold": 0.5, "photos": photos if grouped else None, "n_resamples": 101}
    expected = measure(labels, probabilities, **arguments)
    monkeypatch.setattr(metrics, "_BLOCK_CELLS", cells)
    for name, figure in measure(labels, probabilities, **arguments).items():
        ours, theirs = figure.document(), expected[name].document()
        assert ours == pytest.approx(theirs, abs=1e-12), name  # the last bit depends on memory layout


def test_resampling_follows_the_seed() -> None:
    labels, probabilities, photos = simulate(20, 6, seed=1)
    runs = [measure(labels, probabilities, threshold=0.5, photos=photos, seed=seed) for seed in (0, 0, 1)]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_average_precision_has_the_interval_of_a_plain_bootstrap_over_photos() -> None:
    labels, probabilities, photos = simulate(30, 8, seed=3)
    rng = np.random.default_rng(5)
    rows = [np.flatnonzero(np.array(photos) == photo) for photo in sorted(set(photos))]
    replicates = []
    for _ in range(200):
        taken = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
        replicates.append(sk.average_precision_score(labels[taken], probabilities[taken]))
    low, high = np.quantile(replicates, [0.025, 0.975])
    arguments: dict[str, Any] = {"threshold": 0.5, "photos": photos, "n_resamples": 200, "seed": 5}
    ours = measure(labels, probabilities, **arguments)["average_precision"]
    assert (ours.low, ours.high) == pytest.approx((low, high))


def test_intervals_over_photos_cover_the_truth() -> None:
    truth, _, _ = simulate(20_000, 1, seed=99)
    labels, probabilities, _ = simulate(20_000, 1, seed=99)
    accuracy = np.mean((probabilities >= 0.5) == truth)
    covered = {"photos": 0, "patches": 0}
    for seed in range(80):
        labels, probabilities, photos = simulate(40, 15, seed=seed, spread=1.0)
        for kind, clusters in (("photos", photos), ("patches", None)):
            figure = measure(labels, probabilities, threshold=0.5, photos=clusters, n_resamples=200)["accuracy"]
            covered[kind] += figure.low <= accuracy <= figure.high
    assert covered["photos"] >= 68  # 95 % of 80 is 76; fewer than 68 has a chance below 1 in 1,000
    assert covered["photos"] >= covered["patches"]


SHARES = ("accuracy", "precision_crack", "recall_crack", "f1_crack", "recall_uncracked", "balanced_accuracy", "auroc")


def with_errors(n_errors: int, n_photos: int = 10, per_photo: int = 40) -> dict[str, Estimate]:
    """Figures of a sample in which each of the first photos holds one missed crack and one false alarm."""
    labels = np.tile(np.arange(per_photo) % 2, n_photos)
    probabilities = labels * 0.8 + 0.1
    for photo in range(n_errors):
        rows = [photo * per_photo, photo * per_photo + 1]
        probabilities[rows] = [0.95, 0.05]
    photos = np.repeat([f"{number:03d}" for number in range(n_photos)], per_photo).tolist()
    return measure(labels, probabilities.astype(np.float64), threshold=0.5, photos=photos, n_resamples=50)


@pytest.mark.parametrize("n_photos", [4, 10, 40])
def test_a_perfect_result_has_about_the_interval_of_one_with_a_single_error(n_photos: int) -> None:
    none, one = with_errors(0, n_photos), with_errors(1, n_photos)
    for name in (*SHARES, "mcc"):
        assert (none[name].value, none[name].high) == (1.0, 1.0), name
        width, other = (found[name].high - found[name].low for found in (none, one))
        assert 0.6 < width / other < 1.6, (name, none[name], one[name])
    assert none["false_alarm_rate"].low == 0.0 < none["false_alarm_rate"].high < 0.5


def test_shares_are_as_sure_as_their_photos() -> None:
    widths = [with_errors(0, n)["accuracy"] for n in (4, 8, 16, 64)]
    assert all(a.low < b.low for a, b in itertools.pairwise(widths))
    few, many = with_errors(0, 10, 10)["accuracy"], with_errors(0, 10, 200)["accuracy"]
    assert few.low < many.low < 0.95  # twenty times the patches of the same photos tell only a little more


def test_entirely_wrong_shares_have_the_mirrored_interval() -> None:
    labels = np.array([0, 1] * 10)
    wrong, right = (measure(labels, np.abs(labels - flip).astype(np.float64), threshold=0.5) for flip in (1.0, 0.0))
    for name in ("accuracy", "recall_crack", "false_alarm_rate", "balanced_accuracy", "auroc"):
        one, other = wrong[name], right[name]
        assert one.low == pytest.approx(1 - other.high, abs=1e-9), name
        assert one.high == pytest.approx(1 - other.low, abs=1e-9), name
    assert wrong["accuracy"].high == pytest.approx(1 - 0.025 ** (1 / 21))  # Bayes and Laplace: Beta(1, 21)
    assert wrong["mcc"].value == -1.0 < wrong["mcc"].high


def test_the_ends_of_f1_are_those_of_its_share() -> None:
    labels, probabilities, photos = simulate(15, 20, seed=4)
    found = measure(labels, probabilities, threshold=0.5, photos=photos, n_resamples=1)["f1_crack"]
    said = probabilities >= 0.5
    photo = np.unique(photos, return_inverse=True)[1]
    hits, counts = (np.bincount(photo[rows]) for rows in (said & (labels == 1), said | (labels == 1)))
    jaccard = measure_share(hits, counts).estimate
    assert (found.low, found.high) == pytest.approx(tuple(2 * j / (1 + j) for j in (jaccard.low, jaccard.high)))


@given(seed=st.integers(0, 10**6), spread=st.floats(0.5, 2))
@settings(max_examples=10, deadline=None)
def test_patches_given_twice_within_their_photos_tell_nothing_new(seed: int, spread: float) -> None:
    labels, probabilities, photos = simulate(20, 30, seed, spread)
    once = measure(labels, probabilities, threshold=0.5, photos=photos, n_resamples=200)
    twice = measure(
        np.repeat(labels, 2),
        np.repeat(probabilities, 2),
        threshold=0.5,
        photos=np.repeat(photos, 2).tolist(),
        n_resamples=200,
    )
    for name, one in once.items():
        other = twice[name]
        assert other.value == pytest.approx(one.value), name
        assert 0.7 < (other.high - other.low) / (one.high - one.low) < 1.3, name


def test_fewer_than_three_photos_have_no_interval() -> None:
    labels, probabilities, _ = simulate(1, 60, seed=0)
    for n_photos, told in ((1, False), (2, False), (3, True)):
        photos = [str(i % n_photos) for i in range(60)]
        figures = measure(labels, probabilities, threshold=0.5, photos=photos)
        assert figures["accuracy"].value > 0
        for name in ("accuracy", "recall_crack", "auroc", "mcc", "log_loss", "ece"):
            assert math.isnan(figures[name].low) != told, name
            assert math.isnan(figures[name].high) != told, name


def test_a_label_from_too_few_photos_takes_the_interval_of_what_rests_on_it() -> None:
    labels = np.repeat([1, 1, 0, 0, 0, 0, 0, 0], 10)
    probabilities = np.where(np.arange(80) % 10, labels * 0.8 + 0.1, 0.5)  # one false alarm in each photo
    photos = np.repeat(list("abcdefgh"), 10).tolist()
    figures = measure(labels, probabilities, threshold=0.5, photos=photos, n_resamples=20)
    told = {name for name, figure in figures.items() if not math.isnan(figure.low)}
    assert told == {"recall_uncracked", "false_alarm_rate"}


def test_a_bootstrap_of_average_precision_needs_two_photos_with_a_wrong_rank() -> None:
    assert math.isnan(with_errors(0)["average_precision"].low)
    assert math.isnan(with_errors(1)["average_precision"].low)
    assert with_errors(5)["average_precision"].low < with_errors(5)["average_precision"].value


def test_without_resamples_there_is_no_interval() -> None:
    labels, probabilities, photos = simulate(10, 5, seed=0)
    figures = measure(labels, probabilities, threshold=0.5, photos=photos, n_resamples=0)
    assert all(math.isnan(figure.low) and math.isnan(figure.high) for figure in figures.values())


@pytest.mark.parametrize("label", [0, 1])
def test_one_class(label: int) -> None:
    labels = np.full(20, label)
    probabilities = np.linspace(0, 1, 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = measure(labels, probabilities, threshold=0.5, photos=[str(i // 4) for i in range(20)])
        baseline = always_crack(labels)
    for name in ("balanced_accuracy", "auroc", "mcc"):
        assert math.isnan(figures[name].value), name
        assert math.isnan(baseline[name].value), name
    assert figures["accuracy"].value == 0.5
    assert math.isnan(figures["recall_uncracked" if label else "recall_crack"].value)
    assert baseline["accuracy"].value == label


def test_no_patches() -> None:
    empty = np.array([], dtype=np.int64), np.array([], dtype=np.float64)
    for figures in (
        measure(*empty, threshold=0.5),
        measure(*empty, threshold=0.5, photos=[]),
        always_crack(empty[0]),
    ):
        assert all(math.isnan(figure.value) for figure in figures.values())
    assert choose_threshold(*empty) == 0.5


def test_always_crack_is_the_trivial_baseline() -> None:
    labels = np.array([1] * 3 + [0] * 7)
    figures = always_crack(labels, photos=[str(i % 5) for i in range(10)])
    assert figures["accuracy"].value == pytest.approx(0.3)
    assert figures["accuracy"].low < 0.3 < figures["accuracy"].high
    assert figures["recall_crack"] == Estimate(1.0, 1.0, 1.0)
    assert figures["false_alarm_rate"] == Estimate(1.0, 1.0, 1.0)
    assert figures["auroc"] == Estimate(0.5, 0.5, 0.5)
    assert figures["mcc"] == Estimate(0.0, 0.0, 0.0)
    assert figures["average_precision"].value == pytest.approx(0.3)
    assert figures["brier"].value == pytest.approx(0.21)
    assert math.isnan(figures["precision_uncracked"].value)
    assert math.isnan(figures["ece"].value)


@given(patches=PATCHES)
@settings(max_examples=60, deadline=None)
def test_chosen_threshold_has_the_highest_mcc(patches: list[tuple[int, float]]) -> None:
    labels, probabilities = (np.array(column) for column in zip(*patches, strict=True))
    threshold = choose_threshold(labels, probabilities)
    assert 0 < threshold <= 1
    if not 0 < labels.sum() < labels.size:
        assert threshold == 0.5
        return
    best = max(sk.matthews_corrcoef(labels, probabilities >= candidate) for candidate in probabilities)
    assert sk.matthews_corrcoef(labels, probabilities >= threshold) == pytest.approx(best) or best <= 0


def test_threshold_is_the_centre_in_logit_space() -> None:
    labels = np.array([0, 0, 1, 1])
    odds = np.array([0.01, 0.04, 0.16, 4.0])  # the gap from 1:25 to 4:25 has its centre at 2:25
    assert choose_threshold(labels, odds / (1 + odds)) == pytest.approx(0.08 / 1.08)
    assert choose_threshold(labels, np.array([0.0, 0.0, 1.0, 1.0])) == pytest.approx(0.5)
    # Saturated probabilities beyond what a logit can tell apart: still between them.
    low, high = 1 - 2e-10, 1 - 1e-10
    assert low < choose_threshold(labels, np.array([0.1, low, high, high])) <= high


def test_equally_good_thresholds_go_to_the_one_nearest_to_a_half() -> None:
    labels = np.array([1, 0, 1, 0, 1, 0])  # from the lowest probability on
    probabilities = np.array([0.05, 0.1, 0.2, 0.3, 0.6, 0.9])
    assert choose_threshold(labels, probabilities) == 0.5  # no threshold is better than none
    labels = np.array([0, 1, 0, 1])  # one false alarm or one missed crack: the same MCC
    odds = np.sqrt(0.55 / 0.45 * 0.7 / 0.3)
    assert choose_threshold(labels, np.array([0.05, 0.1, 0.55, 0.7])) == pytest.approx(odds / (1 + odds))
    assert 0.1 < choose_threshold(labels, np.array([0.1, 0.3, 0.7, 0.9])) <= 0.3  # as near: the lower


@pytest.mark.parametrize(
    ("labels", "probabilities", "photos", "part"),
    [
        ([0, 1], [0.5], None, "do not pair up"),
        ([0, 2], [0.5, 0.5], None, "label 2 of patch 1"),
        ([0, 1], [0.5, 1.5], None, "probability 1.5 of patch 1"),
        ([0, 1], [0.5, np.nan], None, "probability nan of patch 1"),
        ([0, 1], [0.5, 0.5], ["a"], "1 photos for 2 patches"),
    ],
)
def test_refuses_what_is_no_probability(
    labels: list[int], probabilities: list[float], photos: list[str] | None, part: str
) -> None:
    with pytest.raises(DataError, match=part):
        measure(np.array(labels), np.array(probabilities), threshold=0.5, photos=photos)


def test_estimates_are_written_without_nan() -> None:
    assert Estimate(np.float64(0.5), np.nan, np.inf).document() == {"value": 0.5, "low": None, "high": None}
