"""Paired tests: two models on the same patches, by McNemar's test and the gain in accuracy over photos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import binom

from crackscope.arrays import BoolArray, Int64Array
from crackscope.data.patches import LABELS
from crackscope.errors import DataError
from crackscope.measuring.estimates import LEAST_CLUSTERS, TAIL, Estimate

__all__ = ["Answers", "PairedTest", "compare_pair", "mcnemar"]


_BLOCK_CELLS = 1 << 20  # resamples x photos in memory at once


@dataclass(frozen=True, eq=False)
class Answers:
    """What a run said of the patches it was judged on.

    Attributes:
        run: Name of the run.
        dataset: Name of the data; a path means the same patch only within one.
        paths: Path of each patch, relative to the data, n different paths.
        photos: Name of the photo, or group, of each patch, n names; None where they are not known.
        labels: True label of each patch, shape (n,): 1 for crack, 0 for uncracked.
        wrong: Whether the answer for each patch, by the threshold alone, is wrong, shape (n,).
    """

    run: str
    dataset: str
    paths: tuple[str, ...]
    photos: tuple[str, ...] | None
    labels: Int64Array
    wrong: BoolArray


@dataclass(frozen=True)
class PairedTest:
    """Two runs, compared on the patches that both judged.

    Attributes:
        first: Name of one run.
        second: Name of the other run.
        n_common: Number of patches that both judged.
        n_photos: Number of photos, or groups, that these patches come from; None where they are not known.
        n_only_first_wrong: Number of patches that only the first run got wrong.
        n_only_second_wrong: Number of patches that only the second run got wrong.
        p: Exact p-value of McNemar's test, in [0, 1]; NaN without a common patch. A small one says that the two differ
            in how often they are wrong.
        accuracy_gain: Accuracy of the second run minus that of the first, in [-1, 1], with its 95 % interval over
            photos; NaN without a common patch.
        note: Reason why nothing was tested; empty where it was.
    """

    first: str
    second: str
    n_common: int
    n_photos: int | None
    n_only_first_wrong: int
    n_only_second_wrong: int
    p: float
    accuracy_gain: Estimate
    note: str = ""


def compare_pair(first: Answers, second: Answers, *, n_resamples: int = 1000, seed: int = 0) -> PairedTest:
    """Compare two runs on the patches that both judged, paired by path.

    The gain's interval is the 2.5th to 97.5th percentile over resamples of the photos, both runs judged on the same
    ones. Patches that either run holds to be of one photo stay together. It is NaN where photos are not known, with
    fewer than three of them, and where no resample differs, which would be a false certainty.

    Swapping the runs swaps the counts and the sign of the gain, and keeps p. The order of the patches changes nothing.

    Source: resampling whole photos: Davison & Hinkley (1997), section 3.8; percentile interval: Efron & Tibshirani
    (1993), ch. 13.

    Raises:
        DataError: If the runs disagree on the label of a patch.
    """
    nowhere = Estimate(math.nan, math.nan, math.nan)
    if first.dataset != second.dataset:
        note = f"other data: {first.dataset} and {second.dataset}"
        return PairedTest(first.run, second.run, 0, None, 0, 0, math.nan, nowhere, note)
    rows = {path: row for row, path in enumerate(second.paths)}
    common = sorted((path, row, rows[path]) for row, path in enumerate(first.paths) if path in rows)
    if not common:
        return PairedTest(first.run, second.run, 0, None, 0, 0, math.nan, nowhere, "no common patches")
    here, there = [row for _, row, _ in common], [row for _, _, row in common]
    _require_same_labels(first, second, here, there)
    gains = first.wrong[here].astype(np.int64) - second.wrong[there]  # 1 where only the second is right
    photos = [
        [run.photos[row] for row in taken] for run, taken in ((first, here), (second, there)) if run.photos is not None
    ]
    groups = _stay_together(photos) if photos else None
    n_only_first_wrong, n_only_second_wrong = int((gains > 0).sum()), int((gains < 0).sum())
    return PairedTest(
        first=first.run,
        second=second.run,
        n_common=len(common),
        n_photos=None if groups is None else int(groups.max()) + 1,
        n_only_first_wrong=n_only_first_wrong,
        n_only_second_wrong=n_only_second_wrong,
        p=mcnemar(n_only_first_wrong, n_only_second_wrong),
        accuracy_gain=_gain(gains, groups, n_resamples=n_resamples, seed=seed),
    )


def mcnemar(n_only_first_wrong: int, n_only_second_wrong: int) -> float:
    """Exact p of McNemar's test: whether two models differ in how often they are wrong on the same patches.

    If both are equally good, each should have half of the patches that one alone got wrong. p is twice the binomial
    tail, at most 1.
    Patches of one photo are not independent, so p is optimistic: read the interval over photos beside it. Nor does p
    know that the same recipe with another seed gives another model, and among many pairs one has a small p by chance.

    Better: neither; a small p says that the models differ.

    Empty: 1 where neither is wrong alone.

    Source: McNemar (1947), Psychometrika 12; to compare two classifiers: Dietterich (1998), Neural Computation 10,
    section 3.1, there with the chi-square approximation.

    Example:
        >>> mcnemar(1, 7), mcnemar(0, 0)
        (0.0703125, 1.0)
    """
    n = n_only_first_wrong + n_only_second_wrong
    return min(1.0, 2 * float(binom.cdf(min(n_only_first_wrong, n_only_second_wrong), n, 0.5)))


def _require_same_labels(first: Answers, second: Answers, here: list[int], there: list[int]) -> None:
    differing = np.flatnonzero(first.labels[here] != second.labels[there])
    if differing.size:
        row = here[differing[0]]
        label, other = LABELS[first.labels[row]], LABELS[1 - first.labels[row]]
        raise DataError(
            f"{first.run} and {second.run}: {first.paths[row]} is {label} in the first and {other} in the second, and "
            f"{differing.size} of {len(here)} common patches differ so. Evaluate both on the same labels."
        )


def _stay_together(groupings: Sequence[Sequence[str]]) -> Int64Array:
    """Number the groups of patches that some grouping keeps together, by their first patch."""
    n = len(groupings[0])
    leaders: list[int] = []
    for photos in groupings:
        first_of: dict[str, int] = {}
        leaders += [first_of.setdefault(photo, row) for row, photo in enumerate(photos)]
    rows = np.tile(np.arange(n), len(groupings))
    links = coo_array((np.ones(len(leaders), np.int8), (rows, np.array(leaders))), shape=(n, n))
    _, groups = connected_components(links, directed=False)
    return np.asarray(groups, np.int64)


def _gain(gains: Int64Array, groups: Int64Array | None, *, n_resamples: int, seed: int) -> Estimate:
    """Mean of the gains, each -1, 0 or 1, with its interval over groups."""
    value = float(gains.mean())
    n = 0 if groups is None else int(groups.max()) + 1
    if groups is None or n < LEAST_CLUSTERS or n_resamples < 1:
        return Estimate(value, math.nan, math.nan)
    sums, sizes = np.bincount(groups, weights=gains, minlength=n), np.bincount(groups, minlength=n)
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_CELLS // n)
    resampled = []
    for start in range(0, n_resamples, block):
        drawn = rng.integers(n, size=(min(block, n_resamples - start), n))
        resampled.append(sums[drawn].sum(1) / sizes[drawn].sum(1))
    low, high = np.quantile(np.concatenate(resampled), [TAIL, 1 - TAIL])
    if high - low <= 1e-9:
        return Estimate(value, math.nan, math.nan)
    return Estimate(value, min(float(low), value), max(float(high), value))
