"""Regions: connected stretches of the map above the threshold, and what the gate says of them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AcceptedPoint", "Region", "RejectedPoint"]


@dataclass(frozen=True)
class Region:
    """Connected cells of a map, each with a probability of at least the threshold.

    Attributes:
        id: Number of the region in its photo, from 1; the region with the greatest peak comes first.
        box_xyxy: Left, top, right and bottom in photo pixels; right and bottom are the first pixels outside.
        area_px: Number of photo pixels that its cells cover.
        peak_probability: Greatest probability of any of its cells, in [0, 1].
        mean_probability: Mean probability of its cells, in [0, 1].
        peak_xy: Pixel (x, y) to look at first: the middle of its strongest cell in the most probable footprint.
        reason: Reason why the gate rejects the region, ``not concrete`` or ``blurred``, so that it does not decide;
            None if it does not.
    """

    id: int
    box_xyxy: tuple[int, int, int, int]
    area_px: int
    peak_probability: float
    mean_probability: float
    peak_xy: tuple[int, int]
    reason: str | None = None


@dataclass(frozen=True)
class AcceptedPoint:
    """Most probable point of a photo among those that the gate lets pass.

    Attributes:
        x_px: Photo pixels to the right of the middle of the first pixel.
        y_px: Photo pixels below the middle of the first pixel.
        probability: Crack probability of the footprint around it, in [0, 1].
    """

    x_px: int
    y_px: int
    probability: float


@dataclass(frozen=True)
class RejectedPoint:
    """Point in a region that the gate rejects.

    Attributes:
        x_px: Photo pixels to the right of the middle of the first pixel.
        y_px: Photo pixels below the middle of the first pixel.
        reason: Reason, ``not concrete`` or ``blurred``.
    """

    x_px: int
    y_px: int
    reason: str
