"""Photographs of a wall on which markers lie, by a drawn camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crackscope.arrays import Float64Array, UInt8Array
from crackscope.drawing.drawn_camera import CONCRETE, Scene, marker_on, photograph, plane_in_view, seen_at
from crackscope.geometry.markers import marker_bits
from crackscope.geometry.scale import Scale

__all__ = ["FAMILY", "SIDE_MM", "Laid", "marked_photo", "off_by", "view_of"]

FAMILY, SIDE_MM = "APRILTAG_36h11", 50.0


@dataclass(frozen=True)
class Laid:
    """A marker on the wall: its number, its middle and its turn, and its side."""

    number: int = 7
    centre_mm: tuple[float, float] = (0.0, 0.0)
    turn_deg: float = 0.0
    side_mm: float = SIDE_MM


def wall(x: Any, y: Any) -> Any:
    """Even concrete."""
    return np.full(np.broadcast(x, y).shape, CONCRETE, np.float32)


def view_of(photo_hw: tuple[int, int], **choices: Any) -> Float64Array:
    """A view whose origin is in the middle of the photo; 100 px are 50 mm, unless chosen otherwise."""
    middle = (photo_hw[1] / 2, photo_hw[0] / 2)
    chosen: dict[str, Any] = {"mm_per_px": 0.5, "at_px": middle, "focal_px": 2500.0} | choices
    return plane_in_view(**chosen)


def marked_photo(
    view: Float64Array, photo_hw: tuple[int, int], markers: Sequence[Laid] = (Laid(),), *, family: str = FAMILY
) -> UInt8Array:
    """Photograph markers on a wall."""
    scene: Scene = wall
    for one in markers:
        bits = marker_bits(family, one.number)
        scene = marker_on(scene, bits, side_mm=one.side_mm, centre_mm=one.centre_mm, turn_deg=one.turn_deg)
    return photograph(scene, view, photo_hw=photo_hw)


def off_by(scale: Scale, view: Float64Array, place_mm: tuple[float, float], *, along_deg: float = 0.0) -> float:
    """Relative error of a scale at a place of the wall, for a length of 2 mm in a direction."""
    angle = np.radians(along_deg)
    ends = np.array(place_mm) + np.outer([-1, 1], [np.cos(angle), np.sin(angle)])
    return scale.length_mm(seen_at(view, ends))[0] / 2 - 1
