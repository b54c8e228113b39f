"""Findings for tests: one straight crack each, with the width, scale and confidence that a test names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crackscope.geometry.cracks import Crack
from crackscope.geometry.widths import CrackMillimetres, CrackWidth, WidthEstimate, WidthMm

__all__ = ["FindingForTests", "crack", "finding"]


@dataclass(frozen=True)
class FindingForTests:
    """What `crackscope.prioritise` must know of a finding."""

    number: int
    photo: str
    crack: Crack
    element: str | None
    photo_hw: tuple[int, int]


def crack(
    *,
    width: tuple[float, float, float] | None = (0.35, 0.28, 0.44),
    mm_per_px: float | None = 0.1,
    uncertainty: float | None = 0.0025,
    resolved: bool = True,
    length_px: float = 2000,
    confidence: float = 0.9,
    joint_like: bool = False,
) -> Crack:
    """A straight crack; its width is stated in mm, or in pixels where there is no scale."""
    per_px = mm_per_px or 1.0
    estimate = WidthEstimate(width[0] / per_px, width[1] / per_px, width[2] / per_px, resolved) if width else None
    in_mm = WidthMm(*width, resolved) if width and mm_per_px else None
    measured = estimate and CrackWidth(estimate, estimate, estimate, (5.0, 5.0), 0.8, length_px, 1, 0, 0, 0, 0)
    error_mm = None if uncertainty is None else length_px * uncertainty
    scaled = mm_per_px and CrackMillimetres(
        mm_per_px, uncertainty, length_px * mm_per_px, error_mm, in_mm, in_mm, in_mm, 0.08
    )
    return Crack(
        id="c",
        path_xy=(np.array([[5.0, 5.0], [5.0 + length_px, 5.0]]),),
        confidence=(np.array([confidence, confidence]),),
        nodes_xy=np.array([[5.0, 5.0], [5.0 + length_px, 5.0]]),
        branch_ends=np.array([[0, 1]]),
        joint_like=joint_like,
        length_px=length_px,
        direction_deg=0.0,
        direction_strength=1.0,
        directions_px=np.zeros(18),
        tortuosity=1.0,
        pattern="single",
        width=measured or None,
        mm=scaled or None,
    )


def finding(
    number: int = 1,
    *,
    photo: str = "deck/a.jpg",
    element: str | None = None,
    width: tuple[float, float, float] | None = (0.35, 0.28, 0.44),
    mm_per_px: float | None = 0.1,
    uncertainty: float | None = 0.0025,
    resolved: bool = True,
    length_px: float = 2000,
    confidence: float = 0.9,
    joint_like: bool = False,
) -> FindingForTests:
    """A finding with a crack of `crack`, in a photo of 3,000 by 4,000 pixels."""
    one = crack(
        width=width,
        mm_per_px=mm_per_px,
        uncertainty=uncertainty,
        resolved=resolved,
        length_px=length_px,
        confidence=confidence,
        joint_like=joint_like,
    )
    return FindingForTests(number, photo, one, element, (3000, 4000))
