"""Cracks: what hangs together in a traced graph becomes a crack, with its length, direction and pattern.

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
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from crackscope.arrays import Float64Array, Int64Array
from crackscope.geometry.chains import Chain, chains_of
from crackscope.geometry.joints import part_joints
from crackscope.geometry.line_graph import Branch, LineGraph
from crackscope.geometry.paths import direction_deg, direction_histogram, length_of

__all__ = ["Crack", "Pattern", "cracks_of"]

Pattern: TypeAlias = Literal["single", "branched", "parallel", "map"]
"""Pattern of a crack, by the rule at the top of this module."""

_PLAIN = ("joint_like", "length_px", "direction_deg", "direction_strength", "tortuosity", "pattern")
MESHES = 2
PARALLEL_DEG = 15.0
LEFT_OVER_PX = 24.0


@dataclass(frozen=True, eq=False)
class Crack:
    """A traced crack.

    Pixels are those of the upright photo; (0, 0) is the middle of the first pixel.

    Attributes:
        id: Name that depends on the crack's place and course alone, so that it stays when other cracks come or go.
        path_xy: Points x and y of each branch, shape (n, 2), in pixels; all branches together are the crack.
        confidence: Probability of a crack at each point of each branch, shape (n,), in [0, 1].
        nodes_xy: Ends and junctions, shape (m, 2), in pixels.
        branch_ends: Numbers of the first and the last node of each branch, shape (branches, 2); equal for a ring.
        joint_like: Whether it looks like a joint, a board or a cable.
        length_px: Length along all branches, in pixels.
        direction_deg: Mean direction in degrees from the horizontal, in [0, 180); 45 rises to the right.
        direction_strength: How well the direction is kept, in [0, 1]; 1 for a straight line.
        directions_px: Length by direction in 18 bins of 10 degrees, shape (18,), in pixels.
        tortuosity: Length of the longest chain of branches by the distance of its ends, 1 or more; None for a ring.
        pattern: ``single``, ``branched``, ``parallel`` or ``map``.
    """

    id: str
    path_xy: tuple[Float64Array, ...]
    confidence: tuple[Float64Array, ...]
    nodes_xy: Float64Array
    branch_ends: Int64Array
    joint_like: bool
    length_px: float
    direction_deg: float
    direction_strength: float
    directions_px: Float64Array
    tortuosity: float | None
    pattern: Pattern

    @property
    def n_junctions(self) -> int:
        """Number of nodes in which at least three branches meet."""
        return int((self._degrees >= 3).sum())

    @property
    def n_ends(self) -> int:
        """Number of free ends."""
        return int((self._degrees == 1).sum())

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the crack, in pixels."""
        points = np.concatenate(self.path_xy)
        (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
        return left, top, right, bottom

    @property
    def mean_confidence(self) -> float:
        """Mean of the confidence over all points."""
        return float(np.concatenate(self.confidence).mean())

    def to_dict(self) -> dict[str, Any]:
        """Give the crack with its branches, ready for JSON."""
        return {
            "id": self.id,
            "joint_like": self.joint_like,
            "length_px": self.length_px,
            "direction_deg": self.direction_deg,
            "direction_strength": self.direction_strength,
            "directions_px": self.directions_px.tolist(),
            "tortuosity": self.tortuosity,
            "pattern": self.pattern,
            "confidence": self.mean_confidence,
            "box_xyxy": list(self.box_xyxy),
            "n_ends": self.n_ends,
            "n_junctions": self.n_junctions,
            "nodes_xy": self.nodes_xy.tolist(),
            "branches": [
                {"path_xy": path.tolist(), "confidence": sure.tolist(), "ends": ends.tolist()}
                for path, sure, ends in zip(self.path_xy, self.confidence, self.branch_ends, strict=True)
            ],
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Crack:
        """Make a crack from a dictionary of `to_dict`; unknown keys are ignored.

        Args:
            found: The dictionary.
        """
        branches = found["branches"]
        return cls(
            id=found["id"],
            path_xy=tuple(np.array(branch["path_xy"], np.float64).reshape(-1, 2) for branch in branches),
            confidence=tuple(np.array(branch["confidence"], np.float64) for branch in branches),
            nodes_xy=np.array(found["nodes_xy"], np.float64).reshape(-1, 2),
            branch_ends=np.array([branch["ends"] for branch in branches], np.int64).reshape(-1, 2),
            directions_px=np.array(found["directions_px"], np.float64),
            **{name: found[name] for name in _PLAIN},
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Crack) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def _degrees(self) -> Int64Array:
        return np.bincount(self.branch_ends.ravel(), minlength=len(self.nodes_xy)).astype(np.int64)


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
