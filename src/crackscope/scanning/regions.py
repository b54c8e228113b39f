"""A region: a connected stretch of the map above the threshold."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Region"]


@dataclass(frozen=True)
class Region:
    """Cells that touch each other, each with a probability from the threshold on.

    Attributes:
        box_xyxy: Left, top, right, bottom in photo pixels; right and bottom are the first ones outside.
        area_px: Photo pixels that its cells cover.
        peak_probability: The greatest, in [0, 1].
        mean_probability: Over its cells.
        peak_xy: Where to look, in photo pixels: the middle of its strongest cell in the most probable footprint.
    """

    box_xyxy: tuple[int, int, int, int]
    area_px: int
    peak_probability: float
    mean_probability: float
    peak_xy: tuple[int, int]
