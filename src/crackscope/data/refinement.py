"""Refinement of a registration: small patches of two photos are compared in place, and a smooth field is laid through.

A homography maps a plane. Real concrete is not quite flat, and lenses are not quite true, so points miss by several
pixels. Each small patch of the one photo is looked for near its expected place in the other one, by the correlation of
its fine detail. A thin plate, which bends but does not follow single errors, goes through the shifts found and those of
the matched points. The same correlations tell whether the two photos show the same texture at all.

Source:
    Bookstein 1989, Principal Warps: Thin-Plate Splines and the Decomposition of Deformations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from crackscope.arrays import BoolArray, Float32Array, Float64Array, UInt8Array

__all__ = ["Field", "PatchShifts", "fit_field", "mapped", "patch_shifts"]


PointMap = Callable[[Float64Array], Float64Array]
"""Function from places in the one photo to places in the other one, both of shape (n, 2)."""

_FINE_PX = 5.0  # sigma of the blur that is taken off: what is left is grain and edges, not light
_FLAT = 0.6  # grey levels: a patch whose fine detail varies less shows nothing
_NODES = 65  # nodes of the field along the longer side
_MOST_CONTROLS = 900
_STIFF = 1e-4  # smoothing on places as shares of the overlap; chosen on two pairs of SDNET2018 that are not reserved
_NEIGHBOURS = 8
_TRIES = 3
_LEAST_CONTROLS = 12


def mapped(homography: Float64Array, points_xy: Float64Array) -> Float64Array:
    """Apply a homography.

    Args:
        homography: Homography, shape (3, 3).
        points_xy: Places, shape (n, 2).
    """
    lifted = np.column_stack([points_xy, np.ones(len(points_xy))]) @ homography.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(lifted[:, :2] / lifted[:, 2:], np.float64)


@dataclass(frozen=True, eq=False)
class Field:
    """A smooth field of shifts over a rectangle of a photo; beyond the rectangle its edge goes on.

    Attributes:
        origin_xy: Upper left corner of the rectangle, shape (2,).
        step: Distance of two nodes.
        shifts: Shift at each node, shape (rows, columns, 2).
    """

    origin_xy: Float64Array
    step: float
    shifts: Float64Array

    def at(self, points_xy: Float64Array) -> Float64Array:
        """Shifts at places.

        Args:
            points_xy: Places, shape (n, 2).
        """
        places = ((points_xy - self.origin_xy) / self.step).T[::-1]
        found = [map_coordinates(self.shifts[..., i], places, order=1, mode="nearest") for i in (0, 1)]
        return np.stack(found, axis=1).astype(np.float64)


@dataclass(frozen=True, eq=False)
class PatchShifts:
    """What comparing small patches found; one entry for each patch.

    Attributes:
        centres_xy: Middle of each patch in the one photo, shape (n, 2).
        targets_xy: Place in the other photo where the patch was found, shape (n, 2).
        correlation: Correlation of the fine detail at that place, shape (n,); -1 where the patch shows nothing.
        others: Greatest correlation elsewhere in the window, shape (n,).
        inside: Whether the place lies inside the window that was searched, not at its edge.
    """

    centres_xy: Float64Array
    targets_xy: Float64Array
    correlation: Float64Array
    others: Float64Array
    inside: BoolArray


def patch_shifts(
    grey_a: UInt8Array,
    grey_b: UInt8Array,
    point_map: PointMap,
    centres_xy: Float64Array,
    *,
    half_px: int,
    reach_px: int,
) -> PatchShifts:
    """Look for patches of one picture near their expected places in another one.

    Args:
        grey_a: First picture, uint8, shape (H, W).
        grey_b: Second picture, uint8, shape (h, w), of about the same scale.
        point_map: Function from pixels of the first picture to the expected pixels of the second one.
        centres_xy: Middle of each patch, whole pixels of the first picture, shape (n, 2).
        half_px: Half of a patch's side, in pixels of the first picture.
        reach_px: How far from the expected place is searched, in pixels of the first picture.
    """
    expected = point_map(centres_xy)
    across, down = (point_map(centres_xy + np.eye(2)[i]) - expected for i in (0, 1))
    shifts = np.zeros((len(centres_xy), 2))
    correlation, others = np.full(len(centres_xy), -1.0), np.zeros(len(centres_xy))
    for i, centre in enumerate(centres_xy):
        jacobian = np.stack([across[i], down[i]], 1)
        patch = _window(grey_a, np.eye(2), centre, half_px)
        window = _window(grey_b, jacobian, expected[i], half_px + reach_px)
        if patch.std() > _FLAT and window.std() > _FLAT:
            likeness = np.asarray(cv2.matchTemplate(window, patch, cv2.TM_CCOEFF_NORMED), np.float64)
            shifts[i], correlation[i], others[i] = _peak(likeness, reach_px)
    moved = np.stack([across, down], 2) @ shifts[:, :, None]
    inside = (np.abs(shifts).max(1, initial=0) < reach_px - 0.5) & (correlation > -1)
    return PatchShifts(centres_xy, expected + moved[:, :, 0], correlation, others, np.asarray(inside, np.bool_))


def _window(grey: UInt8Array, jacobian: Float64Array, middle: Float64Array, half_px: int) -> Float32Array:
    """Fine detail of a square around a place, of side 2 `half_px` + 1."""
    margin = half_px + round(2 * _FINE_PX)
    affine = np.column_stack([jacobian, middle - jacobian @ (margin, margin)]).astype(np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = 2 * margin + 1, 2 * margin + 1
    levels = cv2.warpAffine(grey, affine, size, flags=flags, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    fine = levels - cv2.GaussianBlur(levels, (0, 0), _FINE_PX)
    cut = slice(margin - half_px, margin + half_px + 1)
    return np.ascontiguousarray(fine[cut, cut], np.float32)


def _peak(likeness: Float64Array, reach_px: int) -> tuple[Float64Array, float, float]:
    """Place of the greatest correlation, to parts of a pixel from the middle; its value; the greatest one elsewhere."""
    row, column = np.unravel_index(int(likeness.argmax()), likeness.shape)
    y, x = int(row), int(column)
    value = float(likeness[y, x])
    part = np.zeros(2)
    if 0 < y < likeness.shape[0] - 1 and 0 < x < likeness.shape[1] - 1:
        part = np.array([_vertex(likeness[y, x - 1 : x + 2]), _vertex(likeness[y - 1 : y + 2, x])])
    rest = likeness.copy()
    rest[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = -1
    return np.array([x - reach_px, y - reach_px]) + part, value, float(rest.max())


def _vertex(three: Float64Array) -> float:
    """Place of the top of a parabola through three values at -1, 0 and 1."""
    bend = three[0] - 2 * three[1] + three[2]
    return float(np.clip((three[0] - three[2]) / (2 * bend), -0.5, 0.5)) if bend < -1e-9 else 0.0


def fit_field(
    places_xy: Float64Array, shifts: Float64Array, *, far: float, most: float
) -> tuple[Field | None, BoolArray]:
    """Lay a smooth field through shifts; those that their neighbours contradict are left out.

    Args:
        places_xy: Places in the one photo, shape (n, 2).
        shifts: Shift at each place, shape (n, 2).
        far: Greatest distance of a shift from the median of its neighbours, and from the field.
        most: Greatest length of a shift.

    Returns:
        The field, None if there is too little to lay it through; and which places were taken, shape (n,).
    """
    taken = np.hypot(*shifts.T) <= most
    for _ in range(2):
        taken = taken & _agrees(places_xy, shifts, taken, far)
    field = None
    for _ in range(_TRIES):
        if taken.sum() < _LEAST_CONTROLS:
            return None, taken
        field = _plate(places_xy[taken], shifts[taken])
        fits = taken & (np.hypot(*(field.at(places_xy) - shifts).T) <= far)
        if fits.sum() == taken.sum():
            break
        taken = fits
    return field, taken


def _agrees(places_xy: Float64Array, shifts: Float64Array, taken: BoolArray, far: float) -> BoolArray:
    """Whether each shift is near the median of those of its neighbours."""
    if taken.sum() <= _NEIGHBOURS:
        return taken
    tree = cKDTree(places_xy[taken])
    _, near = tree.query(places_xy, k=_NEIGHBOURS + 1)
    median = np.median(shifts[taken][near], axis=1)
    return np.asarray(np.hypot(*(median - shifts).T) <= far, np.bool_)


def _plate(places_xy: Float64Array, shifts: Float64Array) -> Field:
    """Bend a thin plate through shifts, and read it at the nodes of a grid over the places."""
    low, high = places_xy.min(0), places_xy.max(0)
    longer = max(1.0, float((high - low).max()))
    step = longer / (_NODES - 1)
    chosen = np.random.default_rng(0).permutation(len(places_xy))[:_MOST_CONTROLS]
    controls, index = np.unique((places_xy[chosen] - low) / longer, axis=0, return_index=True)
    plate = RBFInterpolator(controls, shifts[chosen][index], smoothing=_STIFF * len(controls) / 100)
    columns, rows = (int(np.ceil(length / step)) + 1 for length in high - low)
    y, x = np.mgrid[:rows, :columns] * (step / longer)
    nodes = np.stack([x.ravel(), y.ravel()], 1)
    tree = cKDTree(controls)
    distance, nearest = tree.query(nodes)
    away = distance > 3 * step / longer  # far from anything known a plate runs off
    nodes[away] = controls[nearest[away]]
    return Field(low, step, plate(nodes).reshape(rows, columns, 2))
