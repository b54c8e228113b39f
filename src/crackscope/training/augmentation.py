"""Other views of a patch for training: cropped, turned, in other light, blurred, encoded again."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["augment_patch"]

UInt8Array = npt.NDArray[np.uint8]


def augment_patch(pixels: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """One random view of a patch; its label holds for the view as well.

    A square crop of at least 3/4 of the shorter side, one of the eight flips and quarter turns, then light, colour,
    contrast, noise, blur (one in five) and JPEG (three in ten).

    Args:
        pixels: Array of shape (H, W, 3), uint8, RGB.
        rng: The view follows from its state alone.

    Returns:
        Array of shape (side, side, 3), uint8, RGB.
    """
    side = int(min(pixels.shape[:2]) * rng.uniform(0.75, 1))
    y, x = (int(rng.integers(0, length - side + 1)) for length in pixels.shape[:2])
    view = np.rot90(pixels[y : y + side, x : x + side], int(rng.integers(4)))
    view = np.ascontiguousarray(view[:, ::-1] if rng.random() < 0.5 else view)
    if rng.random() < 0.2:
        view = np.asarray(cv2.GaussianBlur(view, (0, 0), rng.uniform(0.5, 2)), np.uint8)
    levels = view.astype(np.float32) * rng.uniform(0.9, 1.1, 3) * rng.uniform(0.6, 1.4)
    levels = (levels - levels.mean()) * rng.uniform(0.6, 1.4) + levels.mean() + rng.normal(0, 10)
    levels += rng.normal(0, rng.uniform(0, 6), levels.shape)
    view = np.clip(levels, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        encoded = cv2.imencode(".jpg", view, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))])[1]
        view = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return view
