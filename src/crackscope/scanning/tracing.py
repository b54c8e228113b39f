"""Tracing of a photo: from its maps to its cracks, whatever its verdict is.

The fine map of the model guides the tracing, in the regions of the crack map. If the crack map has none, the fine map
is computed in the whole photo. A model without a fine map is guided by dark ridges inside its regions. What needs
SciPy is imported where it is used: classifying patches needs none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from crackscope.arrays import BoolArray, UInt8Array
from crackscope.errors import ImageError
from crackscope.files.images import Image
from crackscope.geometry.cracks import Crack
from crackscope.geometry.scale import Scale
from crackscope.geometry.scale_sources import AnyScale
from crackscope.model.card import Card
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.results import TracedBy
from crackscope.scanning.scanner import PreparedPhoto, photo_scale, prepare_photo

if TYPE_CHECKING:
    from crackscope.geometry.line_tracing import Guide

__all__ = [
    "LEAST_PX",
    "Tracing",
    "blur_of",
    "cells_to_trace",
    "cracks_in",
    "grey_of",
    "guide_of",
    "measured_in",
    "prepare_to_trace",
]

RIDGE_THRESHOLD = 0.5
LEAST_PX = 64
"""Least side of a photo that is traced, in pixels."""


@dataclass(frozen=True, eq=False)
class Tracing:
    """Cracks of a photo.

    Pixels are those of the upright photo; (0, 0) is the middle of the first pixel.

    Attributes:
        path: Path of the photo; nothing for a photo without a path.
        model: Name of the model.
        traced_by: ``fine map``, or ``ridges`` for a model without one.
        cracks: All traced lines. Those that look like joints have `joint_like` and stand last.
        photo_hw: Height and width of the photo, in pixels.
        network_scale: Pixels of the network per pixel of the photo.
        scale: Millimetres per pixel of the photo; None if they are not known.
        blur_px: Standard deviation of the photo's blur, in pixels; above 2 the photo was enlarged or is out of focus.
    """

    path: str
    model: str
    traced_by: TracedBy
    cracks: tuple[Crack, ...]
    photo_hw: tuple[int, int]
    network_scale: float
    scale: Scale | None = None
    blur_px: float | None = None


def prepare_to_trace(photo: Image, card: Card, network_scale: float | None, scale: AnyScale) -> PreparedPhoto:
    """Resize a photo to the network's scale, as `scan` does; an image of patch size is taken for a photo, too.

    Args:
        photo: The photo.
        card: Card of the model.
        network_scale: Pixels of the network per pixel of the photo; chosen by the photo's size if None.
        scale: Millimetres per pixel of the photo, or sources that may tell them.

    Raises:
        DataError: If `network_scale` is no number above 0.
        ImageError: If the photo is smaller than 64 px a side.
    """
    height, width = photo.pixels.shape[:2]
    if min(height, width) < LEAST_PX:
        raise ImageError(f"{width}×{height} px are too few to trace lines in (at least {LEAST_PX} px a side)")
    chosen = photo_scale(card, (height, width)) if network_scale is None else network_scale
    return prepare_photo(photo, card, network_scale=chosen, scale=scale, unit="photo")


def guide_of(
    found: CrackMap, prepared: PreparedPhoto, card: Card, cells: BoolArray | None = None
) -> tuple[Guide, TracedBy]:
    """What guides the tracing of a scanned photo.

    Args:
        found: Map of the photo, with a fine map if the model has one.
        prepared: The photo at the network's scale.
        card: Card of the model.
        cells: Cells of the map in which lines are looked for; those of its regions if left out.
    """
    from crackscope.geometry.line_tracing import Guide
    from crackscope.geometry.ridges import ridge_map

    chosen = found.fires if cells is None else cells
    if card.fine_map is not None:
        assert found.fine is not None
        probability = found.fine.probability
        if found.fine.everywhere:
            ratio = probability.shape[0] // chosen.shape[0]
            probability = probability * chosen.repeat(ratio, axis=0).repeat(ratio, axis=1)
        return Guide(probability, found.fine.cell_px, found.fine.threshold), "fine map"
    height, width = prepared.pixels.shape[:2]
    cell_px = prepared.photo_hw[0] / height, prepared.photo_hw[1] / width
    stride_px = round(found.cell_px[0] / cell_px[0])
    inside = chosen.repeat(stride_px, axis=0).repeat(stride_px, axis=1)[:height, :width]
    return Guide(ridge_map(prepared.pixels, inside), cell_px, RIDGE_THRESHOLD), "ridges"


def cells_to_trace(found: CrackMap, *, everywhere: bool) -> BoolArray:
    """Choose the cells of a crack map in which lines are looked for: those of its regions.

    Args:
        found: Map of the photo.
        everywhere: Whether the whole photo is looked at where the map has no region.

    Returns:
        Whether each cell is chosen, shape (h, w).
    """
    return np.ones_like(found.fires) if everywhere and not found.fires.any() else found.fires


def grey_of(photo: Image) -> UInt8Array:
    """Grey levels of a photo, shape (H, W), uint8, in which lines are centred and widths are measured."""
    return np.asarray(cv2.cvtColor(photo.pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def blur_of(grey: UInt8Array) -> float:
    """Standard deviation of a photo's blur, in pixels, from its grey levels of shape (H, W), uint8."""
    from crackscope.geometry.photo_blur import photo_blur

    return photo_blur(grey).blur_px


def cracks_in(grey: UInt8Array, guide: Guide) -> tuple[Crack, ...]:
    """Trace the cracks of a photo; their widths are not measured.

    Args:
        grey: Grey levels of the upright photo, shape (H, W), uint8.
        guide: Map that says where lines run.
    """
    from crackscope.geometry.grouping import cracks_of
    from crackscope.geometry.line_tracing import trace_lines

    graph = trace_lines(guide, grey)
    return cracks_of(graph, guide.at, (grey.shape[0], grey.shape[1]))


def measured_in(grey: UInt8Array, cracks: Sequence[Crack], scale: Scale | None) -> tuple[tuple[Crack, ...], float]:
    """Measure the widths of traced cracks, in pixels, and in millimetres if there is a scale.

    Args:
        grey: Grey levels of the upright photo, shape (H, W), uint8.
        cracks: The cracks.
        scale: Millimetres per pixel of the photo; None if they are not known.

    Returns:
        The cracks with their widths, and the blur of the photo in pixels.
    """
    from crackscope.geometry.measured_cracks import in_millimetres, with_widths

    blur_px = blur_of(grey)
    return tuple(in_millimetres(crack, scale) for crack in with_widths(cracks, grey, blur_px)), blur_px
