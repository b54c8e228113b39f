"""The threshold of regions in photos: as low as it may be while plain concrete shows few of them.

A threshold at which half of the tiles are cracked suits tiles that are as often cracked as those of the data sets. Most
of a photo of a sound wall is plain. So the threshold is the least one at which stretches of validation photos without a
crack show at most half of the false regions that are wanted. The other half is left for photos that differ from these.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from crackscope.data.patches import PatchIndex
from crackscope.model.card import Calibration
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.loaded_model import Model
from crackscope.scanning.scanner import photo_scale
from judged_sets import free_stretches

WANTED, PER_MEGAPIXELS = 0.3, 16
"""False regions wanted at most, in so many megapixels of photo."""

GRID = np.round(np.arange(0.5, 0.991, 0.01), 2)


def with_region_threshold(
    photo: Calibration, model: Model, surfaces: dict[str, PatchIndex], grid: str, stretches: Path
) -> Calibration:
    """Give the calibration of photos the threshold that plain concrete asks for.

    Args:
        photo: Calibration of photos.
        model: Model with that calibration.
        surfaces: Tiles of SDNET2018's validation photos, by surface.
        grid: CSV with the place of each tile.
        stretches: CSV of the stretches.
    """
    maps, megapixels = [], 0.0
    for stretch in free_stretches(surfaces, grid, stretches, reserved=False):
        scale = photo_scale(model.card, stretch.photo_hw)
        found = model.scan(stretch.pixels, network_scale=scale, trace=None).map
        assert found is not None  # only a refused photo has none
        maps.append(found)
        megapixels += stretch.pixels.shape[0] * stretch.pixels.shape[1] / 1e6
    threshold = least_threshold(maps, megapixels)
    print(f"regions from {threshold:.2f} on: {len(maps)} stretches without a crack, {megapixels:.0f} megapixels")
    return photo.model_copy(update={"threshold": max(photo.threshold, threshold)})


def least_threshold(maps: Iterable[CrackMap], megapixels: float) -> float:
    """The least threshold of the grid at which maps of plain concrete have few regions; the last one if none has.

    Args:
        maps: Maps of stretches without a crack.
        megapixels: What they show together.
    """
    kept, allowed = list(maps), WANTED / 2 * megapixels / PER_MEGAPIXELS
    for threshold in GRID:
        if sum(len(one.regions(float(threshold))) for one in kept) <= allowed:
            return float(threshold)
    return float(GRID[-1])
