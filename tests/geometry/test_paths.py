"""Lengths, directions and normals of paths."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crackscope.geometry.paths import (
    direction_deg,
    direction_histogram,
    length_of,
    normals_of,
    resampled,
    smoothed,
)


@given(st.floats(0, 179.9), st.floats(5, 200))
def test_a_straight_path_has_its_length_and_its_direction(degrees: float, length: float) -> None:
    angle = np.deg2rad(degrees)
    path = resampled(np.array([[10.0, 10.0], [10 + length * np.cos(angle), 10 - length * np.sin(angle)]]))
    assert np.isclose(length_of(path), length)
    found, strength = direction_deg(path)
    assert min(abs(found - degrees), 180 - abs(found - degrees)) < 1e-6
    assert np.isclose(strength, 1)
    assert np.isclose(direction_histogram(path).sum(), length)
    assert np.allclose(smoothed(path, 3), path)
    assert np.allclose((normals_of(path) * (path[-1] - path[0])).sum(1), 0, atol=1e-6)


def test_smoothing_takes_the_steps_of_pixels_out_of_a_length() -> None:
    x = np.arange(400.0)
    path = np.column_stack([x, np.round(0.4 * x)])
    steps = length_of(path)
    found = length_of(smoothed(resampled(path), 3))
    truth = float(np.hypot(399, 160))
    assert steps > 1.04 * truth
    assert abs(found - truth) < 0.005 * truth


def test_ends_stay_and_short_paths_are_kept() -> None:
    path = np.array([[0.0, 0], [1, 3], [2, 0], [3, 3]])
    for sigma in (0.5, 2, 10):
        assert smoothed(path, sigma)[[0, -1]].tolist() == path[[0, -1]].tolist()
    assert smoothed(path[:2], 3).tolist() == path[:2].tolist()
    assert resampled(path[:1]).tolist() == path[:1].tolist()
    assert resampled(np.zeros((3, 2))).shape == (1, 2)
    assert direction_deg(path[:1]) == (0.0, 0.0)


def test_directions_of_a_right_angle_cancel_each_other() -> None:
    path = np.array([[0.0, 0], [10, 0], [10, 10]])
    assert direction_deg(path)[1] < 1e-9
    histogram = direction_histogram(path)
    assert histogram[0] == 10
    assert histogram[9] == 10
