"""Measure whether similarity groups keep patches of one place together, on SDNET2018 and on METU.

    python benchmarks/similarity_groups.py --metu METU --sdnet2018 SDNET2018 [--backbone BACKBONE.onnx]

The photos and scenes of SDNET2018 are known. They are hidden, and the patches are split 70:15:15 by similarity, by
blocks of 44 numbers, and at random. Splits by scene and by photo are made for comparison. Then the test patches are
counted that have a *near twin* in training. Distances are measured by look: colour, light and texture of the
fingerprint, each in standard deviations. Groups are made by the same distance. With --backbone (a backbone file or a
bundle), distances are also measured by its features at 160 px on their 128 main axes, which are independent of the
groups. A near twin has two meanings:

- any: nearer than the 1st percentile of the distances to the nearest patch of another scene. A split by scene has up
  to 1 % of these by chance.
- same scene: a patch of the same scene, nearer than the 1st percentile of all pairs from different scenes. This is much
  stricter: it counts tiles that do not overlap, but share light and surface.

The photos of METU are not known. There the program checks whether byte-identical copies stay together. It also counts
how often neighbouring numbers of Positive, which mostly share a photo, stand in two parts. The seeds are 0, 1 and 2,
and the same call gives the same figures.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from crackscope.data.cache import Rows
from crackscope.data.groups import place_of
from crackscope.data.patches import PatchIndex, read_patches
from crackscope.data.similarity import fingerprints
from crackscope.data.splits import divide
from crackscope.model.bundle import read_backbone
from crackscope.model.features import extract_features

SEEDS = (0, 1, 2)
BLOCK = 44  # number of consecutive patches in a block, as in a published study on METU
N_SAMPLE = 4000  # number of patches whose nearest patch is searched
N_AXES = 128
CHUNK = 500


def parts_at_random(units: np.ndarray, seed: int) -> np.ndarray:
    """Deal whole units to parts at random, 70:15:15; give the part of each patch."""
    drawn = np.random.default_rng(seed).random(units.max() + 1)[units]
    return np.where(drawn < 0.7, "train", np.where(drawn < 0.85, "val", "test"))


def parts_by_similarity(index: PatchIndex, rows: Rows, seed: int) -> np.ndarray:
    hidden = index.select([replace(patch, photo=None, scene=None) for patch in index.patches])
    found = {patch.path: patch.part for patch in divide(hidden, rows, by="similarity", seed=seed).patches}
    return np.array([found.get(path, "") for path in index.paths])


def distances(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Euclidean distances, shape (n, m)."""
    squares = (ones**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * ones @ others.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def main_axes(features: np.ndarray) -> np.ndarray:
    """Standardise features, and project them on their main axes."""
    standard = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    axes = np.linalg.eigh(standard.T @ standard)[1][:, ::-1][:, :N_AXES]
    return np.asarray(standard @ axes)


class Measure:
    """Near twins by one distance.

    Args:
        values: Values that distances are measured by, shape (n, d).
        scenes: Number of each patch's scene, shape (n,).
    """

    def __init__(self, values: np.ndarray, scenes: np.ndarray) -> None:
        self.values, self.scenes = values, scenes
        self.rng = np.random.default_rng(0)
        nearest, sample = [], []
        for chunk in self._chunks(np.arange(len(values))):
            found = distances(values[chunk], values)
            apart = scenes[chunk][:, None] != scenes[None]
            sample.append(self.rng.choice(found[apart], 20_000))
            nearest.append(np.where(apart, found, np.inf).min(1))
        self.any_limit = float(np.quantile(np.concatenate(nearest), 0.01))
        self.same_limit = float(np.quantile(np.concatenate(sample), 0.01))

    def twins(self, parts: np.ndarray) -> tuple[float, float]:
        """Shares of test patches with a near twin in training: any, and of the same scene."""
        training = np.flatnonzero(parts == "train")
        any_twin, same_scene = [], []
        for chunk in self._chunks(np.flatnonzero(parts == "test")):
            found = distances(self.values[chunk], self.values[training])
            any_twin.append(found.min(1) < self.any_limit)
            own = self.scenes[chunk][:, None] == self.scenes[training][None]
            same_scene.append(np.where(own, found, np.inf).min(1) < self.same_limit)
        return float(np.concatenate(any_twin).mean()), float(np.concatenate(same_scene).mean())

    def _chunks(self, places: np.ndarray) -> list[np.ndarray]:
        drawn = np.sort(self.rng.choice(places, min(len(places), N_SAMPLE), replace=False))
        return np.array_split(drawn, -(-len(drawn) // CHUNK))


def on_sdnet2018(folder: Path, backbone: Path | None, threads: int | None) -> None:
    index = read_patches(folder)
    rows = fingerprints(index, threads=threads)
    photos = np.unique([patch.photo for patch in index.patches], return_inverse=True)[1]
    scenes = np.unique([str(place_of(patch)) for patch in index.patches], return_inverse=True)[1]
    look = rows.values[:, 1024:].astype(np.float32)
    look = (look - look.mean(0)) / look.std(0)
    blocks = np.empty(len(index), np.int64)
    blocks[np.argsort(index.paths)] = np.arange(len(index)) // BLOCK
    measures = {"look": Measure(look, scenes)}
    if backbone is not None:
        features = extract_features(index, read_backbone(backbone), patch_px=160, threads=threads).values
        measures["features"] = Measure(main_axes(features), scenes)
    print(
        f"SDNET2018, {len(index):,} patches of {photos.max() + 1} photos and {scenes.max() + 1} scenes; "
        "test patches with a near twin in training:\n"
    )
    print(
        "| split | seed | "
        + " | ".join(f"{name}: {kind}" for name in measures for kind in ("any", "same scene"))
        + " |"
    )
    print("| --- | --- " + "| --- " * 2 * len(measures) + "|")
    for seed in SEEDS:
        ways = {
            "by similarity": parts_by_similarity(index, rows, seed),
            f"blocks of {BLOCK} numbers": parts_at_random(blocks, seed),
            "at random": parts_at_random(np.arange(len(index)), seed),
            "by photo (photos overlap)": parts_at_random(photos, seed),
            "by scene": parts_at_random(scenes, seed),
        }
        for way, parts in ways.items():
            found = [share for measure in measures.values() for share in measure.twins(parts)]
            print(f"| {way} | {seed} | " + " | ".join(f"{100 * share:.2f} %" for share in found) + " |", flush=True)


def on_metu(folder: Path, threads: int | None) -> None:
    index = read_patches(folder)
    rows = fingerprints(index, threads=threads)
    n_copies = sum(n - 1 for digest, n in Counter(rows.digests).items() if digest)
    numbers = {
        int(re.sub(r"\D.*", "", Path(path).stem)): i
        for i, path in enumerate(index.paths)
        if index.patches[i].label == "crack" and re.fullmatch(r"\d+", Path(path).stem)
    }
    pairs = np.array([(i, numbers[n + 1]) for n, i in numbers.items() if n + 1 in numbers])
    print(
        f"\nMETU, {len(index):,} patches with {n_copies:,} byte-identical copies; {len(pairs):,} pairs of neighbours:\n"
    )
    print("| split | seed | copies in two parts | neighbours of Positive in two parts |")
    print("| --- | --- | --- | --- |")
    for seed in SEEDS:
        chance = parts_at_random(np.arange(len(index)), seed)
        for way, parts in (("by similarity", parts_by_similarity(index, rows, seed)), ("at random", chance)):
            sides: dict[bytes, set[str]] = {}
            for digest, part in zip(rows.digests, parts.tolist(), strict=True):
                sides.setdefault(digest, set()).add(part)
            torn = sum(len(found) > 1 for found in sides.values())
            apart = float((parts[pairs[:, 0]] != parts[pairs[:, 1]]).mean())
            print(f"| {way} | {seed} | {torn:,} | {100 * apart:.1f} % |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metu", type=Path, required=True)
    parser.add_argument("--sdnet2018", type=Path, required=True)
    parser.add_argument("--backbone", type=Path)
    parser.add_argument("--threads", type=int, default=None)
    given = parser.parse_args()
    on_sdnet2018(given.sdnet2018, given.backbone, given.threads)
    on_metu(given.metu, given.threads)


if __name__ == "__main__":
    main()
