"""The crack map: logits on a regular grid over a photo, and the probabilities that follow from them.

Only the probability of a *footprint* is calibrated: a square of as many cells as a training patch has, pooled as the
card says. A single cell has no probability. Each cell of `CrackMap.probabilities` holds the probability of the
footprint around it; at the photo's edge, that of the nearest footprint inside the photo.

Pixels are those of the upright photo, after its EXIF orientation was applied. As a point, (0, 0) is the middle of the
first pixel. A box is given by the first pixel inside and the first pixel outside.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from crackscope.arrays import BoolArray, Float32Array, Float64Array, UInt8Array
from crackscope.errors import DataError, OutputError, reason_of
from crackscope.files.output import new_file
from crackscope.files.pictures import picture_bytes
from crackscope.geometry.cracks import Crack
from crackscope.model.card import Calibration, Pool
from crackscope.scanning.fine_map import FineMap
from crackscope.scanning.overlay import draw_map, draw_overlay
from crackscope.scanning.regions import AcceptedPoint, Region, RejectedPoint

__all__ = ["CrackMap", "pool_footprints"]


MAP_VERSION = 1
"""Version of the format in which `CrackMap.save` writes a map."""

_KEPT = ("photo_hw", "cell_px", "footprint_cells", "network_scale", "unit", "path", "pool", "reason")
_KEPT_OF_FINE = ("cell_px", "threshold", "everywhere")
_EIGHT_NEIGHBOURS = 8


@dataclass(frozen=True, eq=False)
class CrackMap:
    """Answer of a model for a photo: logits on a regular grid, and the probabilities that follow from them.

    A *footprint* is a square of cells, as large as a training patch. Only the probability of a footprint is calibrated;
    a single cell has none. Pixels are those of the upright photo; (0, 0) is the middle of the first pixel.

    Attributes:
        logits: Logit of each cell, shape (h, w), float32, row by row from the upper left.
        photo_hw: Height and width of the photo, in pixels.
        cell_px: Height and width of a cell, in photo pixels.
        footprint_cells: Number of cells along a side of a footprint.
        calibration: Calibration from the pooled logit of a footprint to its probability.
        network_scale: Pixels of the network per pixel of the photo.
        unit: ``photo``, or ``patch`` for an image of patch size, which is one footprint.
        path: Path of the photo.
        pool: How the logits of a footprint's cells are pooled: ``mean``, or ``logsumexp``, log(mean(exp(logit))).
        reason: Reason why the photo is rejected, ``not concrete``, ``blurred`` or ``too small to judge``; None if it is
            not. A rejected photo has a map, too.
        accepted: Most probable point of the regions that the gate lets pass; None if there is no such region, or no
            gate.
        rejected: A point in each region that the gate rejects.
        fine: Fine map, which shows the lines of cracks; None if it was not asked for.
    """

    logits: Float32Array
    photo_hw: tuple[int, int]
    cell_px: tuple[float, float]
    footprint_cells: int
    calibration: Calibration
    network_scale: float
    unit: str = "photo"
    path: str = ""
    pool: Pool = "mean"
    reason: str | None = None
    accepted: AcceptedPoint | None = None
    rejected: tuple[RejectedPoint, ...] = ()
    fine: FineMap | None = None

    @property
    def footprint_px(self) -> tuple[float, float]:
        """Height and width of a footprint, in photo pixels."""
        return self.footprint_cells * self.cell_px[0], self.footprint_cells * self.cell_px[1]

    @cached_property
    def probabilities(self) -> Float32Array:
        """Probability of the footprint around each cell, shape (h, w), float32, in [0, 1]."""
        pooled = pool_footprints(self.logits, self.footprint_cells, pool=self.pool)
        rows, columns = (
            np.clip(np.arange(n) - (self.footprint_cells - 1) // 2, 0, n_places - 1)
            for n, n_places in zip(self.logits.shape, pooled.shape, strict=True)
        )
        return self._calibrated(pooled)[np.ix_(rows, columns)]

    @cached_property
    def strengths(self) -> Float32Array:
        """Strength of each cell alone, shape (h, w), float32, in [0, 1].

        The strength of a cell is the probability of a footprint that consists of such cells alone. It shows where
        inside a region the crack lies. It is not the probability that the cell holds a crack: a single cell is not
        calibrated.
        """
        return self._calibrated(self.logits)

    @property
    def peak_probability(self) -> float:
        """Greatest probability of any footprint, in [0, 1]."""
        return float(self.probabilities.max())

    @property
    def peak_xy(self) -> tuple[int, int]:
        """Pixel (x, y) of the middle of the strongest cell of the most probable footprint."""
        return self.peak_of(np.ones(self.logits.shape, np.bool_))

    @property
    def deciding_probability(self) -> float:
        """Greatest probability of any footprint that the gate lets pass, in [0, 1]; it decides the verdict.

        A region that the gate rejects is left out. In a photo that is rejected as a whole, nothing passes, and the
        value is `peak_probability`.
        """
        if self.accepted is not None:
            return self.accepted.probability
        return float(self.probabilities[self._passed].max()) if self.reason is None else self.peak_probability

    def probability_at(self, x_px: float, y_px: float) -> float:
        """Look up the crack probability of the footprint around a point of the photo.

        Args:
            x_px: Photo pixels to the right of the middle of the first pixel, from -0.5 to below the width less 0.5.
            y_px: Photo pixels below the middle of the first pixel, from -0.5 to below the height less 0.5.

        Returns:
            The probability, in [0, 1].

        Raises:
            DataError: If the point lies outside the photo.
        """
        height, width = self.photo_hw
        if not (-0.5 <= x_px < width - 0.5 and -0.5 <= y_px < height - 0.5):
            raise DataError(f"({x_px:g}, {y_px:g}) lies outside of a photo of {width}×{height} px.")
        return float(self.probabilities[self._cell_at(x_px, y_px)])

    def probability_in(self, box_xyxy: tuple[float, float, float, float]) -> float:
        """Compute the crack probability of a box about as large as a footprint, such as a tile of a data set's grid.

        The cells whose middle lies in the box are pooled. If there is none, the nearest cell counts.

        Args:
            box_xyxy: Left, top, right and bottom in photo pixels; right and bottom are the first ones outside.

        Returns:
            The probability, in [0, 1].

        Raises:
            DataError: If the box is empty, or lies outside the photo.
        """
        return float(self._calibrated(self.logit_in(box_xyxy)))

    def logit_in(self, box_xyxy: tuple[float, float, float, float]) -> float:
        """Compute the pooled logit that `probability_in` is computed from.

        Args:
            box_xyxy: Left, top, right and bottom in photo pixels; right and bottom are the first ones outside.

        Raises:
            DataError: If the box is empty, or lies outside the photo.
        """
        cells = self.logits[self.cells_in(box_xyxy)]
        return float(pool_footprints(cells, max(cells.shape), pool=self.pool)[0, 0])

    def cells_in(self, box_xyxy: tuple[float, float, float, float]) -> tuple[slice, slice]:
        """Find the rows and columns of the cells whose middle lies in a box; if there is none, of the nearest cell.

        Args:
            box_xyxy: Left, top, right and bottom in photo pixels; right and bottom are the first ones outside.

        Returns:
            Two slices: rows and columns of `logits`.

        Raises:
            DataError: If the box is empty, or lies outside the photo.
        """
        left, top, right, bottom = box_xyxy
        height, width = self.photo_hw
        if not (left < right and top < bottom and right > 0 and bottom > 0 and left < width and top < height):
            raise DataError(f"the box {box_xyxy} is empty, or lies outside of a photo of {width}×{height} px.")
        rows = _cells_between(top / self.cell_px[0], bottom / self.cell_px[0], self.logits.shape[0])
        columns = _cells_between(left / self.cell_px[1], right / self.cell_px[1], self.logits.shape[1])
        return rows, columns

    def regions(self, threshold: float | None = None) -> list[Region]:
        """List the connected regions, the one with the greatest peak first, numbered from 1.

        Args:
            threshold: Probability from which a cell counts, in [0, 1]. If left out, the model's own threshold, and the
                probability that a region must reach somewhere (`Calibration.region_from`).

        Returns:
            The regions; an empty list if no cell reaches the threshold.
        """
        above = self._above(threshold)
        n, numbers = _connected(above)
        found = [self._region(numbers == number) for number in range(1, n)]
        found.sort(key=lambda region: (-region.peak_probability, -region.area_px, region.box_xyxy))
        return [replace(region, id=number) for number, region in enumerate(found, start=1)]

    def overlay(
        self,
        pixels: UInt8Array,
        *,
        threshold: float | None = None,
        longest_px: int | None = None,
        cracks: Sequence[Crack] = (),
    ) -> UInt8Array:
        """Draw the photo with its regions outlined and numbered as `regions` lists them, and their strong cells tinted.

        A cell is strong if its value in `strengths` reaches the threshold. A map with a fine map shows the lines of
        cracks in place of strong cells.

        Args:
            pixels: The photo, shape (H, W, 3), uint8, RGB; of any size, but with the photo's aspect ratio.
            threshold: Probability from which a cell belongs to a region, in [0, 1]; the model's own if left out.
            longest_px: Longer side of the picture in pixels; the longer side of `pixels` if left out. The picture is
                never enlarged.
            cracks: Cracks to draw as numbered lines, coloured by width, such as `PhotoResult.drawn_cracks`. The regions
                are then a faint outline without numbers.

        Returns:
            The picture, shape (h, w, 3), uint8, RGB.

        Raises:
            DataError: If `pixels` are no RGB image, or `longest_px` is below 1.
        """
        chosen = self.calibration.threshold if threshold is None else threshold
        return draw_overlay(
            pixels,
            np.where(self._above(threshold), self.probabilities, np.float32(0)),
            self.strengths,
            self.regions(threshold),
            threshold=chosen,
            photo_hw=self.photo_hw,
            cell_px=self.cell_px,
            reason=self.reason,
            longest_px=longest_px,
            fine=self.fine,
            cracks=cracks,
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the map to one file: its logits and its fine map as float32, and what is needed to read them.

        Args:
            path: Path of the file; its name ends in ``.npz``.
            overwrite: Whether an existing file is replaced.

        Raises:
            OutputError: If the file exists and `overwrite` is false, its name ends otherwise, or it cannot be written.
        """
        place = Path(path)
        if place.suffix.lower() != ".npz":
            raise OutputError(f"{place}: the name of a map's file must end in .npz; found '{place.suffix}'. Rename it.")
        about = {"map_version": MAP_VERSION, "calibration": self.calibration.model_dump()}
        about |= {name: getattr(self, name) for name in _KEPT}
        about |= {
            "accepted": self.accepted and asdict(self.accepted),
            "rejected": [asdict(one) for one in self.rejected],
        }
        arrays: dict[str, Any] = {"logits": self.logits}
        if self.fine is not None:
            arrays["fine"] = self.fine.probability
            about["fine"] = {name: getattr(self.fine, name) for name in _KEPT_OF_FINE}
        # numpy adds an ending to a file name, but not to an open file.
        with new_file(place, overwrite=overwrite) as part, part.open("wb") as file:
            np.savez_compressed(file, **(arrays | {"about": np.array(json.dumps(about))}))

    @classmethod
    def load(cls, path: str | Path) -> CrackMap:
        """Read a map that `save` wrote; nothing in the file is executed.

        Args:
            path: Path of the file.

        Raises:
            DataError: If the file cannot be read, holds no map, or a map of another version.
        """
        try:
            with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as kept:
                logits, about = np.asarray(kept["logits"], np.float32), json.loads(str(kept["about"]))
                cells = np.asarray(kept["fine"], np.float32) if "fine" in about else None
            version = about["map_version"]
            if version != MAP_VERSION:
                raise DataError(f"{path}: a map of version {version}, not {MAP_VERSION}. Upgrade crackscope.")
            pairs = {name: tuple(about[name]) for name in ("photo_hw", "cell_px")}
            values = {name: about[name] for name in _KEPT} | pairs
            if about.get("accepted"):  # maps of the first version of the format hold neither
                values["accepted"] = AcceptedPoint(**about["accepted"])
            values["rejected"] = tuple(RejectedPoint(**one) for one in about.get("rejected", ()))
            if cells is not None:
                values["fine"] = FineMap(cells, **(about["fine"] | {"cell_px": tuple(about["fine"]["cell_px"])}))
            return cls(logits=logits, calibration=Calibration.model_validate(about["calibration"]), **values)
        except OSError as error:
            raise DataError(f"{path}: {reason_of(error)}. Check the path.") from error
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{path}: not a map that CrackMap.save wrote, or damaged. Scan the photo again.") from error

    def _repr_png_(self) -> bytes:
        """Draw the map for notebooks."""
        shown = np.where(self.fires, self.probabilities, np.float32(0))
        return picture_bytes(draw_map(shown, self.strengths, threshold=self.calibration.threshold), ".png")

    def _above(self, threshold: float | None) -> BoolArray:
        return self.fires if threshold is None else np.asarray(self.probabilities >= threshold, np.bool_)

    def _region(self, cells: BoolArray) -> Region:
        rows, columns = np.nonzero(cells)
        (height, width), (cell_height, cell_width) = self.photo_hw, self.cell_px
        tops, bottoms = rows * cell_height, np.minimum((rows + 1) * cell_height, height)
        lefts, rights = columns * cell_width, np.minimum((columns + 1) * cell_width, width)
        inside = self.probabilities[cells]
        return Region(
            id=0,
            box_xyxy=(int(lefts.min()), int(tops.min()), round(rights.max()), round(bottoms.max())),
            area_px=round(float(((bottoms - tops) * (rights - lefts)).sum())),
            peak_probability=float(inside.max()),
            mean_probability=float(inside.mean(dtype=np.float64)),
            peak_xy=self.peak_of(cells),
            reason=self._reasons.get(int(self._numbered[1][self.likeliest_cell(cells)])),
        )

    @cached_property
    def fires(self) -> BoolArray:
        """Whether each cell belongs to a region at the model's own threshold, shape (h, w)."""
        above: BoolArray = self.probabilities >= self.calibration.threshold
        if self.calibration.region_from is None:
            return above
        n, numbers = _connected(above)
        sure = np.zeros(n, np.bool_)
        sure[numbers[above & (self.probabilities >= self.calibration.region_from)]] = True
        return sure[numbers]

    def region_cells(self, most: int) -> Iterator[BoolArray]:
        """Give the cells of each region at the model's own threshold, the greatest peak first.

        Args:
            most: Greatest number of regions.

        Yields:
            For each region, whether a cell belongs to it, shape (h, w).
        """
        n, numbers = self._numbered
        peaks = np.zeros(n, np.float32)
        np.maximum.at(peaks, numbers.ravel(), self.probabilities.ravel())
        for number in 1 + np.argsort(-peaks[1:], kind="stable")[:most]:
            yield numbers == number

    def likeliest_cell(self, cells: BoolArray) -> tuple[int, int]:
        """Find the cell with the most probable footprint around it.

        Args:
            cells: The cells to choose from, shape (h, w).

        Returns:
            Its row and column.
        """
        row, column = np.unravel_index(np.where(cells, self.probabilities, -1).argmax(), cells.shape)
        return int(row), int(column)

    def footprint_at(self, row: int, column: int) -> tuple[int, int]:
        """Find the first row and column of the footprint that gives a cell its probability.

        Args:
            row: Row of the cell.
            column: Column of the cell.
        """
        f = self.footprint_cells
        top, left = (
            min(max(0, at - (f - 1) // 2), max(0, n - f))
            for at, n in zip((row, column), self.logits.shape, strict=True)
        )
        return top, left

    def peak_of(self, cells: BoolArray) -> tuple[int, int]:
        """Find the pixel (x, y) to look at first among some cells: the middle of the strongest one.

        The footprints around a crack are all about as probable, and do not tell the point. So the strongest cell of the
        most probable footprint is taken.

        Args:
            cells: The cells to choose from, shape (h, w).
        """
        f, starts = self.footprint_cells, self.footprint_at(*self.likeliest_cell(cells))
        footprint = tuple(slice(start, start + f) for start in starts)
        strength = np.where(cells[footprint], self.logits[footprint], -np.inf)
        y, x = (
            int((cell * (start + at) + min(cell * (start + at + 1), length)) / 2)
            for cell, start, at, length in zip(
                self.cell_px, starts, np.unravel_index(strength.argmax(), strength.shape), self.photo_hw, strict=True
            )
        )
        return x, y

    @cached_property
    def _numbered(self) -> tuple[int, npt.NDArray[np.int32]]:
        """Regions at the model's own threshold, see `_connected`."""
        return _connected(self.fires)

    @cached_property
    def _reasons(self) -> dict[int, str]:
        """Reason why a region is rejected, by its number in `_numbered`."""
        _, numbers = self._numbered
        return {int(numbers[self._cell_at(point.x_px, point.y_px)]): point.reason for point in self.rejected}

    @property
    def _passed(self) -> BoolArray:
        """Whether no footprint of a rejected region touches that of a cell, shape (h, w); all if none is left."""
        rejected = np.isin(self._numbered[1], [*self._reasons]).astype(np.uint8)
        reach = 2 * self.footprint_cells - 1
        outside: BoolArray = cv2.dilate(rejected, np.ones((reach, reach), np.uint8)) == 0
        return outside if outside.any() else ~outside

    def _cell_at(self, x_px: float, y_px: float) -> tuple[int, int]:
        row, column = (  # rounding may put a point just before the edge into a cell after the last one
            min(int((place + 0.5) / cell), n - 1)
            for place, cell, n in zip((y_px, x_px), self.cell_px, self.logits.shape, strict=True)
        )
        return row, column

    def _calibrated(self, logits: npt.ArrayLike) -> Float32Array:
        found: Float32Array = np.asarray(self.calibration.probability(np.asarray(logits, np.float64)), np.float32)
        return found


def pool_footprints(logits: Float32Array, footprint_cells: int, *, pool: Pool = "mean") -> Float64Array:
    """Pooled logit of every footprint inside the map; a map smaller than a footprint counts as one.

    Args:
        logits: Logit of each cell, shape (h, w).
        footprint_cells: Number of cells along a side of a footprint, f.
        pool: How the logits of the cells are pooled.

    Returns:
        Pooled logits, shape (max(1, h - f + 1), max(1, w - f + 1)).

    Example:
        >>> pool_footprints(np.arange(6, dtype=np.float32).reshape(2, 3), 2).tolist()
        [[2.0, 3.0]]
        >>> pool_footprints(np.log(np.float32([[1, 3], [1, 3]])), 2, pool="logsumexp").round(6) == np.log(2).round(6)
        array([[ True]])
    """
    values = np.asarray(logits, np.float64)
    if pool == "mean":
        return _box_means(values, footprint_cells)
    for axis in (0, 1):  # along columns, then along rows: the mean of these means is the mean of the square
        n = min(footprint_cells, values.shape[axis])
        stretches = np.lib.stride_tricks.sliding_window_view(values, n, axis)
        highest = stretches.max(-1)  # subtracted, so that no exponential overflows and not all vanish
        values = highest + np.log(np.exp(stretches - highest[..., None]).mean(-1))
    return values


def _box_means(found: Float64Array, footprint_cells: int) -> Float64Array:
    """Mean of each square with `footprint_cells` cells along a side."""
    for axis in (0, 1):
        n = min(footprint_cells, found.shape[axis])
        sums = np.cumsum(found, axis)
        sums = np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis)
        length = sums.shape[axis]
        found = (sums.take(range(n, length), axis) - sums.take(range(length - n), axis)) / n
    return found


def _connected(above: BoolArray) -> tuple[int, npt.NDArray[np.int32]]:
    """Number the connected stretches of cells from 1, shape (h, w), with 0 elsewhere; give the next number, too."""
    n, numbers = cv2.connectedComponents(above.astype(np.uint8), connectivity=_EIGHT_NEIGHBOURS)
    return n, np.asarray(numbers, np.int32)


def _cells_between(start: float, stop: float, n: int) -> slice:
    """Cells along an axis whose middle lies in [start, stop), both in cells; if there is none, the nearest cell."""
    first, last = (int(np.clip(np.ceil(edge - 0.5), 0, n)) for edge in (start, stop))
    if first < last:
        return slice(first, last)
    nearest = int(np.clip((start + stop) / 2, 0, n - 1))  # the cell that holds the middle of the stretch
    return slice(nearest, nearest + 1)
