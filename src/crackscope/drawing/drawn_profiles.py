"""Grey profiles across cracks, drawn with exact truth: one line of pixels, and how wide the crack in it is.

A profile is drawn on a grid 16 times finer than its samples. The opening is a box; the camera then blurs everything
with a Gaussian, and each sample is the mean over a pixel. So that a measurement is not tuned to one look, the looks
vary: how dark the floor is, light on one wall, broken and bright edges, slopes and steps of the concrete beside the
crack, texture that is correlated along the profile, pores and grains, another crack near the end, sharpening by the
camera, noise, whole grey levels and overexposure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from crackscope.arrays import Float64Array

__all__ = ["DrawnProfile", "draw_profile"]

FINE = 16  # points of the fine grid in a sample
_MARGIN_PX = 12  # drawn beyond both ends, so that blur has no border there
_TRIES = 30  # a crack may be too thin to be the darkest place; then the last try is given


@dataclass(frozen=True)
class DrawnProfile:
    """One drawn profile and its truth.

    Attributes:
        values: Grey levels, shape (m,), one sample a pixel, in units that vary from profile to profile.
        width_px: Width of the opening in pixels, before blur.
        centre_px: Middle of the opening, in pixels from the first sample.
        blur_px: Standard deviation of the camera's Gaussian blur in pixels.
        floor: Grey of the opening's floor as a share of the concrete's, before blur.
    """

    values: Float64Array
    width_px: float
    centre_px: float
    blur_px: float
    floor: float


def draw_profile(
    rng: np.random.Generator,
    width_px: float,
    *,
    n_samples: int | None = None,
    blur_px: float | None = None,
    floor: float | None = None,
    plain: bool = False,
) -> DrawnProfile:
    """Draw one profile across a crack, in which the crack is the darkest place.

    Args:
        rng: Random generator that decides the look.
        width_px: Width of the opening in pixels, 0 or more.
        n_samples: Number of samples; if left out, 20 to 60, with at least 6 px of concrete on each side.
        blur_px: Standard deviation of the blur in pixels; if left out, it is drawn from 0.5 to 2.
        floor: Grey of the floor as a share of the concrete's; if left out, it is drawn from 0.02 to 0.65.
        plain: Whether to draw only box, blur, a slope of the concrete and white noise, in 256 grey levels.

    Returns:
        The profile; its darkest sample lies in the crack, or within 3 samples of the middle. The middle of the crack
        lies within 3 samples of the middle of the samples.
    """
    for _ in range(_TRIES):
        drawn, visibility = _draw(rng, width_px, n_samples, blur_px, floor, plain)
        off_px = abs(int(np.argmin(drawn.values)) - (len(drawn.values) - 1) / 2)
        if visibility >= 1 and off_px <= max(3.5, width_px / 2 + 3):
            break
    return drawn


def _draw(
    rng: np.random.Generator,
    width_px: float,
    n_samples: int | None,
    blur_px: float | None,
    floor: float | None,
    plain: bool,
) -> tuple[DrawnProfile, float]:
    """Draw a profile, and compare what the crack changes with how uneven the concrete is without it."""
    shortest = min(60, max(20, int(np.ceil(width_px)) + 18))
    m = n_samples or int(rng.integers(shortest, 61))
    blur_px = blur_px or float(np.exp(np.clip(rng.normal(0.0, 0.33), np.log(0.5), np.log(2.0))))
    floor = _random_floor(rng) if floor is None else floor
    centre_px = (m - 1) / 2 + float(rng.uniform(-3, 3))
    # Places of the fine grid's points, in samples; sample i is the mean of the FINE points around i.
    x = (np.arange((m + 2 * _MARGIN_PX) * FINE) + 0.5) / FINE - 0.5 - _MARGIN_PX
    inside = _box(x, centre_px - width_px / 2, centre_px + width_px / 2)
    half = m / 2
    concrete = 1 + rng.normal(0, 0.06) * (x - centre_px) / half
    if plain:
        bare = _sampled(gaussian_filter1d(concrete, blur_px * FINE), m)
        light = concrete * (1 - (1 - floor) * inside)
        noise, levels, bright = float(rng.uniform(0.005, 0.03)), 255.0, float(rng.uniform(90, 220))
        seen = _sampled(gaussian_filter1d(light, blur_px * FINE), m)
    else:
        concrete += rng.normal(0, 0.03) * ((x - centre_px) / half) ** 2
        if rng.random() < 0.4:
            concrete += rng.normal(0, 0.06) * (x > centre_px)
        concrete *= _texture(rng, x)
        _add_grains(rng, x, concrete, centre_px, width_px)
        bare = _sampled(gaussian_filter1d(concrete, blur_px * FINE), m)
        light = concrete * (1 - inside) + _floor_light(rng, x, floor, centre_px, width_px) * inside
        light *= _edges(rng, x, floor, centre_px, width_px)
        if rng.random() < 0.12:
            light *= _other_crack(rng, x, m, centre_px, width_px)
        seen = _sampled(gaussian_filter1d(light, blur_px * FINE), m)
        if rng.random() < 0.3:
            seen += rng.uniform(0.1, 0.5) * (seen - gaussian_filter1d(seen, rng.uniform(0.8, 1.5)))
        noise, levels = float(np.exp(rng.uniform(np.log(0.002), np.log(0.02)))), 255.0
        bright = float(rng.uniform(60, 235))
        if rng.random() < 0.05:
            bright = float(rng.uniform(250, 275))  # the concrete is overexposed
    values = np.clip(np.floor(bright * (seen + noise * rng.standard_normal(m)) + rng.random(m)), 0, levels)
    values *= (1.0, 1 / 255, 257.0)[int(rng.integers(3))]
    uneven = np.hypot(float(np.std(bare - np.polyval(np.polyfit(np.arange(m), bare, 1), np.arange(m)))), noise)
    visibility = float(np.max(bare - seen)) / uneven
    return DrawnProfile(values, width_px, centre_px, blur_px, floor), visibility


def _random_floor(rng: np.random.Generator) -> float:
    """Half of the cracks are nearly black; the others hold dust or light, as wide cracks in real photos show."""
    kind = rng.random()
    if kind < 0.5:
        return float(np.clip(rng.normal(0.12, 0.05), 0.02, 0.3))
    return float(rng.uniform(0.1, 0.55) if kind < 0.92 else rng.uniform(0.45, 0.7))


def _box(x: Float64Array, left: float, right: float) -> Float64Array:
    """Share of each fine cell that lies between two places."""
    cell = 0.5 / FINE
    covered = np.minimum(x + cell, right) - np.maximum(x - cell, left)
    return np.asarray(np.clip(covered / (2 * cell), 0, 1))


def _sampled(light: Float64Array, m: int) -> Float64Array:
    """Mean over each sample's pixel, without the margins."""
    return np.asarray(light.reshape(-1, FINE).mean(axis=1)[_MARGIN_PX : _MARGIN_PX + m])


def _texture(rng: np.random.Generator, x: Float64Array) -> Float64Array:
    """Uneven concrete: two scales of correlated noise around 1."""
    strength = float(np.exp(rng.uniform(np.log(0.008), np.log(0.08))))
    waves = np.zeros(len(x))
    for share, reach_px in ((0.8, rng.uniform(0.4, 1.5)), (0.6, rng.uniform(1.5, 6.0))):
        rough = gaussian_filter1d(rng.standard_normal(len(x)), reach_px * FINE)
        waves += share * rough / rough.std()
    return np.asarray(np.clip(1 + strength * waves, 0.3, 1.7))


def _add_grains(
    rng: np.random.Generator, x: Float64Array, concrete: Float64Array, centre_px: float, width_px: float
) -> None:
    """Add pores and grains beside the crack: dark or bright pieces of 1 to 6 px."""
    for _ in range(int(rng.poisson(0.6))):
        side = -1 if rng.random() < 0.5 else 1
        begin = centre_px + side * (width_px / 2 + rng.uniform(1, 25))
        concrete *= 1 + np.clip(rng.normal(-0.04, 0.12), -0.5, 0.3) * _box(x, begin, begin + rng.uniform(1, 6))


def _floor_light(
    rng: np.random.Generator, x: Float64Array, floor: float, centre_px: float, width_px: float
) -> Float64Array:
    """Grey of the floor: uneven, and in some wide cracks lit on one wall."""
    light = floor * np.ones(len(x))
    if width_px > 2:
        rough = gaussian_filter1d(rng.standard_normal(len(x)), rng.uniform(0.8, 3.0) * FINE)
        light += rng.uniform(0, 0.04) * rough / rough.std()
        if rng.random() < 0.25:
            into = np.clip((x - centre_px) / width_px + 0.5, 0, 1)
            wall = into if rng.random() < 0.5 else 1 - into
            light += rng.uniform(0.1, 0.5) * (1 - floor) * np.clip(1 - wall / rng.uniform(0.2, 0.5), 0, 1)
    return np.asarray(np.clip(light, 0, 1))


def _edges(rng: np.random.Generator, x: Float64Array, floor: float, centre_px: float, width_px: float) -> Float64Array:
    """Factor of the light beside the opening: broken edges are darker, and rims that face the lamp are brighter."""
    factor = np.ones(len(x))
    for side in (-1, 1):
        beside = side * (x - centre_px) - width_px / 2  # px outwards from the edge
        if rng.random() < 0.25:
            reach_px = rng.uniform(0.2, 0.3 + 0.12 * width_px)
            factor *= 1 - rng.uniform(0.1, 0.5) * (1 - floor) * ((beside > 0) & (beside < reach_px))
        if rng.random() < 0.25:
            reach_px = rng.uniform(0.5, 2.5)
            factor *= 1 + rng.uniform(0.02, 0.15) * ((beside > 0) & (beside < reach_px))
    return factor


def _other_crack(rng: np.random.Generator, x: Float64Array, m: int, centre_px: float, width_px: float) -> Float64Array:
    """Factor of the light of another crack near one end of the profile."""
    side = -1 if rng.random() < 0.5 else 1
    nearest, furthest = width_px / 2 + 5, m / 2 + 3
    at = centre_px + side * rng.uniform(nearest, max(furthest, nearest + 1))
    wide_px = float(np.exp(rng.uniform(np.log(0.5), np.log(4))))
    return np.asarray(1 - rng.uniform(0.3, 0.9) * _box(x, *sorted((at, at + side * wide_px))))
