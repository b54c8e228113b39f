"""Measure time, memory and findings of `crackscope audit`, on whole data sets and on faults planted in drawn walls.

    python benchmarks/audit.py METU SDNET2018 [--threads N] [--work FOLDER] [--samples TAR ...] [--backbone FILE]
        [--without RESERVED.csv]

Each set is audited twice, each time in a new process: first with an empty cache (in FOLDER), then with a full one. The
program prints seconds, processor seconds, images per second, the peak of RssAnon, and findings by kind. RssAnon is the
process's own memory in /proc/self/status, read every tenth of a second. In SDNET2018 the findings must include the
byte-identical pairs with opposite labels, 7039-112 and 7074-105 with their `_2` twins.

Then faults of each kind are planted in a drawn, seeded set, and precision and recall of each kind are printed. Wrong
labels (5 %) are also planted in the `--samples`. Their own labels are taken to be right, so a label that is wrong in
the published set counts as a false finding.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from crackscope.auditing.kinds import AuditFinding

PAIRS = (("7039-112.jpg", "7039-112_2.jpg"), ("7074-105.jpg", "7074-105_2.jpg"))
N_PLANTED = 8  # number of planted faults of each kind but wrong labels


def own_memory_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def watch(peak: list[float]) -> None:
    while True:
        peak[0] = max(peak[0], own_memory_mb())
        time.sleep(0.1)


def measure(data: Path, threads: int | None) -> dict[str, object]:
    """Run one audit and write its report, in a new process."""
    import crackscope
    from crackscope.reports.audit_report import write_audit

    peak = [0.0]
    if sys.platform == "linux":
        threading.Thread(target=watch, args=(peak,), daemon=True).start()
    start, busy = time.perf_counter(), time.process_time()
    found = crackscope.audit(data, threads=threads)
    with tempfile.TemporaryDirectory() as place:
        write_audit(found, Path(place) / "audit")
    contradictory = [
        sorted(Path(file).name for file in finding.files)
        for finding in found.findings
        if finding.kind == "contradictory_duplicate"
    ]
    return {
        "n": len(found.index),
        "seconds": time.perf_counter() - start,
        "processor_seconds": time.process_time() - busy,
        "peak_mb": peak[0],
        "counts": {kind: n for kind, n in found.counts().items() if n},
        "pairs": [list(pair) in contradictory for pair in PAIRS],
        "labels": found.facts.get("label_error"),
    }


def run_apart(data: Path, threads: int | None, cache: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, str(data), "--one"]
    command += ["--threads", str(threads)] if threads else []
    environment = os.environ | {"CRACKSCOPE_CACHE": str(cache)}
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    answer: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return answer


# Planted faults


def plant(
    folder: Path, *, n_photos: int = 60, patches_per_photo: int = 16, side_px: int = 160, seed: int = 0
) -> tuple[Path, Path, dict[str, set[frozenset[str]]]]:
    """Draw a set with faults of each kind.

    Returns:
        The table of the set, its split, and for each kind of finding the sets of file names that belong to it.
    """
    from crackscope.drawing.walls import draw_dataset
    from crackscope.files.tables import TableForm, read_table, table_text

    table = draw_dataset(folder, n_photos=n_photos, patches_per_photo=patches_per_photo, side_px=side_px, seed=seed)
    rows = [dict(row.cells) for row in read_table(table, TableForm(("path", "label", "photo")))]
    rng = np.random.default_rng(seed)
    photos = sorted({row["photo"] for row in rows})
    part_of = {p: ("test", "val", "train", "train", "train")[i % 5] for i, p in enumerate(photos)}
    for row in rows:
        row["part"] = part_of[row["photo"]]
    originals, at = rng.permutation(len(rows)).tolist(), iter(range(len(rows)))
    truth: dict[str, set[frozenset[str]]] = {}

    def take(n: int = N_PLANTED) -> list[dict[str, str]]:
        return [rows[originals[next(at)]] for _ in range(n)]

    def plant_one(kind: str, *files: str) -> None:
        truth.setdefault(kind, set()).add(frozenset(files))

    def pixels_of(row: dict[str, str]) -> np.ndarray:
        return np.asarray(cv2.imread(str(folder / row["path"])))

    def store(row: dict[str, str], pixels: np.ndarray, quality: int = 92) -> None:
        cv2.imwrite(str(folder / row["path"]), pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])

    def copy_of(
        row: dict[str, str], word: str, *, label: str | None = None, photo: str = "", part: str = ""
    ) -> dict[str, str]:
        path = f"{row['path'][:-4]}-{word}.jpg"
        new = row | {"path": path, "label": label or row["label"]}
        new |= {"photo": photo or row["photo"], "part": part or row["part"]}
        rows.append(new)
        return new

    other = {"crack": "uncracked", "uncracked": "crack"}
    for row in take():
        new = copy_of(row, "exact")
        (folder / new["path"]).write_bytes((folder / row["path"]).read_bytes())
        plant_one("exact_duplicate", row["path"], new["path"])
    for i, row in enumerate(take(3 * N_PLANTED)):
        new, pixels = copy_of(row, "near"), pixels_of(row)
        smaller = cv2.resize(pixels, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
        store(new, (pixels, smaller, np.ascontiguousarray(pixels[:, ::-1]))[i % 3], 70)
        plant_one("near_duplicate", row["path"], new["path"])
        if i % 3 == 1:
            plant_one("odd_file", new["path"])
    for i, row in enumerate(take()):
        new = copy_of(row, "contradicts", label=other[row["label"]])
        if i % 2:
            store(new, pixels_of(row), 60)
        else:
            (folder / new["path"]).write_bytes((folder / row["path"]).read_bytes())
        plant_one("contradictory_duplicate", row["path"], new["path"])
    for i, row in enumerate(take()):
        part = "train" if row["part"] != "train" else "test"
        new = copy_of(row, "leaks", photo=f"leak-{i}", part=part)
        if i % 2:
            store(new, np.ascontiguousarray(pixels_of(row)[::-1]), 75)
        else:
            (folder / new["path"]).write_bytes((folder / row["path"]).read_bytes())
        plant_one("near_leak" if i % 2 else "exact_leak", row["path"], new["path"])
        plant_one("near_duplicate" if i % 2 else "exact_duplicate", row["path"], new["path"])
    untouched = [photo for photo in photos if part_of[photo] == "train"]
    copied = {path for sets in truth.values() for files in sets for path in files}
    for photo in rng.choice(untouched, 3, replace=False).tolist():
        alone = next(row for row in rows if row["photo"] == photo and row["path"] not in copied)
        alone["part"] = "test"
        plant_one("photo_leak", photo)
    for i, row in enumerate(take()):
        pixels = pixels_of(row)
        sigma, length = side_px / 50, side_px // 6
        along = np.full((1, length) if i % 4 == 1 else (length, 1), 1 / length, np.float32)
        store(row, cv2.filter2D(pixels, -1, along) if i % 2 else cv2.GaussianBlur(pixels, (0, 0), sigma))
        plant_one("blurred", row["path"])
    for row in take():
        store(row, np.asarray(pixels_of(row) * 0.25, np.uint8))
        plant_one("dark", row["path"])
    for row in take():
        pixels = pixels_of(row).astype(float)
        store(row, np.asarray(np.minimum(pixels + 255 - np.quantile(pixels.min(2), 0.5), 255), np.uint8))
        plant_one("overexposed", row["path"])
    for i, row in enumerate(take()):
        store(row, np.full((side_px, side_px, 3), 20 + 25 * i, np.uint8))
        plant_one("low_information", row["path"])
    for i, row in enumerate(take()):
        content = (folder / row["path"]).read_bytes()
        (folder / row["path"]).write_bytes(content[: len(content) // 2] if i % 2 else b"")
        plant_one("unreadable", row["path"])
    for row in take():
        cv2.imwrite(str(folder / row["path"]), cv2.cvtColor(pixels_of(row), cv2.COLOR_BGR2GRAY))
        plant_one("odd_file", row["path"])
    for row in take(round(0.05 * len(rows))):
        row["label"] = other[row["label"]]
        plant_one("label_error", row["path"])
    for path, columns in (
        (table, ("path", "label", "photo")),
        (folder / "split.csv", ("path", "label", "photo", "part")),
    ):
        path.write_bytes(table_text(columns, [[row[name] for name in columns] for row in rows]).encode())
    return table, folder / "split.csv", truth


def found_of(findings: Sequence[AuditFinding], kind: str, photo_of: dict[str, str | None]) -> set[frozenset[str]]:
    if kind == "photo_leak":
        return {frozenset([photo_of[finding.files[0]] or ""]) for finding in findings if finding.kind == kind}
    return {frozenset(finding.files) for finding in findings if finding.kind == kind}


def tell_planted(seed: int, threads: int | None) -> None:
    import crackscope

    with tempfile.TemporaryDirectory() as place:
        table, split, truth = plant(Path(place) / "walls", seed=seed)
        found = crackscope.audit(table, split=split, threads=threads)
    photo_of = {patch.path: patch.photo for patch in found.index.patches}
    print(f"\nPlanted in {len(found.index)} drawn patches, seed {seed}: precision, recall")
    for kind, planted in truth.items():
        told = found_of(found.findings, kind, photo_of)
        right = len(told & planted)
        print(f"  {kind:24} {right / max(1, len(told)):6.3f} {right / len(planted):6.3f}   of {len(planted)}")


def tell_flips(data: Path, seeds: range, backbone: Path | None, without: Collection[str], threads: int | None) -> None:
    import crackscope
    from crackscope.measuring.transfer_sets import without_photos

    index = without_photos(crackscope.read_patches(data), without)
    n_unplanted = crackscope.audit(index, backbone=backbone, threads=threads).counts()["label_error"]
    for seed in seeds:
        n = round(0.05 * len(index))
        flipped = set(np.random.default_rng(seed).choice(len(index), n, replace=False).tolist())
        other = {"crack": "uncracked", "uncracked": "crack"}
        patches = [replace(p, label=other[p.label]) if i in flipped else p for i, p in enumerate(index.patches)]
        found = crackscope.audit(index.select(patches), backbone=backbone, threads=threads)
        told = {finding.files[0] for finding in found.findings if finding.kind == "label_error"}
        wrong = {index.patches[i].path for i in flipped}
        right = len(told & wrong)
        opposite = {file for one in found.findings if one.kind == "contradictory_duplicate" for file in one.files}
        print(
            f"  {index.name:18} seed {seed}: precision {right / max(1, len(told)):.3f}, recall {right / n:.3f} of {n}, "
            f"{len((told | opposite) & wrong) / n:.3f} with copies of opposite labels; "
            f"{n_unplanted} found in the labels as they are"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="*", help="METU and SDNET2018, whole")
    parser.add_argument("--samples", type=Path, nargs="*", default=[], help="sets to plant wrong labels in")
    parser.add_argument("--backbone", type=Path, help="for the samples")
    parser.add_argument("--without", type=Path, help="a CSV of photos that the samples are judged without")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--work", type=Path, help="where the cache goes; a temporary folder if left out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.data[0], given.threads)))
        return
    with tempfile.TemporaryDirectory() as place:
        cache = (given.work or Path(place)) / "cache"
        if cache.exists() and any(cache.iterdir()):
            parser.error(f"{cache} holds something; the first pass needs an empty cache")
        total: Counter[str] = Counter()
        for data in given.data:
            for state in ("empty", "filled"):
                found = run_apart(data, given.threads, cache)
                n, seconds, busy = found["n"], found["seconds"], found["processor_seconds"]
                total.update({f"{state} seconds": seconds, f"{state} processor seconds": busy})
                print(
                    f"{data.name}, {n:,} patches, {state} cache: {seconds:.1f} s ({busy:.1f} processor s, "
                    f"{1e3 * busy / n:.2f} ms a patch), {n / seconds:.0f} images/s, {found['peak_mb']:.0f} MB"
                )
            print(f"  findings: {found['counts']}\n  labels: {found['labels']}", flush=True)
            if "sdnet" in data.name.lower():
                print(f"  contradictory pairs found: {found['pairs']}")
                if not all(found["pairs"]):
                    sys.exit("a pair with opposite labels was not found")
        if given.data:
            print("in all: " + ", ".join(f"{name} {value:.1f}" for name, value in total.items()))
    for seed in range(given.seeds):
        tell_planted(seed, given.threads)
    if given.samples:
        print("\nWrong labels planted in 5 %")
    from crackscope.measuring.transfer_sets import read_photo_list

    without = read_photo_list(given.without) if given.without else frozenset[str]()
    for data in given.samples:
        tell_flips(data, range(given.seeds), given.backbone, without, given.threads)


if __name__ == "__main__":
    main()
