"""Run the published cross-dataset protocol on METU and SDNET2018, and print our figures beside the published ones.

    python benchmarks/transfer.py --metu METU --sdnet2018 SDNET2018 --without RESERVED.csv --backbone MODEL_FOLDER \
        --work WORK [--recipe head] [--set KEY=VALUE] [--by photo]

Both folders hold the full sets; photos in RESERVED.csv (surface,photo) take no part. There are four sets: METU, and
decks, pavements and walls of SDNET2018. From each set, 2,000 patches of either label are drawn and split 70:15:15. A
model is trained on each set, and on all sets but one with as many patches in all. Each model is tested on each set. The
seeds are 0, 1 and 2.

The published figures are written below (Italo-1). They are means over four networks and three seeds, at a threshold of
0.5, with patches split at random, except within a surface, where they are split by photo. Here SDNET2018 is split by
scene (with --by photo, as theirs, by photo; its photos overlap), and METU by groups that look alike. The threshold is
chosen on validation patches of the training sets. The 95 % intervals are over scenes; their ends are averaged over
seeds and sets. There is none where a test part has fewer than three scenes. If the program is killed, the same command
goes on; if WORK holds the outcome, it is printed. --per-label, --seeds and --threads are for a
smaller run.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

import crackscope
from crackscope.training.memory import keep_memory

SURFACES = ("decks", "pavements", "walls")
Pairs = list[tuple[str, str]]


def compared() -> list[tuple[str, Pairs, dict[str, float], dict[str, float]]]:
    """A row of the table: its title, the pairs that it averages, the published figures, and our aim."""
    away: dict[str, float] = {"auroc": 0.699, "balanced_accuracy": 0.629, "mcc": 0.332, "f1_crack": 0.437}
    wanted: dict[str, float] = {"auroc": 0.78, "balanced_accuracy": 0.68, "mcc": 0.38}
    rows: list[tuple[str, Pairs, dict[str, float], dict[str, float]]] = [
        ("METU → SDNET2018", [("metu", one) for one in SURFACES], away, wanted),
        ("SDNET2018 → METU", [(one, "metu") for one in SURFACES], {"auroc": 0.847, "f1_crack": 0.782}, {"auroc": 0.95}),
    ]
    across = [(one, other) for one in SURFACES for other in SURFACES if one != other]
    rows.append(("one surface → another", across, {"auroc": 0.782, "f1_crack": 0.654}, {}))
    for one, published, goal in zip(SURFACES, (0.787, 0.831, 0.823), (0.80, 0.85, 0.84), strict=True):
        rows.append((f"within {one}", [(one, one)], {"f1_crack": published}, {"f1_crack": goal}))
    for one, published, goal in zip(SURFACES, (0.742, 0.723, 0.696), (0.76, 0.75, 0.72), strict=True):
        rows.append((f"all others → {one}", [(f"all but {one}", one)], {"f1_crack": published}, {"f1_crack": goal}))
    rows.append(("all others → METU", [("all but metu", "metu")], {"f1_crack": 0.903}, {}))
    return rows


def print_matrix(document: dict[str, Any]) -> None:
    targets = list(dict.fromkeys(pair["target"] for pair in document["means"]))
    means = {(pair["source"], pair["target"]): pair for pair in document["means"]}
    for key, title in (("auroc", "AUROC"), ("f1_crack", "F1 of crack"), ("mcc", "MCC")):
        print(f"\n| {title}, trained on | " + " | ".join(targets) + " |")
        print("| --- " * (1 + len(targets)) + "|")
        for source in dict.fromkeys(pair["source"] for pair in document["means"]):
            cells = [f"{mean_of([means[source, target][key]['value']]):.3f}" for target in targets]
            print(f"| {source} | " + " | ".join(cells) + " |")


def print_comparison(document: dict[str, Any]) -> None:
    means = {(pair["source"], pair["target"]): pair for pair in document["means"]}
    titles = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy", "mcc": "MCC", "f1_crack": "F1"}
    print("\n| test | figure | ours | 95 % interval | published | our target | met |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for title, pairs, published, wanted in compared():
        for key, name in titles.items():
            value, low, high = (mean_of([means[pair][key][end] for pair in pairs]) for end in ("value", "low", "high"))
            interval = "" if math.isnan(low) else f"{low:.3f}–{high:.3f}"
            theirs = f"{published[key]:.3f}" if key in published else ""
            goal = f"≥ {wanted[key]:.2f}" if key in wanted else ""
            met = ("yes" if value >= wanted[key] else "no") if key in wanted else ""
            mark = " (leaky)" if any(means[pair]["leaky"] for pair in pairs) else ""
            print(f"| {title}{mark} | {name} | {value:.3f} | {interval} | {theirs} | {goal} | {met} |")
    worse = document["another_set_no_better_than_always_crack"]
    print(f"\nTests on another set with an F1 no better than always saying crack: {worse['n']} of {worse['of']}.")
    print("Always saying crack: F1 0.667, balanced accuracy 0.5, MCC 0.")


def mean_of(values: list[float | None]) -> float:
    """Mean of the figures; not a number if one is undefined, because its test part holds a single label."""
    return statistics.mean(math.nan if value is None else value for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--metu", "--sdnet2018", "--without", "--work"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--recipe", default="head")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--by", default="scene", choices=["scene", "photo"])
    parser.add_argument("--per-label", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=None)
    given = parser.parse_args()
    out = given.work / (f"transfer-{given.recipe}" + ("" if given.by == "scene" else f"-by-{given.by}"))
    if not (out / "transfer.json").is_file():
        keep_memory()
        crackscope.measure_transfer(
            [given.metu, given.sdnet2018],
            out=out,
            recipe=given.recipe,
            changes=given.set,
            backbone=given.backbone,
            seeds=given.seeds,
            per_label=given.per_label,
            without=given.without,
            by=given.by,
            threads=given.threads,
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
    document = json.loads((out / "transfer.json").read_text(encoding="utf-8"))
    asked = {"changes": given.set, "backbone": given.backbone, "seeds": given.seeds, "per_label": given.per_label}
    if other := [key for key, value in asked.items() if document[key] != value]:
        parser.error(f"{out} is of another run: {', '.join(f'{key} {document[key]}' for key in other)}. Move it away.")
    print(f"{document['recipe']}, seeds {document['seeds']}, {document['per_label']} patches a label and set; {out}")
    print_matrix(document)
    print_comparison(document)


if __name__ == "__main__":
    main()
