"""Measure whether an answer depends on how large a picture was cut around a crack, or on how far it was reduced.

    python benchmarks/crop_sizes.py --sdnet2018 SDNET2018 --grid GRID.csv --without RESERVED.csv [--model BUNDLE]

Around cracked tiles of SDNET2018's photos that are not in RESERVED.csv, square pieces of 256 to 768 px are cut, and
judged by `crackscope.predict`. In a second run, the piece of 768 px is reduced to each of these sides instead. Small
pieces are patches, larger ones are photos that are scanned. From 512 to 513 px nothing should change. Where a piece is
called crack at one size, it should not be uncracked or rejected at the next.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from crackscope.data.labelled_photos import photos_by_grid
from crackscope.data.patches import read_patches
from crackscope.measuring.transfer_sets import read_photo_list, without_photos
from crackscope.model.bundle import read_bundle
from crackscope.scanning.loaded_model import Model

SIDES_PX = (256, 384, 512, 513, 640, 768)
LABELS = ("crack", "unsure", "uncracked", "rejected")
N_PHOTOS, A_PHOTO = 40, 4


def cracks(given: argparse.Namespace) -> Iterator[tuple[str, np.ndarray, int, int]]:
    """Photos with the middle (x, y) of some cracked tiles, far enough from the edge."""
    index = without_photos(read_patches(given.sdnet2018), read_photo_list(given.without))
    cracked = [photo for photo in photos_by_grid(index, given.grid) if photo.labels.any()]
    rng = np.random.default_rng(0)
    for number in rng.permutation(len(cracked))[:N_PHOTOS]:
        photo = cracked[number]
        pixels, _ = photo.load()
        boxes = np.array(photo.boxes_xyxy((pixels.shape[0], pixels.shape[1])))[photo.labels == 1]
        half = max(SIDES_PX) // 2
        middles = np.stack([boxes[:, [0, 2]].mean(1), boxes[:, [1, 3]].mean(1)], 1).astype(int)
        sizes = np.array([pixels.shape[1], pixels.shape[0]])
        inside = middles[((middles >= half) & (middles + half <= sizes)).all(1)]
        for x, y in rng.permutation(inside)[:A_PHOTO]:
            yield photo.name, pixels, int(x), int(y)


def pieces(pixels: np.ndarray, x: int, y: int, *, resized: bool) -> list[np.ndarray]:
    """Squares of every side around a point: cut out, or reduced from the largest."""

    def cut(side: int) -> np.ndarray:
        left, top = x - side // 2, y - side // 2
        return np.ascontiguousarray(pixels[top : top + side, left : left + side])

    if not resized:
        return [cut(side) for side in SIDES_PX]
    whole = cut(max(SIDES_PX))
    return [cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA) for side in SIDES_PX]


def main() -> None:
    """Print verdicts by side, and how often they agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--sdnet2018", "--grid", "--without"):
        parser.add_argument(name, required=True)
    parser.add_argument("--model", type=Path)
    given = parser.parse_args()
    model = Model(read_bundle(given.model))
    chosen = list(cracks(given))
    print(f"{len(chosen)} cracks of {len({name for name, *_ in chosen})} photos")
    for resized in (False, True):
        labels = np.array(
            [[row.label for row in model.predict(pieces(pixels, x, y, resized=resized))] for _, pixels, x, y in chosen]
        )
        print(f"\n| {'reduced to' if resized else 'cut with'} a side of | crack | unsure | uncracked | rejected |")
        print("| --- | --- | --- | --- | --- |")
        for i, side in enumerate(SIDES_PX):
            shares = [100 * np.mean(labels[:, i] == name) for name in LABELS]
            print(f"| {side} px | {' | '.join(f'{share:.0f} %' for share in shares)} |")
        steps = list(pairwise(SIDES_PX))
        here, there = labels[:, :-1], labels[:, 1:]
        lost = np.isin(here, LABELS[2:]) & (there == "crack") | np.isin(there, LABELS[2:]) & (here == "crack")
        same = steps.index((512, 513))
        print(f"512 and 513 px agree in {100 * np.mean(here[:, same] == there[:, same]):.1f} %")
        print(f"crack at one side, uncracked or rejected at the next: {100 * lost.mean():.1f} % of {lost.size} steps")
        print("; ".join(f"{a} to {b} px {100 * lost[:, i].mean():.1f} %" for i, (a, b) in enumerate(steps)))
        print(f"the same verdict at every side: {100 * (labels == labels[:, :1]).all(1).mean():.0f} %")


if __name__ == "__main__":
    main()
