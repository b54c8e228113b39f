"""Pictures as the bytes of a file: for pages, folders and notebooks."""

from __future__ import annotations

import cv2
import numpy as np

from crackscope.arrays import UInt8Array

__all__ = ["picture_bytes"]


def picture_bytes(pixels: UInt8Array, suffix: str, *, quality: int = 95) -> bytes:
    """Encode an RGB picture (h, w, 3) or a grey one (h, w) as ``.png`` or ``.jpg``; the same gives the same bytes.

    Args:
        pixels: The picture, uint8.
        suffix: ``.png`` or ``.jpg``.
        quality: Quality of a JPEG, 0 to 100.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    order = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    return cv2.imencode(suffix, np.ascontiguousarray(order), options)[1].tobytes()
