"""Focus: how sharp a picture is, measured from its pixels alone.

*Sharpness* compares neighbouring pixels with pixels 4 px apart: it is the mean difference of neighbours over the mean
difference at 4 px, in the direction where this ratio is least. It does not depend on how much there is to see: even
smooth concrete has a fine grain, which blur removes. A steady ramp has a sharpness of 1/4, the least possible; white
noise has 1. *Evenness* is the least ratio over the greatest ratio of all directions. It is low if the camera moved,
since movement blurs along one direction only.
"""

from __future__ import annotations

import cv2
import numpy as np

from crackscope.arrays import Float64Array, UInt8Array

__all__ = ["BLANK", "focus_of", "focus_of_grey", "grey_of"]


BLANK = 1.0
"""Contrast in grey levels below which an image shows nothing: pixels are stored in steps of one level."""

_NEAR_PX, _FAR_PX = 1, 4
_SIDE_PX = 256  # larger images are shrunk: a blur of one pixel does not matter in a photo of 4,000 pixels


def focus_of(pixels: UInt8Array) -> tuple[float, float]:
    """Measure sharpness and evenness of a picture, each at most 1.

    Args:
        pixels: Picture, RGB, uint8, shape (H, W, 3).
    """
    _, sharpness, evenness = focus_of_grey(grey_of(pixels))
    return sharpness, evenness


def grey_of(pixels: UInt8Array) -> UInt8Array:
    """Convert an RGB picture to grey levels, shape (h, w), and shrink it until its shorter side is at most 256 px."""
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    if min(grey.shape) <= _SIDE_PX:
        return grey
    scale = _SIDE_PX / min(grey.shape)
    return np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def focus_of_grey(grey: UInt8Array) -> tuple[float, float, float]:
    """Measure contrast in grey levels, sharpness and evenness of an image (h, w).

    Sharpness and evenness are 1 if a side is below 8 px.
    """
    if min(grey.shape) < 2 * _FAR_PX:
        return float(grey.std()), 1.0, 1.0
    near, far = _differences(grey, _NEAR_PX), _differences(grey, _FAR_PX)
    # In a direction where nothing changes, blur cannot be measured, and the ratio counts as 1.
    ratios = np.where(far > BLANK / 2, near / np.maximum(far, BLANK / 2), 1.0)
    return float(far.mean()), float(ratios.min()), float(ratios.min() / ratios.max())


def _differences(grey: UInt8Array, lag: int) -> Float64Array:
    """Mean absolute difference of pixels at a distance of `lag`: across, down, and along both diagonals."""
    pairs = (
        (grey[:, lag:], grey[:, :-lag]),
        (grey[lag:], grey[:-lag]),
        (grey[lag:, lag:], grey[:-lag, :-lag]),
        (grey[lag:, :-lag], grey[:-lag, lag:]),
    )
    return np.array([cv2.norm(one, other, cv2.NORM_L1) / one.size for one, other in pairs])
