"""Other views of a patch for training: turned, moved, cropped, in other light, blurred, encoded again."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Augmentation", "augment_patch", "square", "view_of"]

UInt8Array = npt.NDArray[np.uint8]


class Augmentation(BaseModel):
    """How far a view may be turned and moved; what comes in from outside is mirrored at the edge.

    Attributes:
        flip_horizontal: Left and right change places, in half of the views.
        flip_vertical: Top and bottom, in half of the views.
        rotation_degrees: At most so far, either way.
        shift: At most this share of the side, along each axis.
        shear_degrees: At most so far, either way.
        zoom: The picture grows or shrinks by at most this share.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotation_degrees: float = Field(default=0, ge=0, le=180)
    shift: float = Field(default=0, ge=0, lt=1)
    shear_degrees: float = Field(default=0, ge=0, lt=80)
    zoom: float = Field(default=0, ge=0, lt=1)


def view_of(pixels: UInt8Array, augmentation: Augmentation, *, view: int) -> UInt8Array:
    """One view of a patch; its label holds for the view as well.

    Args:
        pixels: Array of shape (side, side, 3), uint8, RGB.
        augmentation: How far it may go.
        view: Number of the view; with the pixels it decides everything, so a view can be computed again, or cached.

    Returns:
        Array of the same shape.

    Example:
        >>> pixels = np.zeros((64, 64, 3), np.uint8)
        >>> view_of(pixels, Augmentation(rotation_degrees=30, shift=0.2), view=3).shape
        (64, 64, 3)
    """
    rng = np.random.default_rng([zlib.crc32(pixels.tobytes()), view])
    matrix = _random_matrix(augmentation, rng)
    side = pixels.shape[0]
    to_middle, back = np.eye(3), np.eye(3)
    to_middle[:2, 2], back[:2, 2] = -(side - 1) / 2, (side - 1) / 2
    matrix[:2, 2] *= side
    whole = back @ matrix @ to_middle
    warped = cv2.warpAffine(pixels, whole[:2], (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(warped, np.uint8)


def _random_matrix(augmentation: Augmentation, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(3, 3) from patch to view around the middle; shifts in sides."""
    angle, shear = np.deg2rad(rng.uniform(-1, 1, 2) * (augmentation.rotation_degrees, augmentation.shear_degrees))
    zoom = rng.uniform(1 - augmentation.zoom, 1 + augmentation.zoom, 2)
    shift = rng.uniform(-augmentation.shift, augmentation.shift, 2)
    flips = np.where((rng.random(2) < 0.5) & (augmentation.flip_horizontal, augmentation.flip_vertical), -1.0, 1.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.eye(3)
    matrix[:2, :2] = turn @ np.array([[1, np.tan(shear)], [0, 1]]) @ np.diag(zoom * flips)
    matrix[:2, 2] = shift
    return matrix


def square(pixels: UInt8Array) -> UInt8Array:
    """The middle of a patch, as wide as its shorter side: batches need pictures of one size.

    Args:
        pixels: Array of shape (H, W, 3).
    """
    height, width = pixels.shape[:2]
    side = min(height, width)
    y, x = (height - side) // 2, (width - side) // 2
    return pixels[y : y + side, x : x + side]


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
