"""Joints: straight lines that people made, such as form joints, planking and cables, are told apart from cracks.

A crack wanders; a joint follows a board or a string. So straight lines are looked for among all traced points, however
the graph hangs together: where a joint crosses a crack or another joint, its course says what belongs to it. A straight
line is called *joint-like* if it is long enough and something else speaks for a joint: it ends at the photo's border or
at another straight line, or other straight lines run parallel or square to it. A very long one needs no other sign.
A straight stretch from which a line wanders on is rather part of a crack.

The rule can be wrong in both ways. So joint-like lines are listed apart, and never dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import binary_closing, binary_opening

from crackscope.arrays import BoolArray, Float64Array, Int64Array
from crackscope.geometry.line_graph import Branch, LineGraph

__all__ = ["part_joints"]

SEED_PX = 30  # a straight line begins with a stretch as long as this, in which no point lies farther off than
SEED_OFF_PX = 1.5
OFF_PX = 2.5  # distance from the straight line within which points belong to it
GAP_PX = 40.0  # a wider gap between its points ends it
FILLED = 0.6  # share of its length that its points cover, at least
LEAST_PX, VERY_LONG_PX = 60.0, 250.0
STRAIGHT_PX, STRAIGHT = 0.9, 0.003  # root mean square distance of its points: pixels, or a share of the length
PARALLEL_DEG = 4.0
TURN_DEG = 30.0  # a straight line that turns by less is the next stretch of the same crack
END_PX = 15.0  # an end as near to the border, or to another straight line, ends there
MOST_LINES = 500  # straight lines of a photo that are looked at, the longest first
ONWARDS_PX = 40.0  # how far beyond the end of a straight line the line is looked for that leads on
WITH_LINE_PX = 12  # a stretch of a branch that follows a joint for less than this stays with its crack


@dataclass(frozen=True, eq=False)
class _Line:
    """A straight line, and the traced points that belong to it."""

    middle: Float64Array  # a point of it
    direction: Float64Array  # unit vector
    reach: tuple[float, float]  # first and last place along it, from the middle
    points: Int64Array  # numbers of its points
    off_px: float  # root mean square distance of its points

    @property
    def length_px(self) -> float:
        return self.reach[1] - self.reach[0]

    @property
    def ends(self) -> Float64Array:
        return self.middle + np.array(self.reach)[:, None] * self.direction

    @property
    def straight(self) -> bool:
        return self.length_px >= LEAST_PX and self.off_px <= max(STRAIGHT_PX, STRAIGHT * self.length_px)


def part_joints(graph: LineGraph, photo_hw: tuple[int, int]) -> tuple[LineGraph, list[list[Branch]]]:
    """Part the lines that look like joints from the others.

    Args:
        graph: Graph in photo pixels, whose points lie a pixel apart.
        photo_hw: Height and width of the photo, in pixels.

    Returns:
        Graph of the other lines, and the pieces of each joint-like line.
    """
    if not graph.branches:
        return graph, []
    points = np.concatenate([branch.path_xy for branch in graph.branches])
    lines = [line for line in _straight_lines(graph, points) if line.straight]
    joint_of = np.full(len(points), -1, np.int64)
    for number in sorted(np.flatnonzero(_joint_like(lines, points, photo_hw)), key=lambda i: lines[i].length_px):
        joint_of[lines[number].points] = number
    rest, n_nodes, start = list[Branch](), graph.n_nodes, 0
    joints: dict[int, list[Branch]] = {}
    for branch in graph.branches:
        stop = start + len(branch.path_xy)
        own = _evened(joint_of[start:stop])
        cuts = [0, *(np.flatnonzero(np.diff(own)) + 1).tolist(), len(own)]
        nodes = [branch.ends[0], *range(n_nodes, n_nodes + len(cuts) - 2), branch.ends[1]]
        n_nodes += len(cuts) - 2
        for i, (first, last) in enumerate(pairwise(cuts)):
            piece = Branch(branch.path_xy[first : last + 1], (nodes[i], nodes[i + 1]))
            (rest if own[first] < 0 else joints.setdefault(int(own[first]), [])).append(piece)
        start = stop
    return LineGraph(tuple(rest), n_nodes).joined(), [joints[number] for number in sorted(joints)]


def _evened(joint_of: Int64Array) -> Int64Array:
    """Fill short interruptions of a joint along a branch, and leave short stretches to the crack."""
    found = np.full(len(joint_of), -1, np.int64)
    n = WITH_LINE_PX
    for number in np.unique(joint_of[joint_of >= 0]):
        mine = np.pad(joint_of == number, n)
        mine = binary_closing(mine, np.ones(n, np.bool_))
        kept = binary_opening(mine, np.ones(min(n, len(joint_of)), np.bool_))[n:-n]
        found[kept] = number
    return found


def _straight_lines(graph: LineGraph, points: Float64Array) -> list[_Line]:
    """Straight lines among all points, each grown from the longest straight stretch that is left."""
    seeds, start = [], 0
    for branch in graph.branches:
        seeds += [(first + start, last + start) for first, last in _stretches(branch.path_xy)]
        start += len(branch.path_xy)
    found: list[_Line] = []
    taken = np.zeros(len(points), np.bool_)
    for first, last in sorted(seeds, key=lambda seed: seed[0] - seed[1])[:MOST_LINES]:
        mine = np.arange(first, last + 1)
        if taken[mine].mean() > 0.5:
            continue
        line = _grown(points, mine)
        taken[line.points] = True
        found.append(line)
    return found


def _stretches(path_xy: Float64Array) -> list[tuple[int, int]]:
    """Divide a path where it leaves the straight line between its ends (Ramer 1972); give the straight stretches."""
    found, open_ones = [], [(0, len(path_xy) - 1)]
    while open_ones:
        first, last = open_ones.pop()
        chord = path_xy[last] - path_xy[first]
        length = float(np.hypot(*chord))
        if last - first < SEED_PX:
            continue
        aside = path_xy[first : last + 1] - path_xy[first]
        off = np.abs(aside @ np.array([-chord[1], chord[0]])) / length if length > 1 else np.hypot(*aside.T)
        worst = int(off.argmax())
        if off[worst] <= SEED_OFF_PX:
            found.append((first, last))
        else:
            open_ones += [(first, first + worst), (first + worst, last)]
    return found


def _grown(points: Float64Array, seed: Int64Array) -> _Line:
    """The straight line through some points, with all points that lie on it without a wide gap."""
    mine = seed
    for _ in range(4):
        middle, direction, off_px = _fitted(points[mine])
        aside = points - middle
        along, across = aside @ direction, aside @ np.array([-direction[1], direction[0]])
        near = np.flatnonzero(np.abs(across) <= OFF_PX)
        order = near[np.argsort(along[near], kind="stable")]
        gaps = np.flatnonzero(np.diff(along[order]) > GAP_PX)
        at = int(np.searchsorted(along[order], float(np.median(along[seed]))))
        low = int(gaps[gaps < at].max() + 1) if (gaps < at).any() else 0
        high = int(gaps[gaps >= at].min() + 1) if (gaps >= at).any() else len(order)
        grown = order[low:high]
        if len(grown) == len(mine) or not len(grown):
            break
        mine = grown
    reach = float(along[mine].min()), float(along[mine].max())
    if len(np.unique(np.round(along[mine]))) < FILLED * (reach[1] - reach[0]):
        middle, direction, off_px = _fitted(points[seed])
        along, mine = (points - middle) @ direction, seed
        reach = float(along[mine].min()), float(along[mine].max())
    return _Line(middle, direction, reach, mine, off_px)


def _fitted(points: Float64Array) -> tuple[Float64Array, Float64Array, float]:
    """Middle, direction and root mean square distance of the straight line with the least squares."""
    middle = points.mean(0)
    _, sizes, axes = np.linalg.svd(points - middle, full_matrices=False)
    return middle, axes[0], float(sizes[1] / np.sqrt(len(points)))


def _joint_like(lines: Sequence[_Line], points: Float64Array, photo_hw: tuple[int, int]) -> BoolArray:
    """(n,) which straight lines look like joints."""
    found = np.zeros(len(lines), np.bool_)
    for i, line in enumerate(lines):
        others = [other for j, other in enumerate(lines) if j != i]
        across = [
            other for other in others if abs(float(line.direction @ other.direction)) < np.cos(np.deg2rad(TURN_DEG))
        ]
        stops = [_ends_at_something(end, across, photo_hw) for end in line.ends]
        goes_on = [_wanders_on(line, side, points) for side in (0, 1)]
        # A stretch of a crack may be straight, too; then the crack leads on from one of its ends.
        alone = line.length_px >= VERY_LONG_PX and not any(goes_on)
        kin = any(_kin(line, other) for other in others if other.length_px >= 2 * LEAST_PX)
        with_kin = kin and not all(goes_on) and (any(stops) or line.length_px > 2 * LEAST_PX)
        found[i] = all(stops) or alone or with_kin
    return found


def _wanders_on(line: _Line, side: int, points: Float64Array) -> bool:
    """Whether traced points lead on from an end of a straight line, aside of it."""
    outwards = line.direction if side else -line.direction
    aside = points - line.ends[side]
    along, across = aside @ outwards, np.abs(aside @ np.array([-outwards[1], outwards[0]]))
    ahead = (along > 2) & (along < ONWARDS_PX) & (across > OFF_PX / 2) & (across < OFF_PX + 0.7 * along)
    return len(np.unique(np.floor(along[ahead]))) >= ONWARDS_PX / 2  # a line that only crosses is not ahead for long


def _kin(one: _Line, other: _Line) -> bool:
    """Whether two straight lines run parallel, side by side, or square to each other."""
    cosine = abs(float(one.direction @ other.direction))
    if cosine <= np.sin(np.deg2rad(PARALLEL_DEG)):
        return True
    if cosine < np.cos(np.deg2rad(PARALLEL_DEG)):
        return False
    places = np.sort((other.ends - one.middle) @ one.direction)
    shared = min(places[1], one.reach[1]) - max(places[0], one.reach[0])
    return bool(shared >= 0.3 * min(one.length_px, other.length_px))


def _ends_at_something(end: Float64Array, others: Sequence[_Line], photo_hw: tuple[int, int]) -> bool:
    """Whether an end lies at the border of the photo, or at another straight line."""
    height, width = photo_hw
    if min(end[0], end[1], width - 1 - end[0], height - 1 - end[1]) <= END_PX:
        return True
    return any(_distance(end, other) <= END_PX for other in others)


def _distance(point: Float64Array, line: _Line) -> float:
    """Distance of a point from a straight line between its ends."""
    place = np.clip((point - line.middle) @ line.direction, *line.reach)
    return float(np.hypot(*(point - line.middle - place * line.direction)))
