"""Drawn concrete without cracks: the wall that cracks are drawn through, its light, and the camera.

A wall consists of a relief and a colour. Grain, aggregate, pores and board joints change the relief; damp, dirt and
lime change the colour. This module draws no cracks. The dark and thin things that it draws are there so that a model
must tell them from cracks. All randomness comes from the generator that is passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from crackscope.arrays import Float32Array, UInt8Array

__all__ = ["Float32Array", "Wall", "blend", "lay_wall", "noise", "photograph", "shade", "turned"]


# Colours of clean concrete, RGB, picked by eye to span decks, walls and pavements in warm and cold light.
PALETTE = np.array(
    [
        (158, 158, 155),  # grey
        (176, 166, 148),  # warm
        (104, 102, 99),  # dark
        (208, 206, 199),  # bleached
        (182, 181, 178),  # light grey
        (152, 161, 168),  # in the shade of a blue sky
        (174, 158, 149),  # reddish
        (156, 157, 147),  # greenish
        (186, 172, 146),  # sandy
    ],
    dtype=np.float32,
)


@dataclass(frozen=True)
class Wall:
    """A wall before it is lit; its arrays are changed as things are drawn on it.

    Attributes:
        planes: Colour: red, green and blue in [0, 255], three float32 arrays of shape (H, W).
        relief: Height of the surface in pixels, float32, shape (H, W).
        light: Direction of the light, an angle in radians.
    """

    planes: list[Float32Array]
    relief: Float32Array
    light: float


def lay_wall(rng: np.random.Generator, photo_hw: tuple[int, int]) -> Wall:
    """Draw a random wall of concrete without cracks, with a size of (height, width) in pixels."""
    megapixels = photo_hw[0] * photo_hw[1] / 1e6
    colour = PALETTE[rng.integers(len(PALETTE))] * rng.uniform(0.9, 1.1) * rng.uniform(0.985, 1.015, 3)
    roughness = float(rng.choice((0.35, 0.7, 1.3)) * rng.uniform(0.7, 1.3))

    relief: Float32Array = np.zeros(photo_hw, dtype=np.float32)
    relief += 0.35 * roughness * noise(rng, photo_hw, 1.5)
    relief += rng.uniform(0.2, 0.6) * roughness * noise(rng, photo_hw, 4)
    # Coarse bumps are uneven over a wall: some parts are trowelled flat, others are rough.
    flatness = np.clip(0.6 + 0.4 * noise(rng, photo_hw, 90), 0.1, 1.5)
    relief += roughness * rng.uniform(0.2, 0.9) * flatness * noise(rng, photo_hw, 11)
    relief += rng.uniform(0.3, 2) * noise(rng, photo_hw, 60)
    tone = rng.uniform(0.01, 0.045) * noise(rng, photo_hw, 1) + 0.02 * noise(rng, photo_hw, 3)
    tone += rng.uniform(0.01, 0.045) * _cloud(rng, photo_hw, 220) + 0.02 * _cloud(rng, photo_hw, 30)
    grains = np.clip(noise(rng, photo_hw, rng.uniform(3, 9)) - rng.uniform(0.8, 2), 0, 0.5)
    relief += rng.uniform(0, 2) * roughness * grains
    tone += rng.uniform(-0.2, 0.25) * grains
    specks = np.clip(noise(rng, photo_hw, 1.6) - 2.1, 0, 1)
    tone -= rng.uniform(0.05, 0.35) * specks
    if rng.random() < 0.2:  # brushed
        strokes = _brush(rng, photo_hw)
        relief += rng.uniform(0.3, 1.1) * strokes
        tone += 0.02 * strokes

    if rng.random() < 0.5:
        _join_boards(rng, tone, relief)
    planes = [(np.float32(value) * (1 + tone)).astype(np.float32) for value in colour]
    warmth = rng.uniform(0.002, 0.012) * _cloud(rng, photo_hw, 150)
    planes[0] *= 1 + warmth
    planes[2] *= 1 - warmth
    _stain(rng, planes)
    _pierce(rng, planes, relief, n_pores=int(megapixels * np.exp(rng.uniform(np.log(30), np.log(2500)))))
    return Wall(planes, relief, light=rng.uniform(0, 2 * np.pi))


def shade(wall: Wall) -> None:
    """Light the relief, in place: slopes that face the light become bright, slopes that face away become dark."""
    slope = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=np.float32) / 8
    kernel = math.cos(wall.light) * slope + math.sin(wall.light) * slope.T
    brightness = np.clip(1 + 0.22 * cv2.filter2D(wall.relief, cv2.CV_32F, kernel), 0.5, 1.45)
    for plane in wall.planes:
        plane *= brightness


def photograph(rng: np.random.Generator, planes: list[Float32Array]) -> UInt8Array:
    """Take a photo: uneven light, perhaps a shadow, vignetting, blur and noise.

    Args:
        rng: Random generator of the camera.
        planes: Three colour planes, RGB in [0, 255], shape (H, W); their values are overwritten.

    Returns:
        The photo, RGB, uint8, shape (H, W, 3).
    """
    hw = planes[0].shape
    diagonal = math.hypot(*hw)
    fall = _across(hw, rng.uniform(0, 2 * np.pi), 0) / diagonal
    light = (1 + rng.uniform(0, 0.22) * (fall - fall.mean())).astype(np.float32)
    ys, xs = (np.linspace(-1, 1, n, dtype=np.float32) for n in hw)
    light *= 1 - np.float32(rng.uniform(0, 0.14)) * (xs[None] ** 2 + ys[:, None] ** 2) / 2
    tint = np.ones(3, dtype=np.float32)
    shadow: Float32Array | None = None
    if rng.random() < 0.15:
        edge = _across(hw, rng.uniform(0, 2 * np.pi), 0)
        edge -= rng.uniform(edge.min(), edge.max())
        edge += rng.uniform(0, 12) * _cloud(rng, hw, rng.uniform(60, 300))
        shadow = np.clip(edge / rng.uniform(2, 60) + 0.5, 0, 1)
        tint = (rng.uniform(0.15, 0.45) * np.array((1.05, 1, 0.93))).astype(np.float32)
    sigma = float(rng.uniform(0.3, 0.75))
    grain = rng.uniform(0.5, 2.5) * rng.standard_normal(hw, dtype=np.float32)
    pixels = np.empty((*hw, 3), dtype=np.uint8)
    for channel, plane in enumerate(planes):
        plane *= light
        if shadow is not None:
            plane *= 1 - tint[channel] * shadow
        lens: Float32Array = np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), dtype=np.float32)
        lens += grain
        lens += rng.uniform(0.3, 1.2) * noise(rng, hw, 2)
        pixels[..., channel] = np.clip(lens + 0.5, 0, 255)
    return pixels


def noise(
    rng: np.random.Generator, photo_hw: tuple[int, int], grain_px: float, *, stretch: float = 1.0
) -> Float32Array:
    """Draw Gaussian noise with a variance near 1, smooth over `grain_px` (times `stretch` from left to right)."""
    # Noise on a lattice of half a grain is blurred until the lattice does not show, then enlarged.
    step_y = max(grain_px / 2, 1.0)
    step_x = max(grain_px * stretch / 2, 1.0)
    rows, columns = math.ceil(photo_hw[0] / step_y) + 6, math.ceil(photo_hw[1] / step_x) + 6
    sigma = min(grain_px / 2, 1.0)
    lattice = rng.standard_normal((rows, columns), dtype=np.float32)
    lattice = cv2.GaussianBlur(lattice, (0, 0), sigma) * np.float32(max(2 * math.sqrt(math.pi) * sigma, 1))
    size = (math.ceil(columns * step_x), math.ceil(rows * step_y))
    field = lattice if size == (columns, rows) else cv2.resize(lattice, size, interpolation=cv2.INTER_CUBIC)
    top, left = int(3 * step_y), int(3 * step_x)
    return np.asarray(field[top : top + photo_hw[0], left : left + photo_hw[1]], dtype=np.float32)


def blend(planes: list[Float32Array], alpha: Float32Array, colour: tuple[float, float, float]) -> None:
    """Cover the planes with a colour, in place; `alpha` runs from 0, not covered, to 1, wholly covered."""
    for plane, value in zip(planes, colour, strict=True):
        plane += alpha * (np.float32(value) - plane)


def _cloud(
    rng: np.random.Generator, photo_hw: tuple[int, int], grain_px: float, *, stretch: float = 1.0
) -> Float32Array:
    """Draw noise with detail at four scales, from `grain_px` down to an eighth of it."""
    cloud = 0.8 * noise(rng, photo_hw, grain_px, stretch=stretch)
    for octave in (1, 2, 3):
        cloud += 0.8 * 0.55**octave * noise(rng, photo_hw, grain_px / 2**octave, stretch=stretch)
    return cloud


def _brush(rng: np.random.Generator, photo_hw: tuple[int, int]) -> Float32Array:
    """Draw the furrows of a broom, or the grain of a board, nearly level or upright."""
    side = math.ceil(math.hypot(*photo_hw)) + 2
    furrows = noise(rng, (side, side), rng.uniform(2, 5), stretch=rng.uniform(15, 50))
    return turned(furrows, float(rng.choice((0, 90)) + rng.normal(0, 8)), photo_hw)


def turned(field: Float32Array, angle: float, photo_hw: tuple[int, int]) -> Float32Array:
    """Turn a square field around its middle, and cut out the middle.

    Args:
        field: Values, float32, shape (side, side); the side is at least the diagonal of the photo.
        angle: Angle in degrees, counter-clockwise.
        photo_hw: Height and width of the piece that is cut out, in pixels.

    Returns:
        Values of the piece, float32, shape (height, width).
    """
    side = len(field)
    turn = np.asarray(cv2.getRotationMatrix2D((side / 2, side / 2), angle, 1.0), dtype=np.float64)
    turn[:, 2] -= np.array((side - photo_hw[1], side - photo_hw[0])) / 2
    return np.asarray(cv2.warpAffine(field, turn, photo_hw[::-1]), dtype=np.float32)


def _across(photo_hw: tuple[int, int], angle: float, offset: float) -> Float32Array:
    """Signed distance of each pixel from a straight line, given by the angle of its normal and its offset along it."""
    ys, xs = (np.arange(n, dtype=np.float32) for n in photo_hw)
    distance = xs[None] * np.float32(math.cos(angle)) + ys[:, None] * np.float32(math.sin(angle)) - np.float32(offset)
    return np.asarray(distance, np.float32)


def _join_boards(rng: np.random.Generator, tone: Float32Array, relief: Float32Array) -> None:
    """Draw lines where two boards of the formwork met: a fin or a groove, a step, a change of tone."""
    hw = relief.shape
    tilt = rng.normal(0, 0.03)
    for direction, chance in ((0.0, 0.6), (np.pi / 2, 0.6)):
        if rng.random() > chance:
            continue
        spacing = rng.uniform(140, 900)
        offset = rng.uniform(0, spacing)
        # The joint ranges from a fine seam to an open joint as dark as a crack.
        width_px, darkness = rng.uniform(0.7, 2.8), rng.uniform(0, 0.85)
        while offset < max(hw):
            across = _across(hw, direction + tilt, offset)
            near = np.abs(across) < 8
            wear = np.clip(0.6 + 0.5 * darkness + (0.5 - 0.4 * darkness) * noise(rng, hw, 25)[near], 0, 1.15)
            line = np.exp(-((across[near] / width_px) ** 2)) * wear
            relief[near] += rng.uniform(-2.2, 2.2) * line
            tone[near] -= darkness * line
            tone += rng.normal(0, 0.025) * (across > 0)
            offset += spacing * rng.uniform(0.9, 1.1)


def _stain(rng: np.random.Generator, planes: list[Float32Array]) -> None:
    """Draw damp patches with a rim, runs of dirt or rust, and white bloom of lime."""
    hw = planes[0].shape
    if rng.random() < 0.4:  # damp, darker inside, darkest at the rim
        cloud = _cloud(rng, hw, rng.uniform(100, 400))
        level = rng.uniform(0.5, 1.3)
        wet = rng.uniform(0, 0.2) / (1 + np.exp(np.clip((level - cloud) / 0.06, -30, 30)))
        wet += rng.uniform(0.02, 0.16) * np.exp(-(((cloud - level) / rng.uniform(0.03, 0.1)) ** 2))
        blend(planes, wet.astype(np.float32), (40, 36, 30))
    if rng.random() < 0.3:  # runs, from top to bottom
        runs = np.clip(_cloud(rng, hw[::-1], 24, stretch=9).T - rng.uniform(0.6, 1.4), 0, 1)
        blend(planes, rng.uniform(0.1, 0.35) * runs, (120, 84, 52) if rng.random() < 0.5 else (62, 60, 56))
    if rng.random() < 0.3:  # lime, crusty at its edge
        bloom = np.clip(_cloud(rng, hw, 120) - rng.uniform(0.7, 1.6), 0, 1) * np.clip(
            0.8 + 0.4 * noise(rng, hw, 3), 0, 1
        )
        blend(planes, rng.uniform(0.2, 0.6) * bloom, (228, 226, 220))


def _pierce(rng: np.random.Generator, planes: list[Float32Array], relief: Float32Array, *, n_pores: int) -> None:
    """Draw pores and bugholes, many small and few large: hollow, dark, and never quite round."""
    height, width = relief.shape
    depth, largest = rng.uniform(0.6, 2.5), rng.uniform(3, 9)
    radii = np.minimum(0.8 * (1 - rng.random(n_pores)) ** (-1 / rng.uniform(1.6, 3)), largest)
    centres = rng.random((n_pores, 2)) * (width, height)
    shapes = rng.random((n_pores, 4))
    for radius, (x, y), (squeeze, angle, dent, dark) in zip(radii, centres, shapes, strict=True):
        reach = math.ceil(radius * 1.7) + 2
        x0, y0 = max(int(x) - reach, 0), max(int(y) - reach, 0)
        x1, y1 = min(int(x) + reach + 1, width), min(int(y) + reach + 1, height)
        dx, dy = np.arange(x0, x1) - x, np.arange(y0, y1)[:, None] - y
        bearing = np.arctan2(dy, dx) - 2 * np.pi * angle
        outline = radius * (1 + 0.35 * squeeze * np.cos(2 * bearing) + 0.25 * dent * np.cos(3 * bearing + 5 * dark))
        hollow = np.clip(outline - np.hypot(dx, dy) + 0.5, 0, 1).astype(np.float32)
        bowl = np.clip(outline - np.hypot(dx, dy) + 0.5, 0, 2.5).astype(np.float32)
        relief[y0:y1, x0:x1] -= np.float32(depth) * bowl
        for plane in planes:
            plane[y0:y1, x0:x1] *= 1 - np.float32(0.1 + 0.75 * dark * min(radius / 2, 1)) * hollow
