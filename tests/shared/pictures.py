"""Pictures of random noise, and pictures as files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from crackscope.arrays import UInt8Array


def read_pixels(path: Path) -> UInt8Array:
    """Read the RGB pixels of a file with OpenCV."""
    levels = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert levels is not None, path
    return levels.astype(np.uint8, copy=False)


def noise(hw: tuple[int, int], seed: int = 0, *, n: int | None = None) -> UInt8Array:
    """Random levels, each of 0 to 255 as likely as any other.

    Args:
        hw: Height and width in pixels.
        seed: Seed of the levels.
        n: Pictures of a batch; without it, one picture with no axis for the batch.

    Returns:
        Pixels (height, width, 3), or (n, height, width, 3).
    """
    shape = (*hw, 3) if n is None else (n, *hw, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(pixels: UInt8Array, ending: str, *, quality: int = 95) -> bytes:
    """The bytes of a file that holds a picture.

    Args:
        pixels: RGB (height, width, 3), or grey (height, width).
        ending: Kind of file, such as `.png`.
        quality: Quality of a JPEG, 0 to 100.
    """
    levels = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    done, content = cv2.imencode(ending, levels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return content.tobytes()


def png(pixels: UInt8Array) -> bytes:
    """The bytes of a PNG."""
    return encoded(pixels, ".png")


def jpeg(pixels: UInt8Array, quality: int = 95) -> bytes:
    """The bytes of a JPEG."""
    return encoded(pixels, ".jpg", quality=quality)


def save(path: Path, pixels: UInt8Array) -> Path:
    """Write a picture and make its folders; the ending of the name chooses the kind of file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(pixels, path.suffix))
    return path
