"""Measure how wide a crack must be for a bundle to find it, on cracks drawn on real concrete and on real cracks.

    python benchmarks/widths.py --sdnet2018 SDNET2018 --reserved RESERVED.csv --masks FOLDER [--model BUNDLE]

Drawn cracks: a pale or dark crack of one typical width is drawn on each of 600 uncracked tiles. The tiles are from
SDNET2018's test part, split by photo (photos overlap) with seed 0 and 70:15:15; photos in RESERVED.csv are
never read. Real cracks: the photos of FOLDER (images/ and masks/) have masks that trace the cracks. The width of a
tile's crack is twice the median distance of its middle line from its edge. The program prints, by width in pixels of
the network, the share of tiles called crack at the bundle's threshold, with its 95 % interval over photos.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage.morphology import skeletonize

from crackscope.data.labelled_photos import photos_by_masks
from crackscope.data.patches import PatchIndex, read_patches
from crackscope.data.splits import apply_split, split
from crackscope.drawing.drawn_lines import crack_over
from crackscope.files.streaming import ordered_map
from crackscope.measuring.scanned_photos import scan_labelled
from crackscope.measuring.transfer_sets import read_photo_list, without_photos
from crackscope.scanning.loaded_model import Model, load
from gate import interval

WIDTHS_PX = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0)
BINS_PX = (0, 4, 6, 9, 14, 100)
N_TILES, WHITE = 600, 128


def print_drawn(index: PatchIndex, model: Model) -> None:
    patches = [patch for patch in index.patches if patch.label == "uncracked"]
    patches = [patches[int(i)] for i in np.linspace(0, len(patches) - 1, N_TILES).round()]
    photos = [patch.photo or "" for patch in patches]
    scale = model.card.patch_px / model.card.source_px

    def said(width_px: float) -> np.ndarray:
        def one(number: int) -> float:
            pixels = index.read_pixels(patches[number].path)
            if width_px:
                rng = np.random.default_rng([number, 1])
                pixels, _ = crack_over(pixels, rng, widths_px=(width_px / scale, width_px / scale))
            return float(model.probabilities([pixels])[0])

        return np.array(list(ordered_map(one, range(len(patches))))) >= model.card.patch.threshold

    print("\n| drawn crack, network px | n | called crack |\n| --- | --- | --- |")
    for width_px in (0.0, *WIDTHS_PX):
        name = f"{width_px:g}" if width_px else "none (false alarms)"
        print(f"| {name} | {len(patches)} | {interval(said(width_px), photos)} |", flush=True)


def thinned(mask: np.ndarray) -> np.ndarray:
    """Find the middle lines of a mask."""
    thin: Any = skeletonize
    return np.asarray(thin(mask))


def print_real(folder: Path, model: Model) -> None:
    photos = photos_by_masks(folder / "images", folder / "masks", tile_px=model.card.source_px)
    masks = {path.stem: path for path in (folder / "masks").iterdir()}
    rows: list[tuple[float, bool, str]] = []  # width, called crack, photo
    for one in scan_labelled(photos, model)[0]:
        mask = np.asarray(cv2.imread(str(masks[Path(one.photo.name).stem]), cv2.IMREAD_GRAYSCALE)) >= WHITE
        half_widths = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
        middle = thinned(mask)
        to_network = one.map.photo_hw[0] / mask.shape[0] * one.map.network_scale
        boxes = one.photo.boxes_xyxy(one.map.photo_hw)
        for share, box, label in zip(one.photo.boxes, boxes, one.photo.labels, strict=True):
            x0, y0, x1, y1 = (share * (*mask.shape[::-1], *mask.shape[::-1])).round().astype(int)
            line = half_widths[y0:y1, x0:x1][middle[y0:y1, x0:x1]]
            if label and len(line):
                called = one.map.probability_in(box) >= one.map.calibration.threshold
                rows.append((2 * float(np.median(line)) * to_network, called, one.photo.name))
    print("\n| real crack, network px | n | called crack |\n| --- | --- | --- |")
    for low, high in itertools.pairwise(BINS_PX):
        own = [row for row in rows if low <= row[0] < high]
        if own:
            share = interval(np.array([called for _, called, _ in own]), [name for *_, name in own])
            print(f"| {low} to {high} | {len(own)} | {share} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--sdnet2018", "--reserved"):
        parser.add_argument(name, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    given = parser.parse_args()
    model = load(given.model)
    index = without_photos(read_patches(given.sdnet2018), read_photo_list(given.reserved))
    print_drawn(apply_split(index, split=split(index, by="photo"), part="test"), model)
    print_real(given.masks, model)


if __name__ == "__main__":
    main()
