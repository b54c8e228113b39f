"""How far two lines run near one another, and which are paired."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.inspection.matching import REACH_PX, Line, agreement, agreements_between, assigned
from shared.drawn_cracks import crack_along, level_crack, network


def line(*paths: object) -> Line:
    return Line.of(crack_along(*paths).path_xy)


LEVEL = line([[100, 200], [500, 200]])


@pytest.mark.parametrize("off", [0.0, 1.0, 3.0, 5.9])
def test_lines_beside_each_other_within_the_reach_are_near(off: float) -> None:
    found = agreement(LEVEL, line([[100, 200 + off], [500, 200 + off]]))
    assert found.of_both == pytest.approx(1)
    assert found.of_shorter == pytest.approx(1)


def test_lines_farther_away_share_nothing() -> None:
    found = agreement(LEVEL, line([[100, 207], [500, 207]]))
    assert (found.near_a_px, found.near_b_px, found.of_shorter, found.matches) == (0, 0, 0, False)


def test_a_piece_shares_all_of_itself() -> None:
    found = agreement(LEVEL, line([[400, 202], [500, 202]]))
    assert found.of_shorter == found.of_b == pytest.approx(1)
    assert found.near_a_px == pytest.approx(106, abs=3)  # its ends reach 6 px on
    assert found.of_both == pytest.approx(206 / 500, abs=0.01)


@pytest.mark.parametrize("degrees", [60, 90, 120])
def test_short_lines_that_cross_a_long_one_do_not_match(degrees: float) -> None:
    way = 8 * np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
    found = agreement(LEVEL, line([np.array([300, 200]) - way, np.array([300, 200]) + way]))
    assert not found.matches


def test_branches_count_together() -> None:
    forked = line([[100, 200], [300, 200]], [[300, 200], [300, 400]])
    found = agreement(forked, line([[100, 200], [300, 200]]))
    assert found.of_b == pytest.approx(1)
    assert found.of_a == pytest.approx(0.5, abs=0.02)


def test_lines_without_points_share_nothing() -> None:
    nothing, point = Line.of([]), Line.of([np.array([[100.0, 200.0]])])
    for other in (nothing, point):
        assert agreement(LEVEL, other).of_shorter == 0
        assert agreement(other, LEVEL).score == 0
    assert agreements_between([LEVEL, nothing], [point, nothing]) == {}
    assert agreements_between([], [LEVEL]) == {}


def test_a_reach_of_the_photo_may_be_wider() -> None:
    assert agreement(LEVEL, line([[100, 210], [500, 210]]), reach_px=12).matches


@given(st.integers(0, 10**6), st.floats(0, 3), st.floats(0, 2 * np.pi))
def test_lines_traced_up_to_3_px_aside_match(seed: int, off: float, angle: float) -> None:
    one = network(np.random.default_rng(seed), 1)[0]
    by = off * np.array([np.cos(angle), np.sin(angle)])
    found = agreement(Line.of(one.path_xy), Line.of([path + by for path in one.path_xy]))
    assert found.of_both > 0.9
    assert found.score <= min(found.near_a_px, found.near_b_px) * (1 + 1e-9)  # but for rounding


@given(st.integers(0, 10**6))
def test_both_lines_are_treated_alike(seed: int) -> None:
    one, other = (Line.of(crack.path_xy) for crack in network(np.random.default_rng(seed), 2, (200, 200)))
    there, back = agreement(one, other), agreement(other, one)
    assert (there.near_a_px, there.near_b_px, there.score) == (back.near_b_px, back.near_a_px, back.score)
    assert there.of_both == back.of_both


# Pairs


def scores_of(first: list[Line], second: list[Line]) -> dict[tuple[int, int], float]:
    return {key: one.score for key, one in agreements_between(first, second).items()}


def test_lines_side_by_side_are_not_swapped_when_all_are_traced_aside() -> None:
    """The best single pair is a wrong one here: the second line of before lies nearest to the first one of now."""
    before = [Line.of(level_crack(y).path_xy) for y in (200, 205)]
    now = [Line.of(level_crack(y + 3).path_xy) for y in (200, 205)]
    scores = scores_of(before, now)
    assert max(scores, key=scores.__getitem__) == (1, 0)
    assert assigned(scores) == {0: 0, 1: 1}


def test_the_longer_piece_of_a_split_line_is_its_partner() -> None:
    now = [line([[100, 201], [240, 201]]), line([[245, 201], [500, 201]])]
    assert assigned(scores_of([LEVEL], now)) == {0: 1}


@given(st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 4)), st.floats(0.1, 100), max_size=14))
def test_the_sum_is_greatest_among_all_pairings(scores: dict[tuple[int, int], float]) -> None:
    found = assigned(scores)
    assert len(set(found.values())) == len(found)
    best = max(
        sum(scores.get((row, column), 0.0) for row, column in enumerate(order))
        for order in itertools.permutations(range(5))
    )
    assert sum(scores[pair] for pair in found.items()) == pytest.approx(best)


def test_thousands_of_lines_are_compared_in_seconds() -> None:
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 5000, (2000, 2))
    lines = [Line.of([np.stack([start, start + rng.uniform(-60, 60, 2)])]) for start in starts]
    began = time.process_time()
    pairs = assigned({key: one.score for key, one in agreements_between(lines, lines, REACH_PX).items()})
    assert time.process_time() - began < 20
    assert pairs == {i: i for i in range(2000)}
