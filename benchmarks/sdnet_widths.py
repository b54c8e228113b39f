"""Measure the widths of cracks in whole photos of SDNET2018, and show 30 of them to be looked at.

    python benchmarks/sdnet_widths.py PHOTOS --model BUNDLE --work WORK [--n 30] [--seed 0]

PHOTOS is a folder of whole photos of SDNET2018, composed from its tiles, at their full size. Their names begin with
the surface: D (deck), P (pavement) or W (wall). The publishers state 0.234 mm per pixel; it is taken to be right to
10 % (95 %). Each photo is traced and measured on one thread. Of the cracks that do not look like joints, some are
picked, evenly over surfaces and over length. Printed is a table of their widths in mm, as reports print them, with
their intervals where they are resolved. The sheet WORK/sdnet-widths.png shows each crack at its widest place, enlarged
fourfold, as it is and with its line and its widths: yellow where they are resolved, orange where they are not, and grey
where they do not count. The command fails if any width of any crack is printed as a number below the smallest
measurable width there. Results are kept in WORK, so the same command goes on after a break.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

import crackscope
from crackscope.arrays import UInt8Array
from crackscope.files.pictures import picture_bytes
from crackscope.geometry.widths import Figure
from crackscope.reports.contact_sheet import contact_sheet

SCALE = crackscope.Scale(0.234, 0.0117)
CROP_PX, ENLARGED = 80, 4
FIGURES: tuple[Figure, ...] = ("median", "p90", "maximum")


@dataclass(frozen=True, eq=False)
class Found:
    """A crack of a photo, whose width and millimetres are known."""

    photo: Path
    crack: crackscope.Crack
    width: crackscope.CrackWidth
    mm: crackscope.CrackMillimetres

    def text(self, figure: Figure) -> str:
        """Width in mm as a table prints it, with its interval where it is resolved."""
        one: crackscope.WidthMm = getattr(self.mm, figure)
        interval = f" ({one.low_mm:.2f} to {one.high_mm:.2f})" if one.resolved else ""
        return self.mm.text(figure) + interval

    @property
    def smallest_mm(self) -> float:
        assert self.mm.smallest_mm is not None
        return self.mm.smallest_mm


def cracks_of(photo: Path, model: crackscope.Model, work: Path) -> Iterator[Found]:
    """Cracks of a photo that do not look like joints, with their widths; kept in a file."""
    kept = work / f"{photo.stem}.json"
    if not kept.exists():
        begin = time.perf_counter()
        tracing = model.trace(photo, scale=SCALE)
        cracks = [crack.to_dict() for crack in tracing.cracks if not crack.joint_like]
        kept.write_text(json.dumps({"blur_px": tracing.blur_px, "cracks": cracks}), encoding="utf-8")
        print(f"{photo.name}: {len(cracks)} cracks, {time.perf_counter() - begin:.0f} s", flush=True)
    found = json.loads(kept.read_text(encoding="utf-8"))["cracks"]
    for crack in map(crackscope.Crack.from_dict, found):
        if crack.width is not None and crack.mm is not None and crack.mm.median is not None:
            yield Found(photo, crack, crack.width, crack.mm)


def picked(found: Sequence[Found], n: int, seed: int) -> list[Found]:
    """Pick n cracks: as many of each surface, and one at random from each of as many equal parts of its lengths."""
    rng = np.random.default_rng(seed)
    by_surface: dict[str, list[Found]] = defaultdict(list)
    for one in sorted(found, key=lambda one: one.crack.length_px):
        by_surface[one.photo.name[0]].append(one)
    chosen = []
    for surface in sorted(by_surface):
        parts = np.array_split(np.arange(len(by_surface[surface])), n // len(by_surface))
        chosen += [by_surface[surface][int(rng.choice(part))] for part in parts if len(part)]
    return chosen


def too_small(found: Sequence[Found]) -> Iterator[str]:
    """Widths that are printed as a number below the smallest measurable width, also behind a "<"."""
    for one in found:
        for name in FIGURES:
            text = one.mm.text(name)
            if float(text.removeprefix("< ")) < round(one.smallest_mm, 2):
                yield f"{one.photo.name} {one.crack.id}: {name} {text} mm, smallest {one.smallest_mm:.3f} mm"


def print_picked(chosen: Sequence[Found]) -> None:
    print("\n| photo | crack | length, mm | median, mm | 90th percentile, mm | maximum, mm | smallest, mm |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for one in chosen:
        widths = " | ".join(one.text(name) for name in FIGURES)
        print(f"| {one.photo.stem} | {one.crack.id} | {one.mm.length_mm:.0f} | {widths} | {one.smallest_mm:.2f} |")


def print_all(found: Sequence[Found]) -> None:
    print("\n| surface | cracks | length, m | median not resolved | median width, mm: 10th, 50th, 90th percentile |")
    print("| --- | --- | --- | --- | --- |")
    for surface in sorted({one.photo.name[0] for one in found}):
        some = [one.mm for one in found if one.photo.name[0] == surface]
        medians = [one.median for one in some if one.median is not None]
        below = np.mean([not one.resolved for one in medians])
        figures = ", ".join(f"{end:.2f}" for end in np.percentile([one.width_mm for one in medians], [10, 50, 90]))
        length_m = sum(one.length_mm for one in some) / 1000
        print(f"| {surface} | {len(some)} | {length_m:.1f} | {below:.0%} | {figures} |")


def sheet_of(chosen: Sequence[Found]) -> UInt8Array:
    items: list[tuple[UInt8Array, str]] = []
    read: dict[Path, UInt8Array] = {}
    for number, one in enumerate(chosen, 1):
        if one.photo not in read:
            read = {one.photo: crackscope.read_image(one.photo).pixels}
        plain, drawn = crops(read[one.photo], one)
        name = f"{number}: {one.photo.stem} {one.crack.id}"
        items.append((plain, f"{name}\n{one.mm.length_mm:.0f} mm long, smallest {one.smallest_mm:.2f} mm"))
        maximum = f"max {one.text('maximum')} mm = {one.width.maximum.width_px:.1f} px"
        items.append((drawn, f"{maximum}\nmedian {one.text('median')} mm"))
    title = f"{len(chosen)} cracks at their widest place, {CROP_PX} px = {CROP_PX * SCALE.mm_per_px:.0f} mm wide"
    return contact_sheet(items, columns=6, side_px=CROP_PX * ENLARGED, title=title)


def crops(pixels: UInt8Array, one: Found) -> tuple[UInt8Array, UInt8Array]:
    """Surroundings of the widest place, enlarged, as they are and with the line and the width across it."""
    centre = np.array(one.width.maximum_xy)
    corner = np.round(centre).astype(int) - CROP_PX // 2
    padded = np.pad(pixels, ((CROP_PX, CROP_PX), (CROP_PX, CROP_PX), (0, 0)), constant_values=128)
    x, y = corner + CROP_PX
    plain = padded[y : y + CROP_PX, x : x + CROP_PX].repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    drawn = plain.copy()

    def seen(points: np.ndarray) -> np.ndarray:
        return np.asarray(np.round((points - corner + 0.5) * ENLARGED * 16), np.int32)

    for path in one.crack.path_xy:
        cv2.polylines(drawn, [seen(path)], False, (86, 180, 233), 1, cv2.LINE_AA, 4)
    for branch in one.crack.widths:
        if len(branch.points_xy) < 2:
            continue
        across = np.gradient(branch.points_xy, axis=0)[:, ::-1] * (-1, 1)
        for i in np.flatnonzero(np.hypot(*(branch.points_xy - centre).T) < CROP_PX):
            half = across[i] / max(float(np.hypot(*across[i])), 1e-9) * branch.width_px[i] / 2
            colour = (150, 150, 150) if branch.doubtful[i] else (240, 228, 66) if branch.resolved[i] else (213, 94, 0)
            ends = seen(branch.points_xy[i] + np.array([[-1], [1]]) * half)
            cv2.line(drawn, ends[0].tolist(), ends[1].tolist(), colour, 1, cv2.LINE_AA, 4)
    return plain, drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--n", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    photos = sorted(path for path in given.photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    with threadpool_limits(1):
        model = crackscope.load(given.model, threads=1)
        measured = [one for photo in photos for one in cracks_of(photo, model, given.work)]
    chosen = picked(measured, given.n, given.seed)
    print_picked(chosen)
    print_all(measured)
    out = given.work / "sdnet-widths.png"
    out.write_bytes(picture_bytes(sheet_of(chosen), ".png"))
    wrong = [*too_small(measured)]
    print(f"\n{out}: {len(chosen)} of {len(measured)} cracks in {len(photos)} photos", flush=True)
    if wrong:
        raise SystemExit("printed below the smallest measurable width:\n" + "\n".join(wrong))
    print("no width is printed as a number below the smallest measurable width")


if __name__ == "__main__":
    main()
