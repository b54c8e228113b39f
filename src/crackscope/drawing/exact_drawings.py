"""A picture of concrete on which lines were drawn, with the exact truth: where each line runs, and how wide it is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.ndimage import uniform_filter1d

from crackscope.arrays import BoolArray, Float32Array, Float64Array, UInt8Array
from crackscope.errors import DataError

__all__ = [
    "CrackLine",
    "ExactDrawing",
    "OtherLine",
    "bare",
    "hidden_behind",
    "line_cells",
    "rounded",
    "values_at",
    "visibilities_at",
]

Path2D = Float64Array  # shape (n, 2)


@dataclass(frozen=True)
class CrackLine:
    """One visible stretch of a crack, or of one of its branches.

    Attributes:
        path_xy: Points of the middle line, shape (n, 2), in picture pixels: x to the right, y down, with pixel centres
            at integers. The line may leave the picture by a few pixels.
        widths_px: Full width of the opening at each point in pixels, shape (n,), before the camera's blur.
        contrasts: Share of the concrete's light that is missing inside the opening at each point, shape (n,), at most
            1. It is negative where the crack is filled with something lighter than the concrete.
        visibilities: Change of the grey picture at each point, divided by how uneven the concrete's own grey is there,
            shape (n,), 0 or more; see `visibilities_at`. Below about 1 nobody can see the crack.
        kind: One of the kinds of cracks that are drawn, such as `plain`.
        number: Number of the crack in its drawing, from 0; branches and pieces of one crack share it.
    """

    path_xy: Path2D
    widths_px: Float64Array
    contrasts: Float64Array
    visibilities: Float64Array
    kind: str
    number: int


@dataclass(frozen=True)
class OtherLine:
    """One line that is no crack, such as a joint.

    Attributes:
        path_xy: Points of the middle line, shape (n, 2), n at least 2, in picture pixels as in `CrackLine`.
        width_px: Full width in pixels, before the camera's blur.
        kind: One of the kinds of hard negatives, such as `joint`.
    """

    path_xy: Path2D
    width_px: float
    kind: str


@dataclass(frozen=True)
class ExactDrawing:
    """A picture on which cracks and other lines were drawn, and the truth about them.

    Attributes:
        pixels: Picture, RGB, uint8, shape (H, W, 3).
        blur_px: Standard deviation of the camera's Gaussian blur in pixels, 0 or more. Lines are blurred by it; the
            picture that they were drawn on keeps its own sharpness.
        cracks: Visible stretches of cracks; empty for uncracked concrete.
        gaps: Middle lines of the gaps in interrupted or hidden cracks, each of shape (m, 2), in pixels.
        others: Lines that are no cracks.
        coverage: Share of each pixel's square that lies in the opening of a crack, float32, shape (H, W), in [0, 1],
            without blur.
        front: Share of each pixel that is covered by something in front of the concrete, such as a cable, float32,
            shape (H, W), in [0, 1]. Cracks that are drawn later run behind it.
    """

    pixels: UInt8Array
    blur_px: float
    cracks: tuple[CrackLine, ...]
    gaps: tuple[Path2D, ...]
    others: tuple[OtherLine, ...]
    coverage: Float32Array
    front: Float32Array

    @property
    def picture_hw(self) -> tuple[int, int]:
        """Height and width of the picture, in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def crack_cells(self, stride: int, *, narrowest_px: float = 0.0, faintest: float = 0.0) -> BoolArray:
        """Cells that a crack's middle line passes through, where it is so wide and so visible; see `line_cells`."""
        paths: list[Path2D] = []
        for crack in self.cracks:
            shown = (crack.widths_px >= narrowest_px) & (crack.visibilities >= faintest)
            ends = np.flatnonzero(np.diff(np.concatenate([[False], shown, [False]]).astype(np.int8)))
            paths.extend(crack.path_xy[a:b] for a, b in zip(ends[::2], ends[1::2], strict=True))
        return line_cells(paths, self.picture_hw, stride)

    def gap_cells(self, stride: int) -> BoolArray:
        """Cells that the gaps of interrupted or hidden cracks pass through; see `line_cells`."""
        return line_cells(self.gaps, self.picture_hw, stride)

    def other_cells(self, stride: int) -> BoolArray:
        """Cells that the middle lines of joints and other lines pass through; see `line_cells`."""
        return line_cells([line.path_xy for line in self.others], self.picture_hw, stride)


def bare(pixels: UInt8Array, *, blur_px: float = 0.8) -> ExactDrawing:
    """Begin a drawing on a picture of uncracked concrete.

    Args:
        pixels: Picture, RGB, uint8, shape (H, W, 3).
        blur_px: Standard deviation of the camera's Gaussian blur of the lines to come, in pixels, from 0 to 20.

    Raises:
        DataError: If the picture has another form, or the blur is outside its range.

    Example:
        >>> bare(np.full((32, 40, 3), 150, np.uint8)).picture_hw
        (32, 40)
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise DataError(f"The picture is {pixels.dtype} of shape {pixels.shape}; give uint8 of shape (H, W, 3).")
    if not 0 <= blur_px <= 20:
        raise DataError(f"blur_px is {blur_px}; it must be from 0 to 20.")
    nothing = np.zeros(pixels.shape[:2], np.float32)
    return ExactDrawing(pixels, blur_px, (), (), (), nothing, nothing)


def line_cells(paths_xy: Sequence[Path2D], picture_hw: tuple[int, int], stride: int) -> BoolArray:
    """Find the cells of a coarser grid that lines pass through.

    Args:
        paths_xy: Points of each line, shape (n, 2), in pixels with pixel centres at integers.
        picture_hw: Height and width of the picture, in pixels.
        stride: Side of a cell in pixels, at least 1. Cell (i, j) holds the pixels from row i * stride and column j *
            stride on.

    Returns:
        Whether a line passes through each cell, shape (ceil(H / stride), ceil(W / stride)). A line that only cuts a
        corner by less than an eighth of a cell may be missed there.

    Example:
        >>> line_cells([np.array([[0.0, 5.0], [7.0, 5.0]])], (8, 8), 4).astype(int).tolist()
        [[0, 0], [1, 1]]
    """
    rows, columns = (math.ceil(side / stride) for side in picture_hw)
    cells = np.zeros((rows, columns), np.bool_)
    for path_xy in paths_xy:
        if len(path_xy) == 0:
            continue
        steps = np.hypot(*np.diff(path_xy, axis=0).T)
        at = np.concatenate([[0.0], np.cumsum(steps)])
        places = np.linspace(0, at[-1], math.ceil(8 * at[-1] / stride) + 1)
        x, y = (np.interp(places, at, path_xy[:, axis]) for axis in (0, 1))
        column, row = (np.floor((values + 0.5) / stride).astype(np.int64) for values in (x, y))
        height, width = picture_hw
        inside = (x >= -0.5) & (y >= -0.5) & (x < width - 0.5) & (y < height - 0.5)
        cells[row[inside], column[inside]] = True
    return cells


def rounded(light: Float32Array, rng: np.random.Generator) -> UInt8Array:
    """Round to whole grey levels at random, so that on average no light is lost, not even a tenth of a level.

    Args:
        light: Grey levels, float32, any shape; values outside [0, 255] are cut off.
        rng: Random generator that decides which values are rounded up.
    """
    # Slightly less than 1, so that a whole number stays as it is in 32 bits.
    threshold = np.float32(0.9999) * rng.random(light.shape, dtype=np.float32)
    whole: UInt8Array = np.clip(light + threshold, 0, 255).astype(np.uint8)
    return whole


def values_at(field: Float32Array, path_xy: Float64Array) -> Float64Array:
    """Look up a field in the pixel nearest to each point; outside the picture, at the border.

    Args:
        field: Values, float32, shape (H, W).
        path_xy: Points in pixels, shape (n, 2).
    """
    height, width = field.shape
    column, row = np.clip(np.floor(path_xy + 0.5).astype(np.int64), 0, (width - 1, height - 1)).T
    return np.asarray(field[row, column], np.float64)


def visibilities_at(concrete: Float32Array, cracked: Float32Array, path_xy: Float64Array) -> Float64Array:
    """Compare what a crack changes with how uneven the concrete is without it.

    Args:
        concrete: Grey levels without the crack, float32, shape (H, W).
        cracked: Grey levels with it, float32, shape (H, W).
        path_xy: Points of the crack in pixels, shape (n, 2).

    Returns:
        Greatest change within a pixel of each point, smoothed over 9 px along the crack, divided by the standard
        deviation of the concrete's grey within 10 px, at least 1 level; shape (n,).
    """
    change = cv2.dilate(np.abs(concrete - cracked), np.ones((3, 3), np.uint8))
    mean = cv2.blur(concrete, (21, 21))
    deviation = np.sqrt(np.maximum(cv2.blur(concrete * concrete, (21, 21)) - mean * mean, 1))
    shares = values_at(np.asarray(change / deviation, np.float32), path_xy)
    return np.asarray(uniform_filter1d(shares, min(9, len(shares)), mode="nearest"), np.float64)


def hidden_behind(lines: Sequence[CrackLine], front: Float32Array) -> tuple[list[CrackLine], list[Float64Array]]:
    """Cut cracks where something in front hides them.

    Args:
        lines: Cracks.
        front: Share of each pixel that is covered by something in front, float32, shape (H, W).

    Returns:
        The stretches that are seen, and the middle lines of the hidden stretches between them.
    """
    seen: list[CrackLine] = []
    hidden: list[Float64Array] = []
    for line in lines:
        dark = values_at(front, line.path_xy) > 0.5
        edges = np.flatnonzero(np.diff(np.concatenate([[True], dark, [True]]).astype(np.int8)))
        runs = [slice(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= 2]
        for run in runs:
            seen.append(
                replace(
                    line,
                    path_xy=line.path_xy[run],
                    widths_px=line.widths_px[run],
                    contrasts=line.contrasts[run],
                    visibilities=line.visibilities[run],
                )
            )
        hidden += [line.path_xy[a.stop - 1 : b.start + 1] for a, b in itertools.pairwise(runs)]
    return seen, hidden
