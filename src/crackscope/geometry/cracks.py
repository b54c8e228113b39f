"""A crack as it was traced: its branches, and what is measured of them.

How lines become cracks is told in `crackscope.geometry.grouping`, and how they are measured in
`crackscope.geometry.measured_cracks`. This module needs NumPy alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from crackscope.arrays import Float64Array, Int64Array
from crackscope.geometry.widths import BranchWidths, CrackMillimetres, CrackWidth

__all__ = ["Crack", "Pattern"]

Pattern: TypeAlias = Literal["single", "branched", "parallel", "map"]
"""Pattern of a crack, by the rule of `crackscope.geometry.grouping`."""

_PLAIN = ("joint_like", "length_px", "direction_deg", "direction_strength", "tortuosity", "pattern")


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
        width: Width over the length of the crack, in pixels; None if it was not measured.
        widths: Widths along each branch, one entry a branch; nothing if they were not measured.
        mm: Length and width in millimetres; None if the photo has no scale there.
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
    width: CrackWidth | None = None
    widths: tuple[BranchWidths, ...] = ()
    mm: CrackMillimetres | None = None

    @property
    def area_px2(self) -> float | None:
        """Length times median width, in square pixels; None if the width was not measured.

        The best estimate of the width counts, also where it is not resolved.
        """
        return None if self.width is None else self.length_px * self.width.median.width_px

    @property
    def area_mm2(self) -> float | None:
        """Length times median width, in mm²; None without a scale, or if the width was not measured."""
        return None if self.mm is None or self.mm.median is None else self.mm.length_mm * self.mm.median.width_mm

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
            "width": self.width.to_dict() if self.width else None,
            "mm": self.mm.to_dict() if self.mm else None,
            "nodes_xy": self.nodes_xy.tolist(),
            "branches": [
                {
                    "path_xy": path.tolist(),
                    "confidence": sure.tolist(),
                    "ends": ends.tolist(),
                    "widths": widths.to_dict() if widths else None,
                }
                for path, sure, ends, widths in zip(
                    self.path_xy,
                    self.confidence,
                    self.branch_ends,
                    self.widths or [None] * len(self.path_xy),
                    strict=True,
                )
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
            width=CrackWidth.from_dict(found["width"]) if found.get("width") else None,
            widths=tuple(BranchWidths.from_dict(branch["widths"]) for branch in branches if branch.get("widths")),
            mm=CrackMillimetres.from_dict(found["mm"]) if found.get("mm") else None,
            **{name: found[name] for name in _PLAIN},
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Crack) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def _degrees(self) -> Int64Array:
        return np.bincount(self.branch_ends.ravel(), minlength=len(self.nodes_xy)).astype(np.int64)
