"""Photo calibration: a bundle learns to read photos, by a second calibration for footprints and a rule for verdicts.

A window sees surroundings that a patch does not, so logits of the same place differ. Both are fitted on validation
photos whose tiles are labelled, never on those that a figure is reported on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from crackscope.arrays import Float64Array
from crackscope.errors import DataError
from crackscope.measuring.calibration import fit_calibration, fit_shift
from crackscope.measuring.scanned_photos import ScannedPhoto
from crackscope.model.card import Calibration, Verdict
from crackscope.scanning.crack_map import pool_footprints

__all__ = ["fit_photo_calibration", "fit_verdict", "measured_verdict"]


STRETCH_TILES = 4
"""Tiles along a side of the stretches that stand for photos: photos without any crack are rare."""

FALSE_ALARMS = 0.10
"""Share of stretches without a crack that may be called ``crack``."""

MISSED = 0.05
"""Share of stretches with a crack that may be called ``uncracked``."""


def fit_photo_calibration(scanned: Sequence[ScannedPhoto], *, fitted_on: str) -> Calibration:
    """Shift and temperature, then threshold and unsure band, from the logits of labelled tiles.

    Args:
        scanned: Validation photos, from `crackscope.measuring.photo_evaluation.scan_labelled`.
        fitted_on: Data and part, for the card.

    Raises:
        DataError: If the tiles lack a label.
    """
    labels = np.concatenate([one.photo.labels for one in scanned])
    logits = np.concatenate([one.logits for one in scanned])
    if len(np.unique(labels)) < 2:
        raise DataError(f"{fitted_on}: the tiles of {len(scanned)} photos have one label only. Give photos with both.")
    shift = fit_shift(logits, labels)
    found = fit_calibration(logits + shift, labels, fitted_on=fitted_on)
    return found.model_copy(update={"shift": shift})


def fit_verdict(scanned: Sequence[ScannedPhoto], calibration: Calibration, *, fitted_on: str) -> Verdict:
    """Fit the greatest probabilities from which a photo is called ``crack``, and from which ``unsure``.

    At the threshold, at most `FALSE_ALARMS` of the stretches without a cracked tile are called crack; below the unsure
    band, at most `MISSED` of the others are missed.

    Args:
        scanned: Validation photos.
        calibration: Calibration, from `fit_photo_calibration`.
        fitted_on: Data and part, for the card.

    Raises:
        DataError: If there is no stretch with a crack, or none without.
    """
    clean, cracked, stretch_px = _peaks(scanned, calibration)
    if not len(clean) or not len(cracked):
        raise DataError(
            f"{fitted_on}: {len(clean)} stretches of {STRETCH_TILES}×{STRETCH_TILES} tiles without a crack, "
            f"{len(cracked)} with one. Give photos that have both."
        )
    # A hair above the greatest peaks that may alarm, and below the least that may be missed.
    threshold = float(np.nextafter(np.quantile(clean, 1 - FALSE_ALARMS, method="higher"), 2))
    unsure_low = min(threshold, float(np.quantile(cracked, MISSED, method="lower")))
    fitted = Verdict(
        threshold=min(1.0, threshold),
        unsure_low=unsure_low,
        stretch_px=stretch_px,
        n_clean=len(clean),
        false_alarm_rate=0,
        n_cracked=len(cracked),
        missed_rate=0,
        fitted_on=fitted_on,
    )
    return measured_verdict(fitted, scanned, calibration, measured_on=fitted_on)


def measured_verdict(
    verdict: Verdict, scanned: Sequence[ScannedPhoto], calibration: Calibration, *, measured_on: str
) -> Verdict:
    """The same rule, with the errors that it makes on other photos than it was fitted on.

    Args:
        verdict: Verdict, from `fit_verdict`.
        scanned: Photos and their maps, of a test part if possible.
        calibration: Calibration, from `fit_photo_calibration`.
        measured_on: Data and part, for the card.
    """
    clean, cracked, _ = _peaks(scanned, calibration)
    rates = {
        "n_clean": len(clean),
        "false_alarm_rate": float((clean >= verdict.threshold).mean()) if len(clean) else 0.0,
        "n_cracked": len(cracked),
        "missed_rate": float((cracked < verdict.unsure_low).mean()) if len(cracked) else 0.0,
    }
    return verdict.model_copy(update={**rates, "measured_on": measured_on})


def _peaks(scanned: Sequence[ScannedPhoto], calibration: Calibration) -> tuple[Float64Array, Float64Array, int]:
    """Greatest probability of every stretch without a crack, of every one with, and the side of the last."""
    found = [stretch for one in scanned for stretch in _stretches(one, calibration)]
    clean, cracked = (np.array([peak for peak, label, _ in found if label == wanted], np.float64) for wanted in (0, 1))
    return clean, cracked, found[-1][2] if found else 0


def _stretches(one: ScannedPhoto, calibration: Calibration) -> list[tuple[float, int, int]]:
    """Greatest probability inside each square of tiles that are all labelled, whether one is cracked, and its side."""
    pooled = pool_footprints(one.map.logits, one.map.footprint_cells, pool=one.map.pool)
    probabilities = calibration.probability(pooled)
    height, width = one.map.photo_hw
    boxes = one.photo.boxes
    n_rows, n_columns = (round(1 / float((boxes[:, i + 2] - boxes[:, i]).min())) for i in (1, 0))
    labels = np.full((n_rows, n_columns), -1)
    rows, columns = np.round(boxes[:, 1] * n_rows).astype(int), np.round(boxes[:, 0] * n_columns).astype(int)
    labels[rows, columns] = one.photo.labels
    reach = one.map.footprint_cells - 1
    found = []
    for row, column in product(range(0, n_rows, STRETCH_TILES), range(0, n_columns, STRETCH_TILES)):
        inside = labels[row : row + STRETCH_TILES, column : column + STRETCH_TILES]
        if inside.shape != (STRETCH_TILES, STRETCH_TILES) or (inside < 0).any():
            continue
        top, bottom = row * height / n_rows, (row + STRETCH_TILES) * height / n_rows
        left, right = column * width / n_columns, (column + STRETCH_TILES) * width / n_columns
        cells = one.map.cells_in((left, top, right, bottom))
        places = tuple(slice(axis.start, max(axis.start + 1, axis.stop - reach)) for axis in cells)  # wholly inside
        found.append((float(probabilities[places].max()), int(inside.any()), round(bottom - top)))
    return found
