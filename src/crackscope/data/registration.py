"""Registration: where a point of one photo lies in another photo of the same place.

1. *Matches.* Points are found in both photos (`crackscope.data.photo_features`) and matched by their descriptions.
2. *Homography.* MAGSAC finds the homography that most matches agree with. It is refused if it mirrors, if its scale is
   absurd, or if too few matches or too small a part of the overlap speak for it.
3. *Texture.* Small patches all over the overlap are compared (`crackscope.data.refinement`). If two places only share a
   logo, a ruler or a pattern that repeats, the grain between does not agree, and the photos do not match.
4. *Refinement.* A smooth field takes up what the homography leaves, first at working size, then at full size.

Only pixels are used: no model, no file names, no time.

Source:
    Barath et al. 2020, MAGSAC++, a Fast, Reliable and Accurate Robust Estimator.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from crackscope.arrays import Float32Array, Float64Array, Int64Array, UInt8Array
from crackscope.data.pair_geometry import find_homography, homography_fault, overlap_share, zoom_at
from crackscope.data.photo_alignment import PhotoAlignment, clear_places, texture_share
from crackscope.data.photo_features import (
    PhotoFeatures,
    features_of,
    grey_of,
    hw_of,
    in_working_px,
    matches_between,
    shrunk,
)
from crackscope.data.refinement import Field, mapped
from crackscope.errors import DataError
from crackscope.files.sources import AnyImage, as_image

__all__ = ["Registration", "register", "register_features"]


_FEWEST_POINTS = 40
_FEWEST_INLIERS = 12
_LEAST_SPREAD = 0.08
_LEAST_TEXTURE = 0.4
_ROUGH, _FULL = (18, 6, 600), (28, 6, 900)  # half a patch's side, reach, most patches
_FAR_PX, _NEAR_PX = 1.5, 3.0  # distance from its neighbours beyond which a shift is wrong: working pixels, pixels
_OVERLAY_PX = 1200
_CHECKS = 10
_STRIP_ROWS = 256


@dataclass(frozen=True, eq=False)
class Registration:
    """Whether two photos show the same place, and where a point of the one lies in the other.

    Attributes:
        matches: Whether the photos show the same place.
        reason: Why they do not match; None if they do.
        photo_hw_a: Height and width of the first photo in pixels.
        photo_hw_b: Height and width of the second photo in pixels.
        n_matches: Number of points that look alike in both photos.
        n_inliers: Number of these that agree with the homography.
        homography: Homography from pixels of the first photo to pixels of the second one, shape (3, 3), the last entry
            1; None without a match.
        spread: Share of the overlap, in cells of a grid, that holds a point that agrees.
        texture_share: Share of small patches of the overlap whose fine detail is found again in its place.
        residual_px: Median distance of the agreeing points from where they are expected once refined, in pixels of the
            second photo; None without a match.
        overlap_xy: Corners of the overlap in pixels of the first photo, shape (n, 2); empty without a match.
        overlap_share_a: Share of the first photo that the second one shows too.
        overlap_share_b: Share of the second photo that the first one shows too.
        inliers_xy: Places of the agreeing points in the first photo and in the second one, shape (n, 4).
    """

    matches: bool
    reason: str | None
    photo_hw_a: tuple[int, int]
    photo_hw_b: tuple[int, int]
    n_matches: int = 0
    n_inliers: int = 0
    homography: Float64Array | None = None
    spread: float = 0.0
    texture_share: float = 0.0
    residual_px: float | None = None
    overlap_xy: Float64Array = field(default_factory=lambda: np.empty((0, 2)))
    overlap_share_a: float = 0.0
    overlap_share_b: float = 0.0
    inliers_xy: Float64Array = field(default_factory=lambda: np.empty((0, 4)), repr=False)
    _field: Field | None = field(default=None, repr=False)

    def map_points(self, points_xy: Float64Array) -> Float64Array:
        """Places in the second photo of points in the first one.

        Args:
            points_xy: Points in pixels of the first photo, x first, shape (n, 2). Pixels count from the middle of the
                upper left one.

        Returns:
            Points in pixels of the second photo, shape (n, 2). Points outside the overlap lie outside the second
            photo, or follow the edge of the overlap.

        Raises:
            DataError: If the photos do not match, or the array has another shape.
        """
        if self.homography is None:
            raise DataError(f"these photos do not match: {self.reason}. Points can only be mapped where they do.")
        points = np.asarray(points_xy, np.float64)
        if points.ndim != 2 or points.shape[1] != 2:
            raise DataError(f"points have the shape {points.shape}; pass an array of shape (n, 2), x first.")
        found = mapped(self.homography, points)
        return found if self._field is None else found + self._field.at(points)

    def warp(self, pixels_b: UInt8Array) -> UInt8Array:
        """Lay the second photo into the frame of the first one.

        Args:
            pixels_b: Pixels of the second photo, uint8, shape (H, W, 3) or (H, W).

        Returns:
            Pixels with the height and width of the first photo; black where the second photo does not reach.

        Raises:
            DataError: If the photos do not match, or the pixels have another size than the second photo.
        """
        if tuple(pixels_b.shape[:2]) != self.photo_hw_b:
            raise DataError(_other_size(pixels_b, self.photo_hw_b, "second"))
        return self._laid(pixels_b, self.photo_hw_a)

    def overlay(self, pixels_a: UInt8Array, pixels_b: UInt8Array, *, side_px: int = _OVERLAY_PX) -> UInt8Array:
        """Picture of the overlap as a checkerboard: cells of the first photo beside cells of the second one.

        Lines go on from cell to cell where the photos fit. Outside the overlap only the first photo is seen, paler.

        Args:
            pixels_a: Pixels of the first photo, or of the photo shrunk, uint8, shape (H, W, 3).
            pixels_b: Pixels of the second photo, or of the photo shrunk, uint8, shape (H, W, 3).
            side_px: Longer side of the picture in pixels, at most that of `pixels_a`.

        Raises:
            DataError: If the photos do not match, or the pixels have another form than the photos.
        """
        _require_form(pixels_a, self.photo_hw_a, "first")
        _require_form(pixels_b, self.photo_hw_b, "second")
        first = shrunk(pixels_a, side_px / max(pixels_a.shape[:2]))
        hw = first.shape[0], first.shape[1]
        inside = self._laid(np.full(self.photo_hw_b, 255, np.uint8), hw) > 127
        second = self._laid(pixels_b, hw)
        y, x = np.mgrid[: hw[0], : hw[1]] // max(1, max(hw) // _CHECKS)
        found = np.where(inside[..., None], first, first // 2 + 127).astype(np.uint8)
        found[inside & ((y + x) % 2 == 1)] = second[inside & ((y + x) % 2 == 1)]
        return found

    def document(self) -> dict[str, Any]:
        """What is known of the pair, ready for JSON."""
        return {
            "matches": self.matches,
            "reason": self.reason,
            "n_matches": self.n_matches,
            "n_inliers": self.n_inliers,
            "spread": self.spread,
            "texture_share": self.texture_share,
            "residual_px": self.residual_px,
            "overlap_share_a": self.overlap_share_a,
            "overlap_share_b": self.overlap_share_b,
            "homography": None if self.homography is None else self.homography.ravel().tolist(),
            "overlap_xy": self.overlap_xy.tolist(),
        }

    def _laid(self, pixels_b: UInt8Array, hw: tuple[int, int]) -> UInt8Array:
        """The second photo in the frame of the first one at another size, strip by strip, so memory is bounded."""
        to_photo = np.asarray(np.linalg.inv(in_working_px(self.photo_hw_a, hw)), np.float64)
        zoom = self._zoom() * self.photo_hw_a[1] / hw[1]
        small = shrunk(pixels_b, self.photo_hw_b[1] / pixels_b.shape[1] / zoom)
        to_small = in_working_px(self.photo_hw_b, (small.shape[0], small.shape[1]))
        laid = np.zeros((*hw, *small.shape[2:]), np.uint8)
        for top in range(0, hw[0], _STRIP_ROWS):
            rows = np.arange(top, min(hw[0], top + _STRIP_ROWS))
            x, y = np.meshgrid(np.arange(hw[1]), rows)
            places = mapped(to_photo, np.stack([x.ravel(), y.ravel()], 1))
            targets = mapped(to_small, self.map_points(places)).astype(np.float32).reshape(len(rows), hw[1], 2)
            laid[rows] = _sampled(small, targets)
        return laid

    def _zoom(self) -> float:
        assert self.homography is not None
        return float(zoom_at(self.homography, self.overlap_xy.mean(0)[None])[0])


def _sampled(pixels: UInt8Array, targets: Float32Array) -> UInt8Array:
    """Pixels at places, in parts that OpenCV can address; black outside."""
    if max(pixels.shape[:2]) < 32_000:
        return np.asarray(cv2.remap(pixels, targets[..., 0], targets[..., 1], cv2.INTER_LINEAR), np.uint8)
    x, y = (np.rint(np.nan_to_num(targets[..., i], nan=-1.0)).astype(np.int64) for i in (0, 1))
    inside = (x >= 0) & (y >= 0) & (x < pixels.shape[1]) & (y < pixels.shape[0])
    found = np.zeros((*targets.shape[:2], *pixels.shape[2:]), np.uint8)
    found[inside] = pixels[y[inside], x[inside]]
    return found


def _require_form(pixels: UInt8Array, photo_hw: tuple[int, int], which: str) -> None:
    """Refuse pixels that are no shrunk copy of a photo."""
    height, width = pixels.shape[:2]
    if abs(height - photo_hw[0] * width / photo_hw[1]) > 1.5 or width > photo_hw[1]:
        raise DataError(_other_size(pixels, photo_hw, which))


def _other_size(pixels: UInt8Array, photo_hw: tuple[int, int], which: str) -> str:
    return (
        f"the pixels are {pixels.shape[1]}×{pixels.shape[0]} px and the {which} photo was {photo_hw[1]}×{photo_hw[0]} "
        "px. Pass the pixels of that photo."
    )


def register(photo_a: AnyImage, photo_b: AnyImage) -> Registration:
    """Find where the points of one photo lie in another photo of the same place.

    The photos may be turned by any angle, differ in light, blur and scale (0.3 to 3 times), and overlap in part. A
    mirrored photo does not match. Nor does a place that only shares a logo or a repeated pattern.

    Args:
        photo_a: First photo: a path, the bytes of an image file, an image, or an array (H, W, 3) of uint8 RGB.
        photo_b: Second photo, in any of these forms.

    Returns:
        Registration, with `matches` false and a reason if the photos do not show the same place.

    Raises:
        DataError: If a photo is nothing that an image is taken from.
        ImageError: If a photo cannot be read.

    Example:
        >>> from crackscope.drawing.walls import draw_photo
        >>> wall = draw_photo(1, photo_hw=(400, 600)).pixels
        >>> found = register(wall[:, :450], wall[:, 150:])
        >>> found.matches, found.map_points(np.array([[200.0, 100.0]])).round().tolist()
        (True, [[50.0, 100.0]])
    """
    grey_a, grey_b = (grey_of(as_image(photo).pixels) for photo in (photo_a, photo_b))
    return register_features(features_of(grey_a), features_of(grey_b), grey_a, grey_b)


def register_features(
    a: PhotoFeatures,
    b: PhotoFeatures,
    grey_a: UInt8Array | None = None,
    grey_b: UInt8Array | None = None,
    *,
    matches: Int64Array | None = None,
) -> Registration:
    """Register two photos by their features.

    Args:
        a: Features of the first photo.
        b: Features of the second photo.
        grey_a: Grey levels of the first photo at full size, for the last refinement; left out, that step is too.
        grey_b: Grey levels of the second photo at full size.
        matches: Numbers of matched points, shape (n, 2); left out, they are found.
    """
    for which, photo in (("first", a), ("second", b)):
        if len(photo) < _FEWEST_POINTS:
            return _refused(a, b, f"the {which} photo shows too little: {len(photo)} points, {_FEWEST_POINTS} needed")
    pairs = matches_between(a, b) if matches is None else matches
    points_a, points_b = (f.points_xy[pairs[:, i]].astype(np.float64) for i, f in enumerate((a, b)))
    working, agree = find_homography(points_a, points_b)
    counts = len(pairs), int(agree.sum())
    if working is None or counts[1] < _FEWEST_INLIERS:
        return _refused(a, b, f"{counts[1]} points agree, {_FEWEST_INLIERS} needed", counts)
    if fault := homography_fault(working, hw_of(a.grey), hw_of(b.grey)):
        return _refused(a, b, fault, counts)
    pair = PhotoAlignment.of(a, b, working, np.column_stack([points_a, points_b]), agree)
    if pair.spread < _LEAST_SPREAD:
        where = f"the points that agree lie in {pair.spread:.0%} of the overlap only, as on a logo"
        why = f"{where}; {_LEAST_SPREAD:.0%} needed"
        return _refused(a, b, why, counts)
    rough = pair.laid_through(pair.matches_xy, None, far=_FAR_PX / pair.scale)
    found = pair.compared(a.grey, b.grey, rough, _ROUGH)
    texture = texture_share(found)
    if texture < _LEAST_TEXTURE:
        why = f"the texture agrees in {texture:.0%} of the overlap, {_LEAST_TEXTURE:.0%} needed"
        return replace(_refused(a, b, why, counts), spread=pair.spread, texture_share=texture)
    refined = pair.laid_through(np.concatenate([pair.matches_xy, clear_places(found)]), rough, far=_FAR_PX / pair.scale)
    if grey_a is not None and grey_b is not None and refined is not None:
        factor = min(1.0, pair.zoom)
        fine = pair.compared(shrunk(grey_a, factor), shrunk(grey_b, factor / pair.zoom), refined, _FULL)
        refined = pair.laid_through(
            np.concatenate([pair.matches_xy, clear_places(fine)]), refined, far=_NEAR_PX / factor
        )
    return _matched(pair, refined, counts, texture)


def _matched(pair: PhotoAlignment, refined: Field | None, counts: tuple[int, int], texture: float) -> Registration:
    """The result for photos that match."""
    inliers = pair.matches_xy[pair.agree]
    found = Registration(
        True,
        None,
        pair.hw_a,
        pair.hw_b,
        *counts,
        pair.homography,
        pair.spread,
        texture,
        None,
        pair.corners_xy,
        overlap_share(pair.corners_xy, pair.hw_a),
        overlap_share(mapped(pair.homography, pair.corners_xy), pair.hw_b),
        inliers,
        refined,
    )
    missed = np.hypot(*(found.map_points(inliers[:, :2]) - inliers[:, 2:]).T)
    return replace(found, residual_px=float(np.median(missed)))


def _refused(a: PhotoFeatures, b: PhotoFeatures, why: str, counts: tuple[int, int] = (0, 0)) -> Registration:
    return Registration(False, why, a.photo_hw, b.photo_hw, *counts)
