"""The alignment of two photos: a homography, and a field of shifts that is laid through matches and small patches."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float64Array, UInt8Array
from crackscope.data.pair_geometry import overlap_of, spread_of, within, zoom_at
from crackscope.data.photo_features import PhotoFeatures, hw_of, in_working_px
from crackscope.data.refinement import Field, PatchShifts, fit_field, mapped, patch_shifts

__all__ = ["PhotoAlignment", "clear_places", "texture_share"]


_LOOSE_PX = 8.0  # working pixels: a match this far from the homography may still speak for the field
_MOST_SHIFT_PX = 14.0  # working pixels
_SAME = 0.35  # correlation of fine detail from which a patch is found again
_CLEAR = 0.06  # by how much that correlation exceeds any other one in the window


@dataclass(frozen=True, eq=False)
class PhotoAlignment:
    """Two photos and the homography between them, all in pixels of the photos.

    Attributes:
        hw_a: Height and width of the first photo.
        hw_b: Height and width of the second photo.
        homography: Homography from the first photo to the second one, shape (3, 3).
        corners_xy: Corners of the overlap in the first photo, shape (n, 2).
        zoom: Pixels of the second photo per pixel of the first one, in the middle of the overlap.
        scale: Working pixels per pixel of the second photo.
        matches_xy: Places of the matches near the homography in the first and the second photo, shape (n, 4).
        agree: Which of these agree with the homography, shape (n,).
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
    ) -> PhotoAlignment:
        """Take a homography and points in working pixels to pixels of the photos.

        Args:
            a: Features of the first photo.
            b: Features of the second photo.
            working: Homography between working pixels, shape (3, 3).
            points: Places of the matches in both photos, in working pixels, shape (n, 4).
            agree: Which matches agree with the homography, shape (n,).
        """
        to_a, to_b = (in_working_px(photo.photo_hw, hw_of(photo.grey)) for photo in (a, b))
        homography = _inverse(to_b) @ working @ to_a
        homography = homography / homography[2, 2]
        near = agree | (np.hypot(*(mapped(working, points[:, :2]) - points[:, 2:]).T) <= _LOOSE_PX)
        places = [mapped(_inverse(to), points[near, i : i + 2]) for to, i in ((to_a, 0), (to_b, 2))]
        corners = overlap_of(homography, a.photo_hw, b.photo_hw)
        zoom = float(zoom_at(homography, corners.mean(0)[None])[0])
        return cls(a.photo_hw, b.photo_hw, homography, corners, zoom, b.scale, np.column_stack(places), agree[near])

    @property
    def spread(self) -> float:
        """Share of the overlap that holds a point that agrees."""
        return spread_of(self.corners_xy, self.matches_xy[self.agree, :2])

    def laid_through(self, places_xy: Float64Array, before: Field | None, *, far: float) -> Field | None:
        """Lay a field of shifts from the homography through places in both photos.

        Args:
            places_xy: Places in the first and the second photo, shape (n, 4).
            before: Field to take where the places are too few.
            far: Distance from its neighbours beyond which a shift is wrong, in pixels of the second photo.
        """
        shifts = places_xy[:, 2:] - mapped(self.homography, places_xy[:, :2])
        field_, _ = fit_field(places_xy[:, :2], shifts, far=far, most=_MOST_SHIFT_PX / self.scale)
        return before if field_ is None else field_

    def compared(
        self, small_a: UInt8Array, small_b: UInt8Array, shifts: Field | None, patches: tuple[int, int, int]
    ) -> PatchShifts:
        """Compare small patches of shrunk photos; the places found are in pixels of the photos themselves.

        Args:
            small_a: Grey levels of the first photo, shrunk or not.
            small_b: Grey levels of the second photo, shrunk to the same scale.
            shifts: Field of shifts that is known so far.
            patches: Half a patch's side and the reach of the search, in pixels of `small_a`; most patches.
        """
        half, reach, most = patches
        to_a, to_b = in_working_px(self.hw_a, hw_of(small_a)), in_working_px(self.hw_b, hw_of(small_b))
        back_a, back_b = _inverse(to_a), _inverse(to_b)

        def point_map(points_xy: Float64Array) -> Float64Array:
            places = mapped(back_a, points_xy)
            found = mapped(self.homography, places)
            return mapped(to_b, found if shifts is None else found + shifts.at(places))

        centres = _grid(mapped(to_a, self.corners_xy), half, most)
        found = patch_shifts(small_a, small_b, point_map, centres, half_px=half, reach_px=reach)
        return replace(found, centres_xy=mapped(back_a, found.centres_xy), targets_xy=mapped(back_b, found.targets_xy))


def _grid(corners_xy: Float64Array, half_px: int, most: int) -> Float64Array:
    """Middles of patches all over the overlap, whole pixels, shape (n, 2): side by side, or spaced where many."""
    area = float(cv2.contourArea(corners_xy.astype(np.float32)))
    step = max(1.5 * half_px, float(np.sqrt(area / most)))
    low, high = corners_xy.min(0) + half_px, corners_xy.max(0) - half_px
    x, y = (np.arange(start, end + 1e-6, step) for start, end in zip(low, high, strict=True))
    centres = np.rint(np.stack(np.meshgrid(x, y), 2).reshape(-1, 2))
    return np.asarray(centres[within(corners_xy, centres, half_px)], np.float64)


def texture_share(found: PatchShifts) -> float:
    """Share of the patches that show anything which are found again, clearly, near where they are expected.

    Args:
        found: Comparison of patches.
    """
    shows = found.correlation > -1
    return float(_is_clear(found)[shows].mean()) if shows.any() else 0.0


def _is_clear(found: PatchShifts) -> BoolArray:
    clear = (found.correlation >= _SAME) & (found.correlation - found.others >= _CLEAR) & found.inside
    return np.asarray(clear, np.bool_)


def clear_places(found: PatchShifts) -> Float64Array:
    """Places in both photos of the patches that were found clearly, shape (n, 4).

    Args:
        found: Comparison of patches.
    """
    clear = _is_clear(found)
    return np.column_stack([found.centres_xy[clear], found.targets_xy[clear]])


def _inverse(matrix: Float64Array) -> Float64Array:
    return np.asarray(np.linalg.inv(matrix), np.float64)
