"""Ridges: dark lines in the grey picture, for models that have no fine map.

A ridge filter (Sato et al. 1998) answers to dark lines of several widths: it is the greater eigenvalue of the second
derivatives of the blurred picture, times the variance of the blur. Its answer is divided
by the roughness of the concrete around, and turned into a number from 0 to 1 that serves as a map of lines. It is no
probability: every dark line answers, be it a crack, a joint or a scratch. So it counts only where the crack map of the
model has a region.
"""

from __future__ import annotations

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float32Array, UInt8Array

__all__ = ["ridge_map"]

SIGMAS_PX = (1.0, 1.6, 2.6, 4.2)  # of the network's pixels
BORDER_PX = 16  # pixels around a window that the filter sees and that are cut off again
LIKELY = 5.0  # answer, in multiples of the roughness, that counts as one half
STEEPNESS = 1.2


def ridge_map(pixels: UInt8Array, wanted: BoolArray) -> Float32Array:
    """Find dark lines where they are wanted.

    Args:
        pixels: Photo at the network's scale, shape (H, W, 3), RGB.
        wanted: Whether each pixel is looked at, shape (H, W).

    Returns:
        How clearly a dark line passes through each pixel, shape (H, W), float32, in [0, 1]; 0 where it is not wanted.
    """
    found = np.zeros(wanted.shape, np.float32)
    n, numbers, facts, _ = cv2.connectedComponentsWithStats(wanted.astype(np.uint8), connectivity=8)
    for number in range(1, n):
        left, top, width, height = (int(value) for value in facts[number, :4])
        rows, columns = slice(top, top + height), slice(left, left + width)
        mine = numbers[rows, columns] == number
        found[rows, columns][mine] = _ridges(pixels, rows, columns)[mine]
    return found


def _ridges(pixels: UInt8Array, rows: slice, columns: slice) -> Float32Array:
    """Ridges of a window, from its own pixels and a border around it."""
    height, width = pixels.shape[:2]
    top, left = max(0, rows.start - BORDER_PX), max(0, columns.start - BORDER_PX)
    window = pixels[top : min(height, rows.stop + BORDER_PX), left : min(width, columns.stop + BORDER_PX)]
    grey = cv2.cvtColor(np.ascontiguousarray(window), cv2.COLOR_RGB2GRAY).astype(np.float32)
    answer = np.max([_dark_lines(grey, sigma) for sigma in SIGMAS_PX], axis=0)
    inside = answer[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    roughness = max(float(np.median(answer)) / 0.67, 0.3)  # grey levels; a smooth wall is never wholly even
    return np.asarray(1 / (1 + np.exp(-(inside / roughness - LIKELY) / STEEPNESS)), np.float32)


def _dark_lines(grey: Float32Array, sigma: float) -> Float32Array:
    """How much darker a line of about two sigmas' width is than what lies beside it, shape (H, W), at least 0."""
    at = np.arange(-int(4 * sigma + 1), int(4 * sigma + 1) + 1)
    bell = np.exp(-(at**2) / (2 * sigma**2))
    bell /= bell.sum()
    kernels = bell, -at / sigma**2 * bell, (at**2 / sigma**2 - 1) / sigma**2 * bell

    def derived(across: int, down: int) -> Float32Array:
        found = cv2.sepFilter2D(grey, cv2.CV_32F, kernels[across], kernels[down], borderType=cv2.BORDER_REFLECT)
        return np.asarray(found, np.float32)

    xx, yy, xy = derived(2, 0), derived(0, 2), derived(1, 1)
    greater = (xx + yy) / 2 + np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    return np.asarray(np.maximum(np.float32(sigma**2) * greater, 0), np.float32)
