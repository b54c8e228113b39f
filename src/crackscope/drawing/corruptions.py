"""Corruptions: what goes wrong with photographs, at five strengths, from blur and noise to distance and turning.

They follow ImageNet-C (Hendrycks & Dietterich 2019), for patches of concrete: lengths are shares of the shorter side,
so that a patch of any size suffers alike. A corruption is random by the pixels and its name alone, so it can be
repeated. Two can take a crack at the edge away from a patch: `larger`, which crops, and `rotation`, which turns corners
out of it (at 45 degrees some 17 % of a square). What comes in from outside is mirrored.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from crackscope.arrays import UInt8Array

__all__ = ["CORRUPTIONS", "STRENGTHS", "corrupt", "motion_blur"]


STRENGTHS = (1, 2, 3, 4, 5)
"""Strengths, from hardly visible to severe."""

_MIRRORED = cv2.BORDER_REFLECT_101


def corrupt(pixels: UInt8Array, corruption: str, strength: int) -> UInt8Array:
    """One patch with one corruption.

    Args:
        pixels: Array of shape (H, W, 3), uint8, RGB.
        corruption: One of `CORRUPTIONS`.
        strength: 1 to 5.

    Returns:
        Array of the same shape.

    Raises:
        KeyError: If there is no such corruption.
        IndexError: If there is no such strength.

    Example:
        >>> grey = np.full((64, 64, 3), 128, np.uint8)
        >>> corrupt(grey, "brightness", 3).shape, len(CORRUPTIONS)
        ((64, 64, 3), 11)
    """
    if strength not in STRENGTHS:
        raise IndexError(f"strength {strength} is none of {STRENGTHS}")
    values, apply = CORRUPTIONS[corruption]
    seed = [zlib.crc32(np.ascontiguousarray(pixels).tobytes()), zlib.crc32(corruption.encode())]
    return apply(pixels, values[strength - 1], np.random.default_rng(seed))


def motion_blur(pixels: UInt8Array, share: float, rng: np.random.Generator) -> UInt8Array:
    """The camera moves in a straight line while it sees: a kernel of that length, in any direction.

    Args:
        pixels: RGB, uint8, shape (H, W, 3).
        share: Length, as a share of the shorter side; at least 2 pixels.
        rng: Decides the direction.
    """
    length = max(2.0, share * _side(pixels))
    size = 2 * int(np.ceil(length / 2)) + 1
    angle = rng.uniform(0, np.pi)
    across, along = np.mgrid[:size, :size] - size // 2
    position = along * np.cos(angle) + across * np.sin(angle)
    distance = along * np.sin(angle) - across * np.cos(angle)
    kernel = np.clip(1 - np.abs(distance), 0, 1) * np.clip(length / 2 + 0.5 - np.abs(position), 0, 1)
    return np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum(), borderType=_MIRRORED), np.uint8)


def _levels(values: npt.NDArray[np.floating]) -> UInt8Array:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _side(pixels: UInt8Array) -> int:
    return int(min(pixels.shape[:2]))


def _defocus(pixels: UInt8Array, share: float, rng: np.random.Generator) -> UInt8Array:
    """Out of focus: a disc."""
    radius = max(0.5, share * _side(pixels))
    size = 2 * int(np.ceil(radius)) + 1
    y, x = np.mgrid[:size, :size] - size // 2
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum(), borderType=_MIRRORED), np.uint8)


def _noise(pixels: UInt8Array, deviation: float, rng: np.random.Generator) -> UInt8Array:
    return _levels(pixels + rng.normal(0, deviation, pixels.shape))


def _jpeg(pixels: UInt8Array, quality: float, rng: np.random.Generator) -> UInt8Array:
    encoded = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def _brightness(pixels: UInt8Array, change: float, rng: np.random.Generator) -> UInt8Array:
    """Lighter or darker by so many levels."""
    return _levels(pixels.astype(np.float32) + change * rng.choice((-1, 1)))


def _contrast(pixels: UInt8Array, factor: float, rng: np.random.Generator) -> UInt8Array:
    mean = pixels.mean((0, 1), dtype=np.float32)
    return _levels((pixels - mean) * factor + mean)


def _shadow_edge(pixels: UInt8Array, factor: float, rng: np.random.Generator) -> UInt8Array:
    """A shadow with a straight, hardly soft edge through the middle part."""
    height, width = pixels.shape[:2]
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.25, 0.25) * _side(pixels)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    distance = (x - width / 2) * np.cos(angle) + (y - height / 2) * np.sin(angle) - offset
    inside = np.clip(0.5 + distance / max(2.0, 0.02 * _side(pixels)), 0, 1)[..., None]
    return _levels(pixels * (1 - (1 - factor) * inside))


def _stain(pixels: UInt8Array, factor: float, rng: np.random.Generator) -> UInt8Array:
    """A damp or rusty stain with an uneven edge."""
    height, width = pixels.shape[:2]
    side = _side(pixels)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    centre_y, centre_x = rng.uniform(0.3, 0.7) * height, rng.uniform(0.3, 0.7) * width
    uneven = cv2.resize(rng.normal(0, 1, (8, 8)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    distance = np.hypot((x - centre_x) / side, (y - centre_y) / side) + 0.06 * np.asarray(uneven, np.float32)
    inside = np.clip((rng.uniform(0.25, 0.4) - distance) / 0.08, 0, 1)[..., None]
    colour = np.array((1.0, rng.uniform(0.85, 1), rng.uniform(0.7, 1)), np.float32) * factor
    return _levels(pixels * (1 - inside * (1 - colour)))


def _zoomed(pixels: UInt8Array, factor: float, rng: np.random.Generator) -> UInt8Array:
    """Seen from farther away (below 1) or from nearer, about the middle."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 0, factor)
    if factor < 1:  # averaged first, as a lens does; a sampled one would skip pixels
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.45 / factor, borderType=_MIRRORED), np.uint8)
    return np.asarray(cv2.warpAffine(pixels, matrix, (width, height), borderMode=_MIRRORED), np.uint8)


def _rotated(pixels: UInt8Array, degrees: float, rng: np.random.Generator) -> UInt8Array:
    height, width = pixels.shape[:2]
    middle = ((width - 1) / 2, (height - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, float(degrees * rng.choice((-1, 1))), 1)
    return np.asarray(cv2.warpAffine(pixels, matrix, (width, height), borderMode=_MIRRORED), np.uint8)


Apply = Callable[[UInt8Array, float, np.random.Generator], UInt8Array]

CORRUPTIONS: dict[str, tuple[tuple[float, ...], Apply]] = {
    "motion_blur": ((0.02, 0.035, 0.055, 0.08, 0.12), motion_blur),  # length, share of the side
    "defocus": ((0.006, 0.01, 0.016, 0.025, 0.04), _defocus),  # radius, share of the side
    "noise": ((6, 12, 20, 32, 48), _noise),  # standard deviation in grey levels
    "jpeg": ((50, 30, 18, 10, 6), _jpeg),  # quality
    "brightness": ((20, 40, 60, 80, 100), _brightness),  # grey levels, either way
    "contrast": ((0.7, 0.5, 0.35, 0.22, 0.12), _contrast),  # factor
    "shadow_edge": ((0.8, 0.65, 0.5, 0.38, 0.28), _shadow_edge),  # light left inside
    "stain": ((0.85, 0.7, 0.55, 0.45, 0.35), _stain),  # light left inside
    "smaller": ((0.8, 0.65, 0.5, 0.35, 0.25), _zoomed),  # factor
    "larger": ((1.2, 1.4, 1.6, 1.8, 2.0), _zoomed),  # factor
    "rotation": ((9, 18, 27, 36, 45), _rotated),  # degrees, either way
}
"""Value for each strength, and the function, by the name of the corruption."""
