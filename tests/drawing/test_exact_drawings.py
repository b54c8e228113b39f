"""Truth of drawings: cells that lines pass through, lines hidden behind others, rounding that loses no light."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.drawing.exact_drawings import (
    CrackLine,
    bare,
    hidden_behind,
    line_cells,
    rounded,
    values_at,
    visibilities_at,
)
from crackscope.errors import DataError


@given(st.floats(0, 63), st.floats(0, 63), st.floats(0, 63), st.floats(0, 63), st.sampled_from([1, 2, 4, 16]))
@settings(max_examples=40, deadline=None)
def test_cells_hold_the_line_and_nothing_far_from_it(x0: float, y0: float, x1: float, y1: float, stride: int) -> None:
    path_xy = np.array([[x0, y0], [x1, y1]])
    cells = line_cells([path_xy], (64, 64), stride)
    assert cells.shape == (64 // stride, 64 // stride)
    for x, y in path_xy:
        assert cells[int((y + 0.5) // stride), int((x + 0.5) // stride)]
    rows, columns = np.nonzero(cells)
    middles = (np.stack([columns, rows], axis=1) + 0.5) * stride - 0.5
    along = path_xy[1] - path_xy[0]
    share = np.clip(((middles - path_xy[0]) @ along) / max(float(along @ along), 1e-12), 0, 1)
    assert np.hypot(*(middles - path_xy[0] - share[:, None] * along).T).max() <= 0.71 * stride + 1e-6


def test_cells_of_an_odd_size_and_of_lines_outside() -> None:
    assert line_cells([np.array([[9.0, 9.0]])], (10, 10), 4)[2, 2]
    assert line_cells([], (10, 13), 4).shape == (3, 4)
    assert not line_cells([np.array([[-9.0, -9.0], [-1.0, 40.0]])], (10, 10), 4).any()


def test_narrow_stretches_can_be_left_out() -> None:
    drawing = bare(np.zeros((16, 16, 3), np.uint8))
    path_xy = np.stack([np.arange(16.0), np.full(16, 8.0)], axis=1)
    crack = CrackLine(path_xy, np.linspace(0, 3, 16), np.ones(16), np.linspace(9, 0, 16), "plain", 0)
    drawing = replace(drawing, cracks=(crack,))
    assert drawing.crack_cells(1, narrowest_px=1.5)[8].astype(int).tolist() == [0] * 8 + [1] * 8
    assert drawing.crack_cells(1, faintest=6.0)[8].astype(int).tolist() == [1] * 6 + [0] * 10


def test_what_is_in_front_hides_a_line_and_leaves_a_gap() -> None:
    path_xy = np.stack([np.arange(20.0), np.full(20, 3.0)], axis=1)
    crack = CrackLine(path_xy, np.ones(20), np.ones(20), np.ones(20), "plain", 0)
    front = np.zeros((7, 20), np.float32)
    front[:, 8:11] = 1
    seen, hidden = hidden_behind([crack], front)
    assert [line.path_xy[:, 0].tolist() for line in seen] == [list(range(8)), list(range(11, 20))]
    assert [path[:, 0].tolist() for path in hidden] == [[7, 8, 9, 10, 11]]


def test_the_same_change_is_less_visible_on_uneven_concrete() -> None:
    rng = np.random.default_rng(0)
    path_xy = np.stack([np.arange(5.0, 55), np.full(50, 30.0)], axis=1)
    seen = []
    for roughness in (2.0, 20.0):
        concrete = (150 + roughness * rng.standard_normal((60, 60))).astype(np.float32)
        cracked = concrete.copy()
        cracked[30] -= 40
        seen.append(visibilities_at(concrete, cracked, path_xy))
    assert seen[0].shape == (50,)
    assert seen[0].mean() == pytest.approx(20, rel=0.15)
    assert seen[1].mean() == pytest.approx(2, rel=0.15)


def test_rounding_keeps_the_mean_and_values_are_looked_up_by_the_nearest_pixel() -> None:
    light = np.full((200, 200), 100.3, np.float32)
    levels = rounded(light, np.random.default_rng(0))
    assert set(np.unique(levels)) == {100, 101}
    assert float(levels.mean()) == pytest.approx(100.3, abs=0.01)
    field = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert values_at(field, np.array([[0.4, 0.6], [3.2, 9.0], [-5.0, 0.0]])).tolist() == [4, 11, 0]


@pytest.mark.parametrize(
    ("pixels", "blur_px", "told"),
    [
        (np.zeros((8, 8), np.uint8), 1.0, "shape"),
        (np.zeros((8, 8, 3), np.float32), 1.0, "float32"),
        (np.zeros((8, 8, 3), np.uint8), -1.0, "blur_px is -1"),
    ],
)
def test_a_wrong_picture_is_refused(pixels: np.ndarray, blur_px: float, told: str) -> None:
    with pytest.raises(DataError, match=told):
        bare(pixels, blur_px=blur_px)
