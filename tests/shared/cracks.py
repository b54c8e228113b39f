"""Cracks made by hand: a straight or bent line with widths along it, as a tracing would give it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crackscope.geometry.cracks import Crack
from crackscope.geometry.measured_cracks import in_millimetres
from crackscope.geometry.paths import length_of, resampled
from crackscope.geometry.scale import Scale
from crackscope.geometry.widths import BranchWidths, CrackWidth, WidthEstimate

__all__ = ["made_crack"]

SMALLEST_PX = 0.94


def made_crack(
    points_xy: Sequence[tuple[float, float]],
    width_px: float = 3.0,
    *,
    name: str = "made",
    resolved: bool = True,
    joint_like: bool = False,
    scale: Scale | None = None,
) -> Crack:
    """A crack of one branch through some points, equally wide all along; one that looks like a joint has no widths."""
    path = resampled(np.array(points_xy, np.float64))
    n = len(path)
    ends = np.array([[0, 1]])
    one = WidthEstimate(width_px, 0.8 * width_px if resolved else 0.0, 1.25 * width_px, resolved)
    middle = path[n // 2]
    width = CrackWidth(one, one, one, (float(middle[0]), float(middle[1])), SMALLEST_PX, float(n), *[0.5] * 5)
    widths = BranchWidths(
        *(path, np.full(n, length_of(path) / n), np.full(n, one.width_px), np.full(n, one.low_px)),
        *(np.full(n, one.high_px), np.full(n, SMALLEST_PX / 2), np.full(n, resolved), np.zeros(n, np.bool_)),
    )
    crack = Crack(
        *(name, (path,), (np.full(n, 0.9),), path[[0, -1]], ends, joint_like, length_of(path), 45.0, 0.9),
        *(np.full(18, length_of(path) / 18), 1.1, "single"),
        width=None if joint_like else width,
        widths=() if joint_like else (widths,),
    )
    return in_millimetres(crack, scale)
