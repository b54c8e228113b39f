"""The gate's word on a photo: which region decides, which is only listed, and when the whole photo is rejected.

The network is a stand-in: it takes bright crops for something else than concrete.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crackscope.model.card import BLURRED, NOT_CONCRETE, Calibration, Card, Gate
from crackscope.model.sessions import GateSigns
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.rejection import MAX_JUDGED, footprint_pixels, judged_map
from crackscope.scanning.results import verdict_of
from shared.models import tiny_card

CELL_PX, PATCH_PX = 16, 64
GATE = Gate(
    max_novelty=1.0,
    min_clarity=0.5,
    rank=1,
    n_crack=1,
    n_uncracked=1,
    not_concrete_crack=0,
    not_concrete_uncracked=0,
    blurred_crack=0,
    blurred_uncracked=0,
)
CALIBRATION = Calibration(temperature=1.0, threshold=0.5, unsure_low=0.3, unsure_high=0.7)
SURE, PROBABLE, CLEAR = 4.0, 2.0, -6.0


class BrightIsForeign:
    """A network whose novelty is 2 for crops that are bright on average, and else 0."""

    def __init__(self) -> None:
        self.n_judged = 0

    def signs(self, crop: np.ndarray[Any, Any]) -> GateSigns:
        assert crop.shape == (PATCH_PX, PATCH_PX, 3)
        self.n_judged += 1
        return GateSigns(2.0 if crop.mean() > 128 else 0.0)


def card_with(gate: Gate | None = GATE) -> Card:
    return tiny_card(patch_px=PATCH_PX, patch=CALIBRATION, gate=gate)


def photo(n_rows: int, n_columns: int, *bright: tuple[slice, slice]) -> np.ndarray[Any, Any]:
    """A dark photo of so many cells, with bright places, as a place in cells."""
    pixels = np.full((n_rows * CELL_PX, n_columns * CELL_PX, 3), 60, np.uint8)
    for rows, columns in bright:
        pixels[rows.start * CELL_PX : rows.stop * CELL_PX, columns.start * CELL_PX : columns.stop * CELL_PX] = 220
    return pixels


def map_with(n_rows: int, n_columns: int, *places: tuple[int, int, float]) -> CrackMap:
    """A map of cells without a crack, with squares of as many cells as a footprint has at (row, column)."""
    logits = np.full((n_rows, n_columns), CLEAR, np.float32)
    for row, column, logit in places:
        logits[row : row + 4, column : column + 4] = logit
    return CrackMap(
        logits=logits,
        photo_hw=(n_rows * CELL_PX, n_columns * CELL_PX),
        cell_px=(CELL_PX, CELL_PX),
        footprint_cells=4,
        calibration=CALIBRATION,
        network_scale=1.0,
    )


def judged(found: CrackMap, pixels: np.ndarray[Any, Any], card: Card | None = None, clear: float = 1.0) -> CrackMap:
    network: Any = BrightIsForeign()
    return judged_map(found, pixels, network, card or card_with(), known_clarity=clear)


SKY = (slice(0, 8), slice(0, 30))  # the upper third of 24 rows


def test_the_most_probable_region_that_shows_concrete_decides() -> None:
    """A silhouette before the sky was the most probable region, and decided."""
    found = judged(map_with(24, 30, (2, 4, SURE), (16, 20, PROBABLE)), photo(24, 30, SKY))
    assert found.reason is None
    assert found.peak_probability == pytest.approx(1 / (1 + np.exp(-SURE)), abs=1e-6)
    assert found.deciding_probability == pytest.approx(1 / (1 + np.exp(-PROBABLE)), abs=1e-6)
    assert [region.reason for region in found.regions()] == [NOT_CONCRETE, None]
    assert found.accepted is not None
    assert 20 * CELL_PX <= found.accepted.x_px < 24 * CELL_PX
    assert 16 * CELL_PX <= found.accepted.y_px < 20 * CELL_PX


def test_a_region_that_shows_no_concrete_does_not_decide() -> None:
    found = judged(map_with(24, 30, (2, 4, SURE)), photo(24, 30, SKY))
    assert (found.reason, found.accepted) == (None, None)
    assert found.deciding_probability < CALIBRATION.unsure_low
    assert verdict_of(found, card_with()) == "uncracked"
    assert [region.reason for region in found.regions()] == [NOT_CONCRETE]


def test_a_crack_on_concrete_is_found_whatever_else_the_photo_shows() -> None:
    """Four fifths of the crops show something else, and used to reject the photo."""
    mostly = (slice(0, 24), slice(6, 30))
    found = judged(map_with(24, 30, (10, 1, SURE)), photo(24, 30, mostly))
    assert found.reason is None
    assert verdict_of(found, card_with()) == "crack"
    without = judged(map_with(24, 30), photo(24, 30, mostly))
    assert (without.reason, without.deciding_probability) == (NOT_CONCRETE, without.peak_probability)
    assert verdict_of(without, card_with()) == "rejected"


def test_a_long_region_is_judged_in_several_places() -> None:
    """A crack that runs into a bright thing: its most probable place is there, and concrete beside it."""
    found = map_with(24, 30, *((10, column, SURE - 0.1 * column) for column in range(24)))
    seen = judged(found, photo(24, 30, (slice(0, 24), slice(0, 8))))
    assert [region.reason for region in seen.regions()] == [None]
    assert seen.accepted is not None
    assert seen.accepted.x_px > 4 * CELL_PX
    assert seen.deciding_probability < seen.peak_probability


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9, 0.98])
def test_a_region_keeps_its_reason_at_every_threshold(threshold: float) -> None:
    found = judged(map_with(24, 30, (2, 4, SURE), (16, 20, PROBABLE)), photo(24, 30, SKY))
    reasons = [region.reason for region in found.regions(threshold)]
    assert reasons == [NOT_CONCRETE, None][: len(reasons)]


def test_blur_rejects_the_photo_and_not_a_region_of_a_sharp_photo() -> None:
    crack = map_with(24, 30, (10, 10, SURE))
    blurred = judged(crack, photo(24, 30), clear=0.1)
    assert (blurred.reason, [region.reason for region in blurred.regions()]) == (BLURRED, [BLURRED])
    rng = np.random.default_rng(0)
    sharp = np.repeat(rng.integers(0, 120, (24 * CELL_PX, 30 * CELL_PX, 1), np.uint8), 3, 2)
    sharp[9 * CELL_PX : 15 * CELL_PX, 9 * CELL_PX : 15 * CELL_PX] = 60  # no grain around the crack alone
    network: Any = BrightIsForeign()
    seen = judged_map(crack, sharp, network, card_with(), known_clarity=None)
    assert (seen.reason, [region.reason for region in seen.regions()]) == (None, [None])


def test_at_most_so_many_footprints_are_judged() -> None:
    many = [(row, column, SURE) for row in range(0, 96, 6) for column in range(0, 96, 6)]
    network: Any = BrightIsForeign()
    bright = np.full((96 * CELL_PX, 96 * CELL_PX, 3), 220, np.uint8)
    found = judged_map(map_with(96, 96, *many), bright, network, card_with(), known_clarity=1.0)
    assert network.n_judged <= 24 + MAX_JUDGED
    assert sum(region.reason is not None for region in found.regions()) <= MAX_JUDGED


def test_a_photo_without_a_gate_or_narrower_than_a_patch_is_left_as_it_is() -> None:
    found = map_with(24, 30, (2, 4, SURE))
    assert judged(found, photo(24, 30, SKY), card_with(None)) is found
    strip = map_with(3, 30, (0, 4, SURE))
    assert judged(strip, photo(3, 30, (slice(0, 3), slice(0, 30)))) is strip
    assert found.deciding_probability == found.peak_probability


def test_a_footprint_is_cut_where_its_cell_is_and_never_outside() -> None:
    pixels = photo(24, 30)
    pixels[...] = (np.arange(24 * CELL_PX)[:, None, None] // 2).astype(np.uint8)
    found = map_with(24, 30)
    for row, top in ((0, 0), (10, 9 * CELL_PX), (23, 20 * CELL_PX)):
        crop = footprint_pixels(found, pixels, PATCH_PX, row, 0)
        assert crop.shape == (PATCH_PX, PATCH_PX, 3)
        assert crop[0, 0, 0] == pixels[top, 0, 0]


def test_a_map_keeps_what_the_gate_said(tmp_path: Path) -> None:
    found = judged(map_with(24, 30, (2, 4, SURE), (16, 20, PROBABLE)), photo(24, 30, SKY))
    found.save(tmp_path / "map.npz")
    again = CrackMap.load(tmp_path / "map.npz")
    assert (again.accepted, again.rejected, again.reason) == (found.accepted, found.rejected, None)
    assert again.regions() == found.regions()
    assert again.deciding_probability == found.deciding_probability


def test_a_map_of_the_first_format_has_neither(tmp_path: Path) -> None:
    plain = map_with(24, 30, (2, 4, SURE))
    assert (plain.accepted, plain.rejected) == (None, ())
    plain.save(tmp_path / "map.npz")
    with np.load(tmp_path / "map.npz") as kept:
        logits, about = kept["logits"], json.loads(str(kept["about"]))
    older = {name: value for name, value in about.items() if name not in ("accepted", "rejected")}
    assert len(older) == len(about) - 2
    np.savez_compressed(tmp_path / "old.npz", logits=logits, about=np.array(json.dumps(older)))
    again = CrackMap.load(tmp_path / "old.npz")
    assert (again.accepted, again.rejected) == (None, ())
    assert again.regions() == plain.regions()
    assert again.deciding_probability == plain.peak_probability
