"""The fine map of a photo: where the lines of its cracks run, in cells of a few pixels.

A crack map says which parts of a photo show a crack, in cells that are wider than the crack. A fine map shows the line
itself. It is computed where the crack map has regions, and is 0 elsewhere: on plain concrete, a single small cell is
easily mistaken for a crack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from crackscope.arrays import BoolArray, Float32Array
from crackscope.errors import BundleError, DataError
from crackscope.model.card import Card

__all__ = ["Fine", "FineMap", "require_fine"]

Fine: TypeAlias = bool | Literal["everywhere"]
"""Whether a fine map is computed: False; True, in the regions of the crack map; or ``everywhere``."""


@dataclass(frozen=True, eq=False)
class FineMap:
    """Probability that a crack's line passes through each of many small cells of a photo.

    Pixels are those of the upright photo; (0, 0) is the middle of the first pixel.

    Attributes:
        probability: Calibrated probability of each cell, shape (h, w), float32, in [0, 1], row by row from the upper
            left; 0 outside of the regions of the crack map, unless it was computed everywhere.
        cell_px: Height and width of a cell, in photo pixels. The last cells may reach beyond the photo.
        threshold: Probability from which a cell belongs to a line, from the card.
        everywhere: Whether it was computed in the whole photo.
    """

    probability: Float32Array
    cell_px: tuple[float, float]
    threshold: float
    everywhere: bool = False

    @property
    def origin_xy(self) -> tuple[float, float]:
        """Point (x, y) of the photo at the middle of the first cell, in pixels."""
        return (self.cell_px[1] - 1) / 2, (self.cell_px[0] - 1) / 2

    @property
    def lines(self) -> BoolArray:
        """Whether each cell belongs to a line, shape (h, w)."""
        found: BoolArray = self.probability >= self.threshold
        return found

    def lines_at(self, size_hw: tuple[int, int], photo_hw: tuple[int, int]) -> BoolArray:
        """Draw the lines at the size of a picture of the whole photo; no line is lost where the picture is smaller.

        Args:
            size_hw: Height and width of the picture, in pixels.
            photo_hw: Height and width of the photo, in pixels.

        Returns:
            Whether each pixel belongs to a line, shape (H, W).
        """
        axes = [*zip(size_hw, photo_hw, self.cell_px, self.probability.shape, strict=True)]
        of_pixels = [
            np.minimum((np.arange(n) + 0.5) * whole / n / cell, n_cells - 1).astype(int)
            for n, whole, cell, n_cells in axes
        ]
        of_cells = [
            np.minimum((np.arange(n_cells) + 0.5) * cell * n / whole, n - 1).astype(int)
            for n, whole, cell, n_cells in axes
        ]
        lines = self.lines
        found: BoolArray = lines[np.ix_(*of_pixels)]
        rows, columns = np.nonzero(lines)
        found[of_cells[0][rows], of_cells[1][columns]] = True
        return found


def require_fine(card: Card, fine: Fine) -> None:
    """Refuse a wish for a fine map that cannot be met, before any work.

    Args:
        card: Card of the model.
        fine: Whether a fine map is wanted, and where.

    Raises:
        BundleError: If a fine map is wanted and the model has none.
        DataError: If `fine` is neither True, False nor ``everywhere``.
    """
    if fine not in (True, False, "everywhere"):
        raise DataError(f"fine is {fine!r}; it must be True, False or 'everywhere'.")
    if fine and card.fine_map is None:
        raise BundleError(
            f"{card.name}: the model has no fine map. Scan without one, or with a model whose card has 'fine_map'."
        )
