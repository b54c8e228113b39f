"""Light, spalls and damp beside a crack are told, and a plain crack is not blamed."""

from __future__ import annotations

import numpy as np

from crackscope.arrays import Float64Array
from crackscope.geometry.blurred_box import softened_edge
from crackscope.geometry.crack_edges import PROFILE_SAMPLES, CrackEdges, crack_edges

N, WIDTH, BLUR = 30, 8.0, 0.9
X = np.arange(PROFILE_SAMPLES, dtype=np.float64) - (PROFILE_SAMPLES - 1) / 2


def between(begin: float, end: float) -> Float64Array:
    return softened_edge(X - begin, BLUR) - softened_edge(X - end, BLUR)


def looked_at(factor: Float64Array | float = 1.0) -> CrackEdges:
    noise = np.random.default_rng(0).normal(0, 0.01, (N, PROFILE_SAMPLES))
    profiles = 150 * (1 - 0.8 * between(-WIDTH / 2, WIDTH / 2) + noise) * factor
    return crack_edges(profiles, np.full(N, WIDTH), np.zeros(N), BLUR)


def shares(found: CrackEdges) -> tuple[float, float, float]:
    return float(found.lit.mean()), float(found.spalled.mean()), float(found.wet.mean())


def test_a_plain_crack_has_none() -> None:
    assert shares(looked_at()) == (0, 0, 0)


def test_a_slope_of_light_is_none_either() -> None:
    assert shares(looked_at(1 + 0.1 * X / PROFILE_SAMPLES)) == (0, 0, 0)


def test_a_lit_wall_is_told() -> None:
    lit, spalled, wet = shares(looked_at(1 + 1.0 * between(0.5, WIDTH / 2)))
    assert lit > 0.9
    assert (spalled, wet) == (0, 0)


def test_a_bright_and_a_dark_edge_are_told() -> None:
    rim = 0.2 * (between(WIDTH / 2, WIDTH / 2 + 2) - between(-WIDTH / 2 - 2, -WIDTH / 2))
    assert shares(looked_at(1 + rim))[0] > 0.9


def test_a_spall_on_one_side_is_told() -> None:
    _, spalled, wet = shares(looked_at(1 - 0.25 * between(WIDTH / 2, WIDTH / 2 + 9)))
    assert spalled > 0.9
    assert wet == 0


def test_damp_on_both_sides_is_told_and_is_no_spall() -> None:
    _, spalled, wet = shares(looked_at(1 - 0.25 * between(-18, 18)))
    assert wet > 0.9
    assert spalled == 0


def test_no_places_give_no_answers() -> None:
    found = crack_edges(np.zeros((0, PROFILE_SAMPLES)), np.zeros(0), np.zeros(0), 1.0)
    assert len(found.lit) == 0
