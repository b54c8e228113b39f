"""Rejection: which regions of a photo the gate lets pass, and whether the photo is rejected as a whole.

**Regions.** The most probable footprint of each region is judged by the gate as a patch would be. If the gate rejects
it, up to three further footprints of the region beside it are judged. A region is rejected if none of them passes. It
is listed with its reason, but does not decide. The outline of a roof before the sky is such a region. At most
`MAX_JUDGED` footprints are judged, those of the most probable regions; a region beyond them passes.

**The photo.** A photo with a region that passed is not rejected: the most probable of these regions gives it its
probability and verdict. Otherwise the photo's crops decide (`crackscope.model.gate.photo_reason`).

**Blur.** Blur hides cracks, and does not invent them. So a region is judged for blur only in a photo more than half of
whose crops are blurred: there, a region that is sharp itself still decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from crackscope.arrays import BoolArray, UInt8Array
from crackscope.model.card import BLURRED, Card, Gate
from crackscope.model.gate import BLURRED_CROPS, clarity, gate_crops, photo_reason
from crackscope.model.sessions import Network
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.regions import AcceptedPoint, RejectedPoint

__all__ = ["MAX_JUDGED", "footprint_pixels", "judged_map"]


MAX_JUDGED = 24
"""Greatest number of footprints of a photo that are judged."""

_A_REGION = 4  # footprints of a region that are judged

Judge = Callable[[UInt8Array], str | None]


def judged_map(
    found: CrackMap, pixels: UInt8Array, network: Network, card: Card, *, known_clarity: float | None
) -> CrackMap:
    """Judge a photo's map by the gate.

    Args:
        found: Map of the photo.
        pixels: Photo at the network's scale, RGB, uint8, shape (H, W, 3).
        network: Network of the model.
        card: Card of the model.
        known_clarity: Clarity of the whole photo, in [0, 1]; None if it is measured crop by crop.

    Returns:
        The map with its reason, its rejected regions, and the region that decides. A map of a model without a gate,
        or of a photo that is narrower than a patch, is returned as it is.

    Raises:
        BundleError: If the network gives something that is not a number.
    """
    gate, crops = card.gate, gate_crops(pixels, card)
    if gate is None or not crops:
        return found

    def clarity_of(crop: UInt8Array) -> float:
        return clarity(crop) if known_clarity is None else known_clarity

    reasons = [_reason(gate, network, crop, clarity_of(crop)) for crop in crops]
    blurred = reasons.count(BLURRED) > BLURRED_CROPS * len(reasons)

    def judge(crop: UInt8Array) -> str | None:
        return _reason(gate, network, crop, clarity_of(crop) if blurred else 1.0)

    accepted, rejected = _judged_regions(found, pixels, card.patch_px, judge)
    reason = photo_reason(reasons) if accepted is None else None
    return replace(found, reason=reason, accepted=accepted, rejected=tuple(rejected))


def _reason(gate: Gate, network: Network, crop: UInt8Array, clear: float) -> str | None:
    signs = network.signs(crop)
    return gate.reason(signs.novelty, clear, signs.concrete)


def _judged_regions(
    found: CrackMap, pixels: UInt8Array, patch_px: int, judge: Judge
) -> tuple[AcceptedPoint | None, list[RejectedPoint]]:
    """Find the most probable footprint that passes, and the regions without one."""
    accepted: AcceptedPoint | None = None
    rejected: list[RejectedPoint] = []
    n_left = MAX_JUDGED
    for cells in found.region_cells(MAX_JUDGED):
        left, reasons = cells.copy(), []
        for _ in range(min(_A_REGION, n_left)):
            if not left.any():
                break
            row, column = found.likeliest_cell(left)
            reasons.append(judge(footprint_pixels(found, pixels, patch_px, row, column)))
            n_left -= 1
            if reasons[-1] is None:
                probability = float(found.probabilities[row, column])
                if accepted is None or probability > accepted.probability:
                    accepted = AcceptedPoint(*found.peak_of(left), probability)
                break
            _strike_out(left, row, column, found.footprint_cells)
        if reasons and reasons[-1] is not None:
            rejected.append(RejectedPoint(*found.peak_of(cells), str(reasons[0])))
    return accepted, rejected


def footprint_pixels(found: CrackMap, pixels: UInt8Array, patch_px: int, row: int, column: int) -> UInt8Array:
    """Cut out the pixels of the footprint that gives a cell its probability.

    Args:
        found: Map of a photo.
        pixels: Photo at the network's scale, RGB, uint8, shape (H, W, 3).
        patch_px: Side of a footprint at that scale, in pixels.
        row: Row of the cell.
        column: Column of the cell.
    """
    top, left = (
        max(0, min(round(start * length / n), length - patch_px))
        for start, length, n in zip(found.footprint_at(row, column), pixels.shape[:2], found.logits.shape, strict=True)
    )
    return np.ascontiguousarray(pixels[top : top + patch_px, left : left + patch_px])


def _strike_out(cells: BoolArray, row: int, column: int, footprint_cells: int) -> None:
    """Take the cells out whose footprint shares cells with the one around a cell."""
    reach = footprint_cells - 1
    cells[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = False
