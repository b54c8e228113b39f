"""Preprocessing: the only resize. Training, prediction and all figures use this code.

A patch is brought to the size that a bundle expects: its shorter side is scaled to the card's ``patch_px``, and the
aspect ratio is kept. The interpolation is ``cv2.INTER_LINEAR``; if a patch shrinks to less than half its size, it is
``cv2.INTER_AREA``, since linear interpolation would then skip pixels. At the usual 227 or 256 to 160 px, linear
interpolation takes a fifth of the time. Padding and normalising happen inside the graph.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from crackscope.arrays import UInt8Array
from crackscope.errors import ImageError

__all__ = ["MAX_ASPECT", "MIN_PX", "RESIZE_RULE", "patch_hw", "require_patch", "resize_patch", "resize_photo"]


RESIZE_RULE: Final = "shorter side to patch_px, aspect kept, cv2.INTER_LINEAR, below half cv2.INTER_AREA"
"""Rule of the resize, as a card states it. A bundle with another rule is refused, so rules are never mixed."""

MIN_PX = 16
"""Least side of a patch in pixels; a smaller patch shows nothing."""

MAX_ASPECT = 1.5
"""Greatest ratio of a patch's longer side to its shorter side; a longer image is a photo, or part of one."""

_LARGEST_PATCH_PX = 2048  # longest side of a training patch; cracks would vanish if a photo were shrunk to patch size
_LARGEST_PHOTO_PX = 300_000_000  # most pixels that a photo may be enlarged to
_STRIP_ASPECT = 64
"""Greatest ratio of the sides of an image that is resized as a patch. A longer strip would take gigabytes: 1×60,000 px
would become 160×9,600,000."""


def patch_hw(source_hw: tuple[int, int], *, patch_px: int) -> tuple[int, int]:
    """Compute the size of a patch after the resize, (height, width) in pixels.

    Raises:
        ImageError: If a side is zero, or one is more than 64 times the other.

    Example:
        >>> patch_hw((227, 227), patch_px=160)
        (160, 160)
        >>> patch_hw((256, 320), patch_px=160)
        (160, 200)
    """
    height, width = source_hw
    if min(source_hw) < 1 or max(source_hw) > _STRIP_ASPECT * min(source_hw):
        raise ImageError(f"{width}×{height} px is a strip, not a patch; cut it into patches")
    scale = patch_px / min(height, width)
    return max(patch_px, round(height * scale)), max(patch_px, round(width * scale))


def require_patch(source_hw: tuple[int, int]) -> None:
    """Refuse an image for training that is no patch.

    Raises:
        ImageError: If a side is below `MIN_PX` or above 2,048 px, or one is more than `MAX_ASPECT` times the other.
    """
    height, width = source_hw
    if min(source_hw) < MIN_PX:
        raise ImageError(f"{width}×{height} px is too small to show anything (at least {MIN_PX} px a side)")
    if max(source_hw) > _LARGEST_PATCH_PX or max(source_hw) > MAX_ASPECT * min(source_hw):
        raise ImageError(
            f"{width}×{height} px is a photo, not a patch (at most {_LARGEST_PATCH_PX} px a side, and {MAX_ASPECT:g} "
            "times as long as wide); cut it into patches"
        )


def resize_patch(pixels: UInt8Array, *, patch_px: int) -> UInt8Array:
    """Resize a patch by `RESIZE_RULE`.

    Args:
        pixels: Patch, an array of shape (H, W, 3), uint8, RGB.
        patch_px: Length of the shorter side after the resize, in pixels.

    Returns:
        Array of shape (h, w, 3), uint8, with ``min(h, w) == patch_px``; `pixels` itself if the size is right already.

    Raises:
        ImageError: If a side is zero, or one is more than 64 times the other.
    """
    height, width = patch_hw((pixels.shape[0], pixels.shape[1]), patch_px=patch_px)
    return _resized(pixels, (height, width), below_half=2 * patch_px < min(pixels.shape[:2]))


def resize_photo(pixels: UInt8Array, scale: float) -> UInt8Array:
    """Resize a photo with the interpolation of `RESIZE_RULE`, so that a patch inside it looks as it would alone.

    Args:
        pixels: Photo, an array of shape (H, W, 3), uint8, RGB.
        scale: Pixels after the resize per pixel before.

    Returns:
        Array of shape (round(H · scale), round(W · scale), 3), uint8; `pixels` itself if the size is right already.

    Raises:
        ImageError: If the photo is enlarged to more than `_LARGEST_PHOTO_PX` pixels.
    """
    height, width = (max(1, round(min(side * scale, 1e12))) for side in pixels.shape[:2])  # infinity cannot be rounded
    if height * width > max(_LARGEST_PHOTO_PX, pixels.shape[0] * pixels.shape[1]):
        raise ImageError(
            f"at scale {scale:g}, {pixels.shape[1]}×{pixels.shape[0]} px become {width}×{height}, which is too large; "
            "scan it at a smaller scale"
        )
    return _resized(pixels, (height, width), below_half=scale < 0.5)


def _resized(pixels: UInt8Array, size_hw: tuple[int, int], *, below_half: bool) -> UInt8Array:
    if size_hw == pixels.shape[:2]:
        return pixels
    interpolation = cv2.INTER_AREA if below_half else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size_hw[::-1], interpolation=interpolation), np.uint8)
