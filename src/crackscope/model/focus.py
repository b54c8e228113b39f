"""Focus: how sharp a picture is, told from its pixels alone.

*Sharpness* is how much of the difference between pixels 4 px apart is already there between neighbours, in the
direction where that is least. It does not ask how much there is to see: smooth concrete keeps its fine grain, and blur
takes it away. A steady ramp has 1/4, the least there can be; white noise has 1. *Evenness* is the sharpness of that
direction as a share of the best one's: a camera that moves blurs along one direction only.
"""

from __future__ import annotations

import cv2
import numpy as np

from crackscope.arrays import Float64Array, UInt8Array

__all__ = ["BLANK", "focus_of", "focus_of_grey", "grey_of"]


BLANK = 1.0
"""Contrast in grey levels below which there is nothing to see: one level is the step in which pixels are stored."""

_NEAR_PX, _FAR_PX = 1, 4
_SIDE_PX = 256  # larger images are shrunk: nobody minds a blur of one pixel in a photo of 4,000


def focus_of(pixels: UInt8Array) -> tuple[float, float]:
    """Sharpness and evenness of a picture, each at most 1.

    Args:
        pixels: RGB, uint8, shape (H, W, 3).
    """
    _, sharpness, evenness = focus_of_grey(grey_of(pixels))
    return sharpness, evenness


def grey_of(pixels: UInt8Array) -> UInt8Array:
    """Grey levels of an RGB picture, shape (h, w), with its shorter side at most 256 px."""
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    if min(grey.shape) <= _SIDE_PX:
        return grey
    scale = _SIDE_PX / min(grey.shape)
    return np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def focus_of_grey(grey: UInt8Array) -> tuple[float, float, float]:
    """Contrast in grey levels, sharpness and evenness of grey levels (h, w); 1 and 1 below 8 px a side."""
    if min(grey.shape) < 2 * _FAR_PX:
        return float(grey.std()), 1.0, 1.0
    near, far = _differences(grey, _NEAR_PX), _differences(grey, _FAR_PX)
    # In a direction where nothing changes, there is nothing that blur could have taken away.
    ratios = np.where(far > BLANK / 2, near / np.maximum(far, BLANK / 2), 1.0)
    return float(far.mean()), float(ratios.min()), float(ratios.min() / ratios.max())


def _differences(grey: UInt8Array, lag: int) -> Float64Array:
    """Mean absolute difference of pixels that lie a lag apart: across, down, and along both diagonals."""
    pairs = (
        (grey[:, lag:], grey[:, :-lag]),
        (grey[lag:], grey[:-lag]),
        (grey[lag:, lag:], grey[:-lag, :-lag]),
        (grey[lag:, :-lag], grey[:-lag, lag:]),
    )
    return np.array([cv2.norm(one, other, cv2.NORM_L1) / one.size for one, other in pairs])
