"""Measure registration and the search for scenes on real and drawn photos.

    python benchmarks/registration.py SDNET2018 --grid GRID --pairs PAIRS --out FOLDER [--parts search,strangers,...]

SDNET2018 is the data set's folder. GRID says where each tile lies in its photo. PAIRS lists pairs of photos that
overlap, with the columns surface, photo_a, photo_b. Each part writes its figures into FOLDER and is not repeated:

- `search`: share of the listed pairs that `crackscope scenes` finds without the order of the photos, and its time;
- `strangers`: number of matches among 1,000 pairs of photos of different surfaces, which cannot show the same place;
- `warped`: photos and copies of them that were turned by up to 15°, scaled by 0.67 to 1.5, lightened or darkened by up
  to 35 %, blurred and saved as JPEG of quality 70. Share that matches, and median error of 200 points in pixels;
- `wide`: the same with any turn and scales of 0.33 to 3, for comparison;
- `held-out`: real pairs in full-size pixels. Matches are found at 5 megapixels, since those at working size are less
  exact than 2 px. A fifth of them is set aside by seed before any fit. Of those within 15 px of the homography that was
  fitted to the rest, the share within 2 px before and after refinement;
- `walls`: number of matches among 200 drawn walls of bricks and planks, each with the next one of its kind.

The same seed gives the same figures.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from crackscope.arrays import Float64Array, UInt8Array
from crackscope.data.labelled_photos import LabelledPhoto, photos_by_grid
from crackscope.data.photo_features import (
    PhotoFeatures,
    features_of,
    grey_of,
    hw_of,
    in_working_px,
    matches_between,
    shrunk,
)
from crackscope.data.refinement import mapped
from crackscope.data.registration import register, register_features
from crackscope.data.scene_photos import photos_for_scenes
from crackscope.drawing.repeated import draw_bricks, draw_planks
from crackscope.drawing.walls import draw_photo
from crackscope.files.tables import TableForm, read_table
from crackscope.reports.scenes_report import write_scenes

Figures = dict[str, Any]
POINTS = 200
NEAR_PX, EXACT_PX = 15.0, 2.0
FINE_MEGAPIXELS = 5.0


class Bench:
    """The photos, the listed pairs and the seed."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out = options, Path(options.out)
        self.photos: dict[str, LabelledPhoto] = {
            photo.name: photo for photo in photos_by_grid(options.data, options.grid)
        }
        rows = read_table(Path(options.pairs), TableForm(("surface", "photo_a", "photo_b")))
        self.pairs = [tuple(f"{row['surface']}-{row[photo]}" for photo in ("photo_a", "photo_b")) for row in rows]
        self.rng = random.Random(options.seed)

    @cache  # noqa: B019
    def features(self, name: str) -> PhotoFeatures:
        """Features of a photo at working size."""
        return features_of(grey_of(self.pixels(name)))

    def pixels(self, name: str) -> UInt8Array:
        """Pixels of a photo."""
        return self.photos[name].load()[0]


def search(bench: Bench) -> Figures:
    out = bench.out / "scenes"
    start = time.time()
    if not out.exists():
        photos = photos_for_scenes([bench.options.data], grid=bench.options.grid)
        write_scenes(photos, out, by_names=False, threads=bench.options.threads)
    with (out / "pairs.csv").open(newline="") as file:
        found = {(row["photo_a"], row["photo_b"]) for row in csv.DictReader(file)}
    listed = set(bench.pairs)
    return {
        "minutes, if begun anew": (time.time() - start) / 60,
        "listed": len(listed),
        "found of these": len(listed & found),
        "found": len(found),
        "missed": sorted(map(list, listed - found)),
        "not listed": sorted(map(list, found - listed)),
    }


def strangers(bench: Bench) -> Figures:
    names, wrong, most = sorted(bench.photos), [], 0
    chosen: set[tuple[str, str]] = set()
    while len(chosen) < bench.options.strangers:
        one, other = sorted(bench.rng.sample(names, 2))
        if one.partition("-")[0] != other.partition("-")[0]:
            chosen.add((one, other))
    for one, other in sorted(chosen):
        found = register_features(bench.features(one), bench.features(other))
        most = max(most, found.n_inliers)
        if found.matches:
            wrong.append([one, other, found.n_inliers, found.texture_share])
    return {"pairs": len(chosen), "matched": len(wrong), "most points that agree": most, "which": wrong}


def _copy(
    pixels: UInt8Array, rng: np.random.Generator, *, most_turn: float, zooms: tuple[float, float]
) -> tuple[UInt8Array, Float64Array]:
    """A changed copy of a photo, and the homography from the photo to it."""
    height, width = hw_of(pixels)
    turn = np.radians(rng.uniform(-most_turn, most_turn))
    zoom = float(np.exp(rng.uniform(*np.log(zooms))))
    turned = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([width - 1, height - 1]) / 2
    affine = np.eye(3)
    affine[:2, :2], affine[:2, 2] = turned, middle - turned @ middle
    affine[2, :2] = rng.uniform(-0.03, 0.03, 2) / max(height, width)
    source = cv2.GaussianBlur(pixels, (0, 0), 0.5 / zoom) if zoom < 1 else pixels
    copy = cv2.warpPerspective(source, affine, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    blurred = cv2.GaussianBlur(copy, (0, 0), float(rng.uniform(0.3, 1.5)))
    lit = np.clip(blurred.astype(np.float32) * rng.uniform(0.65, 1.35), 0, 255).astype(np.uint8)
    encoded = cv2.imencode(".jpg", lit[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1], affine


def _warped(bench: Bench, most_turn: float, zooms: tuple[float, float]) -> Figures:
    found: Figures = {}
    n = bench.options.copies
    names = bench.rng.sample(sorted(bench.photos), min(n, len(bench.photos)))
    kinds: dict[str, list[Callable[[], UInt8Array]]] = {
        "real": [lambda name=name: shrunk(bench.pixels(name), 0.5) for name in names],  # type: ignore[misc]
        "drawn": [lambda seed=seed: draw_photo(seed, photo_hw=(900, 1200)).pixels for seed in range(n)],  # type: ignore[misc]
    }
    for kind, makers in kinds.items():
        errors, worst, missed = [], [], []
        for number, make in enumerate(makers):
            rng = np.random.default_rng([bench.options.seed, number])
            pixels = make()
            copy, truth = _copy(pixels, rng, most_turn=most_turn, zooms=zooms)
            got = register(pixels, copy)
            if not got.matches:
                missed.append([names[number] if kind == "real" else number, got.reason])
                continue
            height, width = hw_of(pixels)
            points = rng.uniform((0, 0), (width - 1, height - 1), (10 * POINTS, 2))
            targets = mapped(truth, points)
            inside = ((targets >= 0) & (targets <= (width - 1, height - 1))).all(1)
            error = np.hypot(*(got.map_points(points[inside][:POINTS]) - targets[inside][:POINTS]).T)
            errors.append(float(np.median(error)))
            worst.append(float(np.percentile(error, 95)))
        found[kind] = {
            "photos": len(makers),
            "matched": len(errors),
            "median of the median errors, px": float(np.median(errors)),
            "95th percentile of the median errors, px": float(np.percentile(errors, 95)),
            "median of the 95th percentiles, px": float(np.median(worst)),
            "missed": missed,
        }
    return found


def warped(bench: Bench) -> Figures:
    return _warped(bench, 15, (0.67, 1.5))


def wide(bench: Bench) -> Figures:
    return _warped(bench, 180, (0.33, 3.0))


def _full(features: PhotoFeatures, numbers: np.ndarray) -> Float64Array:
    back = np.linalg.inv(in_working_px(features.photo_hw, hw_of(features.grey)))
    return mapped(np.asarray(back, np.float64), features.points_xy[numbers].astype(np.float64))


def held_out(bench: Bench) -> Figures:
    rows = []
    for number, (one, other) in enumerate(sorted(bench.rng.sample(bench.pairs, bench.options.held_out_pairs))):
        greys = [grey_of(bench.pixels(name)) for name in (one, other)]
        a, b = (features_of(grey, megapixels=FINE_MEGAPIXELS) for grey in greys)
        matches = matches_between(a, b)
        aside = np.random.default_rng([bench.options.seed, number]).permutation(len(matches)) < len(matches) // 5
        found = register_features(a, b, *greys, matches=matches[~aside])
        if found.homography is None:
            rows.append([one, other, 0, 0, 0])
            continue
        places, targets = _full(a, matches[aside, 0]), _full(b, matches[aside, 1])
        before = np.hypot(*(mapped(found.homography, places) - targets).T)
        near = before <= NEAR_PX
        after = np.hypot(*(found.map_points(places) - targets).T)
        rows.append([one, other, *(int(n.sum()) for n in (near, before[near] <= EXACT_PX, after[near] <= EXACT_PX))])
        print("held-out", rows[-1], flush=True)
    total = np.array([row[2:] for row in rows]).sum(0)
    return {
        "pairs": len(rows),
        "set aside, within 15 px of the homography": int(total[0]),
        "share within 2 px, homography alone": total[1] / total[0],
        "share within 2 px, refined": total[2] / total[0],
        "by pair": rows,
    }


def walls(bench: Bench) -> Figures:
    matched, most = [], 0
    for draw in (draw_bricks, draw_planks):
        features = [features_of(grey_of(draw(seed))) for seed in range(bench.options.walls // 2)]
        for seed, (one, other) in enumerate(zip(features, features[1:] + features[:1], strict=True)):
            found = register_features(one, other)
            most = max(most, found.n_inliers)
            if found.matches:
                matched.append([draw.__name__, seed, found.n_inliers])
    return {"walls": bench.options.walls, "matched": len(matched), "most points that agree": most, "which": matched}


PARTS: dict[str, Callable[[Bench], Figures]] = {
    "walls": walls,
    "warped": warped,
    "held-out": held_out,
    "search": search,
    "strangers": strangers,
    "wide": wide,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="Folder of SDNET2018's patches.")
    parser.add_argument("--grid", required=True, help="CSV that says where each tile lies in its photo.")
    parser.add_argument("--pairs", required=True, help="CSV of pairs of photos that overlap.")
    parser.add_argument("--out", required=True, help="Folder for figures.")
    parser.add_argument("--parts", default=",".join(PARTS), help="Parts to measure, with commas between.")
    parser.add_argument("--strangers", type=int, default=1000, help="Number of pairs of different surfaces.")
    parser.add_argument("--copies", type=int, default=100, help="Number of warped copies of each kind.")
    parser.add_argument("--held-out-pairs", type=int, default=30, help="Number of real pairs for held-out matches.")
    parser.add_argument("--walls", type=int, default=200, help="Number of walls of bricks and planks.")
    parser.add_argument("--threads", type=int, help="Number of threads of the search.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of all choices.")
    options = parser.parse_args()
    Path(options.out).mkdir(parents=True, exist_ok=True)
    for part in options.parts.split(","):
        place = Path(options.out) / f"{part}.json"
        if not place.exists():
            figures = PARTS[part](Bench(options))
            place.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        print(part, place.read_text(encoding="utf-8"), flush=True)


if __name__ == "__main__":
    main()
