"""Grouping: what hangs together in a traced graph becomes a crack, with its length, direction and pattern.

- *Length*: along all branches of the crack, on smoothed lines.
- *Direction*: the axial mean over the length, in degrees from the horizontal (`crackscope.geometry.paths`).
- *Tortuosity*: length of the longest chain of branches, divided by the distance of its ends; 1 for a straight line.
- *Pattern*: ``map`` if the crack encloses at least `MESHES` meshes; else ``branched`` if branches meet in it; else
  ``parallel`` if another crack runs beside it, within `PARALLEL_DEG` degrees, along at least half of the shorter one,
  no farther away than that one is long; else ``single``.

Straight lines that look like joints (`crackscope.geometry.joints`) are objects of their own, with `joint_like`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Sequence
from dataclasses import replace

import numpy as np

from crackscope.arrays import Float64Array
from crackscope.geometry.chains import Chain, chains_of
from crackscope.geometry.cracks import Crack
from crackscope.geometry.joints import part_joints
from crackscope.geometry.line_graph import Branch, LineGraph
from crackscope.geometry.paths import direction_deg, direction_histogram, length_of

__all__ = ["crack_along", "cracks_of"]

MESHES = 2
PARALLEL_DEG = 15.0
LEFT_OVER_PX = 24.0


def cracks_of(
    graph: LineGraph, certainty: Callable[[Float64Array], Float64Array], photo_hw: tuple[int, int]
) -> tuple[Crack, ...]:
    """Make cracks of a traced graph, the longest first; those that look like joints follow.

    Args:
        graph: Graph in photo pixels, whose points lie a pixel apart.
        certainty: Function that gives the probability of a crack at points x and y, shape (n, 2).
        photo_hw: Height and width of the photo, in pixels.
    """
    rest, joints = part_joints(graph, photo_hw)
    pieces = [[rest.branches[number] for number in own] for own in rest.components()]
    at_joints = {node for joint in joints for branch in joint for node in branch.ends}
    kept = [piece for piece in pieces if not _left_over(piece, at_joints)]
    cracks = [*(_crack(piece, certainty, False) for piece in kept), *(_crack(one, certainty, True) for one in joints)]
    return tuple(sorted(_with_parallels(cracks), key=lambda one: (one.joint_like, -one.length_px, one.id)))


def crack_along(path_xy: Float64Array) -> Crack:
    """Make a crack of one line that a person says is one: its confidence is 1 everywhere, and it is never joint-like.

    Args:
        path_xy: Points in photo pixels, a pixel apart, shape (n, 2), n at least 2; a ring ends where it begins.
    """
    last = 0 if np.array_equal(path_xy[0], path_xy[-1]) else 1
    return _crack([Branch(path_xy, (0, last))], lambda points: np.ones(len(points)), False)


def _left_over(piece: Sequence[Branch], at_joints: Container[int]) -> bool:
    """Whether a piece is a short rest beside a joint, such as the middle of a crossing."""
    touches = any(node in at_joints for branch in piece for node in branch.ends)
    return touches and sum(branch.length for branch in piece) < LEFT_OVER_PX


def _crack(pieces: Sequence[Branch], certainty: Callable[[Float64Array], Float64Array], is_joint: bool) -> Crack:
    branches = [Branch(np.round(branch.path_xy, 2), branch.ends) for branch in pieces]  # as JSON holds them
    used = sorted({node for branch in branches for node in branch.ends})
    graph = LineGraph(
        tuple(Branch(one.path_xy, (used.index(one.ends[0]), used.index(one.ends[1]))) for one in branches), len(used)
    )
    nodes = np.zeros((len(used), 2))
    for branch in graph.branches:
        nodes[branch.ends[0]], nodes[branch.ends[1]] = branch.path_xy[0], branch.path_xy[-1]
    lengths = np.array([branch.length for branch in graph.branches])
    histogram = np.sum([direction_histogram(branch.path_xy) for branch in graph.branches], axis=0)
    direction, strength = _mean_direction([branch.path_xy for branch in graph.branches])
    n_meshes = len(graph.branches) - len(used) + 1  # of a graph that hangs together
    branched = bool((graph.degrees >= 3).any())
    return Crack(
        id=_name([branch.path_xy for branch in graph.branches]),
        path_xy=tuple(branch.path_xy for branch in graph.branches),
        confidence=tuple(np.round(certainty(branch.path_xy), 3) for branch in branches),
        nodes_xy=nodes,
        branch_ends=np.array([branch.ends for branch in graph.branches], np.int64).reshape(-1, 2),
        joint_like=is_joint,
        length_px=float(lengths.sum()),
        direction_deg=direction,
        direction_strength=strength,
        directions_px=np.asarray(histogram, np.float64),
        tortuosity=_tortuosity(max(chains_of(graph), key=lambda chain: length_of(chain.path_xy))),
        pattern="map" if n_meshes >= MESHES else "branched" if branched else "single",
    )


def _name(paths: Sequence[Float64Array]) -> str:
    points = np.sort(np.concatenate([np.round(path).astype("<i4") for path in paths]).view("<i4,<i4").ravel())
    return hashlib.sha256(points.tobytes()).hexdigest()[:8]


def _mean_direction(paths: Sequence[Float64Array]) -> tuple[float, float]:
    """The axial mean over several paths: their steps are laid one after the other."""
    steps = np.concatenate([np.diff(path, axis=0) for path in paths])
    return direction_deg(np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)]))


def _tortuosity(chain: Chain) -> float | None:
    chord = float(np.hypot(*(chain.path_xy[-1] - chain.path_xy[0])))
    length = length_of(chain.path_xy)
    return max(1.0, length / chord) if chord > 1e-9 else None


def _with_parallels(cracks: Sequence[Crack]) -> list[Crack]:
    """Mark single cracks that run beside another one."""
    candidates = [one for one in cracks if not one.joint_like and one.direction_strength > 0.5]
    return [
        replace(crack, pattern="parallel")
        if crack.pattern == "single" and any(_beside(crack, other) for other in candidates if other is not crack)
        else crack
        for crack in cracks
    ]


def _beside(crack: Crack, other: Crack) -> bool:
    turn = abs(crack.direction_deg - other.direction_deg)
    if crack.joint_like or crack.direction_strength <= 0.5 or min(turn, 180 - turn) > PARALLEL_DEG:
        return False
    angle = np.deg2rad(crack.direction_deg)
    along, across = np.array([np.cos(angle), -np.sin(angle)]), np.array([np.sin(angle), np.cos(angle)])
    mine, theirs = (np.concatenate(one.path_xy) for one in (crack, other))
    (low, high), (low2, high2) = (((points @ along).min(), (points @ along).max()) for points in (mine, theirs))
    shorter = min(high - low, high2 - low2)
    apart = abs(float(np.median(mine @ across) - np.median(theirs @ across)))
    return bool(min(high, high2) - max(low, low2) >= shorter / 2 and apart <= shorter)
