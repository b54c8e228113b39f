"""A map of lines over a grey picture becomes lines that lie on the dark ones."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from crackscope.geometry.chains import chains_of
from crackscope.geometry.cracks import Crack
from crackscope.geometry.grouping import cracks_of
from crackscope.geometry.joints import part_joints
from crackscope.geometry.line_graph import LineGraph
from crackscope.geometry.line_tracing import Guide, trace_lines
from crackscope.geometry.paths import length_of
from crackscope.geometry.ridges import ridge_map

SIDE = 240
CELL_PX = 2.5


def drawn(*paths: np.ndarray, width_px: int = 2, shift_px: float = 0.0) -> tuple[Guide, np.ndarray]:
    """A map of cells in which paths run, moved aside by some pixels, and a picture in which they are dark."""
    grey = np.full((4 * SIDE, 4 * SIDE), 160, np.uint8)
    lines = np.zeros_like(grey)
    for path in paths:
        for picture, moved, colour, width in ((grey, 0.0, 70, width_px), (lines, shift_px, 255, 2)):
            points = np.round(4 * (path + moved + 0.5)).astype(np.int32)
            cv2.polylines(picture, [points.reshape(-1, 1, 2)], isClosed=False, color=colour, thickness=4 * width)
    n = int(np.ceil(SIDE / CELL_PX))
    cells = cv2.resize(lines, (n, n), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    probability = np.clip(1.6 * cv2.GaussianBlur(cells, (0, 0), 0.7), 0, 1).astype(np.float32)
    seen = cv2.GaussianBlur(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), (0, 0), 0.8)
    noise = np.random.default_rng(0).normal(0, 2, seen.shape)
    return Guide(probability, (SIDE / n, SIDE / n), 0.4), np.clip(seen + noise, 0, 255).astype(np.uint8)


def certain(points: np.ndarray) -> np.ndarray:
    return np.ones(len(points))


def wave(y: float, *, begin: float = 20, end: float = 220, height: float = 8) -> np.ndarray:
    x = np.linspace(begin, end, 400)
    return np.column_stack([x, y + height * np.sin(x / 18)])


def distances(points: np.ndarray, path: np.ndarray) -> np.ndarray:
    return np.asarray(np.hypot(*(points[:, None] - path[None]).transpose(2, 0, 1)).min(1))


@pytest.mark.parametrize("shift_px", [0.0, 1.5])
def test_a_line_is_moved_onto_the_dark_one_and_has_its_length(shift_px: float) -> None:
    path = wave(120)
    [branch] = trace_lines(*drawn(path, shift_px=shift_px)).branches
    off = distances(branch.path_xy, path)[10:-10]
    assert np.sqrt((off**2).mean()) < 0.35
    assert abs(length_of(branch.path_xy) / length_of(path) - 1) < 0.02
    steps = np.hypot(*np.diff(branch.path_xy, axis=0).T)
    assert np.all((steps > 0.3) & (steps < 2))


def test_branches_meet_in_one_point() -> None:
    fork = np.column_stack([np.linspace(120, 200, 80), np.linspace(120, 30, 80)])
    graph = trace_lines(*drawn(wave(120, height=0), fork))
    assert len(graph.branches) == 3
    [junction] = np.flatnonzero(graph.degrees == 3)
    starts = np.array([branch.from_node(int(junction))[0] for branch in graph.branches])
    assert np.ptp(starts, axis=0).max() < 1e-9
    assert np.hypot(*(starts[0] - (120, 120))) < 5


def test_a_small_gap_is_closed_and_a_wide_one_stays() -> None:
    for gap_px, n_lines in ((10, 1), (60, 2)):
        pieces = wave(120, end=100), wave(120, begin=100 + gap_px)
        graph = trace_lines(*drawn(*pieces))
        assert len(graph.components()) == n_lines, gap_px
    beside = trace_lines(*drawn(wave(100, height=0), wave(112, height=0)))
    assert len(beside.components()) == 2  # lines side by side are no gap


def test_nothing_and_specks_give_no_line() -> None:
    guide, grey = drawn()
    assert trace_lines(guide, grey).branches == ()
    speck, grey = drawn(np.array([[50.0, 50], [56, 52]]))
    assert trace_lines(speck, grey).branches == ()
    everywhere = Guide(np.ones((20, 20), np.float32), (5.0, 5.0), 0.5)
    assert isinstance(trace_lines(everywhere, np.zeros((100, 100), np.uint8)), LineGraph)


def test_straight_lines_between_borders_are_joints_and_a_crack_that_crosses_them_is_not() -> None:
    joints = [np.array([[0.0, y], [239, y + 1]]) for y in (60.0, 160.0)]
    crack = np.column_stack([120 + 9 * np.sin(np.linspace(0, 9, 300)), np.linspace(5, 235, 300)])
    guide, grey = drawn(*joints, crack)
    graph = trace_lines(guide, grey)
    chains = chains_of(graph)
    assert sorted(number for chain in chains for number in chain.numbers) == list(range(len(graph.branches)))
    cracks = cracks_of(graph, guide.at, (SIDE, SIDE))
    assert [one.joint_like for one in cracks] == [False, True, True]
    assert distances(np.concatenate(cracks[0].path_xy), crack).max() < 4
    assert abs(cracks[0].length_px / length_of(crack) - 1) < 0.05
    assert part_joints(LineGraph((), 0), (10, 10))[1] == []


def test_cracks_tell_length_direction_and_pattern() -> None:
    guide, grey = drawn(wave(60, height=3), wave(100, height=3), wave(200, begin=20, end=90, height=3))
    graph = trace_lines(guide, grey)
    first, second, third = cracks_of(graph, guide.at, (SIDE, SIDE))
    assert first.pattern == second.pattern == "parallel"
    assert third.pattern == "single"
    assert first.length_px >= second.length_px > third.length_px > 60
    assert min(first.direction_deg, 180 - first.direction_deg) < 3
    assert first.n_ends == 2
    assert first.n_junctions == 0
    assert np.isclose(first.directions_px.sum(), first.length_px)
    assert first.tortuosity is not None
    assert 1 <= first.tortuosity < 1.1
    assert 0.4 < first.mean_confidence <= 1
    left, top, right, bottom = third.box_xyxy
    assert left < 25
    assert right > 85
    assert 190 < top < bottom < 210
    again = cracks_of(graph, guide.at, (SIDE, SIDE))
    assert [one.id for one in again] == [first.id, second.id, third.id]
    assert Crack.from_dict(json.loads(json.dumps(first.to_dict()))) == first
    assert first != second
    alone = trace_lines(*drawn(wave(60, height=3)))
    [only] = cracks_of(alone, certain, (SIDE, SIDE))
    assert only.pattern == "single"


def test_a_mesh_of_cracks_is_a_map() -> None:
    angle = np.linspace(0, 2 * np.pi, 400)
    radius = 60 + 7 * np.sin(5 * angle)
    ring = np.column_stack([120 + radius * np.cos(angle), 120 + radius * np.sin(angle)])
    across = np.column_stack([120 + 5 * np.sin(np.linspace(0, 6, 200)), np.linspace(56, 186, 200)])
    graph = trace_lines(*drawn(ring, across))
    [crack] = cracks_of(graph, certain, (SIDE, SIDE))
    assert crack.pattern == "map"
    assert crack.n_junctions == 2


def test_ridges_lie_on_dark_lines_where_they_are_wanted() -> None:
    path = wave(120)
    _, grey = drawn(path)
    wanted = np.zeros((SIDE, SIDE), bool)
    wanted[:, 60:] = True
    found = ridge_map(np.repeat(grey[..., None], 3, axis=2), wanted)
    assert not found[:, :60].any()
    columns, rows = np.round(path[(path[:, 0] > 70) & (path[:, 0] < 210)]).astype(int).T
    assert (found[rows, columns] > 0.5).mean() > 0.95
    far = np.abs(np.arange(SIDE) - 120) > 30
    assert (found[far] > 0.5).mean() < 0.02
