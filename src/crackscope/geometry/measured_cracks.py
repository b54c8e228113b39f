"""Measured cracks: traced cracks get their widths from the photo's grey levels, and millimetres from its scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crackscope.arrays import Float32Array, Float64Array, UInt8Array
from crackscope.geometry.crack_edges import PROFILE_SAMPLES
from crackscope.geometry.crack_summary import crack_width, crack_width_mm
from crackscope.geometry.crack_width import LONGEST_PROFILE, STEP_PX, WidthsAlong, widths_along
from crackscope.geometry.cracks import Crack
from crackscope.geometry.paths import length_of
from crackscope.geometry.scale import LocalScale, Scale
from crackscope.geometry.widths import BranchWidths, CrackMillimetres

__all__ = ["LONG_PX", "in_millimetres", "with_widths"]

_MARGIN_PX = (
    max(LONGEST_PROFILE, PROFILE_SAMPLES) // 2 + 8
)  # of the grey levels that profiles of a branch are read from


LONG_PX = 400.0
"""Length of a branch, in pixels, from which every second place is enough: its figures rest on 50 places and more."""


def with_widths(cracks: Sequence[Crack], grey: UInt8Array, blur_px: float | None) -> tuple[Crack, ...]:
    """Measure the widths of cracks; lines that look like joints are left out.

    Args:
        cracks: Traced cracks.
        grey: Grey picture of the whole photo, shape (H, W), uint8.
        blur_px: Standard deviation of the photo's blur in pixels, see `photo_blur`; None if not known.

    Returns:
        The same cracks, with `width` and `widths`.
    """
    return tuple(crack if crack.joint_like else _with_widths(crack, grey, blur_px) for crack in cracks)


def _with_widths(crack: Crack, grey: UInt8Array, blur_px: float | None) -> Crack:
    along = [_along(path, grey, blur_px) for path in crack.path_xy]
    kept = tuple(BranchWidths.rounded(**vars(one)) for one in along)
    rounded = [replace(one, **vars(own)) for one, own in zip(along, kept, strict=True)]
    return replace(crack, width=crack_width(rounded), widths=kept)  # figures that follow from what JSON holds


def _along(path_xy: Float64Array, grey: UInt8Array, blur_px: float | None) -> WidthsAlong:
    """Widths along a branch; only the part of the photo around it is turned into floating point."""
    height, width = grey.shape
    left, top = np.maximum(np.floor(path_xy.min(0)).astype(int) - _MARGIN_PX, 0)
    right, bottom = np.ceil(path_xy.max(0)).astype(int) + _MARGIN_PX + 1
    corner = np.array([left, top], np.float64)
    around: Float32Array = grey[top : min(bottom, height), left : min(right, width)].astype(np.float32)
    step_px = STEP_PX if length_of(path_xy) < LONG_PX else 2 * STEP_PX
    found = widths_along(around, path_xy - corner, blur_px, step_px=step_px)
    return replace(found, points_xy=found.points_xy + corner)


def in_millimetres(crack: Crack, scale: Scale | None) -> Crack:
    """Give a crack its length and widths in millimetres.

    Args:
        crack: The crack; its widths may not have been measured.
        scale: Scale of the photo; without one, the crack has no millimetres.

    Returns:
        The same crack, with `mm`. It is None without a scale, and where the crack runs beyond the horizon of the plane
        that the scale belongs to.
    """
    if scale is None:
        return replace(crack, mm=None)
    points = np.concatenate(crack.path_xy)
    here = scale.at(points[:, 0], points[:, 1])
    if not np.isfinite(here.mm_per_px).all():
        return replace(crack, mm=None)
    lengths = [scale.length_mm(path) for path in crack.path_xy]
    unsure = [part for _, part in lengths if part is not None]  # errors of neighbours are alike, so they add up
    known = len(unsure) == len(lengths)
    mean_uncertainty = None if here.uncertainty_mm_per_px is None else float(here.uncertainty_mm_per_px.mean())
    mm = CrackMillimetres(
        mm_per_px=float(here.mm_per_px.mean()),
        uncertainty_mm_per_px=mean_uncertainty,
        length_mm=sum(length for length, _ in lengths),
        length_uncertainty_mm=sum(unsure) if known else None,
    )
    if crack.width is not None:
        across = [_across(one, scale) for one in crack.widths]
        if all(np.isfinite(one.mm_per_px).all() for one in across):
            smallest = crack.width.smallest_px * float(np.concatenate([one.mm_per_px for one in across]).mean())
            median, p90, maximum = (  # on a tilted surface, the scale at the place differs from the mean
                replace(one, resolved=one.resolved and one.width_mm >= smallest)
                for one in crack_width_mm(crack.widths, across)
            )
            mm = replace(mm, median=median, p90=p90, maximum=maximum, smallest_mm=smallest)
    return replace(crack, mm=mm)


def _across(widths: BranchWidths, scale: Scale) -> LocalScale:
    """Scale across a branch at the places of its widths."""
    points = widths.points_xy
    along = np.gradient(points, axis=0) if len(points) > 1 else np.array([[1.0, 0.0]])
    still = np.hypot(along[:, 0], along[:, 1]) == 0
    along[still] = (1.0, 0.0)
    return scale.at(points[:, 0], points[:, 1], direction_xy=(-along[:, 1], along[:, 0]))
