"""Run the recipes on the full METU set, and print the table of README: recipe × split.

    python benchmarks/recipes.py --metu METU --mobilenetv2 MODEL_FOLDER --resnet MODEL_FOLDER --work WORK

METU is the folder with Positive/ and Negative/ (40,000 patches). There are three splits: random 80:20 as published,
random 70:24:6 as published, and 72:8:20 by similarity. The first is made as 72:8:20, since a recipe chooses its weights
on a validation part. Random splits leak and are marked as leaky.

Each recipe runs with the seeds 0, 1 and 2, for the split and the training; the ResNet runs with seed 0 alone. Two runs
go on at a time, with one thread each. If the program is killed, the same command goes on where it stopped. The 95 %
intervals bootstrap each run's test part, over groups that look alike if the split knows them; their ends are averaged
over the seeds. The seconds are medians; results that an earlier run cached are not computed again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import product
from pathlib import Path

SPLITS = {
    "random 80:20": ["--by", "random", "--val", ".08", "--test", ".2"],
    "similarity": ["--by", "similarity", "--val", ".08", "--test", ".2"],
    "random 70:24:6": ["--by", "random", "--val", ".24", "--test", ".06"],
}
RECIPES = ("mobilenetv2-frozen", "cnn-scratch", "mobilenetv2-top10", "mobilenetv2-augmented")


def crackscope(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "crackscope", *arguments], stdout=subprocess.DEVNULL)
    if done.returncode not in (0, 3):  # 3: done, but look; random splits have leaks
        done.check_returncode()


def split_file(given: argparse.Namespace, name: str, seed: int) -> Path:
    path: Path = given.work / f"{name.replace(' ', '-').replace(':', '-')}-{seed}.csv"
    if not path.exists():
        crackscope("split", str(given.metu), *SPLITS[name], "--seed", str(seed), "--out", str(path))
    return path


def train(given: argparse.Namespace, recipe: str, name: str, seed: int) -> dict[str, float]:
    folder = given.work / f"{recipe}-{name.replace(' ', '-').replace(':', '-')}-{seed}"
    if not (folder / "run.json").exists():
        split = split_file(given, name, seed)
        options = ["--split", str(split), "--seed", str(seed), "--threads", "1", "--allow-leakage", "--resume"]
        if recipe != "cnn-scratch":
            options += ["--backbone", str(given.resnet if recipe == "resnet101" else given.mobilenetv2)]
        crackscope("train", str(given.metu), "--recipe", recipe, "--out", str(folder), *options)
    metrics, run = (json.loads((folder / file).read_text()) for file in ("metrics.json", "run.json"))
    found = {key: metrics["accuracy"][key] for key in ("value", "low", "high")}
    found |= {"loss": metrics["log_loss"]["value"], "f1": metrics["f1_crack"]["value"]}
    found |= {"n": metrics["n_patches"], "seconds": run["seconds"]["total"]}
    print(f"{recipe}, {name}, seed {seed}: {json.dumps(found)}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--metu", "--mobilenetv2", "--resnet", "--work"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--lanes", type=int, default=2, help="runs at a time")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(given.lanes) as pool:
        runs: dict[tuple[str, str], list[Future[dict[str, float]]]] = {}
        for name, seed, recipe in [*product(SPLITS, (0, 1, 2), RECIPES), *product(SPLITS, (0,), ("resnet101",))]:
            runs.setdefault((recipe, name), []).append(pool.submit(train, given, recipe, name, seed))
    print("| recipe | split | seeds | test patches | accuracy | log loss | F1 | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for recipe in (*RECIPES, "resnet101"):
        for name in SPLITS:
            rows = [run.result() for run in runs[recipe, name]]
            mean = {key: statistics.mean(row[key] for row in rows) for key in rows[0]}
            print(
                f"| {recipe} | {name} | {len(rows)} | {mean['n']:,.0f} | {mean['value']:.4f} [{mean['low']:.4f}, "
                f"{mean['high']:.4f}] | {mean['loss']:.4f} | {mean['f1']:.4f} | "
                f"{statistics.median(row['seconds'] for row in rows):.0f} |"
            )


if __name__ == "__main__":
    main()
