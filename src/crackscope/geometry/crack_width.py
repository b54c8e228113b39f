"""Width of a crack along its line, measured on the photo's grey profiles across it.

Every few pixels along the line, profiles are taken across it, on five parallel lines; their trimmed mean is one
profile, which `profile_widths` measures. A thin crack gets a short profile, so that its surroundings disturb little; a
wide one gets a longer one. Where a crack is wide enough, its floor's grey can be seen. The thin stretches of the same
crack are then measured with this floor instead of that of any crack.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float32Array, Float64Array, Int64Array
from crackscope.errors import DataError
from crackscope.geometry.crack_edges import PROFILE_SAMPLES, crack_edges
from crackscope.geometry.profile_width import ProfileWidths, dark_run, profile_widths
from crackscope.geometry.width_intervals import ALONG_CRACKS, IntervalScale
from crackscope.geometry.width_posterior import FLOORS, FloorPrior

__all__ = ["LONGEST_PROFILE", "STEP_PX", "WidthsAlong", "widths_along"]

STEP_PX = 4.0
"""Distance of two places along a line, in pixels."""

LONGEST_PROFILE = 144
"""Most samples of a profile across a line."""

_LINES = 5  # profiles side by side, a pixel apart, that are averaged at each place
_LENGTHS = (28, 48, 72, LONGEST_PROFILE)  # samples of a profile; a wide crack needs more
_MOST_OF = 0.27  # a profile is long enough if the crack fills at most this share of it
_OFF_PX = 1.5  # how far the line may run beside the middle of the crack
_ODD_FACTOR = 2.2
_STRAIGHT = 0.8  # a straight line has 1, a right angle 0.71
_SMEAR_PX = 0.45  # a crack winds within the averaged lines; found on drawn cracks
_ROUNDING = 0.05  # of the logarithm of the blur
_FILLINGS = FloorPrior((0.5, 0.5), (0.15, 0.4), (0.1, 0.25))
"""Depth of a crack that is filled with something lighter than the concrete; here, how much lighter it is."""


@dataclass(frozen=True)
class WidthsAlong:
    """Widths at places along a line; all arrays have one entry or row a place.

    Attributes:
        points_xy: Places on the line, shape (n, 2), in pixels of the photo, pixel centres at integers.
        lengths_px: Length of line that each place stands for, in pixels, shape (n,).
        width_px: Best estimates of the width in pixels, above 0, shape (n,).
        low_px: Lower ends of the 95 % intervals in pixels, 0 where there may be no crack, shape (n,).
        high_px: Upper ends of the 95 % intervals in pixels, shape (n,).
        resolved: Whether each width is resolved; see `WidthEstimate`; shape (n,).
        limit_px: Limit of resolution in pixels, shape (n,).
        off_px: How far the middle of the crack lies beside the line, in pixels, shape (n,); positive on the right of
            someone who walks along the line with the photo's y axis pointing down.
        floor: Grey of the crack's floor as a share of the concrete's, shape (n,); above 1 where it is filled.
        filled: Whether the crack is lighter than the concrete there, shape (n,).
        lit: Whether light falls on one wall or one edge of the crack, shape (n,); see `CrackEdges`.
        spalled: Whether a strip beside the crack is much darker or brighter than the concrete, shape (n,).
        wet: Whether the concrete is darker near the crack than farther away, shape (n,).
        doubtful: Whether the width is none that counts, shape (n,): the line turns sharply there, so that profiles
            run along the crack, the width is far from that of all neighbours, or the place lies at the photo's border.
    """

    points_xy: Float64Array
    lengths_px: Float64Array
    width_px: Float64Array
    low_px: Float64Array
    high_px: Float64Array
    resolved: BoolArray
    limit_px: Float64Array
    off_px: Float64Array
    floor: Float64Array
    filled: BoolArray
    lit: BoolArray
    spalled: BoolArray
    wet: BoolArray
    doubtful: BoolArray


def widths_along(
    grey: Float32Array,
    path_xy: Float64Array,
    blur_px: float | None = None,
    *,
    step_px: float = STEP_PX,
    scale: IntervalScale = ALONG_CRACKS,
) -> WidthsAlong:
    """Measure the width of a crack every few pixels along a line.

    Args:
        grey: Grey levels of the photo, float32, shape (H, W), in any unit, finite.
        path_xy: Points of the line, shape (n, 2), n at least 1, in pixels, pixel centres at integers; within about
            1.5 px of the middle of the crack.
        blur_px: Standard deviation of the photo's Gaussian blur in pixels, see `photo_blur`; None if not known.
        step_px: Distance of two places in pixels, above 0.
        scale: Factors that widen the intervals.

    Raises:
        DataError: If the photo or the line has another form, or a number is outside its range.
    """
    _check(grey, path_xy, step_px)
    line = _Line.along(path_xy, step_px)
    sample = _Sampler(grey, line)
    points = line.points_xy(line.places)
    filled = _is_filled(sample.profiles(np.arange(len(points)), _LENGTHS[0]))
    long_profiles = sample.profiles(np.arange(len(points)), PROFILE_SAMPLES)
    measure = _Measure(sample, None if blur_px is None else _seen_blur(blur_px), scale, dark_run(long_profiles))
    found = measure.places(filled)
    edges = crack_edges(long_profiles, found.width_px, found.centre_px, blur_px or 1.0)
    inside = _inside(points, grey.shape, found.width_px / 2 + 2)
    doubtful = ~inside | _odd(found.width_px) | line.turns(np.clip(0.75 * found.width_px, 5, 40))
    return WidthsAlong(
        points_xy=points,
        lengths_px=np.full(len(points), line.at[-1] / len(points)),
        width_px=found.width_px,
        low_px=np.where(doubtful, 0.0, found.low_px),
        high_px=found.high_px,
        resolved=found.resolved & ~doubtful,
        limit_px=found.limit_px,
        off_px=found.centre_px,
        floor=np.where(filled, 2 - found.floor, found.floor),
        filled=filled,
        lit=edges.lit,
        spalled=edges.spalled,
        wet=edges.wet,
        doubtful=doubtful,
    )


def _check(grey: Float32Array, path_xy: Float64Array, step_px: float) -> None:
    if grey.ndim != 2 or grey.size == 0:
        raise DataError(f"The photo has shape {grey.shape}; give grey levels of shape (H, W).")
    if path_xy.ndim != 2 or path_xy.shape[1] != 2 or len(path_xy) == 0 or not np.isfinite(path_xy).all():
        raise DataError(f"The line has shape {path_xy.shape}; give finite points of shape (n, 2), n at least 1.")
    if not 0 < step_px < np.inf:
        raise DataError(f"step_px is {step_px}; give a number of pixels above 0.")


def _seen_blur(blur_px: float) -> float:
    """Blur of an averaged profile, rounded so that photos of nearly the same blur share tables."""
    return float(np.exp(np.round(np.log(np.hypot(blur_px, _SMEAR_PX)) / _ROUNDING) * _ROUNDING))


@dataclass(frozen=True)
class _Line:
    """A line, and places on it."""

    path_xy: Float64Array  # shape (n, 2)
    at: Float64Array  # length of the line up to each of its points, shape (n,)
    places: Float64Array  # length up to each place, shape (n_places,)

    @classmethod
    def along(cls, path_xy: Float64Array, step_px: float) -> _Line:
        """Choose places in the middle of equal pieces of about `step_px`."""
        at = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path_xy, axis=0).T))])
        n = max(round(at[-1] / step_px), 1)
        return cls(path_xy, at, (np.arange(n) + 0.5) * at[-1] / n)

    def points_xy(self, places: Float64Array) -> Float64Array:
        """Points of the line at some lengths, shape (n, 2)."""
        return np.stack([np.interp(places, self.at, self.path_xy[:, axis]) for axis in (0, 1)], axis=1)

    def directions(self, reach_px: float) -> Float64Array:
        """Unit vectors along the line at each place, between points so far before and behind it, shape (n, 2)."""
        chord = self.points_xy(self.places + reach_px) - self.points_xy(self.places - reach_px)
        size = np.hypot(*chord.T)[:, None]
        return np.where(size > 1e-9, chord / np.maximum(size, 1e-9), (1.0, 0.0))

    def turns(self, reach_px: Float64Array) -> BoolArray:
        """Whether the line turns so sharply at each place that its points so far before and behind are near."""
        before, after = np.maximum(self.places - reach_px, 0), np.minimum(self.places + reach_px, self.at[-1])
        chord = np.hypot(*(self.points_xy(after) - self.points_xy(before)).T)
        return np.asarray(chord < _STRAIGHT * (after - before))


class _Sampler:
    """Profiles of a photo across a line."""

    def __init__(self, grey: Float32Array, line: _Line) -> None:
        self.grey, self.line = np.ascontiguousarray(grey, np.float32), line
        self.points = line.points_xy(line.places)

    def profiles(self, rows: Int64Array, n_samples: int) -> Float64Array:
        """Profiles at some places, shape (n, n_samples); the photo's border is continued outside."""
        along = self.line.directions(n_samples / 8)  # a longer profile is for a wider crack
        parts = [self._profiles(rows[i : i + 4096], along, n_samples) for i in range(0, len(rows), 4096)]
        return np.concatenate(parts) if parts else np.zeros((0, n_samples))

    def _profiles(self, rows: Int64Array, directions: Float64Array, n_samples: int) -> Float64Array:
        points, along = self.points[rows], directions[rows]
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        lines, reach = np.arange(_LINES) - (_LINES - 1) / 2, np.arange(n_samples) - (n_samples - 1) / 2
        starts = points[:, None] + lines[:, None] * along[:, None]  # (n, lines, 2)
        where = (starts[:, :, None] + reach[:, None] * across[:, None, None]).reshape(-1, n_samples, 2)
        x, y = (where[..., axis].astype(np.float32) for axis in (0, 1))
        values = cv2.remap(self.grey, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        ordered = np.sort(values.reshape(len(rows), _LINES, n_samples), axis=1)
        return np.asarray(ordered[:, 1:-1].mean(axis=1), np.float64)


def _is_filled(profiles: Float64Array) -> BoolArray:
    """Whether the line is lighter than the concrete on both sides, over most of nine places."""
    m = profiles.shape[1]
    middle = m // 2
    centre = profiles[:, middle - 2 : middle + 2].mean(axis=1)
    sides = np.concatenate([profiles[:, : middle - 7], profiles[:, middle + 7 :]], axis=1)
    level = np.median(sides, axis=1)
    noise = 1.4826 * np.median(np.abs(sides - level[:, None]), axis=1) + 1e-9
    lighter = np.clip((centre - level) / noise, -4, 4)
    smooth = cv2.blur(lighter.reshape(-1, 1), (1, 9), borderType=cv2.BORDER_REPLICATE).ravel()
    return np.asarray(smooth > 1.5)


@dataclass(frozen=True)
class _Measure:
    """Measures places with profiles as long as their widths need."""

    sample: _Sampler
    blur_px: float | None
    scale: IntervalScale
    dark_px: Float64Array  # length of the dark run in a long profile at each place, a first guess of the width

    def places(self, filled: BoolArray) -> ProfileWidths:
        """Measure all places: filled ones as bright lines, and thin ones with the floor of the crack's wide places."""
        found = _nothing(len(filled))
        dark, light = np.flatnonzero(~filled), np.flatnonzero(filled)
        _put(found, dark, self._by_length(dark, FLOORS))
        _put(found, light, self._by_length(light, _FILLINGS, inverted=True))
        own = _own_floor(found, dark, self.blur_px)
        if own is not None:
            unsure = dark[found.floor_spread[dark] > 0.05]
            _put(found, unsure, self._by_length(unsure, own))
        return found

    def _by_length(self, rows: Int64Array, floors: FloorPrior, *, inverted: bool = False) -> ProfileWidths:
        found = _nothing(len(rows))
        dark = np.zeros(len(rows)) if inverted else self.dark_px[rows]
        left = np.arange(len(rows))
        for n_samples in _LENGTHS:
            if len(left) == 0:
                break
            profiles = self.sample.profiles(rows[left], n_samples)
            if inverted:
                profiles = 2 * np.median(profiles, axis=1, keepdims=True) - profiles
            new = profile_widths(profiles, self.blur_px, floors=floors, middle_px=_OFF_PX, scale=self.scale)
            _put(found, left, new)
            wider = np.maximum(new.width_px, new.dark_run) > _MOST_OF * n_samples
            # A short profile inside a wide crack shows none; a long one shows that it is all dark.
            wider |= (new.low_px == 0) & (dark[left] > _MOST_OF * n_samples)
            left = left[wider]
        return found


def _nothing(n: int) -> ProfileWidths:
    """Room for the widths of n places."""
    empty: dict[str, Any] = {field.name: np.zeros(n) for field in fields(ProfileWidths)}
    return ProfileWidths(**empty | {"resolved": np.zeros(n, np.bool_)})


def _put(whole: ProfileWidths, rows: Int64Array, part: ProfileWidths) -> None:
    for field in fields(whole):
        getattr(whole, field.name)[rows] = getattr(part, field.name)


def _own_floor(found: ProfileWidths, dark: Int64Array, blur_px: float | None) -> FloorPrior | None:
    """Prior of the floor from the places where the crack is wide enough to show it; None if there are too few."""
    wide = max(2.0, 2.2 * (blur_px or 1.0))
    clear = dark[(found.width_px[dark] > wide) & (found.floor_spread[dark] < 0.08) & (found.low_px[dark] > 1.0)]
    if len(clear) < 4:
        return None
    floors = found.floor[clear]
    middle = float(np.median(floors))
    spread = float(1.4826 * np.median(np.abs(floors - middle)))
    return replace(FLOORS, shares=(0.8, 0.2), depths=(1 - middle, 0.7), spreads=(float(np.hypot(spread, 0.05)), 0.2))


def _odd(widths_px: Float64Array) -> BoolArray:
    """Whether a width differs by more than a factor from the median of its nine neighbours."""
    logs = np.log(widths_px)
    padded = np.concatenate([np.full(4, np.nan), logs, np.full(4, np.nan)])
    medians = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, 9), axis=1)
    return np.asarray(np.abs(logs - medians) > np.log(_ODD_FACTOR))


def _inside(points_xy: Float64Array, photo_hw: tuple[int, int], reach_px: Float64Array) -> BoolArray:
    """Whether places lie so far inside the photo that both edges of the crack are seen."""
    height, width = photo_hw
    nearest = np.minimum(points_xy, np.array([width - 1, height - 1]) - points_xy).min(axis=1)
    return np.asarray(nearest >= reach_px)
