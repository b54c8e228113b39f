"""A drawn camera: it photographs a flat scene of known size, with perspective, blur, noise and JPEG.

The scene is asked for its reflectance at points in millimetres, 4×4 points a pixel, and a pixel is their mean. The lens
spreads the light as a Gaussian. Only then the camera turns light into grey levels, by the curve of sRGB. So a dark
square looks smaller than it is, as it does in real photographs: a blurred edge seems to lie on its dark side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import cv2
import numpy as np

from crackscope.arrays import Float32Array, Float64Array, UInt8Array
from crackscope.errors import DataError

__all__ = ["Scene", "flat_picture", "marker_on", "photograph", "plane_in_view", "seen_at"]

Scene: TypeAlias = Callable[[Float32Array, Float32Array], Float32Array]
"""Function from x and y in mm, arrays of one shape, to the reflectance there in [0, 1]."""

SAMPLES = 4
"""Points along a side of a pixel at which the scene is asked."""

INK, PAPER, CONCRETE = 0.05, 0.80, 0.30
"""Reflectance of printer's ink, of paper and of concrete."""

_BAND_ROWS = 64  # rows that are drawn at a time, so that memory does not grow with the photo


def plane_in_view(
    *,
    mm_per_px: float,
    at_px: tuple[float, float],
    tilt_deg: float = 0.0,
    towards_deg: float = 0.0,
    turn_deg: float = 0.0,
    focal_px: float = 3000.0,
    axis_px: tuple[float, float] | None = None,
) -> Float64Array:
    """Compute the homography by which a pinhole camera sees a plane.

    Args:
        mm_per_px: Millimetres per pixel at the plane's origin if it were not tilted.
        at_px: Pixel (x, y) that shows the plane's origin.
        tilt_deg: Angle between the plane's normal and the camera's axis, in degrees.
        towards_deg: Direction in which the plane is tilted, in degrees.
        turn_deg: Turn of the plane in itself, in degrees.
        focal_px: Focal length in pixels.
        axis_px: Pixel (x, y) that the camera's axis meets; `at_px` if left out.

    Returns:
        Homography from millimetres on the plane to pixels, shape (3, 3); pixel centres are at integers.
    """
    turn, towards = _about_axis(turn_deg), _about_axis(towards_deg)
    a = np.radians(tilt_deg)
    tilt = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    rotation = turn @ towards @ tilt @ towards.T
    axis = np.array(at_px if axis_px is None else axis_px, np.float64)
    distance_mm = focal_px * mm_per_px
    origin = np.append((np.array(at_px) - axis) / focal_px, 1.0) * distance_mm
    camera = np.array([[focal_px, 0, axis[0]], [0, focal_px, axis[1]], [0, 0, 1]])
    found = camera @ np.column_stack([rotation[:, 0], rotation[:, 1], origin])
    return np.asarray(found / found[2, 2], np.float64)


def seen_at(plane_to_px: Float64Array, points_mm: Any) -> Float64Array:
    """Compute where the camera sees points of the plane.

    Args:
        plane_to_px: Homography from `plane_in_view`, shape (3, 3).
        points_mm: Points on the plane in mm, shape (n, 2).

    Returns:
        Pixels (x, y), shape (n, 2).
    """
    points = np.asarray(points_mm, np.float64) @ plane_to_px[:, :2].T + plane_to_px[:, 2]
    return np.asarray(points[:, :2] / points[:, 2:], np.float64)


def photograph(
    scene: Scene,
    plane_to_px: Float64Array,
    *,
    photo_hw: tuple[int, int],
    blur_px: float = 0.8,
    noise_levels: float = 3.0,
    jpeg_quality: int | None = 90,
    shade: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
) -> UInt8Array:
    """Photograph a flat scene.

    Args:
        scene: The scene.
        plane_to_px: Homography from `plane_in_view`, shape (3, 3).
        photo_hw: Height and width of the photo, in pixels.
        blur_px: Standard deviation of the lens's blur in pixels, 0 or more.
        noise_levels: Standard deviation of the noise, in grey levels.
        jpeg_quality: Quality of the JPEG, 1 to 100; None keeps the pixels as they are.
        shade: Change of light over the photo's width and height, as a share of its mean.
        seed: Seed of the noise.

    Returns:
        The photo, shape (H, W, 3), uint8, RGB.

    Raises:
        DataError: If the photo cannot be packed as JPEG.

    Example:
        >>> view = plane_in_view(mm_per_px=0.5, at_px=(20, 20))
        >>> photograph(lambda x, y: 0 * x + 0.5, view, photo_hw=(40, 60)).shape
        (40, 60, 3)
    """
    height, width = photo_hw
    light = np.concatenate(
        [_light(scene, plane_to_px, top, min(_BAND_ROWS, height - top), width) for top in range(0, height, _BAND_ROWS)]
    )
    if blur_px > 0:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), blur_px), np.float32)
    across, down = np.arange(width) / width - 0.5, np.arange(height)[:, None] / height - 0.5
    light = np.clip(light * (1 + shade[0] * across + shade[1] * down), 0, 1)
    # IEC 61966-2-1, the curve of sRGB
    levels = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    levels += np.random.default_rng(seed).normal(0, noise_levels, levels.shape)
    photo = np.repeat(np.clip(np.round(levels), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    return photo if jpeg_quality is None else _packed(photo, jpeg_quality)


def marker_on(
    scene: Scene,
    bits: UInt8Array,
    *,
    side_mm: float,
    centre_mm: tuple[float, float] = (0.0, 0.0),
    turn_deg: float = 0.0,
    margin_mm: float | None = None,
) -> Scene:
    """Lay a square marker on white paper onto a scene.

    Args:
        scene: The scene.
        bits: Squares of the marker with its border, shape (n, n): 0 is black, everything else white.
        side_mm: Side of the marker's black border in mm.
        centre_mm: Middle (x, y) of the marker in mm.
        turn_deg: Turn of the marker in degrees.
        margin_mm: Width of the paper around the marker in mm; that of a square if left out.
    """
    n = len(bits)
    paper_mm = side_mm / 2 + (side_mm / n if margin_mm is None else margin_mm)
    reflectance = np.where(bits > 0, PAPER, INK).astype(np.float32)
    cos, sin = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))

    def laid(x: Float32Array, y: Float32Array) -> Float32Array:
        dx, dy = x - centre_mm[0], y - centre_mm[1]
        u, v = cos * dx + sin * dy, cos * dy - sin * dx
        on_paper = (np.abs(u) < paper_mm) & (np.abs(v) < paper_mm)
        on_marker = (np.abs(u) < side_mm / 2) & (np.abs(v) < side_mm / 2)
        columns, rows = (np.clip(np.floor((w / side_mm + 0.5) * n).astype(np.int64), 0, n - 1) for w in (u, v))
        found = np.where(on_paper, np.float32(PAPER), scene(x, y))
        return np.asarray(np.where(on_marker, reflectance[rows, columns], found), np.float32)

    return laid


def flat_picture(levels: UInt8Array, *, mm_per_px: float, beside: float = CONCRETE) -> Scene:
    """Take a grey picture, such as a scanned sheet, for a scene; its middle is the origin.

    Args:
        levels: Grey levels of sRGB, shape (h, w), uint8.
        mm_per_px: Millimetres that a pixel of the picture covers.
        beside: Reflectance of what lies beside the picture, in [0, 1].
    """
    share = levels.astype(np.float32) / 255
    reflectance = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4).astype(np.float32)
    height, width = levels.shape

    def shown(x: Float32Array, y: Float32Array) -> Float32Array:
        columns, rows = (np.float32((n - 1) / 2) + w / np.float32(mm_per_px) for n, w in ((width, x), (height, y)))
        found = cv2.remap(
            reflectance, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=beside
        )
        return np.asarray(found, np.float32)

    return shown


def _about_axis(degrees: float) -> Float64Array:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _light(scene: Scene, plane_to_px: Float64Array, top: int, n_rows: int, width: int) -> Float32Array:
    """Light that falls on some rows of pixels, shape (n_rows, width)."""
    inverse = np.linalg.inv(plane_to_px)
    rows, columns = np.arange(n_rows * SAMPLES)[:, None], np.arange(width * SAMPLES)
    # Within a pixel no two points share a row or a column, so that an edge along them is not rounded to a quarter.
    x = columns / SAMPLES + (rows % SAMPLES + 0.5) / SAMPLES**2 - 0.5
    y = rows / SAMPLES + (columns % SAMPLES + 0.5) / SAMPLES**2 - 0.5 + top
    u, v, w = (a * x + b * y + c for a, b, c in inverse)
    found = scene((u / w).astype(np.float32), (v / w).astype(np.float32))
    return np.asarray(found.reshape(n_rows, SAMPLES, width, SAMPLES).mean((1, 3)), np.float32)


def _packed(photo: UInt8Array, quality: int) -> UInt8Array:
    """The photo after it was saved as JPEG and read again."""
    done, packed = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise DataError(
            f"a photo of {photo.shape[1]}×{photo.shape[0]} px cannot be packed as JPEG. Draw a smaller one."
        )
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
