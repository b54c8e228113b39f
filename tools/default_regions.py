"""What a region of a photo must reach somewhere: as little as it may be while plain concrete shows few regions.

A threshold at which half of the tiles are cracked suits tiles that are as often cracked as those of the data sets. Most
of a photo of a sound wall is plain. So a region must hold one footprint that reaches more (`Calibration.region_from`):
the least probability at which stretches of validation photos without a crack show at most half of the false regions
that are wanted. The other half is left for photos that differ from these.
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


def with_sure_regions(
    photo: Calibration, model: Model, surfaces: dict[str, PatchIndex], grid: str, stretches: Path
) -> Calibration:
    """Give the calibration of photos what plain concrete asks of a region.

    Args:
        photo: Calibration of photos.
        model: Model with that calibration, and no such demand yet.
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
    least = least_peak(maps, megapixels)
    print(f"regions reach {least:.2f}: {len(maps)} stretches without a crack, {megapixels:.0f} megapixels", flush=True)
    return photo.model_copy(update={"region_from": max(photo.threshold, least)})


def least_peak(maps: Iterable[CrackMap], megapixels: float) -> float:
    """The least probability of the grid that few regions of plain concrete reach; the last one if none is enough.

    Args:
        maps: Maps of stretches without a crack.
        megapixels: What they show together.
    """
    allowed = WANTED / 2 * megapixels / PER_MEGAPIXELS
    peaks = np.array([region.peak_probability for one in maps for region in one.regions()])
    enough = [float(least) for least in GRID if (peaks >= least).sum() <= allowed]
    return enough[0] if enough else float(GRID[-1])
