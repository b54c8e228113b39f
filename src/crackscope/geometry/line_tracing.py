"""Tracing: a map of lines becomes a graph of lines, exact to a fraction of a pixel of the photo.

The map may be a bundle's fine map, or any other that gives for each small cell how likely a crack's line passes
through it. It is enlarged twice, so that lines in neighbouring cells stay apart. What reaches the threshold is a line,
together with weaker cells that hang on it (hysteresis, Canny 1986). The lines are thinned, small spurs are cut off,
gaps are closed (`crackscope.geometry.gaps`), and each branch is moved onto the dark line beneath it
(`crackscope.geometry.centring`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float32Array, Float64Array, UInt8Array
from crackscope.geometry.centring import centred
from crackscope.geometry.chains import heading
from crackscope.geometry.gaps import close_gaps
from crackscope.geometry.line_graph import Branch, LineGraph, graph_of
from crackscope.geometry.paths import resampled, smoothed

__all__ = ["Guide", "trace_lines"]

ENLARGED = 2  # times a map is enlarged before it is thinned; a *point* is a pixel of the enlarged map
WEAK = 0.8  # share of the threshold that a cell needs that hangs on a line
SPUR = 8.0  # points; a shorter branch that ends freely is a trace of the line's roughness
SHORT = 16.0  # points; lines of which nothing is longer are left out
HOLE = 40  # points; a smaller hole in a line is no mesh of cracks
BEYOND = 10  # points by which a free end may be lengthened
ENDS = 0.7  # share of the threshold at which a line ends
AROUND = 1.5  # cells by which a branch may be moved onto the dark line
BEFORE, EVEN = 0.5, 0.5  # pixels over which a branch is smoothed before it is moved, and after
JOINT_PX = 8  # points of a branch that follow when its end is moved to the node


@dataclass(frozen=True, eq=False)
class Guide:
    """A map that says where lines run.

    Attributes:
        probability: How likely a crack's line passes through each cell, shape (h, w), float32, in [0, 1].
        cell_px: Height and width of a cell, in photo pixels.
        threshold: Probability from which a cell belongs to a line.
    """

    probability: Float32Array
    cell_px: tuple[float, float]
    threshold: float

    def photo_xy(self, points_xy: Float64Array) -> Float64Array:
        """Pixels of the photo at points of the enlarged map; both count from the middle of the first one."""
        step = np.array(self.cell_px[::-1]) / ENLARGED
        return (points_xy + 0.5) * step - 0.5

    def at(self, path_xy: Float64Array) -> Float64Array:
        """Probability at pixels of the photo, interpolated between the middles of cells, shape (n,)."""
        places = ((path_xy + 0.5) / np.array(self.cell_px[::-1]) - 0.5).astype(np.float32)
        blocks = np.array_split(places, -(-len(places) // 30_000) or 1)
        found = [
            cv2.remap(
                self.probability,
                block[None, :, 0],
                block[None, :, 1],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )[0]
            for block in blocks
        ]
        return np.concatenate(found).astype(np.float64)


def trace_lines(guide: Guide, grey: UInt8Array | Float32Array) -> LineGraph:
    """Trace the lines of a map over the grey picture that it was made from.

    Args:
        guide: The map.
        grey: Grey picture of the whole photo, shape (H, W), in levels of 0 to 255.

    Returns:
        Graph whose points lie a pixel of the photo apart.
    """
    height, width = guide.probability.shape
    size = (ENLARGED * width, ENLARGED * height)
    enlarged = np.asarray(cv2.resize(guide.probability, size, interpolation=cv2.INTER_LINEAR), np.float32)
    graph = graph_of(_thinned(_firm(enlarged, guide.threshold))).pruned(SPUR)
    graph = close_gaps(graph, enlarged, guide.threshold).pruned(SPUR)
    graph = _lengthened(_without_short(graph), enlarged, guide.threshold)
    reach_px = AROUND * max(guide.cell_px)
    branches = []
    for branch in graph.branches:
        path = resampled(smoothed(resampled(guide.photo_xy(branch.path_xy)), BEFORE))
        branches.append(Branch(smoothed(centred(grey, path, reach_px), EVEN), branch.ends))
    return _met(LineGraph(tuple(branches), graph.n_nodes))


def _firm(probability: Float32Array, threshold: float) -> BoolArray:
    """Points of lines: those that reach the threshold, and weaker ones that hang on them; small holes are filled."""
    weak = (probability >= WEAK * threshold).astype(np.uint8)
    _, numbers = cv2.connectedComponents(weak, connectivity=8)
    kept = np.zeros(int(numbers.max()) + 1, np.bool_)
    kept[numbers[probability >= threshold]] = True
    kept[0] = False
    firm = kept[numbers]
    _, holes, facts, _ = cv2.connectedComponentsWithStats((~firm).astype(np.uint8), connectivity=4)
    small = facts[:, cv2.CC_STAT_AREA] < HOLE
    small[0] = False
    return np.asarray(firm | small[holes], np.bool_)


def _thinned(thick: BoolArray) -> BoolArray:
    """Thin each connected stretch on its own, so that plain concrete costs nothing."""
    from skimage.morphology import skeletonize  # half a second to import, and few commands need it

    n, numbers, facts, _ = cv2.connectedComponentsWithStats(thick.astype(np.uint8), connectivity=8)
    thin = np.zeros(thick.shape, np.bool_)
    for number in range(1, n):
        left, top, width, height = facts[number, :4]
        rows, columns = slice(top, top + height), slice(left, left + width)
        thin[rows, columns] |= skeletonize(numbers[rows, columns] == number)  # type: ignore[no-untyped-call]
    return thin


def _without_short(graph: LineGraph) -> LineGraph:
    """Leave out lines that hang together but are short in all."""
    kept = [
        number
        for numbers in graph.components()
        if sum(graph.branches[number].length for number in numbers) >= SHORT
        for number in numbers
    ]
    return LineGraph(tuple(graph.branches[number] for number in sorted(kept)), graph.n_nodes)


def _lengthened(graph: LineGraph, probability: Float32Array, threshold: float) -> LineGraph:
    """Lengthen free ends to where the map falls below the threshold: thinning cuts them by half of the line's width."""
    degrees, branches = graph.degrees, []
    for branch in graph.branches:
        path = branch.path_xy
        if degrees[branch.ends[0]] == 1:
            path = np.concatenate([_onwards(path, probability, threshold)[::-1], path])
        if degrees[branch.ends[1]] == 1:
            path = np.concatenate([path, _onwards(path[::-1], probability, threshold)])
        branches.append(Branch(path, branch.ends))
    return LineGraph(tuple(branches), graph.n_nodes)


def _onwards(way_out: Float64Array, probability: Float32Array, threshold: float) -> Float64Array:
    """Points beyond the first one of a path, straight on, as far as the map reaches the threshold."""
    height, width = probability.shape
    steps = np.arange(1, BEYOND + 1)[:, None]
    points = way_out[0] - steps * heading(way_out, BEYOND)
    columns, rows = np.round(points).astype(np.int64).T
    inside = (columns >= 0) & (rows >= 0) & (columns < width) & (rows < height)
    values = np.where(inside, probability[rows.clip(0, height - 1), columns.clip(0, width - 1)], 0)
    return np.asarray(points[: int(np.argmin(np.append(values, 0) >= ENDS * threshold))], np.float64)


def _met(graph: LineGraph) -> LineGraph:
    """Let the branches of a node meet in one point again, after each was moved on its own."""
    ends = np.array([branch.path_xy[place] for branch in graph.branches for place in (0, -1)]).reshape(-1, 2)
    nodes = np.array([node for branch in graph.branches for node in branch.ends], np.int64)
    n_ends = np.maximum(np.bincount(nodes, minlength=graph.n_nodes), 1)
    middles = np.column_stack([np.bincount(nodes, ends[:, axis], graph.n_nodes) / n_ends for axis in (0, 1)])
    branches = []
    for branch in graph.branches:
        path, n = branch.path_xy.copy(), len(branch.path_xy)
        near = np.clip(1 - np.arange(n) / min(JOINT_PX, n), 0, 1)[:, None]
        first, last = (middles[node] - path[place] for node, place in zip(branch.ends, (0, -1), strict=True))
        branches.append(Branch(path + near * first + near[::-1] * last, branch.ends))
    return LineGraph(tuple(branches), graph.n_nodes)
