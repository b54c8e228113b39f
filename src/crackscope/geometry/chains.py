"""Chains: branches that run on into each other through junctions, as one line would.

Where a joint between two boards is crossed by a crack, the graph has four branches, and the eye sees two lines. In each
junction the two branches that turn least are taken for one line (good continuation, Wertheimer 1923), then the next
two.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from crackscope.arrays import Float64Array
from crackscope.geometry.line_graph import Branch, LineGraph
from crackscope.geometry.paths import places_along

__all__ = ["Chain", "chains_of", "heading"]

MAX_TURN_DEG = 25.0
NEAR_PX = 14.0  # length of a branch that tells its direction in a junction


@dataclass(frozen=True, eq=False)
class Chain:
    """Branches that follow each other.

    Attributes:
        numbers: Numbers of the branches in their graph.
        path_xy: Points along all of them, shape (n, 2).
        ends: Numbers of the first and the last node.
    """

    numbers: tuple[int, ...]
    path_xy: Float64Array
    ends: tuple[int, int]


def heading(way_out: Float64Array, near_px: float = NEAR_PX) -> Float64Array:
    """Unit vector in which a path leaves its first point.

    Args:
        way_out: Points, shape (n, 2).
        near_px: Length of the path that counts.
    """
    at = places_along(way_out)
    onwards = way_out[min(int(np.searchsorted(at, near_px)), len(way_out) - 1)] - way_out[0]
    return np.asarray(onwards / max(float(np.hypot(*onwards)), 1e-9), np.float64)


def chains_of(graph: LineGraph) -> list[Chain]:
    """Divide a graph into chains; every branch belongs to one.

    Args:
        graph: The graph, in photo pixels.
    """
    follows = _pairs(graph)
    found, taken = [], set[int]()
    # A chain begins at a branch's end that nothing follows; what is left over is closed.
    ends = [(number, place) for number in range(len(graph.branches)) for place in (0, 1)]
    for begin in [*(end for end in ends if end not in follows), *ends]:
        if begin[0] in taken:
            continue
        numbers, paths, (number, place) = [], [], begin
        first = graph.branches[number].ends[place]
        while True:
            branch = graph.branches[number]
            taken.add(number)
            numbers.append(number)
            paths.append(branch.path_xy if place == 0 else branch.path_xy[::-1])
            last = branch.ends[1 - place]
            following = follows.get((number, 1 - place))
            if following is None or following[0] in taken:
                break
            number, place = following
        path = np.concatenate([paths[0], *(one[1:] for one in paths[1:])])
        found.append(Chain(tuple(numbers), path, (first, last)))
    return found


def _pairs(graph: LineGraph) -> dict[tuple[int, int], tuple[int, int]]:
    """For an end of a branch (its number, 0 or 1), the end of the branch that follows it."""
    at: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, branch in enumerate(graph.branches):
        for place, node in enumerate(branch.ends):
            at[node].append((number, place))
    follows: dict[tuple[int, int], tuple[int, int]] = {}
    straight = -np.cos(np.deg2rad(MAX_TURN_DEG))
    for ends in at.values():
        headings = [_leaving(graph.branches[number], place) for number, place in ends]
        turns = sorted(
            (float(headings[i] @ headings[j]), ends[i], ends[j])
            for i in range(len(ends))
            for j in range(i)
            if ends[i][0] != ends[j][0]
        )
        for cosine, one, other in turns:
            if cosine <= straight and one not in follows and other not in follows:
                follows[one], follows[other] = other, one
    return follows


def _leaving(branch: Branch, place: int) -> Float64Array:
    return heading(branch.path_xy if place == 0 else branch.path_xy[::-1])
