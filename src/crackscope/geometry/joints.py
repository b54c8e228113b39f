"""Joints: straight lines that people made, such as form joints, planking and cables, are told apart from cracks.

A crack wanders; a joint follows a board or a string. A chain is called *joint-like* if it is straight over a good
length and something else speaks for a joint: it ends at the photo's border or at another straight chain, or other
straight chains run parallel or square to it. A short straight chain says nothing, since every crack is straight for a
while. The rule can be wrong in both ways. So joint-like lines are listed apart, and never dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crackscope.arrays import BoolArray, Float64Array
from crackscope.geometry.chains import Chain
from crackscope.geometry.paths import length_of

__all__ = ["joint_like"]

LEAST_PX = 60.0
STRAIGHT = 0.006  # root mean square distance from a straight line, as a share of the length
STRAIGHT_PX = 0.8  # the same in pixels, for short chains, whose pixels are uneven
VERY_STRAIGHT = 0.0025  # a chain as straight and as long as this needs no other sign
VERY_LONG_PX = 250.0
PARALLEL_DEG = 4.0
BORDER_PX = 12.0  # an end as near to the border runs out of the photo
NEAR_PX = 15.0  # an end as near to a straight chain ends there


@dataclass(frozen=True, eq=False)
class _Line:
    """The straight line through a chain."""

    length_px: float
    off_px: float  # root mean square distance of the points
    direction: Float64Array  # unit vector
    ends: Float64Array  # first and last point, shape (2, 2)

    @property
    def straight(self) -> bool:
        return self.length_px >= LEAST_PX and self.off_px <= max(STRAIGHT * self.length_px, STRAIGHT_PX)

    @property
    def alone(self) -> bool:
        return self.length_px >= VERY_LONG_PX and self.off_px <= VERY_STRAIGHT * self.length_px


def joint_like(chains: Sequence[Chain], photo_hw: tuple[int, int]) -> BoolArray:
    """Tell which chains look like joints, shape (n,).

    Args:
        chains: Chains of one photo, in photo pixels.
        photo_hw: Height and width of the photo, in pixels.
    """
    lines = [_line(chain.path_xy) for chain in chains]
    straight = [i for i, line in enumerate(lines) if line.straight]
    found = np.zeros(len(chains), np.bool_)
    for i in straight:
        others = [lines[j] for j in straight if j != i]
        n_ends = sum(_ends_at_something(end, others, photo_hw) for end in lines[i].ends)
        kin = any(_kin(lines[i], other) for other in others)
        found[i] = lines[i].alone or n_ends == 2 or (kin and (n_ends > 0 or lines[i].length_px > 2 * LEAST_PX))
    return found


def _line(path_xy: Float64Array) -> _Line:
    middle = path_xy.mean(0)
    _, _, axes = np.linalg.svd(path_xy - middle, full_matrices=False)
    across = (path_xy - middle) @ np.array([-axes[0, 1], axes[0, 0]])
    return _Line(length_of(path_xy), float(np.sqrt((across**2).mean())), axes[0], path_xy[[0, -1]])


def _kin(one: _Line, other: _Line) -> bool:
    """Whether two straight lines run parallel, side by side, or square to each other."""
    cosine = abs(float(one.direction @ other.direction))
    if cosine <= np.sin(np.deg2rad(PARALLEL_DEG)):
        return True
    if cosine < np.cos(np.deg2rad(PARALLEL_DEG)):
        return False
    places = np.sort((other.ends - one.ends[0]) @ one.direction)
    reach = np.sort((one.ends - one.ends[0]) @ one.direction)
    shared = min(places[1], reach[1]) - max(places[0], reach[0])
    return bool(shared >= 0.3 * min(one.length_px, other.length_px))


def _ends_at_something(end: Float64Array, others: Sequence[_Line], photo_hw: tuple[int, int]) -> bool:
    """Whether an end lies at the border of the photo, or at another straight line that is not its own continuation."""
    height, width = photo_hw
    if min(end[0], end[1], width - 1 - end[0], height - 1 - end[1]) <= BORDER_PX:
        return True
    return any(_distance(end, other) <= NEAR_PX for other in others)


def _distance(point: Float64Array, line: _Line) -> float:
    """Distance of a point from a straight stretch."""
    start, stretch = line.ends[0], line.ends[1] - line.ends[0]
    share = np.clip((point - start) @ stretch / max(float(stretch @ stretch), 1e-9), 0, 1)
    return float(np.hypot(*(point - start - share * stretch)))
