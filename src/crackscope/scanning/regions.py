"""Regions: connected stretches of the map above the threshold."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Region"]


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
    """

    id: int
    box_xyxy: tuple[int, int, int, int]
    area_px: int
    peak_probability: float
    mean_probability: float
    peak_xy: tuple[int, int]
