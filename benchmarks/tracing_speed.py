"""Compare scans that trace cracks with scans that give maps only, and measure the memory of tracing.

    python benchmarks/tracing_speed.py PHOTOS [--model BUNDLE] [--n 50] [--rounds 2]

PHOTOS is a folder of photos of about 16 megapixels; they are named again, in turn, until there are --n. Both scans take
turns, each a process of its own that writes the whole folder, page included. The program prints the medians of their
time, its ratio, and the peak resident memory of each. At last one photo of 100 megapixels, laid out of the first one,
is traced.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

SIDE_PX = 10_000
KINDS = {"traced": "found", "maps only": None}


def scanned(kind: str, photos: Path, out: Path, model: str | None) -> dict[str, float]:
    """Scan in this process: time, peak memory, number of cracks and their length."""
    import crackscope

    loaded = crackscope.load(model)
    start = time.perf_counter()
    crackscope.write_scan(photos, loaded, out=out, trace=KINDS[kind])  # type: ignore[arg-type]  # both are words of it
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return {"seconds": seconds, "megabytes": float(peak.split()[1]) * 1024 / 1e6}


def run(kind: str, photos: Path, work: Path, model: str | None) -> dict[str, float]:
    """Scan in a process of its own."""
    with tempfile.TemporaryDirectory(dir=work) as out:
        command = [sys.executable, __file__, str(photos), "--kind", kind, "--out", f"{out}/scan"]
        done = subprocess.run(
            [*command, *(["--model", model] if model else [])], check=True, stdout=subprocess.PIPE, text=True
        )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.kind:
        print(json.dumps(scanned(given.kind, given.photos, given.out, given.model)))
        return
    files = sorted(place for place in given.photos.iterdir() if place.suffix.lower() in (".jpg", ".jpeg", ".png"))
    with tempfile.TemporaryDirectory() as place:
        work, many, large = Path(place), Path(place) / "many", Path(place) / "large"
        many.mkdir()
        large.mkdir()
        for i in range(given.n):
            (many / f"{i:03}{files[i % len(files)].suffix}").symlink_to(files[i % len(files)].resolve())
        found = [{kind: run(kind, many, work, given.model) for kind in KINDS} for _ in range(given.rounds)]
        pixels = cv2.imread(str(files[0]))
        assert pixels is not None
        times = [-(-SIDE_PX // side) for side in pixels.shape[:2]]
        cv2.imwrite(str(large / "large.jpg"), np.tile(pixels, (*times, 1))[:SIDE_PX, :SIDE_PX])
        whole = run("traced", large, work, given.model)
    seconds = {kind: statistics.median(one[kind]["seconds"] for one in found) for kind in KINDS}
    print(f"{given.n} photos, {len(files)} of them different; {given.rounds} rounds, medians")
    for kind in KINDS:
        peak = max(one[kind]["megabytes"] for one in found)
        print(f"{kind}: {seconds[kind]:.1f} s, at most {peak:.0f} MB resident")
    print(f"speed of traced scans / of maps only: {seconds['maps only'] / seconds['traced']:.2f}")
    print(f"one photo of 100 megapixels, traced: at most {whole['megabytes']:.0f} MB resident")


if __name__ == "__main__":
    main()
