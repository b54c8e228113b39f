"""Tracing of a photo: from its maps to its cracks, whatever its verdict is.

The fine map of the model guides the tracing, in the regions of the crack map. If the crack map has none, the fine map
is computed in the whole photo. A model without a fine map is guided by dark ridges inside its regions. What needs
SciPy is imported where it is used: classifying patches needs none of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import cv2
import numpy as np

from crackscope.arrays import UInt8Array
from crackscope.errors import ImageError
from crackscope.files.images import Image
from crackscope.geometry.cracks import Crack
from crackscope.geometry.scale import Scale
from crackscope.geometry.scale_sources import AnyScale
from crackscope.model.card import Card
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.scanner import PreparedPhoto, photo_scale, prepare_photo

if TYPE_CHECKING:
    from crackscope.geometry.line_tracing import Guide

__all__ = ["TracedBy", "Tracing", "cracks_in", "guide_of", "prepare_to_trace"]

TracedBy: TypeAlias = Literal["fine map", "ridges"]
"""What guided a tracing: the fine map of the model, or dark ridges inside its crack map."""

RIDGE_THRESHOLD = 0.5
LEAST_PX = 64  # a side


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
    """

    path: str
    model: str
    traced_by: TracedBy
    cracks: tuple[Crack, ...]
    photo_hw: tuple[int, int]
    network_scale: float
    scale: Scale | None = None


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


def guide_of(found: CrackMap, prepared: PreparedPhoto, card: Card) -> tuple[Guide, TracedBy]:
    """What guides the tracing of a scanned photo.

    Args:
        found: Map of the photo, with a fine map if the model has one.
        prepared: The photo at the network's scale.
        card: Card of the model.
    """
    from crackscope.geometry.line_tracing import Guide
    from crackscope.geometry.ridges import ridge_map

    if card.fine_map is not None:
        assert found.fine is not None
        return Guide(found.fine.probability, found.fine.cell_px, found.fine.threshold), "fine map"
    height, width = prepared.pixels.shape[:2]
    cell_px = prepared.photo_hw[0] / height, prepared.photo_hw[1] / width
    stride_px = round(found.cell_px[0] / cell_px[0])
    fires = found.fires.repeat(stride_px, axis=0).repeat(stride_px, axis=1)[:height, :width]
    return Guide(ridge_map(prepared.pixels, fires), cell_px, RIDGE_THRESHOLD), "ridges"


def cracks_in(photo: Image, guide: Guide) -> tuple[Crack, ...]:
    """Trace the cracks of a photo.

    Args:
        photo: The upright photo.
        guide: Map that says where lines run.
    """
    from crackscope.geometry.grouping import cracks_of
    from crackscope.geometry.line_tracing import trace_lines

    grey: UInt8Array = np.asarray(cv2.cvtColor(photo.pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    graph = trace_lines(guide, grey)
    return cracks_of(graph, guide.at, (grey.shape[0], grey.shape[1]))
