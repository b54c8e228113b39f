"""Augmentation: other views of a patch, turned, moved, nearer or farther, in other light, with a crack drawn on it.

A crack that is drawn on an uncracked patch makes it a cracked one. It lets a model that has seen wide cracks from close
by know a hairline from afar, and the other way round: see ``docs/transfer.md``.
"""

from __future__ import annotations

import zlib

import cv2
import numpy as np
from pydantic import Field, field_validator

from crackscope.arrays import Float64Array, Int64Array, UInt8Array
from crackscope.drawing.clutter import clutter_over
from crackscope.drawing.corruptions import motion_blur
from crackscope.drawing.drawn_lines import crack_over, mark_over
from crackscope.errors import RecipeError
from crackscope.files.forms import SettingsForm

__all__ = ["Augmentation", "square", "view_of"]


class Augmentation(SettingsForm):
    """How far a view of a training patch may differ from the patch; what comes in from outside is mirrored at the edge.

    Attributes:
        flip_horizontal: Whether half of the views are mirrored left to right.
        flip_vertical: Whether half of the views are mirrored top to bottom.
        rotation_degrees: Greatest rotation in degrees, either way, 0 to 180.
        shift: Greatest shift along each axis, as a share of the side, in [0, 1).
        shear_degrees: Greatest shear in degrees, either way, from 0 to below 80.
        zoom: Greatest change of each side's length, as a share of it, in [0, 1).
        views: Number of views of each patch, which take turns with the patch itself, an epoch each. In every epoch some
            patches are shown as they are, and the others in one view or another. 0 makes a new view of every patch for
            every epoch.
        quarter_turns: Whether views are turned by 0, 90, 180 or 270 degrees.
        zoom_out: Greatest factor of the distance from which a view is seen, 1 to 8; 1 leaves the distance.
        zoom_in: Greatest factor by which half of the views of uncracked patches are enlarged, 1 to 8. A cracked patch
            is not enlarged, since it could lose its crack.
        drawn_cracks: Share of the views of uncracked patches on which a crack is drawn, in [0, 1); those count as
            cracked.
        drawn_widths_px: Smallest and largest typical width of a drawn crack, in pixels of the patch, above 0 to 1000.
        light: How far brightness, contrast and colour may change, in [0, 1]; 1 is much.
        blur_px: Greatest standard deviation of the blur of four views in ten, in pixels, 0 to 10.
        motion: Greatest length of the motion blur of one view in ten, as a share of the side, 0 to 0.5.
        noise: Greatest standard deviation of the noise of half of the views, in grey levels, 0 to 100.
        jpeg: Share of the views that are encoded as JPEG, at a quality of 30 to 90, in [0, 1).
        marks: Share of the views on which a stroke of pen or chalk, or the shadow of a wire is drawn, in [0, 1). These
            are no cracks.
        clutter: Share of the views on which a joint, a shadow's edge, paint, writing, rust or holes are drawn, in [0,
            1). These are no cracks.
    """

    fault_error = RecipeError

    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotation_degrees: float = Field(default=0, ge=0, le=180)
    shift: float = Field(default=0, ge=0, lt=1)
    shear_degrees: float = Field(default=0, ge=0, lt=80)
    zoom: float = Field(default=0, ge=0, lt=1)
    views: int = Field(default=0, ge=0, le=1000)
    quarter_turns: bool = False
    zoom_out: float = Field(default=1, ge=1, le=8)
    zoom_in: float = Field(default=1, ge=1, le=8)
    drawn_cracks: float = Field(default=0, ge=0, lt=1)
    drawn_widths_px: tuple[float, float] = (0.7, 20)
    light: float = Field(default=0, ge=0, le=1)
    blur_px: float = Field(default=0, ge=0, le=10)
    motion: float = Field(default=0, ge=0, le=0.5)
    noise: float = Field(default=0, ge=0, le=100)
    jpeg: float = Field(default=0, ge=0, lt=1)
    marks: float = Field(default=0, ge=0, lt=1)
    clutter: float = Field(default=0, ge=0, lt=1)

    @field_validator("drawn_widths_px")
    @classmethod
    def _widths(cls, widths: tuple[float, float]) -> tuple[float, float]:
        if not 0 < widths[0] <= widths[1] <= 1000:
            raise ValueError("two widths above 0, the smaller one first")
        return widths

    @property
    def heeds_labels(self) -> bool:
        """Whether a view depends on the label of its patch, or may have another label."""
        return self.zoom_in > 1 or self.drawn_cracks > 0

    def views_in(self, epoch: int, places: Int64Array) -> Int64Array:
        """Tell which view of each patch an epoch shows.

        Args:
            epoch: Number of the epoch, from 1.
            places: Place of each patch in the index, shape (n,).

        Returns:
            Number of each patch's view, shape (n,); 0 is the patch as it is.

        Example:
            >>> Augmentation(views=2).views_in(1, np.arange(5)).tolist()
            [1, 2, 0, 1, 2]
        """
        return (places + epoch) % (self.views + 1) if self.views else np.full(len(places), epoch)


def view_of(
    pixels: UInt8Array, augmentation: Augmentation, *, view: int, cracked: bool = False
) -> tuple[UInt8Array, bool]:
    """One view of a patch, and whether it shows a crack.

    Args:
        pixels: Array of shape (side, side, 3), uint8, RGB.
        augmentation: Greatest differences from the patch.
        view: Number of the view; with pixels and label it decides everything, so a view can be computed again, or
            cached.
        cracked: Whether the patch is labelled crack.

    Returns:
        Array of the same shape, and the view's label.

    Example:
        >>> pixels = np.zeros((64, 64, 3), np.uint8)
        >>> seen, cracked = view_of(pixels, Augmentation(rotation_degrees=30, shift=0.2), view=3)
        >>> seen.shape, cracked
        ((64, 64, 3), False)
    """
    rng = np.random.default_rng([zlib.crc32(pixels.tobytes()), view])
    matrix = _random_matrix(augmentation, rng)
    side = pixels.shape[0]
    to_middle, back = np.eye(3), np.eye(3)
    to_middle[:2, 2], back[:2, 2] = -(side - 1) / 2, (side - 1) / 2
    matrix[:2, 2] *= side
    whole = back @ matrix @ to_middle
    warped = cv2.warpAffine(pixels, whole[:2], (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    seen = _from_elsewhere(np.asarray(warped, np.uint8), augmentation, rng, may_near=not cracked)
    if augmentation.marks and rng.random() < augmentation.marks:
        seen = mark_over(seen, rng)
    if augmentation.clutter and rng.random() < augmentation.clutter:
        seen = clutter_over(seen, rng)
    if augmentation.drawn_cracks and not cracked and rng.random() < augmentation.drawn_cracks:
        (seen, _), cracked = crack_over(seen, rng, widths_px=augmentation.drawn_widths_px), True
    return _in_other_light(seen, augmentation, rng), cracked


def _from_elsewhere(
    pixels: UInt8Array, augmentation: Augmentation, rng: np.random.Generator, *, may_near: bool
) -> UInt8Array:
    """Turned by quarters, from farther away or nearer by."""
    if augmentation.quarter_turns:
        pixels = np.ascontiguousarray(np.rot90(pixels, int(rng.integers(4))))
    side = pixels.shape[0]
    if may_near and augmentation.zoom_in > 1 and rng.random() < 0.5:
        part = max(1, round(side / np.exp(rng.uniform(0, np.log(augmentation.zoom_in)))))
        y, x = rng.integers(0, side - part + 1, 2)
        near = cv2.resize(pixels[y : y + part, x : x + part], (side, side), interpolation=cv2.INTER_CUBIC)
        return np.asarray(near, np.uint8)
    if augmentation.zoom_out > 1:
        part = max(1, round(side / np.exp(rng.uniform(0, np.log(augmentation.zoom_out)))))
        small = cv2.resize(pixels, (part, part), interpolation=cv2.INTER_AREA)
        x, y = rng.integers(0, side - part + 1, 2)
        place = np.array([[1, 0, x], [0, 1, y]], np.float64)
        return np.asarray(cv2.warpAffine(small, place, (side, side), borderMode=cv2.BORDER_REFLECT_101), np.uint8)
    return pixels


def _in_other_light(pixels: UInt8Array, augmentation: Augmentation, rng: np.random.Generator) -> UInt8Array:
    """Brighter or darker, with more or less contrast, in another tint, out of focus, shaken, noisy, encoded anew."""
    if augmentation.light:
        reach = augmentation.light
        levels = pixels.astype(np.float32) * (1 + reach * rng.uniform(-0.1, 0.1, 3).astype(np.float32))
        mean = float(levels.mean())
        contrast, brightness = 1 + reach * rng.uniform(-0.5, 0.3), 1 + reach * rng.uniform(-0.3, 0.25)
        pixels = np.clip((levels - mean) * contrast + mean * brightness, 0, 255).astype(np.uint8)
    if augmentation.blur_px and rng.random() < 0.4:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 1) * augmentation.blur_px), np.uint8)
    if augmentation.motion and rng.random() < 0.1:
        pixels = motion_blur(pixels, rng.uniform(0.2, 1) * augmentation.motion, rng)
    if augmentation.noise and rng.random() < 0.5:
        grain = rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(0, augmentation.noise))
        pixels = np.clip(pixels + grain + 0.5, 0, 255).astype(np.uint8)
    if augmentation.jpeg and rng.random() < augmentation.jpeg:
        encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 91))])[1]
        pixels = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return pixels


def _random_matrix(augmentation: Augmentation, rng: np.random.Generator) -> Float64Array:
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
