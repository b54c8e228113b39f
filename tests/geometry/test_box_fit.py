"""Boxes are fitted robustly: what lies beside the crack counts little."""

from __future__ import annotations

import numpy as np
import pytest

from crackscope.geometry.blurred_box import edge_tables, softened_edge
from crackscope.geometry.box_fit import Boxes, concrete_level, fit_boxes, without_other_cracks

X = np.arange(40, dtype=np.float64) - 19.5
BOX = softened_edge(X + 1.5, 0.9) - softened_edge(X - 1.5, 0.9)


def test_the_concrete_is_told_by_what_is_bright() -> None:
    assert concrete_level((200 * (1 - 0.9 * BOX))[None])[0] == pytest.approx(200, abs=1)


def test_a_grain_beside_the_crack_is_pulled_towards_the_fit() -> None:
    profile = -0.8 * BOX + 0.01 * np.random.default_rng(0).standard_normal(40)
    profile[33] = -0.4
    boxes = Boxes(np.array([3.0]), np.array([0.0]), np.array([0.9]))
    fit = fit_boxes(profile[None], edge_tables(40, (0.9,), 0.35), boxes)
    assert fit.pulled[0, 33] > -0.1
    np.testing.assert_array_equal(fit.pulled[0, 18:22], profile[18:22])
    assert fit.dip[0] == pytest.approx(0.5, abs=0.1)  # the mean over the blurred box


def test_other_cracks_are_filled_and_the_crack_is_left() -> None:
    other = 0.8 * np.exp(-0.5 * ((X - 13) / 1.0) ** 2)
    filled = without_other_cracks((-0.8 * BOX - other)[None])[0]
    np.testing.assert_allclose(filled[10:30], -0.8 * BOX[10:30], atol=3e-3)
    assert filled[30:].min() >= -0.41


def test_a_rise_has_no_dip() -> None:
    boxes = Boxes(np.array([3.0]), np.array([0.0]), np.array([0.9]))
    assert fit_boxes((X / 40)[None], edge_tables(40, (0.9,), 0.35), boxes).dip[0] < 0
