"""Sums over photos that belong together, and the intervals of what they give."""

from __future__ import annotations

import numpy as np
import pytest

from crackscope.measuring.clusters import Clusters

HITS, COUNTS = np.array([8.0, 2, 9, 5]), np.array([10.0, 10, 10, 10])


def test_photos_stand_alone_or_in_their_clusters() -> None:
    alone, paired = Clusters.of(4), Clusters.of(4, ["b", "b", "a", "c"], "scenes")
    assert (alone.n, alone.kind, paired.n, paired.kind) == (4, "photos", 3, "scenes")
    assert paired.rows.tolist() == [1, 1, 0, 2]
    assert (alone.n_with([True, True, False, False]), paired.n_with([True, True, False, False])) == (2, 1)


def test_a_share_is_counted_by_cluster_and_one_of_nothing_is_none() -> None:
    share = Clusters.of(4).share((HITS, COUNTS))
    assert share.value == 0.6
    assert share.low < 0.6 < share.high
    assert np.isnan(Clusters.of(4, ["a", "a", "b", "b"]).share((HITS, COUNTS)).low)  # two clusters
    nothing = Clusters.of(4).share((np.zeros(4), np.zeros(4)))
    assert np.isnan([nothing.value, nothing.low]).all()


def test_a_share_of_lengths_holds_its_value_though_counts_are_rounded() -> None:
    share = Clusters.of(3).share((np.array([0.4, 0.4, 0.4]), np.array([100.4, 90.2, 80.1])))
    assert share.value == pytest.approx(1.2 / 270.7)
    assert share.low <= share.value <= share.high


def test_a_mean_leaves_out_photos_without_a_value() -> None:
    mean = Clusters.of(4).mean(np.array([0.5, np.nan, 1.0, 0.6]))
    assert mean.value == pytest.approx(0.7)
    assert mean.low < 0.7 < mean.high


def test_a_ratio_may_exceed_1() -> None:
    ratio = Clusters.of(4).ratio((2 * HITS, COUNTS))
    assert ratio.value == pytest.approx(1.2)
    assert 0 < ratio.low < 1.2 < ratio.high
    assert np.isnan(Clusters.of(2).ratio((HITS[:2], np.zeros(2))).value)


def test_photos_of_a_cluster_are_drawn_together() -> None:
    weights = Clusters.of(4, ["a", "a", "b", "c"]).drawn(50, seed=0)
    assert weights.shape == (50, 4)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 0] + weights[:, 2] + weights[:, 3] == 3).all()
