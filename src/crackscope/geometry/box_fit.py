"""One blurred box fitted to each grey profile, robustly: pores, grains and other cracks beside it count little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crackscope.arrays import BoolArray, Float64Array
from crackscope.geometry.blurred_box import NARROWEST_BOX_PX, EdgeTables, softened_edge

__all__ = ["LEAST_NOISE", "BoxFit", "Boxes", "concrete_level", "fit_boxes", "without_other_cracks"]

LEAST_NOISE = 0.012
"""Least standard deviation of the noise that is assumed, of the concrete's grey: rounding, and what no box explains."""

_CLIP = 3.0  # samples beside the crack are pulled to so many standard deviations from the fit


@dataclass(frozen=True)
class Boxes:
    """One box a profile.

    Attributes:
        widths: Widths in pixels, shape (n,).
        middles: Middles in pixels from the middle of the profile, shape (n,).
        blurs: Standard deviations of the blur in pixels, shape (n,).
    """

    widths: Float64Array
    middles: Float64Array
    blurs: Float64Array


@dataclass(frozen=True)
class BoxFit:
    """What fitting one box to each profile gives; greys are shares of the concrete's, minus 1.

    Attributes:
        pulled: Profiles whose samples beside the crack were pulled towards the fit, shape (n, m).
        left_over: Pulled profiles minus the fit, shape (n, m).
        outside: Which samples lie beside the crack, shape (n, m).
        concrete: Grey of the concrete at the crack, shape (n,).
        noise: Standard deviation of the samples beside the crack, at least `LEAST_NOISE`, shape (n,).
        dip: How far both sides are brighter than the crack's floor, shape (n,).
    """

    pulled: Float64Array
    left_over: Float64Array
    outside: BoolArray
    concrete: Float64Array
    noise: Float64Array
    dip: Float64Array


def concrete_level(profiles: Float64Array) -> Float64Array:
    """Grey of the concrete: the median of what is brighter than half-way between the extremes; shape (n,)."""
    ordered = np.sort(profiles, axis=1)
    m = profiles.shape[1]
    low, high = ordered[:, m // 20], ordered[:, m - 1 - m // 20]
    n_bright = (ordered >= ((low + high) / 2)[:, None]).sum(axis=1)
    bright = ordered[np.arange(len(ordered)), m - 1 - n_bright // 2]
    # A single bright sample on black is no concrete; a level of nothing could not be divided by.
    return np.asarray(np.maximum(bright, 0.05 * ordered[:, -1]))


def without_other_cracks(values: Float64Array) -> Float64Array:
    """Fill dark places that concrete separates from the middle, up to half the depth of the darkest place there."""
    m = values.shape[1]
    x = np.arange(m) - (m - 1) / 2
    near = np.flatnonzero(np.abs(x) <= 4)
    darkest = near[values[:, near].argmin(axis=1)]
    depth = -values[np.arange(len(values)), darkest]
    typical = 1.4826 * np.median(np.abs(values), axis=1)
    filled: Float64Array = values.copy()
    for side in (slice(None), slice(None, None, -1)):
        part = filled[:, side]
        begin = darkest if side.step is None else m - 1 - darkest
        beyond = np.arange(m) > begin[:, None]
        separated = np.maximum.accumulate(beyond & (part >= -0.35 * depth[:, None]), axis=1)
        least = -np.maximum(0.5 * depth, 4 * typical)[:, None]
        filled[:, side] = np.where(separated, np.maximum(part, least), part)
    return filled


def fit_boxes(raw: Float64Array, tables: EdgeTables, boxes: Boxes) -> BoxFit:
    """Fit concrete, step and depth to profiles for given boxes, and pull samples beside the crack towards the fit."""
    n, m = raw.shape
    x = tables.places_px
    wide = np.maximum(boxes.widths, NARROWEST_BOX_PX)
    left = softened_edge(x - (boxes.middles - wide / 2)[:, None], boxes.blurs[:, None])
    right = softened_edge(x - (boxes.middles + wide / 2)[:, None], boxes.blurs[:, None])
    box, step = left - right, 0.5 * (left + right) - 0.5
    parts = np.concatenate([np.broadcast_to(tables.concrete, (n, m, 3)), step[..., None], -box[..., None]], axis=2)
    held = parts.transpose(0, 2, 1) @ parts + np.diag([1e-9, 1e-9, 1 / 16, 1 / 16, 1e-6])
    found = np.linalg.solve(held, parts.transpose(0, 2, 1) @ raw[..., None])
    fitted = (parts @ found)[..., 0]
    found = found[..., 0]
    left_over = raw - fitted
    away = np.abs(x - boxes.middles[:, None])
    outside = away > (wide / 2 + 1.5 * boxes.blurs)[:, None]
    noise = np.maximum(1.4826 * _median_where(np.abs(left_over), outside), LEAST_NOISE)
    limit = _CLIP * noise[:, None]
    pulled = np.where(outside, fitted + np.clip(left_over, -limit, limit), raw)
    at = boxes.middles / x[-1]
    concrete = found[:, 0] + found[:, 1] * at + found[:, 2] * (at**2 - 1 / 3)
    floor = (raw * box).sum(axis=1) / np.maximum(box.sum(axis=1), 1e-9)
    sides = [
        _median_where(raw, outside & (side * (x - boxes.middles[:, None]) > 0), nothing=-np.inf) for side in (-1, 1)
    ]
    return BoxFit(pulled, pulled - fitted, outside, concrete, noise, np.minimum(*sides) - floor)


def _median_where(values: Float64Array, chosen: BoolArray, nothing: float = 0.0) -> Float64Array:
    """Median of the chosen values of each row, shape (n,); `nothing` where none is chosen."""
    ordered = np.sort(np.where(chosen, values, np.inf), axis=1)
    count = chosen.sum(axis=1)
    middle = ordered[np.arange(len(values)), np.maximum(count - 1, 0) // 2]
    return np.asarray(np.where(count > 0, middle, nothing))
