"""Corruptions: common faults of photographs at five strengths, such as blur, noise, distance and rotation.

They follow ImageNet-C (Hendrycks & Dietterich 2019), adapted to patches of concrete. Lengths are shares of the shorter
side, so the effect is the same for patches of any size. The random choices depend only on the pixels and the name of
the corruption, so they can be repeated. Two corruptions can remove a crack at the edge of a patch: `larger` crops the
patch, and `rotation` turns its corners out of the picture (some 17 % of a square at 45 degrees). Pixels from outside
the patch are filled in by mirroring.
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
    """Apply one corruption to a patch.

    Args:
        pixels: Patch, an array of shape (H, W, 3), uint8, RGB.
        corruption: Name of one of the `CORRUPTIONS`.
        strength: Strength, 1 to 5.

    Returns:
        The corrupted patch, an array of the same shape.

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
    """Blur a patch as if the camera had moved in a straight line during the exposure.

    Args:
        pixels: Patch, RGB, uint8, shape (H, W, 3).
        share: Length of the movement as a share of the shorter side; it is at least 2 pixels.
        rng: Random generator that decides the direction.
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
    """Blur a patch with a disc, as a lens that is out of focus does."""
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
    """Make a patch lighter or darker by `change` grey levels."""
    return _levels(pixels.astype(np.float32) + change * rng.choice((-1, 1)))


def _contrast(pixels: UInt8Array, factor: float, rng: np.random.Generator) -> UInt8Array:
    mean = pixels.mean((0, 1), dtype=np.float32)
    return _levels((pixels - mean) * factor + mean)


def _shadow_edge(pixels: UInt8Array, factor: float, rng: np.random.Generator) -> UInt8Array:
    """Draw a shadow whose edge runs through the middle part, straight and nearly sharp."""
    height, width = pixels.shape[:2]
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.25, 0.25) * _side(pixels)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    distance = (x - width / 2) * np.cos(angle) + (y - height / 2) * np.sin(angle) - offset
    inside = np.clip(0.5 + distance / max(2.0, 0.02 * _side(pixels)), 0, 1)[..., None]
    return _levels(pixels * (1 - (1 - factor) * inside))


def _stain(pixels: UInt8Array, factor: float, rng: np.random.Generator) -> UInt8Array:
    """Draw a damp or rusty stain with an uneven edge."""
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
    """Scale a patch about its middle: below 1 it is seen from farther away, above 1 from nearer."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 0, factor)
    if factor < 1:  # blurred first, as a lens does; sampling alone would skip pixels
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
"""Values for the five strengths, and the function, by the name of the corruption."""
