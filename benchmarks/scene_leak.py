"""Measure what a split is worth that tears overlapping photos apart: the same training, split in three ways.

    python benchmarks/scene_leak.py --sdnet2018 SDNET2018 --without RESERVED.csv --backbone MODEL_FOLDER --work WORK
        [--recipe NAME ...] [--seeds N] [--per-label N] [--folds N]

Each surface of SDNET2018, without the photos in RESERVED.csv, is split 70:15:15 at random by patch, by photo, and by
scene. Each recipe (`head` if none is named) is trained on each split with each seed (0 to N - 1; it is also the seed of
the split), and judged on the test part. A figure that is higher by photo than by scene is higher because the same
concrete was trained on. If the program is killed, the same command goes on from WORK. With --per-label, at most so many
patches of either label are drawn for training and validation, 70:15; all patches of the test part are judged. With
--folds, each surface is also divided into so many folds, by photo and by scene; each fold is judged by a model of the
others, and the figures of all folds are pooled.

It prints means over seeds of AUROC, average precision, F1 and MCC, with the means of the ends of their 95 % intervals
over scenes, and the ratio of the mean AUROC by photo to that by scene.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from crackscope.data.patches import PatchIndex, read_patches
from crackscope.data.splits import split
from crackscope.errors import CrackscopeError
from crackscope.measuring.transfer_sets import SHARES, draw, read_photo_list, without_photos
from crackscope.training.cross_validation import cross_validate
from crackscope.training.memory import keep_memory
from crackscope.training.runs import train

SURFACES = {"decks": "sdnet2018-D", "pavements": "sdnet2018-P", "walls": "sdnet2018-W"}
WAYS = ("random", "photo", "scene")
SHOWN = ("auroc", "average_precision", "f1_crack", "mcc")


def judged(index: PatchIndex, name: str, given: argparse.Namespace, *, way: str, recipe: str, seed: int) -> Any:
    """Figures of one training on its test part; None where the split or the training is refused."""
    place = given.work / f"{name}-{recipe}-{way}-{seed}"
    figures = place / "metrics.json"
    if not figures.exists():
        try:
            dealt = split(index, by=way, seed=seed)
            if given.per_label:
                n_drawn = {part: round(SHARES[part] * given.per_label) for part in ("train", "val")}
                dealt = draw(dealt, {**n_drawn, "test": len(index)}, seed=seed)
                drawn = {patch.path for patch in dealt.patches}
                index = index.select([patch for patch in index.patches if patch.path in drawn])
            kept = None if (place / "checkpoint.pt").exists() else dealt  # a run that goes on has its own
            train(index, out=place, split=kept, allow_leakage=True, **options(given, recipe, seed))
        except CrackscopeError as error:
            print(f"{place.name}: {error}")
            return None
    return json.loads(figures.read_text())


def pooled(index: PatchIndex, name: str, given: argparse.Namespace, *, way: str, recipe: str, seed: int) -> Any:
    """Figures of a cross-validation, pooled over its folds; None where it is refused."""
    place = given.work / f"{name}-{recipe}-{way}-{given.folds}-folds-{seed}"
    figures = place / "metrics.json"
    if not figures.exists():
        try:
            cross_validate(
                index, out=place, by=way, n_folds=given.folds, allow_leakage=True, **options(given, recipe, seed)
            )
        except CrackscopeError as error:
            print(f"{place.name}: {error}")
            return None
    return json.loads(figures.read_text())


def options(given: argparse.Namespace, recipe: str, seed: int) -> dict[str, Any]:
    """What each training is told: one that was killed goes on."""
    return {"recipe": recipe, "backbone": given.backbone, "seed": seed, "resume": recipe != "head"}


def cell(found: list[Any], figure: str) -> str:
    """Mean of a figure and of the ends of its interval, where they are defined."""
    rows = [[one[figure][end] for end in ("value", "low", "high")] for one in found]
    values = np.array([[np.nan if value is None else value for value in row] for row in rows], float)
    mean, low, high = values.mean(0)
    return f"{mean:.3f}" if np.isnan(low) else f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    """Train, judge and print a table for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--sdnet2018", "--without", "--backbone"):
        parser.add_argument(name, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--recipe", nargs="*", default=["head"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--per-label", type=int, help="patches of either label for training and validation")
    parser.add_argument("--folds", type=int, help="number of folds of a cross-validation beside the splits")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    keep_memory()
    whole = without_photos(read_patches(given.sdnet2018), read_photo_list(given.without))
    for recipe in given.recipe:
        print(f"\n| {recipe} | split | scenes in test | AUROC | average precision | F1 of crack | MCC |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for name, dataset in SURFACES.items():
            index = whole.select([patch for patch in whole.patches if patch.dataset == dataset])
            print_rows(index, name, recipe, given)


def print_rows(index: PatchIndex, name: str, recipe: str, given: argparse.Namespace) -> None:
    """Train on one surface, split in each way, and print the rows of the table."""
    means = {}
    for way in (*WAYS, *(f"{way}, folds" for way in WAYS[1:] if given.folds)):
        judge = pooled if "folds" in way else judged
        by = way.removesuffix(", folds")
        runs = [judge(index, name, given, way=by, recipe=recipe, seed=seed) for seed in range(given.seeds)]
        if found := [one for one in runs if one is not None]:
            means[way] = np.mean([one["auroc"]["value"] for one in found])
            scenes = ", ".join(str(one["n_photos"]) for one in found)
            print(f"| {name} | {way} | {scenes} | " + " | ".join(cell(found, one) for one in SHOWN) + " |")
    if {"photo", "scene"} <= set(means):
        print(f"{name}: AUROC by photo is {means['photo'] / means['scene']:.3f} times that by scene", flush=True)


if __name__ == "__main__":
    main()
