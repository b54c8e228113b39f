"""A thin line becomes branches, ends and junctions, and nothing of it is lost."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.morphology import skeletonize

from crackscope.geometry.line_graph import Branch, LineGraph, graph_of


def line_of(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def test_a_line_has_two_ends_and_its_pixels_in_order() -> None:
    [branch] = graph_of(line_of("......", ".#....", "..#...", "...##.", "......")).branches
    assert branch.path_xy.tolist() in ([[1, 1], [2, 2], [3, 3], [4, 3]], [[4, 3], [3, 3], [2, 2], [1, 1]])
    assert branch.ends[0] != branch.ends[1]
    assert np.isclose(branch.length, 2 * np.sqrt(2) + 1)


def test_a_ring_is_one_closed_branch() -> None:
    graph = graph_of(line_of(".....", "..#..", ".#.#.", "..#..", "....."))
    [branch] = graph.branches
    assert branch.ends[0] == branch.ends[1]
    assert branch.path_xy[0].tolist() == branch.path_xy[-1].tolist()
    assert graph.degrees.tolist() == [2]
    assert np.isclose(branch.length, 4 * np.sqrt(2))


def test_single_pixels_and_nothing() -> None:
    assert graph_of(np.zeros((5, 5), bool)).branches == ()
    [dot] = graph_of(line_of("...", ".#.", "...")).branches
    assert dot.path_xy.tolist() == [[1, 1]]


def test_short_spurs_are_cut_and_the_line_is_joined_again() -> None:
    line = np.zeros((40, 70), bool)
    line[20, 5:60] = True
    line[14:20, 30] = True  # a spur of six pixels
    line[21:38, 45] = True  # a branch
    graph = graph_of(line)
    assert len(graph.branches) == 5
    pruned = graph.pruned(10)
    assert len(pruned.branches) == 3
    assert sorted(pruned.degrees[pruned.degrees > 0].tolist()) == [1, 1, 1, 3]
    assert len(pruned.pruned(16).branches) == 1  # the shortest of three goes, and two are one line
    [whole] = LineGraph(pruned.branches[:1], pruned.n_nodes).pruned(1000).branches
    assert whole.length > 10  # what hangs at nothing is no spur


def test_short_loops_that_hang_on_a_line_are_cut_and_rings_stay() -> None:
    half, other_half = np.array([[0.0, 0], [20, 0]]), np.array([[20.0, 0], [40, 0]])
    loop = np.array([[20.0, 0], [22, 2], [20, 4], [18, 2], [20, 0]])
    for line in ([Branch(half, (0, 1)), Branch(other_half, (1, 2))], [Branch(half, (0, 1))]):
        graph = LineGraph((*line, Branch(loop, (1, 1))), 3)
        [kept] = graph.pruned(12).branches  # the loop is 11.3 long
        assert kept.length == sum(one.length for one in line)
        assert len(graph.pruned(11).branches) == len(line) + 1
    ring = LineGraph((Branch(loop, (0, 0)),), 1)
    assert len(ring.pruned(12).branches) == 1  # it hangs at nothing


def test_two_branches_that_meet_become_one() -> None:
    first = Branch(np.array([[0.0, 0], [1, 0], [2, 0]]), (0, 1))
    second = Branch(np.array([[2.0, 0], [3, 0]]), (1, 2))
    for other in (second, Branch(second.path_xy[::-1], (2, 1))):
        [whole] = LineGraph((first, other), 3).joined().branches
        assert whole.path_xy[:, 0].tolist() in ([0, 1, 2, 3], [3, 2, 1, 0])
        assert set(whole.ends) == {0, 2}
    ring = LineGraph((first, Branch(np.array([[2.0, 0], [2, 2], [0, 2], [0, 0]]), (1, 0))), 2).joined()
    assert ring.branches[0].ends[0] == ring.branches[0].ends[1]


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_every_pixel_of_a_line_lies_on_a_branch_or_in_a_junction(seed: int) -> None:
    rng = np.random.default_rng(seed)
    thick = rng.random((30, 40)) < rng.uniform(0.1, 0.7)
    line = np.asarray(skeletonize(thick))  # type: ignore[no-untyped-call]
    graph = graph_of(line)
    points = np.concatenate([branch.path_xy for branch in graph.branches] or [np.empty((0, 2))])
    for row, column in np.argwhere(line):
        near = np.hypot(points[:, 0] - column, points[:, 1] - row) if len(points) else np.array([np.inf])
        alone = line[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].sum() > 3
        assert near.min() <= 2.5 or alone
    assert (graph.degrees[[node for branch in graph.branches for node in branch.ends]] > 0).all()
    parts = graph.components()
    assert sorted(number for part in parts for number in part) == list(range(len(graph.branches)))
