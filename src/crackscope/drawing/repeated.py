"""Walls of one pattern repeated: courses of bricks, and planks. A registration must not match them shifted."""

from __future__ import annotations

import numpy as np

from crackscope.arrays import Float32Array, UInt8Array
from crackscope.drawing.concrete import noise

__all__ = ["draw_bricks", "draw_planks"]


_BRICK_HW = 24, 72
_PLANK_PX = 44


def draw_bricks(seed: int, *, photo_hw: tuple[int, int] = (600, 800), variation: float = 10.0) -> UInt8Array:
    """Draw a wall of bricks. Walls of two seeds have the same courses, other grain, and other tones of their bricks.

    Args:
        seed: Seed of the tones, the grain and the place of the first course.
        photo_hw: Height and width in pixels.
        variation: Standard deviation of the bricks' tones in grey levels.

    Returns:
        RGB pixels, uint8, shape (H, W, 3).

    Example:
        >>> draw_bricks(1, photo_hw=(90, 120)).shape
        (90, 120, 3)
    """
    rng = np.random.default_rng(seed)
    height, width = _BRICK_HW
    y, x = np.mgrid[: photo_hw[0], : photo_hw[1]] + rng.integers(0, 200, size=(2, 1, 1))
    row = y // height
    shifted = x + row % 2 * (width // 2)
    column = shifted // width
    tones = rng.normal(120, variation, size=(int(row.max()) + 1, int(column.max()) + 1))
    mortar = (y % height < 3) | (shifted % width < 3)
    return _finished(rng, np.where(mortar, 190, tones[row, column]).astype(np.float32), (1.0, 0.72, 0.6))


def draw_planks(seed: int, *, photo_hw: tuple[int, int] = (600, 800), variation: float = 8.0) -> UInt8Array:
    """Draw a wall of planks, all of one width, with grain along them.

    Args:
        seed: Seed of the tones, the grain and the place of the first plank.
        photo_hw: Height and width in pixels.
        variation: Standard deviation of the planks' tones in grey levels.

    Returns:
        RGB pixels, uint8, shape (H, W, 3).

    Example:
        >>> draw_planks(1, photo_hw=(90, 120)).shape
        (90, 120, 3)
    """
    rng = np.random.default_rng(seed)
    across = np.arange(photo_hw[1]) + int(rng.integers(0, _PLANK_PX))
    plank = across // _PLANK_PX
    tones = rng.normal(140, variation, size=int(plank.max()) + 1)[plank]
    line = np.where(across % _PLANK_PX < 3, 60.0, tones) + rng.normal(0, 4, size=photo_hw[1])
    nails = np.zeros(photo_hw, np.float32)
    nails[(np.arange(photo_hw[0])[:, None] % 150 < 4) & (across[None] % _PLANK_PX // 4 == 5)] = -50
    return _finished(rng, np.broadcast_to(line, photo_hw).astype(np.float32) + nails, (1.0, 0.92, 0.8))


def _finished(rng: np.random.Generator, grey: Float32Array, tint: tuple[float, float, float]) -> UInt8Array:
    grain = noise(rng, (grey.shape[0], grey.shape[1]), 4.0) * 6
    planes = [(grey + grain) * share + rng.normal(0, 2, size=grey.shape) for share in tint]
    return np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)
