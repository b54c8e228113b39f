"""Line graph: a thin line of pixels becomes branches between ends and junctions.

A *node* is an end of a line, a junction of several branches, or a point of a closed line. A *branch* runs from one node
to another, and meets no node between them. A *spur* is a short branch that leaves a junction and ends freely, or comes
back to it; thinning leaves spurs where the line was rough.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float64Array, Int64Array

__all__ = ["Branch", "LineGraph", "graph_of"]

_AROUND = np.ones((3, 3), np.float32)
_STEPS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]


@dataclass(frozen=True, eq=False)
class Branch:
    """A stretch of line between two nodes.

    Attributes:
        path_xy: Points from the first node to the last one, shape (n, 2), n at least 1.
        ends: Numbers of the first and the last node; equal for a closed line.
    """

    path_xy: Float64Array
    ends: tuple[int, int]

    @property
    def length(self) -> float:
        """Length along the points."""
        return float(np.hypot(*np.diff(self.path_xy, axis=0).T).sum())

    def from_node(self, node: int) -> Float64Array:
        """Points in the order in which they lead away from one of its nodes."""
        return self.path_xy if self.ends[0] == node else self.path_xy[::-1]


@dataclass(frozen=True, eq=False)
class LineGraph:
    """Branches, and how many of them meet in each node.

    Attributes:
        branches: The branches.
        n_nodes: Number of nodes; their numbers are below it. Not every number needs to be in use.
    """

    branches: tuple[Branch, ...]
    n_nodes: int

    @property
    def degrees(self) -> Int64Array:
        """Number of branches that meet in each node, shape (n_nodes,); a closed line counts twice."""
        ends = [node for branch in self.branches for node in branch.ends]
        return np.bincount(np.array(ends, np.int64), minlength=self.n_nodes).astype(np.int64)

    def pruned(self, least: float) -> LineGraph:
        """Cut off spurs, the shortest of each junction first, and join the branches that they parted.

        Args:
            least: Length below which a spur is cut off, in the unit of the points.
        """
        found = self.joined()
        while shortest := found._shortest_spurs(least):
            kept = tuple(branch for number, branch in enumerate(found.branches) if number not in shortest)
            found = replace(found, branches=kept).joined()
        return found

    def _shortest_spurs(self, least: float) -> set[int]:
        """Number of the shortest spur of each junction: once it is gone, the others may be one line."""
        degrees = self.degrees
        shortest: dict[int, tuple[float, int]] = {}
        for number, branch in enumerate(self.branches):
            of_its_own = 2 if branch.ends[0] == branch.ends[1] else 1
            junctions = {node for node in branch.ends if degrees[node] > of_its_own}
            if len(junctions) == 1 and (length := branch.length) < least:
                [junction] = junctions
                shortest[junction] = min(shortest.get(junction, (length, number)), (length, number))
        return {number for _, number in shortest.values()}

    def joined(self) -> LineGraph:
        """Join two branches that meet in a node where nothing else ends."""
        branches: dict[int, Branch] = dict(enumerate(self.branches))
        at: dict[int, list[int]] = defaultdict(list)
        for number, branch in branches.items():
            for node in branch.ends:
                at[node].append(number)
        for node, numbers in at.items():
            if len(numbers) != 2 or numbers[0] == numbers[1]:
                continue
            kept, gone = numbers
            first, second = branches[kept], branches.pop(gone)
            path = np.concatenate([first.from_node(node)[::-1], second.from_node(node)[1:]])
            ends = _other_end(first, node), _other_end(second, node)
            branches[kept] = Branch(path, ends)
            at[ends[1]] = [kept if number == gone else number for number in at[ends[1]]]
            at[node] = []
        return replace(self, branches=tuple(branches.values()))

    def components(self) -> list[list[int]]:
        """Group the branches that hang together: lists of their numbers, in the order of the first one."""
        leaders = list(range(self.n_nodes))

        def leader(node: int) -> int:
            while leaders[node] != node:
                leaders[node] = leaders[leaders[node]]
                node = leaders[node]
            return node

        for branch in self.branches:
            leaders[leader(branch.ends[0])] = leader(branch.ends[1])
        groups: dict[int, list[int]] = {}
        for number, branch in enumerate(self.branches):
            groups.setdefault(leader(branch.ends[0]), []).append(number)
        return list(groups.values())


def graph_of(line: BoolArray) -> LineGraph:
    """Turn a thin line into a graph. A single pixel becomes a branch of one point.

    Args:
        line: Whether a pixel belongs to the line, shape (H, W). The line is one pixel wide, as thinning leaves it.

    Returns:
        Graph whose points are the middles of pixels, x and y; a junction lies in the middle of its pixels.

    Example:
        >>> cross = np.zeros((7, 7), bool)
        >>> cross[3], cross[:, 3] = True, True
        >>> graph = graph_of(cross)
        >>> len(graph.branches), sorted(graph.degrees.tolist())
        (4, [1, 1, 1, 1, 4])
    """
    padded = np.pad(np.asarray(line, np.bool_), 1)
    n_near = cv2.filter2D(padded.view(np.uint8), -1, _AROUND, borderType=cv2.BORDER_CONSTANT)
    meeting = padded & (n_near > 3)  # the pixel itself counts
    n_labels, labels = cv2.connectedComponents(meeting.view(np.uint8), connectivity=8)
    n_junctions, junctions = n_labels - 1, labels.astype(np.int64)
    rows, columns = np.nonzero(padded & ~meeting)
    stretches = _stretches(list(zip(rows.tolist(), columns.tolist(), strict=True)))
    middles = _middles(meeting, junctions, n_junctions)
    branches, n_nodes = [], n_junctions
    for pixels, closed in stretches:
        path = np.array(pixels, np.float64)[:, ::-1]
        if closed:
            branches.append(Branch(np.concatenate([path, path[:1]]) - 1, (n_nodes, n_nodes)))
            n_nodes += 1
            continue
        ends = []
        for number in _junctions_at(pixels, junctions):
            if number is None:
                ends.append(n_nodes)
                n_nodes += 1
            else:
                ends.append(number)
                path = (
                    np.concatenate([path, middles[number][None]])
                    if ends[1:]
                    else np.concatenate([middles[number][None], path])
                )
        branches.append(Branch(path - 1, (ends[0], ends[1])))
    return LineGraph(tuple(branches), n_nodes)


def _middles(meeting: BoolArray, junctions: Int64Array, n_junctions: int) -> Float64Array:
    """Middle of the pixels of each junction, x and y, shape (n_junctions, 2)."""
    at = np.nonzero(meeting)
    numbers = junctions[at] - 1
    n_pixels = np.bincount(numbers, minlength=n_junctions)
    sums = [np.bincount(numbers, one, n_junctions) for one in (at[1], at[0])]
    return np.asarray(np.column_stack(sums) / np.maximum(n_pixels, 1)[:, None], np.float64)


def _other_end(branch: Branch, node: int) -> int:
    return branch.ends[1] if branch.ends[0] == node else branch.ends[0]


def _stretches(pixels: Sequence[tuple[int, int]]) -> list[tuple[list[tuple[int, int]], bool]]:
    """Divide pixels without junctions into runs of neighbours, each in order, and tell whether a run is closed."""
    left = dict.fromkeys(pixels)

    def near(pixel: tuple[int, int]) -> list[tuple[int, int]]:
        return [at for dy, dx in _STEPS if (at := (pixel[0] + dy, pixel[1] + dx)) in left]

    def walk(pixel: tuple[int, int]) -> list[tuple[int, int]]:
        run = []
        while True:
            run.append(pixel)
            del left[pixel]
            following = near(pixel)
            if not following:
                return run
            pixel = following[0]

    open_ends = [pixel for pixel in pixels if len(near(pixel)) < 2]
    found = [(walk(pixel), False) for pixel in open_ends if pixel in left]
    while left:
        found.append((walk(next(iter(left))), True))
    return found


def _junctions_at(pixels: Sequence[tuple[int, int]], junctions: Int64Array) -> tuple[int | None, int | None]:
    """Number of the junction, from 0, that each end of a run touches; None where it ends freely."""

    def touched(pixel: tuple[int, int]) -> list[int]:
        return sorted({int(junctions[pixel[0] + dy, pixel[1] + dx]) for dy, dx in _STEPS} - {0})

    first, last = touched(pixels[0]), touched(pixels[-1])
    if len(pixels) == 1:
        first, last = first[:1], first[1:2]
    return (first[0] - 1 if first else None), (last[0] - 1 if last else None)
