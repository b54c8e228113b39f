"""Lines: those that a model finds in a photo, the line of the photo's mask, and how far apart the two lie.

The *true line* is the mask, thinned to one pixel. A *found line* is one of two:

- The *line of the fine map*. A *fine map* gives, for each cell of a few photo pixels, the probability that a crack's
  line passes through the cell. Its line consists of the places where that probability reaches a threshold.
- The *traced line*: the paths of traced cracks (`crackscope.geometry`), drawn between their points.

All are thinned in the same way, on the pixels of the photo, whatever the size of the cells or of the mask:

- The fine map is interpolated linearly between the middles of its cells. On drawn lines in cells of 2 to 4 px, this
  halves the distance to the true line against cells taken as squares, and avoids their spurs, which are up to a quarter
  of all pixels (``benchmarks/line_figures.py``). A row of single cells must lie clearly above the threshold to be
  found, since its neighbours lower what lies between.
- The mask takes the nearest of its pixels. It is white above 127.
- A path is drawn from point to point, each at the nearest pixel. Thinning takes off the corners of its steps.

So a pixel stands for the same length in all lines, in every model and in every photo, and counts of pixels can be
compared and added. (Were the found line counted in cells, a model with larger cells would count for less in a sum over
photos.) A thinned line has one pixel for each step along the longer of its two extents. A diagonal line therefore
counts up to 1.41 times less than its length, in all lines alike.

A pixel of one line is right if a pixel of the other line lies within the *tolerance*. Tolerances are given for a photo
with a longer side of at most `LONGER_SIDE_PX`, and a mask as large as the photo; `tolerance_factor` widens them for
larger photos and smaller masks.

Source: centre lines compared with a tolerance: Heipke et al. (1997), ISPRS Archives 32 (completeness and correctness of
roads). Thinning: Zhang & Suen (1984), Communications of the ACM 27.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import KDTree

from crackscope.arrays import BoolArray, Float32Array, Float64Array, Int64Array
from crackscope.errors import DataError
from crackscope.measuring.metrics import N_CALIBRATION_BINS
from crackscope.scanning.crack_map import CrackMap

__all__ = [
    "LONGER_SIDE_PX",
    "LineCounts",
    "LineMap",
    "PhotoLines",
    "compare_lines",
    "line_map_of",
    "line_of_paths",
    "tolerance_factor",
    "true_line",
]


LONGER_SIDE_PX = 1600
"""Longer side of a photo, in pixels, up to which a tolerance is taken as it is."""

_ROUNDING_PX = 1e-6


@dataclass(frozen=True, eq=False)
class LineMap:
    """A fine map over a photo.

    Attributes:
        probability: Probability that a crack's line passes through each cell, shape (h, w), float32, in [0, 1], row by
            row from the upper left. Cells may reach beyond the right and the lower edge of the photo.
        cell_px: Height and width of a cell, in photo pixels.
        photo_hw: Height and width of the photo, in pixels.
    """

    probability: Float32Array
    cell_px: tuple[float, float]
    photo_hw: tuple[int, int]

    def __post_init__(self) -> None:
        shape, (height, width) = self.probability.shape, self.photo_hw
        if len(shape) != 2 or 0 in shape or min(self.cell_px) <= 0 or min(height, width) < 1:
            raise DataError(f"a fine map of shape {shape} with cells of {self.cell_px} px is none. Give (h, w) cells.")
        covered = shape[0] * self.cell_px[0], shape[1] * self.cell_px[1]
        if covered[0] < height - 1 or covered[1] < width - 1:
            raise DataError(
                f"a fine map of {covered[1]:g}×{covered[0]:g} px does not cover a photo of {width}×{height} px. "
                "Give the cells of the whole photo."
            )

    def line(self, threshold: float) -> BoolArray:
        """Thin what reaches a threshold to a line of one pixel.

        Args:
            threshold: Probability from which a place belongs to the line.

        Returns:
            Whether a pixel lies on the line, shape (height, width) of the photo.
        """
        (height, width), (cell_height, cell_width) = self.photo_hw, self.cell_px
        # The middle of pixel x lies (x + 1/2) / cell - 1/2 cells to the right of the middle of the first cell.
        to_cells = np.array(
            [[1 / cell_width, 0, 0.5 / cell_width - 0.5], [0, 1 / cell_height, 0.5 / cell_height - 0.5]]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cells = np.asarray(self.probability, np.float32)
        at_pixels = cv2.warpAffine(cells, to_cells, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return _thinned(np.asarray(at_pixels >= threshold))

    def judged_cells(self, truth: BoolArray) -> tuple[Float64Array, BoolArray]:
        """Compare the cells with the true line.

        A cell is cracked if the true line passes through it, and else uncracked. The uncracked neighbours of a cracked
        cell are left out, since a mask is rarely exact to a cell; so are cells whose middle lies outside the
        photo.

        Args:
            truth: Whether a pixel lies on the true line, shape (height, width) of the photo.

        Returns:
            Probability of each cell that is not left out, and whether it is cracked, both of shape (n,).
        """
        inside = [
            min(n, max(1, int(np.floor(size / cell + 0.5))))
            for n, size, cell in zip(self.probability.shape, self.photo_hw, self.cell_px, strict=True)
        ]
        probability = np.asarray(self.probability[: inside[0], : inside[1]], np.float64)
        rows, columns = (
            np.minimum(((at + 0.5) / cell).astype(np.int64), n - 1)
            for at, cell, n in zip(np.nonzero(truth), self.cell_px, inside, strict=True)
        )
        cracked = np.zeros(inside, np.uint8)
        cracked[rows, columns] = 1
        near = cv2.dilate(cracked, np.ones((3, 3), np.uint8))
        counted = (cracked > 0) | (near == 0)
        return probability[counted], cracked[counted] > 0

    def bins(self, truth: BoolArray) -> Float64Array:
        """Sum up the `judged_cells` by bins of equal width of their probability.

        Args:
            truth: Whether a pixel lies on the true line, shape (height, width) of the photo.

        Returns:
            For each bin, the number of cells, the sum of their probabilities, and the number of cracked ones, shape
            (n_bins, 3).
        """
        probability, cracked = self.judged_cells(truth)
        number = np.minimum((probability * N_CALIBRATION_BINS).astype(np.int64), N_CALIBRATION_BINS - 1)
        columns_of = np.ones(number.shape), probability, cracked.astype(np.float64)
        sums = [np.bincount(number, weights, N_CALIBRATION_BINS) for weights in columns_of]
        return np.stack(sums, axis=1)


@dataclass(frozen=True)
class LineCounts:
    """Pixels of a found and of a true line, and how many of them are right.

    Attributes:
        n_found: Number of pixels of the found line.
        n_found_right: Number of these that lie within the tolerance of the true line.
        n_true: Number of pixels of the true line.
        n_true_found: Number of these that lie within the tolerance of the found line.
    """

    n_found: int
    n_found_right: int
    n_true: int
    n_true_found: int

    @property
    def precision(self) -> float:
        """Share of the found pixels that are right; 0 if only the true line has pixels, NaN if neither line has."""
        return self._share(self.n_found_right, self.n_found)

    @property
    def recall(self) -> float:
        """Share of the true pixels that are found; 0 if only the found line has pixels, NaN if neither line has."""
        return self._share(self.n_true_found, self.n_true)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 if one line has no pixels, NaN if neither line has."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both > 0 else both

    @property
    def cl_iou(self) -> float:
        """True pixels that are found, divided by all true pixels and the found ones that are wrong (*clIoU*).

        It is the intersection over union of centre lines, TP / (TP + FP + FN): TP are the true pixels that are found,
        FN those that are not, and FP the found pixels that are wrong. It is 0 if one line has no pixels, NaN if neither
        has.

        Source: Benz & Rodehorst (2024), OmniCrack30k, CVPR Workshops. With the lines swapped it is the *quality* of
        Heipke et al. (1997).
        """
        return self._share(self.n_true_found, self.n_true + self.n_found - self.n_found_right)

    def _share(self, part: int, whole: int) -> float:
        return part / whole if whole else 0.0 if self.n_found or self.n_true else float("nan")


@dataclass(frozen=True, eq=False)
class PhotoLines:
    """The found and the true line of a photo, and how far each pixel of one lies from the other.

    Attributes:
        found_xy: Pixels (x, y) of the found line, shape (n_found, 2).
        true_xy: Pixels (x, y) of the true line, shape (n_true, 2).
        found_off_px: Distance of each found pixel to the nearest true one, in photo pixels, shape (n_found,); infinite
            without a true line.
        true_off_px: Distance of each true pixel to the nearest found one, in photo pixels, shape (n_true,); infinite
            without a found line.
        factor: Factor by which tolerances are widened for this photo, at least 1.
        bins: Cells of the fine map by bins of their probability: their number, the sum of their probabilities, and the
            number that the true line passes through, shape (n_bins, 3). None for traced lines.
    """

    found_xy: Int64Array
    true_xy: Int64Array
    found_off_px: Float64Array
    true_off_px: Float64Array
    factor: float = 1.0
    bins: Float64Array | None = None

    def counts(self, tolerance_px: float) -> LineCounts:
        """Count the pixels that are right.

        Args:
            tolerance_px: Tolerance before it is widened, in photo pixels.
        """
        reach = tolerance_px * self.factor + _ROUNDING_PX
        right, found = (int((off <= reach).sum()) for off in (self.found_off_px, self.true_off_px))
        return LineCounts(len(self.found_xy), right, len(self.true_xy), found)


def true_line(mask: BoolArray, photo_hw: tuple[int, int]) -> BoolArray:
    """Thin a mask to a line of one pixel, at the size of its photo.

    Args:
        mask: Whether a pixel of the mask is white, shape (h, w); of any size, with the aspect of the photo.
        photo_hw: Height and width of the photo, in pixels.

    Returns:
        Whether a pixel lies on the line, shape (height, width) of the photo.
    """
    height, width = photo_hw
    white = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return _thinned(np.asarray(white > 0))


def line_of_paths(paths_xy: Iterable[Float64Array], photo_hw: tuple[int, int]) -> BoolArray:
    """Draw paths between their points as a line of one pixel.

    Args:
        paths_xy: Points x and y of each path, shape (n, 2), in photo pixels; (0, 0) is the middle of the first one.
        photo_hw: Height and width of the photo, in pixels. What lies outside is left out.

    Returns:
        Whether a pixel lies on the line, shape (height, width) of the photo.

    Example:
        >>> line_of_paths([np.array([[1.0, 1.2], [4.0, 2.9]])], (5, 6)).astype(int)
        array([[0, 0, 0, 0, 0, 0],
               [0, 1, 0, 0, 0, 0],
               [0, 0, 1, 1, 0, 0],
               [0, 0, 0, 0, 1, 0],
               [0, 0, 0, 0, 0, 0]])
    """
    picture = np.zeros(photo_hw, np.uint8)
    for path in paths_xy:
        points = np.round(path).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(picture, [points], isClosed=False, color=1, thickness=1, lineType=cv2.LINE_8)
    return _thinned(picture > 0)


def tolerance_factor(photo_hw: tuple[int, int], mask_hw: tuple[int, int]) -> float:
    """Compute the factor by which tolerances are widened for a large photo, and for a mask smaller than its photo.

    Args:
        photo_hw: Height and width of the photo, in pixels.
        mask_hw: Height and width of the mask, in pixels.

    Example:
        >>> tolerance_factor((768, 768), (256, 256)), tolerance_factor((2400, 3200), (2400, 3200))
        (3.0, 2.0)
    """
    return max(1.0, max(photo_hw) / LONGER_SIDE_PX) * max(1.0, max(photo_hw) / max(mask_hw))


def compare_lines(
    found: BoolArray, truth: BoolArray, *, factor: float = 1.0, bins: Float64Array | None = None
) -> PhotoLines:
    """Measure how far the pixels of two lines of one photo lie from the other line.

    Args:
        found: Whether a pixel lies on the found line, shape (height, width) of the photo.
        truth: Whether a pixel lies on the true line, shape (height, width) of the photo.
        factor: Factor by which tolerances are widened for this photo, see `tolerance_factor`.
        bins: Cells of the fine map, from `LineMap.bins`.

    Raises:
        DataError: If the two lines are not of one size.

    Example:
        >>> found, truth = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
        >>> found[3], truth[5] = True, True
        >>> compare_lines(found, truth).counts(tolerance_px=2).f1
        1.0
    """
    if found.shape != truth.shape:
        raise DataError(f"a line in {found.shape} pixels and one in {truth.shape} cannot be compared. Give one size.")
    found_xy, true_xy = (np.argwhere(line)[:, ::-1] for line in (found, truth))
    return PhotoLines(found_xy, true_xy, _off(found_xy, true_xy), _off(true_xy, found_xy), factor, bins)


# What a model gives


def line_map_of(found: CrackMap) -> LineMap | None:
    """Take the fine map of a scanned photo; None if it has none."""
    if found.fine is None:
        return None
    return LineMap(found.fine.probability, found.fine.cell_px, found.photo_hw)


# Inside


def _thinned(thick: BoolArray) -> BoolArray:
    if not thick.any():
        return thick
    from skimage.morphology import skeletonize  # half a second to import, and few commands need it

    thin: BoolArray = np.asarray(skeletonize(thick), np.bool_)  # type: ignore[no-untyped-call]
    return thin


def _off(pixels_xy: Int64Array, others_xy: Int64Array) -> Float64Array:
    """(n,) distance of each pixel to the nearest of the others; infinite if there is no other."""
    if not len(pixels_xy) or not len(others_xy):
        return np.full(len(pixels_xy), np.inf)
    distances, _ = KDTree(others_xy).query(pixels_xy)
    return np.asarray(distances, np.float64)
