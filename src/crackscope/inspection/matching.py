"""Matching: whether two lines in the frame of one photo are the same crack.

Two lines are compared by how far they run within `REACH_PX` of one another. A point of one line is *near* the other
line if the nearest point of that line is at most `REACH_PX` away and runs in about the same direction, so that lines
that only cross are not near each other. The lengths of both lines that are near count.

Lines *match* where at least half of the shorter one is near the other line. One line may match several, because a
tracing may split a crack, or join two. `assigned` then pairs them one to one, so that the sum of what they share is
greatest (linear sum assignment). Taking the best pair first, and then the next, would be simpler. It fails where two
cracks run side by side closer than the reach and both are traced some pixels aside: the best single pair is then a
wrong one, and the sum over both pairs is greatest for the right ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree

from crackscope.arrays import BoolArray, Float64Array
from crackscope.geometry.paths import resampled

__all__ = ["OF_SHORTER", "REACH_PX", "Agreement", "Line", "agreement", "agreements_between", "assigned"]

REACH_PX = 6.0
"""Distance up to which two lines count as near each other, in pixels of the photo."""

OF_SHORTER = 0.5
"""Least share of the shorter line that is near the other one where two lines match."""

_STEP_PX = 2.0  # between the points that are compared
_TURN = np.cos(np.deg2rad(50.0))  # lines that cross at a larger angle are not near each other
_OVER_PX = 6.0  # length on both sides of a point that tells the direction of the line there

Row = TypeVar("Row", bound=Hashable)
Column = TypeVar("Column", bound=Hashable)


@dataclass(frozen=True, eq=False)
class Line:
    """Points along all branches of a crack, at even distances.

    Attributes:
        points_xy: Points x and y, shape (n, 2), in pixels.
        lengths_px: Length that each point stands for, shape (n,), in pixels.
        along: Unit vector along the line at each point, shape (n, 2); zeros where a branch has no length.
    """

    points_xy: Float64Array
    lengths_px: Float64Array
    along: Float64Array

    @classmethod
    def of(cls, path_xy: Iterable[Float64Array]) -> Line:
        """Lay points along the branches of a crack.

        Args:
            path_xy: Points of each branch, shape (n, 2), in pixels.
        """
        parts = [_laid_out(np.asarray(path, np.float64).reshape(-1, 2)) for path in path_xy if len(path)]
        if not parts:
            return cls(np.empty((0, 2)), np.empty(0), np.empty((0, 2)))
        points, lengths, along = (np.concatenate(one) for one in zip(*parts, strict=True))
        return cls(points, lengths, along)

    @cached_property
    def length_px(self) -> float:
        """Length of all branches, in pixels."""
        return float(self.lengths_px.sum())

    @cached_property
    def box_xyxy(self) -> Float64Array:
        """Left, top, right and bottom, shape (4,); no place at all for a line without points."""
        if not len(self.points_xy):
            return np.array([np.inf, np.inf, -np.inf, -np.inf])
        return np.concatenate([self.points_xy.min(0), self.points_xy.max(0)])

    @cached_property
    def tree(self) -> KDTree:
        """Tree of the points, for the nearest one."""
        return KDTree(self.points_xy)

    def part(self, kept: BoolArray) -> Line:
        """The points that are chosen, as a line.

        Args:
            kept: Whether each point is kept, shape (n,).
        """
        return Line(self.points_xy[kept], self.lengths_px[kept], self.along[kept])


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far two lines run near one another.

    Attributes:
        near_a_px: Length of the first line that is near the second one, in pixels.
        near_b_px: Length of the second line that is near the first one, in pixels.
        length_a_px: Length of the first line, in pixels.
        length_b_px: Length of the second line, in pixels.
        score: Near length of the line that has less of it, in pixels, each point weighted from 1 where the lines
            coincide down to a half at the reach.
        near_a: Whether each point of the first line is near the second one, shape (n,).
        near_b: Whether each point of the second line is near the first one, shape (m,).
    """

    near_a_px: float
    near_b_px: float
    length_a_px: float
    length_b_px: float
    score: float
    near_a: BoolArray
    near_b: BoolArray

    @property
    def of_shorter(self) -> float:
        """Share of the shorter line that is near the other one, in [0, 1]."""
        near, length = min((self.length_a_px, self.near_a_px), (self.length_b_px, self.near_b_px))[::-1]
        return near / length if length > 0 else 0.0

    @property
    def of_both(self) -> float:
        """Share of both lines together that is near the other one, in [0, 1]."""
        length = self.length_a_px + self.length_b_px
        return (self.near_a_px + self.near_b_px) / length if length > 0 else 0.0

    @property
    def of_a(self) -> float:
        """Share of the first line that is near the second one, in [0, 1]."""
        return self.near_a_px / self.length_a_px if self.length_a_px > 0 else 0.0

    @property
    def of_b(self) -> float:
        """Share of the second line that is near the first one, in [0, 1]."""
        return self.near_b_px / self.length_b_px if self.length_b_px > 0 else 0.0

    @property
    def matches(self) -> bool:
        """Whether at least half of the shorter line is near the other one."""
        return self.of_shorter >= OF_SHORTER


def agreement(a: Line, b: Line, reach_px: float = REACH_PX) -> Agreement:
    """Measure how far two lines of one frame run near one another.

    Args:
        a: First line.
        b: Second line.
        reach_px: Distance up to which lines are near each other, in pixels.

    Example:
        >>> level = Line.of([np.array([[0.0, 0.0], [100.0, 0.0]])])
        >>> half = Line.of([np.array([[50.0, 3.0], [100.0, 3.0]])])
        >>> found = agreement(level, half)
        >>> round(found.of_shorter, 2), round(found.of_both, 2), found.matches
        (1.0, 0.7, True)
    """
    (near_a, weights_a), (near_b, weights_b) = _near(a, b, reach_px), _near(b, a, reach_px)
    return Agreement(
        near_a_px=float(a.lengths_px[near_a].sum()),
        near_b_px=float(b.lengths_px[near_b].sum()),
        length_a_px=a.length_px,
        length_b_px=b.length_px,
        score=min(float((a.lengths_px * weights_a).sum()), float((b.lengths_px * weights_b).sum())),
        near_a=near_a,
        near_b=near_b,
    )


def agreements_between(
    first: Sequence[Line], second: Sequence[Line], reach_px: float = REACH_PX
) -> dict[tuple[int, int], Agreement]:
    """Compare the lines of two tracings of one photo; boxes that lie apart are not compared.

    Args:
        first: Lines of the first tracing.
        second: Lines of the second tracing.
        reach_px: Distance up to which lines are near each other, in pixels.

    Returns:
        What each pair of lines that match shares, by their numbers in `first` and `second`.
    """
    if not first or not second:
        return {}
    boxes_a, boxes_b = (np.stack([line.box_xyxy for line in lines]) for lines in (first, second))
    found = {}
    for i, box in enumerate(boxes_a):
        apart = np.any(boxes_b[:, :2] > box[2:] + reach_px, axis=1) | np.any(
            boxes_b[:, 2:] < box[:2] - reach_px, axis=1
        )
        for j in np.flatnonzero(~apart).tolist():
            shared = agreement(first[i], second[j], reach_px)
            if shared.matches:
                found[i, j] = shared
    return found


def assigned(scores: Mapping[tuple[Row, Column], float]) -> dict[Row, Column]:
    """Pair rows and columns one to one, so that the sum of the scores is greatest.

    What hangs together by scores is solved by itself, so the effort grows with the number of such groups and not with
    the square of all rows.

    Args:
        scores: Score above 0 of each pair that may be.

    Returns:
        Column of each row that has one.

    Example:
        >>> assigned({("a", 1): 1.0, ("b", 1): 1.2, ("b", 2): 1.0})
        {'a': 1, 'b': 2}
    """
    found: dict[Row, Column] = {}
    for rows, columns in _groups(scores):
        sums = np.zeros((len(rows), len(columns)))
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                sums[i, j] = scores.get((row, column), 0.0)
        chosen = zip(*linear_sum_assignment(sums, maximize=True), strict=True)
        found |= {rows[i]: columns[j] for i, j in chosen if (rows[i], columns[j]) in scores}
    return found


def _groups(scores: Mapping[tuple[Row, Column], float]) -> list[tuple[list[Row], list[Column]]]:
    """Rows and columns that hang together by scores."""
    columns_of: dict[Row, list[Column]] = defaultdict(list)
    rows_of: dict[Column, list[Row]] = defaultdict(list)
    for row, column in scores:
        columns_of[row].append(column)
        rows_of[column].append(row)
    groups, seen = [], set[Row]()
    for start in columns_of:
        if start in seen:
            continue
        seen.add(start)
        rows, columns = [start], dict.fromkeys(columns_of[start])
        queue = list(columns)
        for column in queue:  # it grows meanwhile
            for row in rows_of[column]:
                if row not in seen:
                    seen.add(row)
                    rows.append(row)
                    new = [one for one in columns_of[row] if one not in columns]
                    columns |= dict.fromkeys(new)
                    queue += new
        groups.append((rows, list(columns)))
    return groups


def _near(a: Line, b: Line, reach_px: float) -> tuple[BoolArray, Float64Array]:
    """Whether each point of a line is near another line, and its weight."""
    if not len(a.points_xy) or not len(b.points_xy):
        return np.zeros(len(a.points_xy), np.bool_), np.zeros(len(a.points_xy))
    inside = np.all((a.points_xy >= b.box_xyxy[:2] - reach_px) & (a.points_xy <= b.box_xyxy[2:] + reach_px), axis=1)
    near, weights = np.zeros(len(inside), np.bool_), np.zeros(len(inside))
    if inside.any():
        away, nearest = b.tree.query(a.points_xy[inside], distance_upper_bound=reach_px * (1 + 1e-9))
        met = np.isfinite(away)
        turn = np.abs((a.along[inside][met] * b.along[nearest[met]]).sum(1))
        rows = np.flatnonzero(inside)[met][turn >= _TURN]
        near[rows] = True
        weights[rows] = 1 - 0.5 * np.square(away[met][turn >= _TURN] / reach_px)
    return near, weights


def _laid_out(path_xy: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Points along one branch, the length that each stands for, and the direction there."""
    points = resampled(path_xy, _STEP_PX)
    steps = np.hypot(*np.diff(points, axis=0).T)
    lengths = (np.append(steps, 0.0) + np.append(0.0, steps)) / 2
    reach = round(_OVER_PX / _STEP_PX)
    rows = np.arange(len(points))
    along = points[np.minimum(rows + reach, len(points) - 1)] - points[np.maximum(rows - reach, 0)]
    size = np.hypot(along[:, 0], along[:, 1])[:, None]
    return points, lengths, np.divide(along, size, out=np.zeros_like(along), where=size > 0)
