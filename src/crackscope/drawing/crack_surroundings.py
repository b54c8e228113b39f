"""What a crack does to the concrete beside it: flakes broken off its edge, damp around it, lime that came out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from crackscope.arrays import Float32Array, Float64Array
from crackscope.drawing.blurred_outlines import outline_share
from crackscope.drawing.concrete import noise
from crackscope.drawing.crack_paths import CrackShape

__all__ = ["LUMA", "Surroundings", "break_flakes", "dampen", "emboss", "encrust", "fill_colour"]

LUMA = np.array((0.299, 0.587, 0.114), np.float32)  # weights of red, green and blue in grey, ITU-R BT.601
_LIMES = ((226, 223, 214), (214, 210, 204), (236, 236, 232))
_SEALS = ((196, 196, 192), (214, 208, 196), (178, 182, 186))

Surroundings = Callable[[Float32Array, Float32Array, Sequence[CrackShape], float, np.random.Generator], None]
"""Function that changes the concrete beside a crack. It is given the light, float32, shape (H, W, 3), which it changes
in place; the share of each pixel that the crack covers, float32, shape (H, W); the shapes of the crack and its
branches; the camera's blur in pixels; and a random generator."""


def break_flakes(
    light: Float32Array,
    opening: Float32Array,
    shapes: Sequence[CrackShape],
    blur_px: float,
    rng: np.random.Generator,
) -> None:
    """Break flakes off the edges: shallow hollows of fresher or dirtier concrete; see `Surroundings`."""
    trunk = shapes[0]
    n_points, wide_px = len(trunk.path_xy), float(np.median(trunk.widths_px))
    flakes: list[Float64Array] = []
    for _ in range(1 + int(rng.poisson(n_points / 45))):
        n_long = int(min(rng.uniform(8, 30) * (1 + wide_px / 8), n_points - 1))
        begin, side = int(rng.integers(0, max(n_points - n_long, 1))), int(rng.integers(2))
        edge_xy = trunk.edges_xy[side, begin : begin + n_long]
        if len(edge_xy) < 4:
            continue
        outward = edge_xy - trunk.path_xy[begin : begin + n_long]
        outward = gaussian_filter1d(outward, 3.0, axis=0, mode="nearest")
        outward /= np.maximum(np.hypot(*outward.T), 1e-6)[:, None]
        uneven = gaussian_filter1d(rng.standard_normal(len(edge_xy)), 1.5) * 1.2
        bulge = np.sin(np.linspace(0, np.pi, len(edge_xy))) ** rng.uniform(0.4, 1) * np.clip(1 + uneven, 0.3, 2)
        depth_px = rng.uniform(1.0, 1.5 + 0.3 * n_long) * bulge
        flakes.append(np.concatenate([edge_xy, (edge_xy + outward * depth_px[:, None])[::-1]]))
    hollow = outline_share(flakes, picture_hw=opening.shape, blur_px=max(blur_px, 0.4))
    fresh = rng.uniform(-0.3, 0.18) + 0.12 * noise(rng, opening.shape, 2.5) + 0.08 * noise(rng, opening.shape, 8)
    light *= (1 + hollow * fresh + rng.uniform(0.03, 0.18) * emboss(hollow, float(rng.uniform(0, 2 * np.pi))))[
        ..., None
    ]


def dampen(
    light: Float32Array,
    opening: Float32Array,
    shapes: Sequence[CrackShape],
    blur_px: float,
    rng: np.random.Generator,
) -> None:
    """Wet the concrete along a crack, darker than the rest, up to an uneven border; see `Surroundings`."""
    reach_px = float(np.exp(rng.uniform(np.log(4), np.log(30))))
    soft = rng.uniform(0.03, 0.15)
    field = _nearness(opening, reach_px) * (1 + 0.45 * noise(rng, opening.shape, 1.5 * reach_px + 8))
    wet = 1 / (1 + np.exp(np.clip((rng.uniform(0.3, 0.6) - field) / soft, -30, 30)))
    strength = rng.uniform(0.08, 0.4) * np.array((1.0, 0.97, 0.92), np.float32)
    light *= 1 - wet.astype(np.float32)[..., None] * strength


def encrust(
    light: Float32Array,
    opening: Float32Array,
    shapes: Sequence[CrackShape],
    blur_px: float,
    rng: np.random.Generator,
) -> None:
    """Lay a crust of lime along a crack, thick in some places and missing in others; see `Surroundings`."""
    colour = fill_colour(light, rng, sealed=False)
    reach_px = float(np.exp(rng.uniform(np.log(2.5), np.log(14))))
    lumps = 1 + 0.7 * noise(rng, opening.shape, 35) + 0.4 * noise(rng, opening.shape, 4.0)
    thick = np.clip((_nearness(opening, reach_px) * lumps - rng.uniform(0.4, 0.9)) / 0.6, 0, 1)
    alpha = rng.uniform(0.2, 0.75) * cv2.GaussianBlur(thick.astype(np.float32), (0, 0), max(blur_px, 0.5))
    light += alpha[..., None] * (colour - light)


def fill_colour(light: Float32Array, rng: np.random.Generator, *, sealed: bool) -> Float32Array:
    """Draw the colour of lime or of a sealant, lit like the concrete and lighter than its mean.

    Args:
        light: Light of the picture, float32, shape (H, W, 3).
        rng: Random generator that decides the colour.
        sealed: Whether it is a sealant's.

    Returns:
        Colour, RGB, float32, shape (3,), at most 250 in grey.
    """
    colours = _SEALS if sealed else _LIMES
    colour = np.array(colours[int(rng.integers(len(colours)))], np.float32)
    grey = float(light.mean(axis=(0, 1)) @ LUMA)
    return np.asarray(colour * (min(grey * rng.uniform(1.15, 1.6), 250.0) / float(colour @ LUMA)), np.float32)


def emboss(share: Float32Array, light_angle: float) -> Float32Array:
    """Light on the edges of a shape: bright where an edge faces the lamp, dark on the other side; both add up to 0.

    Args:
        share: Share of each pixel that the shape covers, float32, shape (H, W).
        light_angle: Direction of the light, an angle in radians.

    Returns:
        Slope of the share along the light, per pixel, doubled; float32, shape (H, W).
    """
    slope = np.outer((1, 2, 1), (-1, 0, 1)).astype(np.float32) / 4
    kernel = np.float32(np.cos(light_angle)) * slope + np.float32(np.sin(light_angle)) * slope.T
    return np.asarray(cv2.filter2D(share, cv2.CV_32F, kernel), np.float32)


def _nearness(opening: Float32Array, reach_px: float) -> Float32Array:
    """1 in the opening, falling off with the distance from it: 0.37 at the reach."""
    away = cv2.distanceTransform((opening < 0.1).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(np.exp(-away / np.float32(reach_px)), np.float32)
