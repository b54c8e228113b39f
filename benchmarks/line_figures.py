"""Measure what line figures are worth: the place of lines, the spurs of coarse masks, and the intervals.

    python benchmarks/line_figures.py [--photos FOLDER ...] [--samples 200] [--seed 0]

Three tables:

- Drawn lines in cells of 2, 3.2 and 4 px whose probability falls off beside the line, with noise. For the found line,
  read between the middles of the cells (as the package does) and from the cells as squares: pixels per true pixel,
  precision within 2 px, and mean distance to the true line in pixels.
- With --photos, folders with images/ and masks/ of the same names: the figures of a line through the middle of each
  mask (smoothed before it is thinned) against the true line of the package. What is missing are side branches that the
  steps of a coarse mask leave.
- Photos whose precision and recall are drawn, correlated, from beta distributions: how often the 95 % intervals hold
  the true figures of all such photos. For comparison, the same of a percentile bootstrap over photos of some figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from skimage.morphology import skeletonize

from crackscope.arrays import BoolArray, Float64Array
from crackscope.files.images import read_image
from crackscope.measuring.intervals import percentile_interval
from crackscope.measuring.line_figures import measure_lines
from crackscope.measuring.lines import LineMap, PhotoLines, compare_lines, tolerance_factor, true_line

DRAWN_HW = (400, 600)
CELLS_PX = (2.0, 3.2, 4.0)
SPREADS_CELLS = (0.5, 0.8, 1.3)
N_DRAWN = 12
PHOTOS = (8, 24)
MEANS = ((0.6, 4), (0.88, 6), (0.97, 10))  # mean and precision (sum of both parameters) of a beta distribution
N_TRUTH = 40_000
N_RESAMPLES = 400
RESAMPLED = ("F1", "mean F1", "length ratio")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="folders with images/ and masks/")
    parser.add_argument("--samples", type=int, default=200, help="samples of each setting of the intervals")
    parser.add_argument("--seed", type=int, default=0, help="seed of all that is drawn")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    print("| cell px | spread | read | pixels per true pixel | precision, 2 px | mean distance px |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in placed(rng):
        print(row)
    for folder in given.photos:
        print(f"\n{folder.name}:", *ceilings(folder), sep="\n")
    print("\n| photos | mean | precision | recall | F1 | clIoU | mean F1 | mean clIoU | length ratio ", end="")
    print("| F1, bootstrap | mean F1, bootstrap | length ratio, bootstrap |")
    print("| --- " * 12 + "|")
    for n_photos in PHOTOS:
        for mean, size in MEANS:
            held = coverage(rng, n_photos, mean, size, given.samples)
            print(f"| {n_photos} | {mean} | " + " | ".join(f"{share:.3f}" for share in held) + " |")


# The place of lines


def placed(rng: np.random.Generator) -> Iterator[str]:
    for cell_px in CELLS_PX:
        for spread in SPREADS_CELLS:
            rows: dict[str, list[tuple[float, ...]]] = {"between middles": [], "squares": []}
            for _ in range(N_DRAWN):
                truth = drawn_line(rng)
                map_ = map_of(truth, cell_px, spread, rng)
                for read, found in (("between middles", map_.line(0.5)), ("squares", squares(map_))):
                    lines = compare_lines(found, truth)
                    ratio = len(lines.found_xy) / len(lines.true_xy)
                    rows[read].append((ratio, lines.counts(2).precision, float(lines.found_off_px.mean())))
            for read, measured in rows.items():
                mean = np.mean(measured, axis=0)
                yield f"| {cell_px:g} | {spread} | {read} | " + " | ".join(f"{value:.3f}" for value in mean) + " |"


def drawn_line(rng: np.random.Generator) -> BoolArray:
    height, width = DRAWN_HW
    x = np.linspace(20, width - 20, 40)
    y = height / 2 + 8 * np.cumsum(rng.normal(0, 1.2, 40)) + np.linspace(-1, 1, 40) * rng.uniform(0, height / 3)
    picture = np.zeros(DRAWN_HW, np.uint8)
    cv2.polylines(picture, [np.round(np.stack([x, y], 1) * 8).astype(np.int32)], False, 1, 1, cv2.LINE_8, 3)
    return thinned(picture > 0)


def map_of(truth: BoolArray, cell_px: float, spread: float, rng: np.random.Generator) -> LineMap:
    """A fine map whose probability falls off with the distance from the line, with noise."""
    distance = cv2.distanceTransform((~truth).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    rows, columns = ((np.arange(int(np.ceil(n / cell_px))) + 0.5) * cell_px - 0.5 for n in truth.shape)
    x, y = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
    cells = cv2.remap(distance, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) / cell_px
    probability = 0.95 * np.exp(-0.5 * (cells / spread) ** 2) + rng.normal(0, 0.08, cells.shape)
    return LineMap(np.clip(probability, 0, 1).astype(np.float32), (cell_px, cell_px), DRAWN_HW)


def squares(map_: LineMap) -> BoolArray:
    """The line of the same map, with cells taken as squares."""
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) / cell).astype(int), n_cells - 1)
        for n, cell, n_cells in zip(map_.photo_hw, map_.cell_px, map_.probability.shape, strict=True)
    )
    return thinned((map_.probability >= 0.5)[np.ix_(rows, columns)])


def thinned(thick: BoolArray) -> BoolArray:
    return np.asarray(skeletonize(thick), np.bool_)  # type: ignore[no-untyped-call]


# Coarse masks


def ceilings(folder: Path) -> Iterator[str]:
    photos = []
    images = {path.stem: path for path in sorted((folder / "images").iterdir())}
    for path in sorted((folder / "masks").iterdir()):
        height, width = read_image(images[path.stem]).pixels.shape[:2]
        mask = np.asarray(read_image(path).pixels.max(axis=2) > 127)
        factor = tolerance_factor((height, width), (mask.shape[0], mask.shape[1]))
        large = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        middle = thinned(cv2.GaussianBlur(large, (0, 0), 0.8 * factor) >= 0.5)
        photos.append(compare_lines(middle, true_line(mask, (height, width)), factor=factor))
    n_true, n_found = (sum(len(getattr(one, name)) for one in photos) for name in ("true_xy", "found_xy"))
    yield f"{len(photos)} photos, {n_true:,} px of the true line, {n_found:,} px through the middle of the masks"
    for one in measure_lines(photos, threshold=0.5).within:
        yield f"within {one.tolerance_px:g} px: recall {one.recall.value:.3f}, F1 {one.f1.value:.3f}"


# Intervals


def coverage(rng: np.random.Generator, n_photos: int, mean: float, size: float, n_samples: int) -> Float64Array:
    """Share of the samples whose interval holds the truth: the figures in order, and three of them resampled."""
    all_photos = drawn_counts(rng, N_TRUTH, mean, size)
    truth = of_many(all_photos)
    truth = {**truth, **{f"{name}, bootstrap": truth[name] for name in RESAMPLED}}
    held = np.zeros(len(truth))
    for _ in range(n_samples):
        counts = drawn_counts(rng, n_photos, mean, size)
        found = measure_lines([lines_of(row) for row in counts], threshold=None, tolerances_px=(4,))
        one = found.within[0]
        given = (one.precision, one.recall, one.f1, one.cl_iou, one.mean_f1, one.mean_cl_iou, found.length_ratio)
        ends = [(figure.low, figure.high) for figure in given]
        drawn = rng.integers(0, n_photos, (N_RESAMPLES, n_photos))
        again = of_many(counts[drawn])
        ends += [percentile_interval(float(of_many(counts)[name]), again[name]) for name in RESAMPLED]
        held += [low <= value <= high for (low, high), value in zip(ends, truth.values(), strict=True)]
    return held / n_samples


def drawn_counts(rng: np.random.Generator, n: int, mean: float, size: float) -> Float64Array:
    """(n, 4) right and all found pixels, found and all true pixels of each photo."""
    n_true = rng.lognormal(6.3, 0.7, n).astype(int) + 20
    n_found = (n_true * rng.lognormal(0, 0.25, n)).astype(int) + 5
    precision, other = rng.beta(mean * size, (1 - mean) * size, (2, n))
    recall = 0.6 * precision + 0.4 * other
    columns = rng.binomial(n_found, precision), n_found, rng.binomial(n_true, recall), n_true
    return np.stack(columns, axis=1).astype(np.float64)


def of_many(counts: Float64Array) -> dict[str, Float64Array]:
    """Figures of many photos, whose counts have shape (..., photos, 4)."""
    pooled, each = figures(counts.sum(-2)), figures(counts)
    means = {f"mean {name}": each[name].mean(-1) for name in ("F1", "clIoU")}
    ratio = counts[..., 1].sum(-1) / counts[..., 3].sum(-1)
    return {**pooled, **means, "length ratio": ratio}


def figures(counts: Float64Array) -> dict[str, Float64Array]:
    n_right, n_found, n_hit, n_true = np.moveaxis(counts, -1, 0)
    precision, recall = n_right / n_found, n_hit / n_true
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return {"precision": precision, "recall": recall, "F1": f1, "clIoU": n_hit / (n_true + n_found - n_right)}


def lines_of(row: Float64Array) -> PhotoLines:
    """Lines with so many pixels, of which so many are right at once and the others never."""
    n_right, n_found, n_hit, n_true = row.astype(int)
    found, true = np.full(n_found, np.inf), np.full(n_true, np.inf)
    found[:n_right], true[:n_hit] = 0, 0
    return PhotoLines(np.zeros((n_found, 2), np.int64), np.zeros((n_true, 2), np.int64), found, true)


if __name__ == "__main__":
    main()
