"""Run the same commands with two versions of crackscope, and compare all files that they write.

    python tools/same_answers.py record before --data ../shared/data --source ../old/src
    python tools/same_answers.py record after --data ../shared/data
    python tools/same_answers.py compare before after

`record` runs each command of `COMMANDS` in one folder, with the package of ``--source`` (the repository's own if left
out). A command whose output exists is not run again. `compare` reads both folders. Two files are the same if they have
the same bytes; if their format changed, they must have the same numbers in the columns and keys that both versions
write. The program exits with 1 if files differ.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

METU, SDNET = "inputs/metu_sample.tar", "inputs/sdnet2018_sample.tar"
COMMANDS = {
    "split-metu.csv": ["split", METU, "--by", "similarity"],
    "split-sdnet.csv": ["split", SDNET, "--by", "photo"],
    "predict-metu.csv": ["predict", METU],
    "predict-sdnet.jsonl": ["predict", SDNET],
    "predict-photos.csv": ["predict", "inputs/photos/images"],
    "predict-int8.csv": ["predict", "inputs/photos/images", "--precision", "int8"],
    "scan": ["scan", "inputs/photos/images"],
    "scan-half": ["scan", "inputs/photos/images", "--scale", "0.5"],
    "evaluate-metu": ["evaluate", METU, "--split", "split-metu.csv", "--part", "test", "--allow-leakage"],
    "evaluate-tiles": ["evaluate", SDNET, "--tiles", "inputs/sdnet2018_grid.csv", "--allow-leakage"],
    "evaluate-masks": ["evaluate", "inputs/photos/images", "--masks", "inputs/photos/masks"],
    "audit": ["audit", SDNET, "--split", "split-sdnet.csv"],
    "train-head": ["train", METU, "--split", "split-metu.csv", "--recipe", "head"],
    "train-frozen": [
        *("train", METU, "--split", "split-metu.csv", "--recipe", "mobilenetv2-frozen", "--set", "frozen.epochs=3"),
        *("--backbone", "inputs/mobilenet_v2_1.0_224"),
    ],
    "accept": ["accept", METU],
    "robustness": ["robustness", SDNET, "--split", "split-sdnet.csv", "--max-patches", "60", "--allow-leakage"],
}
"""Commands by the name of their output, which is given as ``--out``."""

_TIMES = {"seconds", "begun", "images_per_s", "git", "train_seconds"}
_SKIPPED = {"inputs", "cache", "tensorboard", "checkpoint.pt"}
_TEXT = {".html", ".txt", ".md"}


def main() -> int:
    """Record or compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    recording = actions.add_parser("record", help="run the commands into a folder")
    recording.add_argument("folder", type=Path)
    recording.add_argument("--data", type=Path, required=True, help="folder of the samples, with ../weights beside it")
    recording.add_argument("--source", type=Path, default=Path(__file__).parents[1] / "src", help="folder of a package")
    comparing = actions.add_parser("compare", help="compare two recorded folders")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    asked = parser.parse_args()
    if asked.action == "record":
        record(asked.folder, asked.data, asked.source)
        return 0
    return compare(asked.before, asked.after)


def record(folder: Path, data: Path, source: Path) -> None:
    """Run each command whose output does not exist yet."""
    inputs = folder / "inputs"
    if not inputs.exists():
        inputs.mkdir(parents=True)
        for name in ("metu_sample.tar", "sdnet2018_sample.tar", "sdnet2018_grid.csv"):
            (inputs / name).symlink_to((data / name).resolve())
        (inputs / "mobilenet_v2_1.0_224").symlink_to((data.parent / "weights" / "mobilenet_v2_1.0_224").resolve())
        with tarfile.open(data / "photos_with_masks.tar") as archive:
            archive.extractall(inputs, filter="data")
    surroundings = os.environ | {
        "PYTHONPATH": str(source.resolve()),
        "CRACKSCOPE_CACHE": str(folder.resolve() / "cache"),
    }
    for out, words in COMMANDS.items():
        if (folder / out).exists():
            continue
        print(out, flush=True)
        command = [sys.executable, "-m", "crackscope", *words, "--out", out, "--json"]
        done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)
        (folder / f"{out}.stdout.json").write_text(done.stdout, encoding="utf-8")
        if done.returncode not in (0, 3):
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")


def compare(before: Path, after: Path) -> int:
    """Print the differences of all files, and return 1 if any number differs."""
    n_same, n_wrong = 0, 0
    for path in sorted(before.rglob("*")):
        name = path.relative_to(before)
        if not path.is_file() or _SKIPPED & set(name.parts):
            continue
        other = after / name
        if not other.is_file():
            print(f"{name}: gone")
            n_wrong += 1
        elif path.read_bytes() == other.read_bytes():
            n_same += 1
        elif path.suffix in _TEXT:
            print(f"{name}: other text (look at it)")
        else:
            wrong = list(differences(path, other))
            for line in wrong[:8]:
                print(f"{name}: {line}")
            n_wrong += bool(wrong)
            print(f"{name}: {len(wrong)} differences" if wrong else f"{name}: other format, same numbers")
    print(f"{n_same} files are the same byte for byte, {n_wrong} differ in what they say")
    return 1 if n_wrong else 0


def differences(path: Path, other: Path) -> Iterator[str]:
    """List the differences of two files of one kind, in the columns and keys that both have."""
    if path.suffix not in (".csv", ".json", ".jsonl"):
        yield "other bytes"
        return
    first, second = dict(values_of(path)), dict(values_of(other))
    for key in first.keys() & second.keys():
        if first[key] != second[key]:
            yield f"{key}: {first[key]} became {second[key]}"
    for missing in sorted(first.keys() - second.keys()):
        yield f"{missing}: no longer there"


def values_of(path: Path) -> Iterator[tuple[str, object]]:
    """List each value of a table or document with its position; times and the commit are left out."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        rows: object = list(csv.DictReader(io.StringIO(text, newline="")))
    else:
        rows = (
            [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text or "null")
        )
    yield from _leaves(rows, "")


def _leaves(value: object, place: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in _TIMES and not str(key).endswith("_ms"):
                yield from _leaves(inner, f"{place}.{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(inner, f"{place}[{i}]")
    else:
        yield place, value


if __name__ == "__main__":
    sys.exit(main())
