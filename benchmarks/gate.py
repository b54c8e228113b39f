"""Measure what the default bundle's gate rejects: cracks, sound concrete, blur, foreign pictures.

    python benchmarks/gate.py --metu METU --sdnet2018 SDNET2018 --without RESERVED.csv
        [--model BUNDLE] [--grid GRID.csv] [--photos FOLDER] [--foreign FOLDER ...]

Both folders hold the full sets; photos in RESERVED.csv (surface,photo) are never read. METU is split by similarity,
SDNET2018 by photo (photos overlap), with seed 0 and 70:15:15, as for the training of the default bundle. Its gate was
fitted on train and val. The figures here are measured on test, with 95 % intervals over photos (in METU over groups
that look alike).

The program always judges patches, drawn text, drawn screens, noise and flat colours. It also blurs cracked patches, and
prints the recall of all of them and of those that are not rejected. Each FOLDER of --foreign holds pictures of one
kind, which has the folder's name. Crops of 256 px are cut from each picture at random, and the picture is also judged
as a photo. GRID.csv puts the tiles of SDNET2018's test part together to photos. --photos names a folder with images/
and masks/ of concrete photos from other sites. Both kinds of photo are judged in the same way.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from crackscope.data.labelled_photos import LabelledPhoto, photos_by_grid, photos_by_masks
from crackscope.data.patches import PatchIndex, read_patches
from crackscope.data.splits import apply_split, split
from crackscope.drawing.corruptions import STRENGTHS, corrupt
from crackscope.errors import CrackscopeError
from crackscope.files.images import read_image
from crackscope.files.streaming import ordered_map
from crackscope.measuring.evaluation import evaluate_predictions
from crackscope.measuring.transfer_sets import read_photo_list, without_photos
from crackscope.model.bundle import read_bundle
from crackscope.model.card import REASONS
from crackscope.scanning.loaded_model import Model
from crackscope.scanning.prediction import Prediction
from crackscope.training.gates import spread_patches

N_BLURRED, SIDE_PX = 400, 256
N_RESAMPLES = 1000


def share(said: list[Prediction], reason: str | None = None) -> float:
    return float(np.mean([one.reason is not None if reason is None else one.reason == reason for one in said]))


def interval(hits: np.ndarray, photos: list[str]) -> str:
    """Compute a share with its 95 % interval, resampling photos."""
    numbers = np.unique(photos, return_inverse=True)[1]
    counts, sums = np.bincount(numbers), np.bincount(numbers, weights=hits)
    drawn = np.random.default_rng(0).integers(0, len(counts), (N_RESAMPLES, len(counts)))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), (0.025, 0.975))
    return f"{100 * hits.mean():.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head_row(*cells: str) -> None:
    print()
    row(*cells)
    row(*["---"] * len(cells))


def judge_patches(name: str, index: PatchIndex, model: Model) -> None:
    said = list(ordered_map(lambda path: model.classify(index.read_pixels(path)), index.paths, threads=2))
    for label in ("crack", "uncracked"):
        mine = [i for i, patch in enumerate(index.patches) if patch.label == label]
        photos = [index.patches[i].photo or index.paths[i] for i in mine]
        cells = [
            interval(
                np.array([said[i].reason is not None if why is None else said[i].reason == why for i in mine]), photos
            )
            for why in (None, *REASONS)
        ]
        row(name, label, f"{len(mine):,}", len(set(photos)), *cells)
    labels = index.labels
    kept = [i for i, one in enumerate(said) if one.reason is None]
    figures = [
        evaluate_predictions(
            labels[some],
            np.array([said[i].crack_probability for i in some]),
            paths=[index.paths[i] for i in some],
            photos=None,
            threshold=model.card.patch.threshold,
            unsure_band=(0.5, 0.5),
            dataset=name,
            model=model.name,
            model_sha256=model.sha256,
            n_resamples=10,
        ).metrics
        for some in (list(range(len(said))), kept)
    ]
    accuracy = [f"{one['accuracy'].value:.4f}" for one in figures]
    recall = [f"{one['recall_crack'].value:.4f}" for one in figures]
    print(f"  accuracy {accuracy[0]}, of the rest {accuracy[1]}; recall {recall[0]}, of the rest {recall[1]}")


def judge_blur(indexes: list[PatchIndex], model: Model) -> None:
    chosen = [
        (index, patch)
        for index in indexes
        for patch in spread_patches([p for p in index.patches if p.label == "crack"], N_BLURRED)
    ]
    pixels = [index.read_pixels(patch.path) for index, patch in chosen]
    for name, strength in [("none", 0), *((name, s) for name in ("motion_blur", "defocus") for s in STRENGTHS)]:

        def answer(one: np.ndarray, name: str = name, strength: int = strength) -> Prediction:
            return model.classify(corrupt(one, name, strength) if strength else one)

        said = list(ordered_map(answer, pixels, threads=2))
        cracks = [one.crack_probability >= one.threshold for one in said]
        kept = [crack for crack, one in zip(cracks, said, strict=True) if one.reason is None]
        missed = np.mean([not crack and one.reason is None for crack, one in zip(cracks, said, strict=True)])
        row(
            name.replace("_", " "),
            strength,
            f"{100 * share(said):.1f} %",
            f"{np.mean(cracks):.3f}",
            f"{np.mean(kept):.3f} of {len(kept)}" if kept else "none left",
            f"{100 * missed:.1f} %",
        )


def drawn_text(rng: np.random.Generator) -> np.ndarray:
    page = np.full((SIDE_PX, SIDE_PX, 3), rng.integers(200, 256), np.uint8)
    for line in range(12):
        words = "".join(chr(rng.integers(97, 123)) for _ in range(rng.integers(8, 30)))
        place, size = (int(rng.integers(-20, 60)), 18 + 20 * line), float(rng.uniform(0.4, 0.9))
        ink = tuple(int(level) for level in rng.integers(0, 90, 3))
        cv2.putText(page, words, place, int(rng.integers(0, 5)), size, ink, 1, cv2.LINE_AA)
    return page


def drawn_screen(rng: np.random.Generator) -> np.ndarray:
    screen = np.full((SIDE_PX, SIDE_PX, 3), rng.integers(0, 256, 3), np.uint8)
    for _ in range(rng.integers(3, 12)):
        x, y, width, height = (int(n) for n in rng.integers((0, 0, 30, 12), (220, 230, 200, 90)))
        cv2.rectangle(screen, (x, y), (x + width, y + height), tuple(int(n) for n in rng.integers(0, 256, 3)), -1)
        cv2.putText(
            screen, "File Edit View"[: rng.integers(3, 15)], (x + 4, y + 12), 0, 0.4, (20, 20, 20), 1, cv2.LINE_AA
        )
    return screen


DRAWN: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "drawn text": drawn_text,
    "drawn screens": drawn_screen,
    "noise": lambda rng: rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8),
    "flat colours": lambda rng: np.full((SIDE_PX, SIDE_PX, 3), rng.integers(0, 256, 3), np.uint8),
}


def crops_of(photo: np.ndarray, rng: np.random.Generator, n: int) -> list[np.ndarray]:
    height, width = photo.shape[:2]
    if min(height, width) < SIDE_PX:
        return []
    places = rng.integers((0, 0), (height - SIDE_PX + 1, width - SIDE_PX + 1), (n, 2))
    return [np.ascontiguousarray(photo[y : y + SIDE_PX, x : x + SIDE_PX]) for y, x in places]


def judge_foreign(folders: list[Path], model: Model) -> None:
    for kind, draw in DRAWN.items():
        rng = np.random.default_rng(0)
        said = [model.classify(draw(rng)) for _ in range(200)]
        row(kind, len(said), *(f"{100 * share(said, why):.0f} %" for why in (None, *REASONS)), "–")
    for folder in folders:
        rng, seen, patches, photos = np.random.default_rng(0), set(), [], []
        for place in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png")):
            try:
                photo = read_image(place).pixels
            except CrackscopeError:
                continue
            fingerprint = cv2.resize(photo, (16, 16), interpolation=cv2.INTER_AREA).tobytes()
            if min(photo.shape[:2]) < SIDE_PX or fingerprint in seen:
                continue
            seen.add(fingerprint)
            patches += [model.classify(one) for one in crops_of(photo, rng, 6)]
            photos.append(model.scan(photo).reason)
        cells = [f"{100 * share(patches, why):.0f} %" for why in (None, *REASONS)]
        row(folder.name, len(patches), *cells, f"{sum(one is not None for one in photos)} of {len(photos)}")


def judge_concrete(name: str, photos: list[LabelledPhoto], model: Model) -> None:
    patches, reasons = [], []
    for labelled in photos:
        pixels = labelled.load()[0]
        patches += [model.classify(one) for one in crops_of(pixels, np.random.default_rng(0), 9)]
        reasons.append(model.scan(pixels).reason)
    cells = [f"{100 * share(patches, why):.1f} %" for why in (None, *REASONS)]
    row(name, len(patches), *cells, f"{sum(one is not None for one in reasons)} of {len(reasons)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--metu", "--sdnet2018", "--without"):
        parser.add_argument(name, required=True)
    parser.add_argument("--foreign", type=Path, nargs="*", default=[])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--grid", type=Path)
    given = parser.parse_args()
    metu = read_patches(given.metu)
    sdnet = without_photos(read_patches(given.sdnet2018), read_photo_list(given.without))
    metu, sdnet = (
        apply_split(metu, split=split(metu, by="similarity")),
        apply_split(sdnet, split=split(sdnet, by="photo")),
    )
    bundle = read_bundle(given.model)
    print(bundle.card.gate and bundle.card.gate.to_json())
    model = Model(bundle)

    head_row("test part", "label", "patches", "photos", "rejected", *REASONS)
    tests = [index.part("test") for index in (metu, sdnet)]
    for name, index in zip(("METU", "SDNET2018"), tests, strict=True):
        judge_patches(name, index, model)
    head_row(
        "cracked patches, blurred by", "strength", "rejected", "recall", "recall of the rest", "missed, not rejected"
    )
    judge_blur(tests, model)
    kinds = ("patches", "rejected", *REASONS, "photos rejected")
    head_row("foreign pictures", *kinds)
    judge_foreign(given.foreign, model)
    head_row("concrete", *kinds)
    if given.grid:
        judge_concrete("SDNET2018, test", photos_by_grid(sdnet.part("test"), given.grid), model)
    if given.photos:
        photos = photos_by_masks(given.photos / "images", given.photos / "masks", tile_px=SIDE_PX)
        judge_concrete("photos from elsewhere", photos, model)


if __name__ == "__main__":
    main()
