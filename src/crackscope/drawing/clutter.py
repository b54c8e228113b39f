"""Clutter: things on concrete that are no crack, drawn over any picture of it.

Clutter is a joint, the edge of a shadow, paint, writing, rust, holes or pores. A model that was trained on bare walls
alone may take them for a crack. None of them is wide, dark, smooth and winding at once, as an open crack is from near.
"""

from __future__ import annotations

import string
from collections.abc import Callable

import cv2
import numpy as np

from crackscope.arrays import Float32Array, UInt8Array
from crackscope.drawing.concrete import noise

__all__ = ["CLUTTER_KINDS", "clutter_over", "cover_of"]

# Share of each pixel that is covered, in [0, 1], and the colour that covers it.
Cover = tuple[Float32Array, tuple[float, float, float]]

_PAINTS = ((200, 30, 40), (30, 80, 190), (240, 200, 40), (40, 150, 70), (230, 110, 30), (235, 235, 230), (120, 40, 140))
_SPRAY_MARKER = (35, 35, 38)
_DARK, _RUST = (22.0, 20.0, 18.0), (122.0, 72.0, 40.0)


def clutter_over(pixels: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Draw one or two things that are no crack over a picture.

    Args:
        pixels: Picture, RGB, uint8, shape (H, W, 3).
        rng: Random generator that decides which things are drawn, and where.

    Returns:
        The picture with clutter, an array of the same shape.
    """
    seen = pixels.astype(np.float32)
    for _ in range(1 + (rng.random() < 0.3)):
        cover, colour = _KINDS[int(rng.integers(len(_KINDS)))](rng, (pixels.shape[0], pixels.shape[1]))
        seen += cover[..., None] * (np.array(colour, np.float32) - seen)
    drawn: UInt8Array = np.clip(seen + 0.5, 0, 255).astype(np.uint8)
    return drawn


def cover_of(kind: str, rng: np.random.Generator, hw: tuple[int, int]) -> Cover:
    """Draw one thing of a given kind.

    Args:
        kind: One of the `CLUTTER_KINDS`.
        rng: Random generator that decides its place, size and strength.
        hw: Height and width of the picture, in pixels.

    Returns:
        Share of each pixel that it covers, float32, shape (H, W), in [0, 1]; and its colour, RGB in [0, 255].

    Raises:
        KeyError: If there is no such kind.

    Example:
        >>> cover, colour = cover_of("rust", np.random.default_rng(1), (40, 60))
        >>> cover.shape, colour
        ((40, 60), (122.0, 72.0, 40.0))
    """
    return dict(zip(CLUTTER_KINDS, _KINDS, strict=True))[kind](rng, hw)


def _across(rng: np.random.Generator, hw: tuple[int, int], *, level: bool) -> Float32Array:
    """Signed distance in pixels from a straight line through the picture; a level line runs along rows or columns."""
    angle = rng.integers(2) * np.pi / 2 + rng.normal(0, 0.04) if level else rng.uniform(0, np.pi)
    y0, x0 = rng.uniform(0.1, 0.9, 2) * hw
    ys, xs = np.arange(hw[0], dtype=np.float32)[:, None] - y0, np.arange(hw[1], dtype=np.float32) - x0
    away: Float32Array = (ys * np.cos(angle) + xs * np.sin(angle)).astype(np.float32)
    return away


def _joint(rng: np.random.Generator, hw: tuple[int, int]) -> Cover:
    """Draw a joint of formwork or slabs: straight, of even width, and wider than a hairline crack."""
    width_px = float(np.exp(rng.uniform(np.log(0.01), np.log(0.055)))) * max(hw)
    away = _across(rng, hw, level=rng.random() < 0.7)
    line = np.clip((width_px / 2 - np.abs(away)) / rng.uniform(0.7, 1.5) + 0.5, 0, 1)
    return (rng.uniform(0.2, 0.75) * line).astype(np.float32), _DARK


def _shadow(rng: np.random.Generator, hw: tuple[int, int]) -> Cover:
    """Draw a shadow on one side of a straight line."""
    soft = 1 / (1 + np.exp(-np.clip(_across(rng, hw, level=False) / rng.uniform(0.7, 12), -30, 30)))
    return (rng.uniform(0.2, 0.6) * soft).astype(np.float32), (28.0, 32.0, 42.0)


def _paint(rng: np.random.Generator, hw: tuple[int, int]) -> Cover:
    """Draw a stroke of a spray can or a brush."""
    cover = np.zeros(hw, np.uint8)
    turns = np.cumsum(rng.normal(0, 0.5, 8)) + rng.uniform(0, 2 * np.pi)
    steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * rng.uniform(0.08, 0.25) * max(hw)
    path = rng.uniform(0, 1, 2) * hw[::-1] + np.cumsum(steps, axis=0)
    thick_px = max(2, round(float(np.exp(rng.uniform(np.log(0.015), np.log(0.15)))) * max(hw)))
    cv2.polylines(cover, [path.round().astype(np.int32)], isClosed=False, color=255, thickness=thick_px)
    return _soft(cover, rng, 0.06 * thick_px + 0.7), _PAINTS[int(rng.integers(len(_PAINTS)))]


def _writing(rng: np.random.Generator, hw: tuple[int, int]) -> Cover:
    """Write numbers and letters of a survey, in paint or marker."""
    cover = np.zeros(hw, np.uint8)
    signs = list(string.ascii_uppercase + string.digits + "+-/.")
    text = "".join(rng.choice(signs) for _ in range(int(rng.integers(1, 7))))
    size = float(np.exp(rng.uniform(np.log(0.4), np.log(4)))) * max(hw) / 256
    place = (int(rng.uniform(-0.1, 0.7) * hw[1]), int(rng.uniform(0.2, 1.1) * hw[0]))
    cv2.putText(cover, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, max(1, round(size * rng.uniform(1.5, 4))))
    colour = _SPRAY_MARKER if rng.random() < 0.3 else _PAINTS[int(rng.integers(len(_PAINTS)))]
    return _soft(cover, rng, 0.7), colour


def _rust(rng: np.random.Generator, hw: tuple[int, int]) -> Cover:
    """Draw a stain of rust that runs down."""
    long, wide = noise(rng, (hw[0] // 3 + 1, hw[1]), max(hw) / 12), noise(rng, hw, max(hw) / 4)
    streaks = cv2.resize(long, (hw[1], hw[0]), interpolation=cv2.INTER_LINEAR)
    cover = np.clip(0.6 * streaks + 0.8 * wide - rng.uniform(0, 0.6), 0, 1)
    return (rng.uniform(0.3, 0.8) * cover).astype(np.float32), _RUST


def _holes(rng: np.random.Generator, hw: tuple[int, int]) -> Cover:
    """Draw a few holes of anchors and ties, or many pores."""
    cover = np.zeros(hw, np.uint8)
    few = rng.random() < 0.4
    for _ in range(int(rng.integers(1, 5)) if few else int(rng.integers(10, 60))):
        radius = rng.uniform(0.01, 0.06) * max(hw) if few else rng.uniform(0.4, 3)
        centre = (rng.uniform(0, 1, 2) * hw[::-1] * 16).astype(int).tolist()
        axes = (int(radius * 16), int(radius * rng.uniform(0.6, 1) * 16))
        cv2.ellipse(cover, centre, axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_8, 4)
    return _soft(cover, rng, 0.8), _DARK


def _soft(cover: UInt8Array, rng: np.random.Generator, blur_px: float) -> Float32Array:
    """Turn a drawing in white into a cover that is not quite opaque, with edges as blurred as a lens makes them."""
    edged = cv2.GaussianBlur(cover.astype(np.float32) / 255, (0, 0), blur_px)
    return (rng.uniform(0.4, 0.95) * edged).astype(np.float32)


_KINDS: tuple[Callable[[np.random.Generator, tuple[int, int]], Cover], ...] = (
    _joint,
    _shadow,
    _paint,
    _writing,
    _rust,
    _holes,
)

CLUTTER_KINDS = ("joint", "shadow", "paint", "writing", "rust", "holes")
"""Kinds of clutter, in the order of the functions that draw them."""
