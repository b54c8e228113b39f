"""Regions must reach so much that plain concrete shows few of them."""

from __future__ import annotations

import numpy as np
import pytest

from crackscope.model.card import Calibration
from crackscope.scanning.crack_map import CrackMap
from default_regions import GRID, PER_MEGAPIXELS, WANTED, least_peak

CALIBRATION = Calibration(temperature=1.0, threshold=0.5, unsure_low=0.4, unsure_high=0.6)


def map_with_peaks(*probabilities: float) -> CrackMap:
    """A map of plain concrete with single cells that reach some probabilities."""
    logits = np.full((5, 2 * len(probabilities) + 1), -9.0, np.float32)
    logits[2, 1::2] = [np.log(p / (1 - p)) for p in probabilities]
    return CrackMap(logits, (80, 16 * logits.shape[1]), (16.0, 16.0), 1, CALIBRATION, 1.0)


@pytest.mark.parametrize(("allowed", "expected"), [(0, 0.91), (1, 0.81), (2, 0.61), (3, 0.5)])
def test_the_least_peak_with_few_regions_is_chosen(allowed: int, expected: float) -> None:
    maps = [map_with_peaks(0.605, 0.805), map_with_peaks(0.905, 0.3)]
    megapixels = 2 * (allowed + 0.5) * PER_MEGAPIXELS / WANTED
    assert least_peak(maps, megapixels) == expected


def test_where_no_peak_is_high_enough_the_last_one_is_taken() -> None:
    assert least_peak([map_with_peaks(0.999)], 1.0) == GRID[-1]
