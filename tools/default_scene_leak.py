"""Measure what overlapping photos are worth to the recipe of the default model: one training for each kind of split.

    python tools/default_scene_leak.py --metu METU --sdnet2018 SDNET2018 --reserved RESERVED.csv \
        --backbone MODEL_FOLDER --work WORK [--set KEY=VALUE ...]

SDNET2018, without the photos in RESERVED.csv, is split 70:15:15 at random by patch, by photo, and by scene, with seed
0. With each split, `default_training.py` does one run of 1,500 steps on METU and SDNET2018. Its bundle is calibrated on
the patches of val, without a gate, and judged on the test part of each surface. A figure that is higher by photo than
by scene is higher because the same concrete was trained on. If the program is killed, the same command goes on.
`benchmarks/scene_leak.py` does the same for recipes of `crackscope train`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from crackscope.data.joined import join_indexes
from crackscope.files.output import write_text
from crackscope.files.streaming import default_threads
from crackscope.model.bundle import compose, read_bundle, write_model
from crackscope.training.memory import keep_memory
from crackscope.training.recipes import changed
from default_figures import Figures, patch_figures
from default_model import calibrated
from default_network import new_network
from default_sets import SURFACES, part_of, read_sets
from default_settings import SECOND, Settings
from default_source import Source
from default_training import Training

WAYS = ("random", "photo", "scene")
SHOWN = ("auroc", "average_precision", "f1_crack", "mcc")


def judged(way: str, settings: Settings, given: argparse.Namespace) -> Figures:
    """Figures on the test parts after one run, with SDNET2018 split this way; read from WORK if they are there."""
    figures: Path = given.work / f"{way}.json"
    if not figures.exists():
        sets = read_sets(given.metu, given.sdnet2018, given.reserved, by=way)
        learnt = join_indexes(sets)
        training = Training(
            settings, new_network(settings, given.backbone).eval(), given.work / f"{way}.pt", learns=(way, *sets)
        )
        training.run(Source(settings, part_of(learnt, "train")))
        training.network.load_state_dict(training.average.average)
        backbone, head, card = calibrated(training.network, settings, given.backbone, learnt, by=way)
        bundle = given.work / f"{way}.onnx"
        write_model(compose(backbone, head, card), bundle, overwrite=True)
        write_text(figures, json.dumps(patch_figures(read_bundle(bundle), sets, "test")), overwrite=True)
    found: Figures = json.loads(figures.read_text())
    return found


def main() -> None:
    """Train on each split, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--metu", "--sdnet2018", "--reserved", "--backbone"):
        parser.add_argument(name, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    settings = changed(Settings(), [*SECOND, "runs=1", *given.set])
    given.work.mkdir(parents=True, exist_ok=True)
    keep_memory()
    torch.set_num_threads(default_threads())
    found = {way: judged(way, settings, given) for way in WAYS}
    print("| surface | split | scenes in test | AUROC | average precision | F1 of crack | MCC |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for surface in SURFACES:
        for way in WAYS:
            one = found[way][f"{surface}, test"]
            print(f"| {surface} | {way} | {one['n_photos']} | " + " | ".join(cell(one[key]) for key in SHOWN) + " |")


def cell(figure: dict[str, float | None]) -> str:
    """Write a figure with its interval, where there is one."""
    value, low, high = (figure[end] for end in ("value", "low", "high"))
    return f"{value:.3f}" if low is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
