"""Shapes of cracks: the told widths and lines are those of the edges; branches leave the trunk; gaps part it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.drawing.blurred_outlines import outline_share
from crackscope.drawing.crack_paths import CrackShape, fork_from, new_shape, shape_along, split_at, strand_beside

HW = (160, 160)


@given(st.integers(0, 2**31), st.floats(0.25, 12))
@settings(max_examples=25, deadline=None)
def test_width_times_length_is_the_area(seed: int, width: float) -> None:
    shape = new_shape(np.random.default_rng(seed), HW, width)
    lengths = np.hypot(*np.gradient(shape.path_xy, axis=0).T)
    around = 60  # room for what leaves the picture
    area = float(outline_share([shape.outline_xy + around], picture_hw=(HW[0] + 120, HW[1] + 120)).sum())
    assert float((shape.widths_px * lengths).sum()) == pytest.approx(area, rel=0.1, abs=width**2)  # 0.3 % in the mean
    assert shape.path_xy.shape == (len(shape.widths_px), 2)
    assert shape.edges_xy.shape == (2, len(shape.widths_px), 2)
    assert shape.widths_px.min() > 0
    assert shape.widths_px.max() < 4 * width


def test_widths_are_near_the_typical_one_over_many_cracks() -> None:
    for width_px in (0.5, 2.0, 8.0):
        medians = [
            float(np.median(new_shape(np.random.default_rng(seed), HW, width_px).widths_px)) for seed in range(30)
        ]
        assert 0.5 * width_px < np.median(medians) < 1.1 * width_px


def test_a_smooth_shape_along_a_line_is_exact() -> None:
    path_xy = np.stack([np.linspace(3, 90, 88), np.full(88, 40.25)], axis=1)
    widths = np.linspace(1, 5, 88)
    shape = shape_along(path_xy, widths)
    assert np.allclose(shape.widths_px, widths)
    assert np.allclose(shape.edges_xy[0] - shape.edges_xy[1], np.stack([np.zeros(88), widths], axis=1))
    assert np.allclose(shape.edges_xy.mean(axis=0), path_xy)


def test_rough_edges_hardly_change_the_mean_width() -> None:
    path_xy = np.stack([np.linspace(0, 900, 901), np.full(901, 40.0)], axis=1)
    shape = shape_along(path_xy, np.full(901, 4.0), np.random.default_rng(0), roughness=1.0)
    assert shape.widths_px.std() > 0.1
    assert float(shape.widths_px.mean()) == pytest.approx(4, rel=0.03)


@pytest.mark.parametrize(("draw", "width_px"), [(fork_from, 6.0), (strand_beside, 2.5)])
def test_a_branch_begins_on_its_parent_and_opens_at_its_edge(
    draw: Callable[[np.random.Generator, CrackShape, tuple[int, int]], CrackShape | None], width_px: float
) -> None:
    twice: list[float] = []
    opened: list[int] = []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        parent = new_shape(rng, HW, width_px)
        branch = draw(rng, parent, HW)
        if branch is None:
            continue
        away = np.hypot(*(branch.path_xy[:1] - parent.path_xy).T)
        assert away.min() < 1.5
        opened.append(branch.first)
        alone = outline_share([branch.outline_xy], picture_hw=HW)
        both = alone + outline_share([parent.outline_xy], picture_hw=HW)
        twice.append(float(np.maximum(both - 1, 0).sum() / alone.sum()))
    assert len(twice) >= 12
    assert np.median(opened) >= 1
    assert np.median(twice) < 0.1  # hardly anything is covered twice


def test_gaps_part_a_crack_and_are_told() -> None:
    shape = new_shape(np.random.default_rng(2), HW, 3.0)
    gaps = np.zeros(len(shape.path_xy), bool)
    gaps[30:40] = gaps[60:80] = True
    pieces, between = split_at(shape, gaps)
    assert len(pieces) == 3
    assert [len(path) for path in between] == [12, 22]
    assert pieces[0].widths_px[-1] < 0.1 * shape.widths_px[29]
    whole = outline_share([shape.outline_xy], picture_hw=HW).sum()
    parts = outline_share([piece.outline_xy for piece in pieces], picture_hw=HW).sum()
    assert parts < whole
    assert all(
        np.array_equal(piece.path_xy[0], shape.path_xy[at]) for piece, at in zip(pieces, (0, 40, 80), strict=True)
    )
