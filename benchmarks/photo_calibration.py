"""Measure the default bundle's calibration for photos and its verdict, on photos it has not seen.

    python benchmarks/photo_calibration.py --sdnet2018 SDNET2018 --grid GRID.csv --reserved RESERVED.csv
        [--masks FOLDER] [--model BUNDLE]

GRID.csv puts SDNET2018's tiles together to photos; photos in RESERVED.csv (surface,photo) are never read. The set is
split by photo (photos overlap), with seed 0 and 70:15:15, as for the training of the default bundle. Calibration and
verdict were fitted on val. The program prints:

- the share of val's tiles whose label differs between the tile alone and the photo's map, each at its own calibrated
  threshold. The map is read with the patch calibration, with the photo calibration, and with a calibration that was
  fitted on other photos of val (five folds);
- how often the verdict is wrong on stretches of val, which it was fitted on, and of test;
- the ECE of footprints on val (five folds) and on test;
- AUROC, average precision, recall at one false region per photo, and pointing accuracy, on test and on the photos of
  FOLDER (images/ and masks/): at the automatic scale, at other scales, and for the mean of several scales.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from crackscope.data.labelled_photos import LabelledPhoto, photos_by_grid, photos_by_masks
from crackscope.data.patches import PatchIndex, read_patches
from crackscope.data.splits import apply_split, split
from crackscope.files.images import decode_image
from crackscope.measuring.metrics import measure
from crackscope.measuring.photo_calibration import fit_photo_calibration, measured_verdict
from crackscope.measuring.photo_evaluation import measure_photos
from crackscope.measuring.scanned_photos import ScannedPhoto, scan_labelled
from crackscope.measuring.transfer_sets import read_photo_list, without_photos
from crackscope.model.bundle import read_bundle
from crackscope.model.card import Calibration
from crackscope.scanning.loaded_model import Model
from crackscope.scanning.scanner import NetworkScale

FOLDS = 5
SCALES = (0.3125, 0.46875, 0.9375)
MASK_SCALES = (0.625, 1.0, 2.0)
COMBINED = (0.46875, 0.625, 0.9375)


def labels_alone(photos: list[ScannedPhoto], index: PatchIndex, model: Model) -> np.ndarray:
    files = [patch.path for one in photos for patch in one.photo.patches]
    pixels = (decode_image(index.files.read(path)).pixels for path in files)
    probabilities = np.concatenate([model.probabilities([one]) for one in pixels])
    return probabilities >= model.card.patch.threshold


def said(photos: list[ScannedPhoto], calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    probabilities = calibration.probability(np.concatenate([one.logits for one in photos]))
    return probabilities, probabilities >= calibration.threshold


def ece(photos: list[ScannedPhoto], probabilities: np.ndarray) -> float:
    labels = np.concatenate([one.photo.labels for one in photos])
    names = [one.photo.name for one in photos for _ in one.photo.tiles]
    return measure(labels, probabilities, photos=names, threshold=0.5, n_resamples=10)["ece"].value


def across_folds(photos: list[ScannedPhoto]) -> tuple[np.ndarray, np.ndarray]:
    """Compute each tile's probability by a calibration fitted on the photos of other folds; give the labels, too."""
    order = np.random.default_rng(0).permutation(len(photos))
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for fold in np.array_split(order, FOLDS):
        calibration = fit_photo_calibration([photos[i] for i in order if i not in fold], fitted_on="other folds")
        found |= {int(i): said([photos[i]], calibration) for i in fold}
    return tuple(np.concatenate([found[i][k] for i in range(len(photos))]) for k in (0, 1))  # type: ignore[return-value]


def combined(several: list[list[ScannedPhoto]]) -> list[ScannedPhoto]:
    """Average the maps of several scales on the grid of the finest one."""
    found = []
    for ones in zip(*several, strict=True):
        finest = max(ones, key=lambda one: one.map.logits.size)
        shape = finest.map.logits.shape
        maps = []
        for one in ones:
            sides = zip(shape, one.map.logits.shape, strict=True)
            rows, columns = (np.minimum((np.arange(n) + 0.5) * m / n, m - 1).astype(int) for n, m in sides)
            maps.append(one.map.logits[np.ix_(rows, columns)])
        both = replace(finest.map, logits=np.mean(maps, axis=0, dtype=np.float32))
        logits = np.array([both.logit_in(box) for box in one.photo.boxes_xyxy(both.photo_hw)])
        found.append(replace(finest, map=both, logits=logits))
    return found


def row(name: str, scale: str, scanned: list[ScannedPhoto], model: Model) -> None:
    found = measure_photos(scanned, model, dataset=name)
    figures = {key: found.tiles.metrics[key] for key in ("auroc", "average_precision", "f1_crack", "ece")}
    figures |= {"recall": found.figures.recall_at_one_false_region, "pointing": found.figures.pointing_accuracy}
    cells = " | ".join(f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in figures.values())
    print(f"| {name} | {scale} | {found.figures.n_photos} | {found.tiles.n_patches:,} | {cells} |", flush=True)


def rescaled(model: Model, photos: list[LabelledPhoto], scale: NetworkScale = "auto") -> list[ScannedPhoto]:
    return scan_labelled(photos, model, network_scale=scale)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--sdnet2018", "--grid", "--reserved"):
        parser.add_argument(name, required=True)
    for name in ("--masks", "--model"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    index = without_photos(read_patches(given.sdnet2018), read_photo_list(given.reserved))
    index = apply_split(index, split=split(index, by="photo"))
    bundle = read_bundle(given.model)
    model = Model(bundle)
    val = rescaled(model, photos_by_grid(index.part("val"), given.grid))
    calibration, own_verdict = bundle.card.photo, bundle.card.verdict
    assert calibration is not None
    assert own_verdict is not None
    test = photos_by_grid(index.part("test"), given.grid)
    tested = rescaled(model, test)
    for part, scanned in (("val", val), ("test", tested)):
        verdict = measured_verdict(own_verdict, scanned, calibration, measured_on=part)
        print(
            f"verdict on {part}: {verdict.false_alarm_rate:.3f} of {verdict.n_clean} stretches without a crack", end=""
        )
        print(f" alarm, {verdict.missed_rate:.3f} of {verdict.n_cracked} with one are missed")
    alone = labels_alone(val, index, model)
    probabilities, labels = across_folds(val)
    print(f"{len(alone):,} tiles of val; another label in the photo than alone:")
    print(f"  patch calibration                     {(said(val, bundle.card.patch)[1] != alone).mean():.4f}")
    print(f"  photo calibration                     {(said(val, calibration)[1] != alone).mean():.4f}")
    print(f"  photo calibration, of other folds     {(labels != alone).mean():.4f}")
    print(f"ECE on val, calibration of other folds: {ece(val, probabilities):.4f}")

    head_line = "AUROC | average precision | F1 | ECE | recall at 1 false region a photo | pointing"
    print(f"| data | scale | photos | tiles | {head_line} |\n| {' | '.join(['---'] * 10)} |")
    row("SDNET2018, test", "auto (0.625)", tested, model)
    for scale in SCALES:
        row("SDNET2018, test", f"{scale:g}", rescaled(model, test, scale), model)
    several = [rescaled(model, test, scale) for scale in COMBINED]
    row("SDNET2018, test", "mean of " + ", ".join(f"{scale:g}" for scale in COMBINED), combined(several), model)
    if given.masks:
        photos = photos_by_masks(given.masks / "images", given.masks / "masks", tile_px=bundle.card.source_px)
        row("photos with masks", "auto", rescaled(model, photos), model)
        for scale in MASK_SCALES:
            row("photos with masks", f"{scale:g}", rescaled(model, photos, scale), model)


if __name__ == "__main__":
    main()
