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

from crackscope.arrays import BoolArray, Float32Array, Float64Array, Int64Array, UInt8Array
from crackscope.data.pair_geometry import (
    find_homography,
    homography_fault,
    overlap_of,
    overlap_share,
    spread_of,
    within,
    zoom_at,
)
from crackscope.data.photo_features import (
    PhotoFeatures,
    features_of,
    grey_of,
    in_working_px,
    matches_between,
    shrunk,
)
from crackscope.data.refinement import Field, PatchShifts, fit_field, mapped, patch_shifts
from crackscope.errors import DataError
from crackscope.files.sources import AnyImage, as_image

__all__ = ["Registration", "register", "register_features"]


_FEWEST_POINTS = 40
_FEWEST_INLIERS = 20
"""Least number of matches that agree. Of 3,000 pairs of different places in SDNET2018 none had more than 12, and of
178 pairs of one place none had fewer than 60."""
_LOOSE_PX = 8.0  # working pixels: a match this far from the homography may still speak for the field
_LEAST_SPREAD = 0.08
_LEAST_TEXTURE = 0.25
_SAME = 0.35  # correlation of fine detail from which a patch is found again
_CLEAR = 0.06  # by how much that correlation exceeds any other one in the window
_ROUGH, _FULL = (18, 6, 600), (28, 6, 900)  # half a patch's side, reach, most patches
_FAR_PX, _NEAR_PX = 1.5, 3.0  # distance from its neighbours beyond which a shift is wrong: working pixels, pixels
_MOST_SHIFT_PX = 14.0  # working pixels
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
        _require_size(pixels_b, self.photo_hw_b, "second")
        return self._laid(pixels_b, self.photo_hw_a)

    def overlay(self, pixels_a: UInt8Array, pixels_b: UInt8Array, *, side_px: int = _OVERLAY_PX) -> UInt8Array:
        """Picture of the overlap as a checkerboard: cells of the first photo beside cells of the second one.

        Lines go on from cell to cell where the photos fit. Outside the overlap only the first photo is seen, paler.

        Args:
            pixels_a: Pixels of the first photo, uint8, shape (H, W, 3).
            pixels_b: Pixels of the second photo, uint8, shape (H, W, 3).
            side_px: Longer side of the picture in pixels, at most that of the first photo.

        Raises:
            DataError: If the photos do not match, or the pixels have another size than the photos.
        """
        _require_size(pixels_a, self.photo_hw_a, "first")
        _require_size(pixels_b, self.photo_hw_b, "second")
        first = shrunk(pixels_a, side_px / max(self.photo_hw_a))
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
        to_photo = np.linalg.inv(in_working_px(self.photo_hw_a, hw))
        zoom = self._zoom() * self.photo_hw_a[1] / hw[1]
        small = shrunk(pixels_b, 1 / zoom)
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


def _require_size(pixels: UInt8Array, photo_hw: tuple[int, int], which: str) -> None:
    if tuple(pixels.shape[:2]) != photo_hw:
        raise DataError(
            f"the pixels are {pixels.shape[1]}×{pixels.shape[0]} px and the {which} photo was {photo_hw[1]}×"
            f"{photo_hw[0]} px. Pass the pixels of that photo."
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
    if fault := homography_fault(working, _hw(a.grey), _hw(b.grey)):
        return _refused(a, b, fault, counts)
    pair = _Pair.of(a, b, working, np.column_stack([points_a, points_b]), agree)
    if pair.spread < _LEAST_SPREAD:
        why = f"the points that agree lie in {pair.spread:.0%} of the overlap only, as on a logo; {_LEAST_SPREAD:.0%} needed"
        return _refused(a, b, why, counts)
    rough = pair.laid_through(pair.matches_xy, None, far=_FAR_PX / pair.scale)
    found = pair.compared(a.grey, b.grey, rough, _ROUGH)
    texture_share = _texture_share(found)
    if texture_share < _LEAST_TEXTURE:
        why = f"the texture agrees in {texture_share:.0%} of the overlap, {_LEAST_TEXTURE:.0%} needed"
        return replace(_refused(a, b, why, counts), spread=pair.spread, texture_share=texture_share)
    refined = pair.laid_through(np.concatenate([pair.matches_xy, _clear(found)]), rough, far=_FAR_PX / pair.scale)
    if grey_a is not None and grey_b is not None and refined is not None:
        factor = min(1.0, pair.zoom)
        fine = pair.compared(shrunk(grey_a, factor), shrunk(grey_b, factor / pair.zoom), refined, _FULL)
        refined = pair.laid_through(np.concatenate([pair.matches_xy, _clear(fine)]), refined, far=_NEAR_PX / factor)
    return pair.registration(refined, counts, texture_share)


@dataclass(frozen=True, eq=False)
class _Pair:
    """A pair of photos and the homography between them, all in pixels of the photos.

    Attributes:
        hw_a, hw_b: Height and width of the photos.
        homography: Homography from the first photo to the second one.
        corners_xy: Corners of the overlap in the first photo.
        zoom: Pixels of the second photo per pixel of the first one, in the middle of the overlap.
        scale: Working pixels per pixel of the second photo.
        matches_xy: Places of the matches near the homography in the first and the second photo, shape (n, 4).
        agree: Which of these agree with the homography.
    """

    hw_a: tuple[int, int]
    hw_b: tuple[int, int]
    homography: Float64Array
    corners_xy: Float64Array
    zoom: float
    scale: float
    matches_xy: Float64Array
    agree: BoolArray

    @classmethod
    def of(
        cls, a: PhotoFeatures, b: PhotoFeatures, working: Float64Array, points: Float64Array, agree: BoolArray
    ) -> _Pair:
        """Take a homography and points in working pixels to pixels of the photos."""
        to_a, to_b = (in_working_px(photo.photo_hw, _hw(photo.grey)) for photo in (a, b))
        homography = np.linalg.inv(to_b) @ working @ to_a
        homography = homography / homography[2, 2]
        near = agree | (np.hypot(*(mapped(working, points[:, :2]) - points[:, 2:]).T) <= _LOOSE_PX)
        places = [mapped(np.linalg.inv(to), points[near, i : i + 2]) for to, i in ((to_a, 0), (to_b, 2))]
        corners = overlap_of(homography, a.photo_hw, b.photo_hw)
        zoom = float(zoom_at(homography, corners.mean(0)[None])[0])
        return cls(
            a.photo_hw, b.photo_hw, homography, corners, zoom, b.scale, np.column_stack(places), agree[near]
        )

    @property
    def spread(self) -> float:
        """Share of the overlap that holds a point that agrees."""
        return spread_of(self.corners_xy, self.matches_xy[self.agree, :2])

    def laid_through(self, places_xy: Float64Array, before: Field | None, *, far: float) -> Field | None:
        """Field of shifts from the homography through places in both photos; the one before if they are too few."""
        shifts = places_xy[:, 2:] - mapped(self.homography, places_xy[:, :2])
        field_, _ = fit_field(places_xy[:, :2], shifts, far=far, most=_MOST_SHIFT_PX / self.scale)
        return before if field_ is None else field_

    def compared(
        self, small_a: UInt8Array, small_b: UInt8Array, shifts: Field | None, patches: tuple[int, int, int]
    ) -> PatchShifts:
        """Compare small patches of shrunk photos; the places found are in pixels of the photos themselves."""
        half, reach, most = patches
        to_a, to_b = in_working_px(self.hw_a, _hw(small_a)), in_working_px(self.hw_b, _hw(small_b))
        back_a, back_b = np.linalg.inv(to_a), np.linalg.inv(to_b)

        def point_map(points_xy: Float64Array) -> Float64Array:
            places = mapped(back_a, points_xy)
            found = mapped(self.homography, places)
            return mapped(to_b, found if shifts is None else found + shifts.at(places))

        centres = _grid(mapped(to_a, self.corners_xy), half, most)
        found = patch_shifts(small_a, small_b, point_map, centres, half_px=half, reach_px=reach)
        return replace(
            found, centres_xy=mapped(back_a, found.centres_xy), targets_xy=mapped(back_b, found.targets_xy)
        )

    def registration(self, refined: Field | None, counts: tuple[int, int], texture_share: float) -> Registration:
        """The result for photos that match."""
        inliers = self.matches_xy[self.agree]
        found = Registration(
            True,
            None,
            self.hw_a,
            self.hw_b,
            *counts,
            self.homography,
            self.spread,
            texture_share,
            None,
            self.corners_xy,
            overlap_share(self.corners_xy, self.hw_a),
            overlap_share(mapped(self.homography, self.corners_xy), self.hw_b),
            inliers,
            refined,
        )
        missed = np.hypot(*(found.map_points(inliers[:, :2]) - inliers[:, 2:]).T)
        return replace(found, residual_px=float(np.median(missed)))


def _hw(pixels: UInt8Array) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]


def _refused(a: PhotoFeatures, b: PhotoFeatures, why: str, counts: tuple[int, int] = (0, 0)) -> Registration:
    return Registration(False, why, a.photo_hw, b.photo_hw, *counts)


def _grid(corners_xy: Float64Array, half_px: int, most: int) -> Float64Array:
    """Middles of patches all over the overlap, whole pixels, shape (n, 2): side by side, or spaced where many."""
    area = float(cv2.contourArea(corners_xy.astype(np.float32)))
    step = max(1.5 * half_px, float(np.sqrt(area / most)))
    low, high = corners_xy.min(0) + half_px, corners_xy.max(0) - half_px
    x, y = (np.arange(start, end + 1e-6, step) for start, end in zip(low, high, strict=True))
    centres = np.rint(np.stack(np.meshgrid(x, y), 2).reshape(-1, 2))
    return np.asarray(centres[within(corners_xy, centres, half_px)], np.float64)


def _texture_share(found: PatchShifts) -> float:
    """Share of the patches that show anything which are found again, clearly, near where they are expected."""
    shows = found.correlation > -1
    return float(_is_clear(found)[shows].mean()) if shows.any() else 0.0


def _is_clear(found: PatchShifts) -> BoolArray:
    clear = (found.correlation >= _SAME) & (found.correlation - found.others >= _CLEAR) & found.inside
    return np.asarray(clear, np.bool_)


def _clear(found: PatchShifts) -> Float64Array:
    """Places in both photos of the patches that were found clearly, shape (n, 4)."""
    clear = _is_clear(found)
    return np.column_stack([found.centres_xy[clear], found.targets_xy[clear]])
