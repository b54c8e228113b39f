"""Gaps: ends of lines are joined where the map, or the way that both lines take, says that they are one.

From each free end, lines are looked for ahead of it. The way between the two is the path along which the map is
strongest (a minimal path, Cohen and Kimmel 1997). It is taken if it is short or if the map shows something along it,
and if it hardly turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from crackscope.arrays import Float32Array, Float64Array
from crackscope.geometry.chains import heading
from crackscope.geometry.line_graph import Branch, LineGraph

__all__ = ["close_gaps"]

REACH = 40.0  # points; a wider gap is not closed
SHORT_REACH = 8.0  # points; a gap as short as this needs no sign of a line in the map
BORDER = 6.0  # points
AHEAD = 0.6  # cosine of the angle by which a line may turn where it enters a gap
BEHIND = 10.0  # points of a line that tell which way it takes
LEAST = 0.02  # probability that every point is granted
SIGN = 0.12  # mean probability along a gap, in multiples of the threshold, that is a sign of a line


@dataclass(frozen=True, eq=False)
class _Way:
    """A way from the free end of a branch to a point of another."""

    price: float
    node: int
    to_branch: int
    to_point: int
    path_xy: Float64Array


def close_gaps(graph: LineGraph, probability: Float32Array, threshold: float) -> LineGraph:
    """Close the gaps of a graph, the plainest first.

    Args:
        graph: Lines in points of the map.
        probability: The map, shape (H, W).
        threshold: Probability from which a point belongs to a line.

    Returns:
        The graph with the branches that close gaps.
    """
    if len(graph.branches) < 1:
        return graph
    ways = sorted(_ways(graph, probability, threshold), key=lambda way: way.price)
    closed: set[int] = set()
    branches = list(graph.branches)
    n_nodes = graph.n_nodes
    cuts: dict[int, list[tuple[int, int]]] = {}
    for way in ways:
        if way.node in closed:
            continue
        target = graph.branches[way.to_branch]
        if way.to_point in (0, len(target.path_xy) - 1):
            node = target.ends[0 if way.to_point == 0 else 1]
            if node in closed:
                continue
            closed.add(node)
        else:
            node = n_nodes
            n_nodes += 1
            cuts.setdefault(way.to_branch, []).append((way.to_point, node))
        closed.add(way.node)
        branches.append(Branch(way.path_xy, (way.node, node)))
    kept: list[Branch] = []
    for number, branch in enumerate(branches):
        kept += _cut(branch, sorted(cuts.get(number, [])))
    return LineGraph(tuple(kept), n_nodes).joined()


def _cut(branch: Branch, places: list[tuple[int, int]]) -> list[Branch]:
    """Divide a branch at points that became nodes."""
    found, start, node = [], 0, branch.ends[0]
    for point, own in places:
        if point > start:
            found.append(Branch(branch.path_xy[start : point + 1], (node, own)))
            start, node = point, own
        else:
            found.append(Branch(branch.path_xy[[point, point]], (node, own)))
            node = own
    return [*found, Branch(branch.path_xy[start:], (node, branch.ends[1]))]


def _ways(graph: LineGraph, probability: Float32Array, threshold: float) -> list[_Way]:
    points = np.concatenate([branch.path_xy for branch in graph.branches])
    owners = np.repeat(np.arange(len(graph.branches)), [len(branch.path_xy) for branch in graph.branches])
    first_of = np.concatenate([[0], np.cumsum([len(branch.path_xy) for branch in graph.branches])])
    tree, degrees = KDTree(points), graph.degrees
    found = []
    for number, branch in enumerate(graph.branches):
        for node in set(branch.ends):
            way_out = branch.from_node(node)
            if degrees[node] != 1 or _at_border(way_out[0], probability):
                continue
            forward = -heading(way_out, BEHIND)
            near = np.array(tree.query_ball_point(way_out[0], REACH), np.int64)
            near = near[_ahead(points[near] - way_out[0], forward) & (owners[near] != number)]
            for owner in np.unique(owners[near]):
                mine = near[owners[near] == owner]
                nearest = int(mine[np.hypot(*(points[mine] - way_out[0]).T).argmin()])
                place = nearest - int(first_of[owner])
                way = _way(way_out, forward, graph.branches[owner], place, probability, threshold)
                if way is not None:
                    found.append(_Way(way[0], node, int(owner), place, way[1]))
    return found


def _at_border(point: Float64Array, probability: Float32Array) -> bool:
    """Whether a point lies where the map ends: a line goes on outside, and no gap begins."""
    height, width = probability.shape
    return bool(min(point[0], point[1], width - 1 - point[0], height - 1 - point[1]) < BORDER)


def _ahead(vectors: Float64Array, forward: Float64Array) -> np.ndarray:
    sizes = np.hypot(vectors[:, 0], vectors[:, 1])
    return np.asarray(vectors @ forward >= AHEAD * np.maximum(sizes, 1e-9))


def _way(
    way_out: Float64Array,
    forward: Float64Array,
    target: Branch,
    place: int,
    probability: Float32Array,
    threshold: float,
) -> tuple[float, Float64Array] | None:
    """Price and points of the way to a point of another branch; None if there is no sign of one line."""
    end, goal = way_out[0], target.path_xy[place]
    distance = float(np.hypot(*(goal - end)))
    turn = float((goal - end) @ forward) / max(distance, 1e-9) if distance > 1.5 else 1.0
    if place in (0, len(target.path_xy) - 1):
        onwards = heading(target.path_xy if place == 0 else target.path_xy[::-1], BEHIND)
        turn = min(turn, float(onwards @ forward))
    if turn < AHEAD:
        return None
    path = _minimal_path(end, goal, probability)
    values = probability[tuple(np.round(path[:, ::-1]).astype(np.int64).T)]
    sign = float(values.mean()) / threshold
    if distance > SHORT_REACH and sign < SIGN:
        return None
    return distance * (2 - turn) / (LEAST + sign), path


def _minimal_path(start: Float64Array, goal: Float64Array, probability: Float32Array) -> Float64Array:
    """Points of the way on which the map is strongest, inside a window around both ends."""
    from skimage.graph import route_through_array  # slow to import

    corner = np.maximum(np.floor(np.minimum(start, goal)).astype(np.int64) - 6, 0)
    height, width = probability.shape
    far = np.minimum(np.ceil(np.maximum(start, goal)).astype(np.int64) + 7, (width, height))
    window = probability[corner[1] : far[1], corner[0] : far[0]]
    prices = 1 / (LEAST + window.astype(np.float64))
    first, last = (tuple((np.round(point).astype(np.int64) - corner)[::-1].tolist()) for point in (start, goal))
    route, _ = route_through_array(prices, first, last, fully_connected=True, geometric=True)  # type: ignore[no-untyped-call]
    path = np.array(route, np.float64)[:, ::-1] + corner
    return np.concatenate([start[None], path[1:-1], goal[None]]) if len(path) > 2 else np.stack([start, goal])
